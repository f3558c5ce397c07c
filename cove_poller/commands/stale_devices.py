"""Which devices have become stale since the poll before, by which data source, and which have recovered: said once."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from cove_poller.commands.outcome import About, Standing
from cove_poller.config.settings import Config
from cove_poller.database.engine import Database
from cove_poller.database.overview import read_suspects
from cove_poller.database.store import Store
from cove_poller.records.columns import DataSource, label
from cove_poller.records.health.device_state import DeviceState
from cove_poller.text import counted, device_called, listed, one_line

MOST_LINES = 5
"""More devices than this at once are said in one line."""


@dataclass(frozen=True)
class Staleness:
    """A device with its sources that are stale now, and those of which that was said before; the total for none."""

    device: DeviceState
    now: frozenset[str]
    before: frozenset[str]

    @property
    def new(self) -> frozenset[str]:
        return self.now - self.before


@dataclass(frozen=True)
class StaleNews:
    """What is to be said of a login's devices, a line each or one for many, and all that are stale.

    `about` has by a line what it is about.
    """

    lines: Sequence[str]
    standing: Sequence[Standing]
    about: Mapping[str, About]


def note_staleness(database: Database, config: Config, login: str, now: datetime) -> StaleNews:
    """Note which of a login's devices are stale now, by which sources. Return what is new, and what stands."""

    def save(store: Store) -> list[Staleness]:
        suspects = [judged(*one) for one in read_suspects(store.connection, database.tables, config, login, now)]
        if changed := {one.device.account_id: one.now for one in suspects if one.now != one.before}:
            store.devices.save_stale(changed, now)
        return suspects

    suspects = database.tried_twice(save)
    about = news(one for one in suspects if one.now != one.before)
    return StaleNews([*about], [_standing(one) for one in suspects if one.now], about)


def judged(device: DeviceState, before: frozenset[str]) -> Staleness:
    """Return which sources of a device are stale; of one that is merely switched off nobody knows anything new."""
    if device.is_excused:
        return Staleness(device, before, before)
    by_source = frozenset(one.source for one in device.stale_sources)
    return Staleness(device, by_source or frozenset([DataSource.TOTAL.value] if device.is_stale else []), before)


def news(changed: Iterable[Staleness]) -> dict[str, About]:
    """Return what is to be said of devices whose staleness has changed: the lines, and what each is about."""
    changed = list(changed)
    became = [one for one in changed if one.new]
    recovered = [one for one in changed if not one.new]
    return {
        **_lines(became, "have had no success for longer than they may", _lacking),
        **_lines(recovered, "are no longer stale", _recovered),
    }


def _lines(found: Sequence[Staleness], all_of_them: str, said: Callable[[Staleness], str]) -> dict[str, About]:
    if len(found) > MOST_LINES:
        names = listed([_name(one.device) for one in found], between="; ")
        return {f"{counted(len(found), 'device')} {all_of_them}: {names}": About(is_of_several=True)}
    return {f"{_name(one.device)}{said(one)}": About(job_id=one.device.job_id) for one in found}


def _name(device: DeviceState) -> str:
    return one_line(device_called(device.customer, device.name, device.account_id))


def _lacking(one: Staleness) -> str:
    return _said(one.device, one.new)


def _said(device: DeviceState, codes: frozenset[str]) -> str:
    """What sources of a device have not had for how long, behind its name."""
    text = device.lacks(codes)
    return f": {text}" if device.sources else f" {text}"


def _recovered(one: Staleness) -> str:
    if not one.now:
        return " is no longer stale"
    names = ", ".join(label(code) for code in sorted(one.before - one.now))
    return f": {names} no longer stale"


def _standing(one: Staleness) -> Standing:
    since = one.device.stale_since or one.device.as_of
    text = f"{_name(one.device)}{_said(one.device, one.now)}"
    return Standing(one.device.account_id, text, since, is_told=bool(one.new))

"""Which devices have become stale since the poll before, and which have recovered: said once, when it changes."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from cove_poller.config.settings import Config
from cove_poller.database.engine import Database
from cove_poller.database.overview import read_suspects
from cove_poller.database.store import Store
from cove_poller.records.overview import DeviceState
from cove_poller.text import counted, listed, long_age, one_line

MOST_LINES = 5
"""More devices than this at once are said in one line."""


def note_staleness(database: Database, config: Config, login: str, now: datetime) -> list[str]:
    """Note which of a login's devices are stale now. Return what is new, a line each, or one for many."""
    with database.transaction() as connection:
        changed = changes(read_suspects(connection, database.tables, config, login, now))
        if changed:
            since = {one.account_id: now if one.is_stale else None for one in changed}
            Store(connection, database.tables, config.backupchecks).devices.save_stale(since)
    return news(changed)


def changes(suspects: Iterable[tuple[DeviceState, bool]]) -> list[DeviceState]:
    """Return the devices that are stale and were not before, or the other way round."""
    return [device for device, was_stale in suspects if device.is_stale != was_stale]


def news(changed: Sequence[DeviceState]) -> list[str]:
    """Return what is to be said of devices whose staleness has changed.

    Of one that is merely switched off nobody knows whether it would succeed, so it has not recovered.
    """
    became = [one for one in changed if one.is_stale]
    recovered = [one for one in changed if not one.is_stale and not one.is_excused]
    return [
        *_lines(became, "have had no success for longer than they may", [_no_success(one) for one in became]),
        *_lines(recovered, "are no longer stale", ["is no longer stale"] * len(recovered)),
    ]


def _lines(devices: Sequence[DeviceState], all_of_them: str, each: Sequence[str]) -> list[str]:
    names = [one_line(f"{one.name} ({one.customer})") for one in devices]
    if len(devices) > MOST_LINES:
        return [f"{counted(len(devices), 'device')} {all_of_them}: {listed(names)}"]
    return [f"{name} {said}" for name, said in zip(names, each, strict=True)]


def _no_success(device: DeviceState) -> str:
    span = long_age(device.without_success_for)
    return (
        f"has had no success for {span}" if device.last_success_at else f"is known for {span} and never had a success"
    )

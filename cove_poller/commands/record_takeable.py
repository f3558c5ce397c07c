"""Devices into the database, in groups, also where it does not take what Cove says of one: the others are saved."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from cove_poller.commands.outcome import Noted, Outcome
from cove_poller.commands.record_page import Recorder
from cove_poller.database.engine import Database
from cove_poller.database.store import Store
from cove_poller.errors import CovePollerError, Terminated, ValueRefused
from cove_poller.records.device import Device
from cove_poller.records.health.device_troubles import device_name
from cove_poller.records.health.news import Trouble

LONGEST_WAIT = timedelta(seconds=10)
"""So long what was read waits for more to be written with it."""

T = TypeVar("T")


@dataclass(frozen=True)
class Saved:
    """What became of some devices, and what kept one of them from being saved, by a key that stays."""

    outcome: Outcome = field(default_factory=Outcome)
    troubles: Mapping[str, Trouble] = field(default_factory=dict)


class PolledMeanwhile(Exception):
    """A sync has looked at the devices of a login since they were listed."""


Save = Callable[[Store, Sequence[Device]], Outcome]


def in_groups(
    found: Iterable[T], is_enough: Callable[[Sequence[T]], bool], now: Callable[[], datetime]
) -> Iterator[list[T]]:
    """Yield what is found in groups, as soon as one is enough or has waited for long.

    What was found before an error is yielded before that is raised; not where the process is to end.
    """
    group: list[T] = []
    began = now()
    try:
        for one in found:
            group.append(one)
            if is_enough(group) or now() - began >= LONGEST_WAIT:
                yield group
                group, began = [], now()
    except Terminated:
        raise
    except CovePollerError:
        if group:
            yield group
        raise
    if group:
        yield group


def save_takeable(
    database: Database, recorder: Recorder, devices: Sequence[Device], save: Save, now: datetime
) -> Iterator[Saved]:
    """Write devices by `save`, all in one transaction. Yield what became of them, true since it is committed.

    Where the database does not take a value, its encoding lacks a letter for instance, the devices are halved until
    the one is found that has it; that is noted with the device, as nothing of it is known from its last poll on.
    """
    try:
        outcome = database.tried_twice(recorder.login, lambda store: save(store, devices))
    except ValueRefused as error:
        if not devices:
            raise
        if len(devices) == 1:
            yield _left_out(database, recorder, devices[0], error, now)
            return
    else:
        yield Saved(outcome)
        return
    half = len(devices) // 2
    for part in (devices[:half], devices[half:]):
        yield from save_takeable(database, recorder, part, save, now)


def _left_out(database: Database, recorder: Recorder, device: Device, error: ValueRefused, now: datetime) -> Saved:
    why = f"nothing of it is saved, since the database does not take what Cove says of it ({error})"

    def note(store: Store) -> Noted:
        return recorder.note_left_out(store, {device.account_id: why}, now)

    try:
        noted = database.tried_twice(recorder.login, note)
    except ValueRefused:
        noted = Noted(Outcome(), frozenset())
    if device.account_id in noted.account_ids:
        return Saved(noted.outcome)
    trouble = Trouble(f"{device_name(device)}: {why}", is_failure=True)
    return Saved(troubles={f"refused {device.account_id}": trouble})

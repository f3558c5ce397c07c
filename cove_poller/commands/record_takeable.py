"""Devices into the database, in groups, also where it does not take what Cove says of one: the others are saved."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Generic, TypeVar

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
    """A sync has looked at the devices since they were listed, of this login or of another that lists them."""


Save = Callable[[Store, Sequence[Device]], Outcome]


class Gathered(Generic[T]):
    """What waits to be written together, until it is enough or has waited for long.

    As a context: what is left is written at its end, also where an error ends it; not where the process is to end.
    """

    def __init__(self, write: Callable[[list[T]], None], now: Callable[[], datetime]) -> None:
        self._write = write
        self._now = now
        self._group: list[T] = []
        self._began = now()

    def add(self, one: T, is_enough: Callable[[Sequence[T]], bool]) -> None:
        """Let one more wait."""
        self._began = self._began if self._group else self._now()
        self._group.append(one)
        if is_enough(self._group) or self._now() - self._began >= LONGEST_WAIT:
            self.write()

    def write(self) -> None:
        """Write what waits, if anything does."""
        group, self._group = self._group, []
        if group:
            self._write(group)

    def __enter__(self) -> "Gathered[T]":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None or (issubclass(kind, CovePollerError) and not issubclass(kind, Terminated)):
            self.write()


def save_takeable(
    database: Database, recorder: Recorder, devices: Sequence[Device], save: Save, now: datetime
) -> Iterator[Saved]:
    """Write devices by `save`, all in one transaction. Yield what became of them, true since it is committed.

    Where the database does not take a value, its encoding lacks a letter for instance, the devices are halved until
    the one is found that has it; that is noted with the device, as nothing of it is known from its last poll on.
    """
    try:
        outcome = database.tried_twice(lambda store: save(store, devices))
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
        noted = database.tried_twice(note)
    except ValueRefused:
        noted = Noted(Outcome(), frozenset())
    if device.account_id in noted.account_ids:
        return Saved(noted.outcome)
    trouble = Trouble(f"{device_name(device)}: {why}", is_failure=True)
    return Saved(troubles={f"refused {device.account_id}": trouble})

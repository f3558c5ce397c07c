"""Devices into the database, also where it does not take what Cove says of one of them: the others are saved."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from cove_poller.commands.outcome import Outcome
from cove_poller.database.engine import Database
from cove_poller.database.store import Store
from cove_poller.errors import ValueRefused
from cove_poller.records.device import Device
from cove_poller.records.health.device_troubles import device_name
from cove_poller.records.health.news import Trouble


@dataclass(frozen=True)
class Saved:
    """What became of some devices, and what kept one of them from being saved, by a key that stays."""

    outcome: Outcome = field(default_factory=Outcome)
    troubles: Mapping[str, Trouble] = field(default_factory=dict)


class PolledMeanwhile(Exception):
    """A sync has looked at the devices of a login since they were listed."""


Save = Callable[[Store, Sequence[Device]], Outcome]


def save_takeable(database: Database, login: str, devices: Sequence[Device], save: Save) -> Iterator[Saved]:
    """Write a login's devices by `save`, all in one transaction. Yield what became of them, true since it is committed.

    Where the database does not take a value, its encoding lacks a letter for instance, the devices are halved until
    the one is found that has it.
    """
    try:
        outcome = database.tried_twice(login, lambda store: save(store, devices))
    except ValueRefused as error:
        if not devices:
            raise
        if len(devices) == 1:
            yield Saved(troubles=_trouble(devices[0], error))
            return
    else:
        yield Saved(outcome)
        return
    half = len(devices) // 2
    for part in (devices[:half], devices[half:]):
        yield from save_takeable(database, login, part, save)


def _trouble(device: Device, error: ValueRefused) -> dict[str, Trouble]:
    text = f"{device_name(device)}: nothing of it is saved, since the database does not take what Cove says of it"
    return {f"refused {device.account_id}": Trouble(f"{text} ({error})", is_failure=True)}

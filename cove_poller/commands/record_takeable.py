"""Devices into the database, also where it does not take what Cove says of one of them: the others are saved."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cove_poller.commands.outcome import Outcome
from cove_poller.commands.record_page import NO_PASTS, Recorder
from cove_poller.database.engine import Database
from cove_poller.errors import ValueRefused
from cove_poller.records.device import Device
from cove_poller.records.health.device_troubles import device_name
from cove_poller.records.health.news import Trouble
from cove_poller.records.past import Past


@dataclass(frozen=True)
class Saved:
    """What became of some devices, and what kept one of them from being saved, by a key that stays."""

    outcome: Outcome = field(default_factory=Outcome)
    troubles: Mapping[str, Trouble] = field(default_factory=dict)


def save_takeable(
    database: Database,
    recorder: Recorder,
    devices: Sequence[Device],
    refused: Sequence[str],
    now: Callable[[], datetime],
    pasts: Mapping[int, Past] = NO_PASTS,
) -> Iterator[Saved]:
    """Write devices, all in one transaction. Yield what became of them, true since it is committed.

    Where the database does not take a value, its encoding lacks a letter for instance, the devices are halved until
    the one is found that has it.
    """
    try:
        outcome = database.tried_twice(lambda store: recorder.save_page(store, devices, refused, now(), pasts))
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
        yield from save_takeable(database, recorder, part, refused, now, pasts)


def _trouble(device: Device, error: ValueRefused) -> dict[str, Trouble]:
    text = f"{device_name(device)}: nothing of it is saved, since the database does not take what Cove says of it"
    return {f"refused {device.account_id}": Trouble(f"{text} ({error})", is_failure=True)}

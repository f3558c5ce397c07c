"""A device of a page in work: what Cove says of it, what was recorded, what that means, and what changes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from cove_poller.records.device import Device
from cove_poller.records.device_changes import DeviceChanges
from cove_poller.records.device_reading import DeviceReading, read_device, with_vanished
from cove_poller.records.health.device_record import Row
from cove_poller.records.past import NO_PAST, Past
from cove_poller.records.reading import Circumstances, SourceReading, TimesAre
from cove_poller.records.source_history import Look, SourceHistory

NO_TIMES = TimesAre()


@dataclass(frozen=True)
class Work:
    """A device of a page in work: what Cove says of it, what was recorded, what that means, and what changes."""

    device: Device
    previous: Row | None
    look: Look
    histories: Mapping[str, SourceHistory]
    reading: DeviceReading
    past: Past = NO_PAST
    changes: DeviceChanges = field(default_factory=DeviceChanges)
    due_at: datetime | None = None
    rereads: Callable[[Mapping[str, SourceHistory]], bool] = bool

    @property
    def account_id(self) -> int:
        return self.device.account_id

    @property
    def is_ignored(self) -> bool:
        return self.previous is not None and bool(self.previous["ignored"])

    @property
    def replan_since(self) -> datetime | None:
        return self.previous["replan_since"] if self.previous else None


def as_known(
    device: Device, reading: DeviceReading, row: Row | None, histories: Mapping[str, SourceHistory]
) -> DeviceReading:
    """Return the reading with the sources on record that the row leaves out, without those that nobody wants."""
    if not device.sources and row and row["data_sources"]:
        sources = {code: SourceReading() for code in row["data_sources"]} | dict(reading.sources)
        reading = DeviceReading(sources, tuple(sorted({*reading.active_sources, *row["data_sources"]})))
    recorded = {code for code, history in histories.items() if history.recent}
    reading = with_vanished(reading, device.sources.keys(), recorded)
    ignored = {code for code, history in histories.items() if history.is_ignored}
    return replace(reading, active_sources=tuple(code for code in reading.active_sources if code not in ignored))


def rereads(
    device: Device,
    read: DeviceReading,
    refused: frozenset[str],
    around: Circumstances,
    histories: Mapping[str, SourceHistory],
) -> bool:
    """Return whether the row would be read otherwise by what has been learnt from it."""
    learnt = {code: one.times_are for code, one in histories.items()}
    known = {code: around.times_are.get(code, NO_TIMES) for code in learnt}
    return learnt != known and read != read_device(device, refused, replace(around, times_are=learnt))

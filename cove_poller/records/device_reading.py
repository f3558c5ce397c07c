"""What a row of the listing says of all of a device's data sources. Pure."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from cove_poller.records.columns import DataSource
from cove_poller.records.device import DECISIVE_COLUMNS, Device
from cove_poller.records.reading import NO_FIELDS, Circumstances, Problem, SourceReading, read_source
from cove_poller.records.session import Origin
from cove_poller.records.statuses import Status


@dataclass(frozen=True)
class DeviceReading:
    """What a row says of a device, per data source."""

    sources: Mapping[str, SourceReading]
    active_sources: tuple[str, ...]

    @property
    def running(self) -> bool:
        return any(reading.running for reading in self.sources.values())

    @property
    def problems(self) -> dict[str, Problem]:
        """The sources whose health is not known, of those that count: the active ones and the total."""
        counting = (*self.active_sources, DataSource.TOTAL)
        found = ((code, self.sources[code].problem) for code in counting if code in self.sources)
        return {code: problem for code, problem in found if problem}


def refused_sources(refused: Collection[str]) -> frozenset[str]:
    """Return the data sources that cannot be read, as Cove refuses this user what tells how their sessions went."""
    return frozenset(source.value for source, codes in DECISIVE_COLUMNS.items() if not codes.isdisjoint(refused))


def read_device(device: Device, refused: Iterable[str], around: Circumstances) -> DeviceReading:
    """Return what a row says of all of a device's data sources.

    `refused` are the column codes that Cove does not let this user read. A source that is active but refused, unknown
    to this program or garbled is unreadable, and never taken for healthy; so are all of them where Cove tells of none
    although the total has sessions.
    """
    around = replace(around, created_at=device.fields.created_at, is_workstation=device.device_type == "Workstation")
    unreadable = set(refused) | device.malformed
    codes = {*device.active_sources, *device.sources, DataSource.TOTAL.value}
    total = device.sources.get(DataSource.TOTAL, NO_FIELDS)
    only_total = total != NO_FIELDS and not device.sources.keys() & set(device.active_sources)
    sources = {
        code: read_source(
            code,
            device.sources.get(code, NO_FIELDS),
            around,
            readable=code == DataSource.TOTAL
            or (code in DECISIVE_COLUMNS and not only_total and not DECISIVE_COLUMNS[DataSource(code)] & unreadable),
        )
        for code in sorted(codes)
    }
    of_total = sources[DataSource.TOTAL]
    if len(sources) > 1:  # a success between two polls is seen at the source that had it, with its status
        seen = tuple(session for session in of_total.sessions if session.origin is not Origin.GAP)
        sources[DataSource.TOTAL] = replace(of_total, sessions=seen)
    return DeviceReading(sources, device.active_sources)


def with_vanished(reading: DeviceReading, told: Collection[str], recorded: Collection[str]) -> DeviceReading:
    """Return the reading with a problem of each active source that has sessions on record and that the row left out."""
    gone = Problem(Status.WARNING, "Cove no longer says anything of it")
    lost = [code for code in reading.active_sources if code not in told and code in recorded]
    changed = {code: replace(reading.sources[code], problem=reading.sources[code].problem or gone) for code in lost}
    return replace(reading, sources={**reading.sources, **changed})


SourceKey = tuple[int, str]
"""A device's account id and one of its data sources."""

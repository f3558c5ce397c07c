"""A device of a page in work."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from cove_poller.commands.record_runs import Subject
from cove_poller.commands.record_sessions import SavedSessions, Seen
from cove_poller.records.device import Device
from cove_poller.records.device_changes import DeviceChanges
from cove_poller.records.device_reading import DeviceReading, read_device, with_vanished
from cove_poller.records.gap_evidence import GraveDays, grave_days
from cove_poller.records.health.device_record import Row
from cove_poller.records.health.device_silence import color_bar
from cove_poller.records.open_gaps import Missing, missing
from cove_poller.records.past import NO_PAST, Past
from cove_poller.records.reading import Circumstances, SourceReading, TimesAre
from cove_poller.records.source_history import NOTHING, Look, SourceHistory

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
    grave_days: Mapping[str, GraveDays] = field(default_factory=dict)
    ends_before: Mapping[str, Sequence[datetime]] = field(default_factory=dict)
    """When the newest sessions before its first gap ended, where its past was read."""

    rereads: Callable[[Mapping[str, SourceHistory]], bool] = bool
    """Whether its row would be read otherwise by what it has just told."""

    due_at: datetime | None = None
    """When something changes though nothing happens; None: never."""

    @property
    def account_id(self) -> int:
        return self.device.account_id

    @property
    def first_seen_at(self) -> datetime:
        return self.previous["first_seen_at"] if self.previous else self.look.at

    @property
    def awaits_history(self) -> bool:
        """Whether it has gaps that are going to be closed."""
        return bool(self.changes.gaps) and not any(one.why for one in self.changes.gaps.values())

    @property
    def is_ignored(self) -> bool:
        return self.previous is not None and bool(self.previous["ignored"])

    @property
    def replan_since(self) -> datetime | None:
        return self.previous["replan_since"] if self.previous else None

    @property
    def seen(self) -> Seen:
        """Return what it shows, by which its records are found."""
        return Seen(self.account_id, self.reading, self.past, self.look.at, self.grave_days)

    @property
    def had_gaps(self) -> bool:
        """Whether sessions of it may have been missing before this look."""
        return any(self.histories.get(code, NOTHING).missing for code in self.reading.active_sources)

    @property
    def first_gap(self) -> datetime | None:
        """Return since when nobody had looked at it, where its past was read since."""
        gaps = (gap for history in self.histories.values() for gap in history.gaps)
        return min((one.since for one in gaps if one.since), default=None) if self.past.window else None

    @property
    def missing(self) -> Missing | None:
        """Return what is to be read of its history; nothing of a device that nobody wants."""
        running_since = self.previous["running_since"] if self.previous else None
        found = missing(self.changes.gaps, self.histories, running_since, self.look.at)
        return None if self.is_ignored else found


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


def graver_days(device: Device, row: Row | None, around: Circumstances, look: Look) -> dict[str, GraveDays]:
    """Return the days on which each source's colour bar shows trouble that it did not show at the look before."""
    before = row["data_sources"] if row else {}
    bars = {code: (color_bar(device, code), before[code].get("color_bar") or "") for code in before}
    found = {code: grave_days(*bar, around.now, look, around.statuses) for code, bar in bars.items()}
    return {code: days for code, days in found.items() if days}


def rereads(
    device: Device,
    read: DeviceReading,
    refused: frozenset[str],
    around: Circumstances,
    histories: Mapping[str, SourceHistory],
) -> bool:
    """Return whether a row would be read otherwise by what has been learnt from it."""
    learnt = {code: one.times_are for code, one in histories.items()}
    known = {code: around.times_are.get(code, NO_TIMES) for code in learnt}
    return learnt != known and read != read_device(device, refused, replace(around, times_are=learnt))


def subject_of(work: Work, job_id: int, saved: SavedSessions, *, waits: bool) -> Subject:
    """Return what the runs of a device are made from; `waits` where its newest round may still grow."""
    changes = work.changes
    moments = [*changes.moments, *([work.replan_since] if work.replan_since else [])]
    return Subject(
        job_id=job_id,
        sources=changes.sources,
        running=waits,
        changed_since=min(moments, default=None),
        changed_ids=saved.ids.get(work.account_id, frozenset()),
        worse_ids=changes.worse_ids,
        orphaned_run_ids=frozenset(one.job_run_id for one in changes.removed if one.job_run_id),
        first_seen_at=work.first_seen_at,
        awaits_history=work.awaits_history,
    )

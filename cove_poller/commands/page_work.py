"""A device of a page in work."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cove_poller.commands.record_sessions import Seen
from cove_poller.records.device import Device
from cove_poller.records.device_changes import DeviceChanges
from cove_poller.records.device_reading import DeviceReading
from cove_poller.records.gap_evidence import GraveDays
from cove_poller.records.health.device_record import Row
from cove_poller.records.open_gaps import Missing, missing
from cove_poller.records.past import NO_PAST, Past
from cove_poller.records.source_history import NOTHING, Look, SourceHistory


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

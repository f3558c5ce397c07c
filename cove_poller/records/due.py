"""When a device has to be looked at: what keeps its mark, and so the next poll, from passing over it. Pure.

A device is passed over where its row is what it was and nothing else can have changed. When in doubt it is due.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import Any

from cove_poller import __version__
from cove_poller.config.settings import Config
from cove_poller.records.device import Device
from cove_poller.records.device_changes import DeviceChanges
from cove_poller.records.device_reading import DeviceReading
from cove_poller.records.reading import TIMES

RULES = 1
"""Raised with a change of what is made of a row that comes without a new version of the program."""

MOST_SKEW = timedelta(minutes=5)
"""Clocks that are further apart say that something is wrong with one of them."""


@dataclass(frozen=True)
class Mark:
    """What is kept with a device that may be passed over: by which row, until when, and how many sessions it shows."""

    row_digest: str | None = None
    due_at: datetime | None = None
    shown_count: int | None = None

    def row(self) -> dict[str, Any]:
        """Return the mark as columns of `cove_devices`."""
        return {"row_digest": self.row_digest, "due_at": self.due_at, "shown_count": self.shown_count}


NO_MARK = Mark()
MARK_COLUMNS = frozenset(NO_MARK.row())


@dataclass(frozen=True)
class Looked:
    """A device after a poll: what was read and changed, and what stands of it now.

    `is_linked` says that it has a job, `waits` that one of its sessions has no run yet.
    """

    device: Device
    reading: DeviceReading
    changes: DeviceChanges
    now: datetime
    clock_ahead: timedelta = timedelta()
    is_linked: bool = True
    is_ignored: bool = False
    waits: bool = False
    conditions: Mapping[str, Any] = field(default_factory=dict)
    has_past: bool = False
    replan_since: datetime | None = None


def reasons_due(looked: Looked) -> frozenset[str]:
    """Return why the next poll has to look at a device even if its row stays what it is; none if it need not."""
    reading, histories = looked.reading, looked.changes.sources
    found = {
        "not linked": not looked.is_linked,
        "ignored": looked.is_ignored,
        "running": reading.running,
        "a source that cannot be read": any(one.problem for one in reading.sources.values()),
        "a source that did not start": any(one.not_started for one in reading.sources.values()),
        "unreadable on record": any(one.unreadable and one.unreadable[-1].until is None for one in histories.values()),
        "silent": any(one.is_silent for one in histories.values()),
        "a gap": bool(looked.changes.gaps) or any(one.missing for one in histories.values()),
        "a condition": bool(looked.conditions),
        "a contradiction": bool(looked.device.contradictions or looked.device.malformed),
        "a session without a run": looked.waits,
        "a history that was read": looked.has_past,
        "to be planned anew": looked.replan_since is not None,
        "clocks apart": abs(looked.clock_ahead) > MOST_SKEW,
        "a time ahead of the clock": _is_ahead(looked),
    }
    return frozenset(reason for reason, holds in found.items() if holds)


def due_at(looked: Looked, silence_changes_at: datetime | None) -> datetime:
    """Return when a device is to be looked at whatever its row says: a silence begins, or another day.

    A colour bar that stays the same says something else the next day, by whichever of the clocks.
    """
    tomorrow = looked.now.astimezone(UTC).date() + timedelta(days=1)
    moments = [datetime.combine(tomorrow, time(tzinfo=UTC)) - MOST_SKEW, silence_changes_at]
    return min(one for one in moments if one)


def _is_ahead(looked: Looked) -> bool:
    """Whether the row tells of a time that is not over by both clocks, so that it may be read otherwise later."""
    now = min(looked.now, looked.now + looked.clock_ahead)
    told = (getattr(one, name) for one in looked.device.sources.values() for name in TIMES)
    return any(moment > now for moment in told if moment)


def shown_count(reading: DeviceReading) -> int:
    """Return how many sessions a row shows, which is how many are unchanged when it comes again."""
    return sum(len(one.sessions) for one in reading.sources.values())


def basis(config: Config, login: str, refused: Iterable[str]) -> bytes:
    """Return what a device's record depends on beside its row, the rows on record and the time."""
    sections = (config.api_of(login), config.backupchecks, config.alerts, config.intervals)
    told = [one.model_dump_json() for one in sections]
    return repr((RULES, __version__, login, sorted(refused), sorted(config.status.items()), told)).encode()


def row_digest(basis_: bytes, content: bytes) -> str:
    """Return the digest of a row, given as `StatisticsRow.content`, and of all that its meaning depends on."""
    return hashlib.blake2b(content, digest_size=16, key=hashlib.blake2b(basis_, digest_size=32).digest()).hexdigest()

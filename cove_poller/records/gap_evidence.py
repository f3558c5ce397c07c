"""Which times a device's sessions may be missing of, though polls looked: by what that shows, and how far back. Pure.

A poll shows the newest session of each source. Others may have come and gone before it where the source runs about as
often as it is polled, where it was switched on since the last look, and where a day's mark is graver than the record.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from cove_poller.records.colorbar import days_of, is_readable
from cove_poller.records.device_changes import DeviceChanges
from cove_poller.records.device_reading import DeviceReading
from cove_poller.records.health.silence import usual_distance
from cove_poller.records.matching import SessionChanges
from cove_poller.records.session import NEVER, Origin, RecordedSession, Session
from cove_poller.records.source_history import NOTHING, Histories, Look, SourceHistory, with_unseen
from cove_poller.records.statuses import NO_BACKUP, NOT_STARTED, SEVERITY, Status, Statuses

DAY = timedelta(days=1)
AS_OFTEN = 1.25
"""A source whose sessions are so many times the polls' distance apart, or less, may have more than are seen."""

NO_CHANGES = SessionChanges()
GraveDays = Mapping[date, int]
"""Days with how grave their mark is."""


@dataclass(frozen=True)
class Evidence:
    """What tells that something may be missing: the look, what it read and changed, and each source's grave days.

    `is_always` asks of every source of which anything is new. Looks further apart than `gap` leave a gap by themselves.
    """

    look: Look
    reading: DeviceReading
    changes: DeviceChanges
    recorded: Mapping[str, Sequence[RecordedSession]]
    first_seen_at: datetime
    gap: timedelta
    grave_days: Mapping[str, GraveDays]
    is_always: bool = False


def with_evidence(histories: Histories, found: Evidence) -> dict[str, SourceHistory]:
    """Return the sources' histories after a look, each with the time of which its sessions may be missing.

    `histories` are those before the look; the first look at a device misses nothing, as its past is not asked for.
    """
    sources = dict(found.changes.sources)
    for code in found.reading.active_sources if found.look.before else ():
        since = _unseen_since(code, histories.get(code, NOTHING), found)
        if since is not None and since < found.look.at:
            sources[code] = with_unseen(sources.get(code, NOTHING), since, found.look.at)
    return sources


def _unseen_since(code: str, before: SourceHistory, found: Evidence) -> datetime | None:
    """From when on sessions of a source may be missing; None if nothing tells that any is."""
    moments = (_by_news(code, before, found), _by_switch(code, before, found), _by_marks(code, before, found))
    return min((one for one in moments if one), default=None)


def _by_news(code: str, before: SourceHistory, found: Evidence) -> datetime | None:
    """Of a source of which something is new: always, or as it runs about as often as it is polled."""
    look, read_until = found.look, before.read_until or NEVER
    changes = found.changes.sessions.get(code, NO_CHANGES)
    if look.before is None or all(one.origin is Origin.COLORBAR for one in (*changes.new, *changes.changed)):
        return None
    if found.is_always:
        return before.read_until or min([look.before, *before.recent[-1:]])
    recent = found.changes.sources.get(code, before).recent
    usual, distance = usual_distance(recent, ""), look.at - look.before
    if usual is None or distance > found.gap or usual > AS_OFTEN * distance:
        return None
    return max(recent[0], read_until, found.first_seen_at)


def _by_switch(code: str, before: SourceHistory, found: Evidence) -> datetime | None:
    """Of a source that was switched on since the last look, and has had sessions: since it was seen last."""
    was_active = bool(before.active) and before.active[-1].until is None
    read = found.reading.sources.get(code)
    if was_active or read is None or not read.sessions:
        return None
    return before.active[-1].until if before.active else found.look.before


def _by_marks(code: str, before: SourceHistory, found: Evidence) -> datetime | None:
    """Of a source with a day that is graver than all that is recorded of it and of the days beside it."""
    changes = found.changes.sessions.get(code, NO_CHANGES)
    known = [*found.recorded.get(code, ()), *changes.new, *changes.changed]
    for day, gravity in sorted(found.grave_days.get(code, {}).items()):
        begin = datetime.combine(day, time(tzinfo=UTC))
        is_read = before.read_until is not None and before.read_until >= begin + DAY
        if day >= found.first_seen_at.date() and not is_read and gravity > _gravest(known, day):
            return max(begin - DAY, found.first_seen_at)
    return None


def _gravest(known: Iterable[Session], day: date) -> int:
    return max((SEVERITY[one.status] for one in known if abs(one.session_at.date() - day) <= DAY), default=0)


def grave_days(bar: str, bar_before: str, now: datetime, look: Look, statuses: Statuses) -> dict[date, int]:
    """Return the days before today on which a colour bar shows trouble that it did not show at the look before.

    For example the bars "55" of yesterday and "525" of today: yesterday's 2.
    """
    if look.before is None or not (is_readable(bar) and is_readable(bar_before)):
        return {}
    last = look.before.astimezone(UTC).date()
    today = now.astimezone(UTC).date()
    if bar == bar_before and today == last:
        return {}
    shown = dict(days_of(bar_before, last))  # without that day itself, which was not over yet
    found = {}
    for day, code in days_of(bar, today):
        status = statuses.meaning(code)
        is_session = code not in (NO_BACKUP, NOT_STARTED) and status not in (Status.RUNNING, Status.NONE)
        if is_session and SEVERITY[status] > SEVERITY[Status.SUCCESS] and shown.get(day) != code:
            found[day] = SEVERITY[status]
    return found

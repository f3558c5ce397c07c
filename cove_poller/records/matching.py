"""What sessions that were seen add to those on record, of one data source. Pure: no clock, network or database.

What is seen may be a poll's few facts, or all that a device had in a window of time. Sessions of one source are told
apart by their times, whichever of them each fact knows, and by statuses that cannot be of one session.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import TypeVar

from cove_poller.records.columns import DataSource
from cove_poller.records.same_session import as_session, combined, partners
from cove_poller.records.session import (
    CLOSE,
    MINUTE,
    NEVER,
    Origin,
    RecordedSession,
    Session,
    TimeIs,
)
from cove_poller.records.statuses import SEVERITY
from cove_poller.records.window import Window

S = TypeVar("S", bound=Session)
DAY = timedelta(days=1)


@dataclass(frozen=True)
class SessionChanges:
    """What was seen of one data source and is not on record; what is on record and wrong."""

    new: tuple[Session, ...] = ()
    changed: tuple[RecordedSession, ...] = ()
    removed: tuple[RecordedSession, ...] = ()
    unchanged_count: int = 0


@dataclass(frozen=True)
class Coverage:
    """How well what is seen covers a window: whether it is all there was, and what came last before the window."""

    window: Window
    is_complete: bool
    context: Session | None = None


def compare(
    seen: Sequence[Session],
    recorded: Sequence[RecordedSession],
    coverage: Coverage | None = None,
    *,
    unknown_since: datetime | None = None,
) -> SessionChanges:
    """Return what `seen` adds to `recorded`, of one data source.

    `recorded` has the newest record, those next to the times seen, those of the days beside each mark of the colour
    bar, and all in the window of the coverage. New sessions are the first since `unknown_since`. A success that is not
    the last session is news only when it is newer than anything recorded: an older one was there to see before, under
    another time.
    """
    exact = [one for one in recorded if one.origin is not Origin.COLORBAR]
    marks = [one for one in recorded if one.origin is Origin.COLORBAR]
    sessions = [one for one in seen if one.origin is not Origin.COLORBAR]
    seen_marks = [one for one in seen if one.origin is Origin.COLORBAR]
    newest = max((record.session_at for record in exact), default=None)
    found = partners(sessions, exact)
    new = [
        _without_overlap(_since(one, unknown_since), exact)
        for place, one in enumerate(sessions)
        if place not in found and not _is_old_success(one, newest)
    ]
    better = {record.id: _continued(record, sessions[place], unknown_since) for place, record in found.items()}
    duplicates = _duplicates(sessions, exact, found) if coverage and coverage.is_complete else []
    left = [better.get(one.id, one) for one in exact if one not in duplicates]
    if coverage:
        left, new = _covered(left, new, coverage)
    kept, stale = _judged(marks, [*left, *new], coverage)
    new_marks, changed_marks = _new_marks(seen_marks, kept, [*left, *new], coverage)
    old = {one.id: one for one in exact}
    changes = SessionChanges(
        new=(*new, *new_marks),
        changed=(*(one for one in left if one != old[one.id]), *changed_marks),
        removed=(*duplicates, *stale),
        unchanged_count=sum(1 for record in found.values() if better[record.id] == record),
    )
    return _without_collisions(recorded, changes)


def _since(session: Session, unknown_since: datetime | None) -> Session:
    """The session with the time since which nobody had looked, unless it tells one."""
    return session if session.unknown_since or unknown_since is None else replace(session, unknown_since=unknown_since)


def _continued(record: RecordedSession, seen: Session, unknown_since: datetime | None) -> RecordedSession:
    """The better record; one that went on to a later end has ended since the look before, so it makes a run."""
    better = combined(record, seen)
    if better.session_at <= record.session_at + MINUTE or record.unknown_since is None:
        return better
    return replace(better, is_context=False, unknown_since=unknown_since)


def _is_old_success(session: Session, newest: datetime | None) -> bool:
    return session.origin is Origin.GAP and newest is not None and session.session_at <= newest


def _without_overlap(session: Session, recorded: Iterable[Session]) -> Session:
    """The session without a derived start that would lie before the end of the one before it."""
    if session.started_at is None or session.time_is is TimeIs.START or session.data_source == DataSource.TOTAL:
        return session
    ends = (one.session_at for one in recorded if one.ended_at and one.session_at < session.session_at - CLOSE)
    before = max(ends, default=None)
    is_wrong = session.origin is not Origin.SESSIONS and before is not None and session.started_at < before - CLOSE
    return replace(session, started_at=None) if is_wrong else session


def _duplicates(
    sessions: Sequence[Session], recorded: Sequence[RecordedSession], found: dict[int, RecordedSession]
) -> list[RecordedSession]:
    """The records of sessions that have a better record."""
    taken = {record.id for record in found.values()}
    free = [record for record in recorded if record.id not in taken and record.ended_at is None]
    return list(partners([sessions[place] for place in found], free).values())


def _covered(
    records: Sequence[RecordedSession], new: Sequence[Session], coverage: Coverage
) -> tuple[list[RecordedSession], list[Session]]:
    """The sessions with what the coverage lets be known of the time before each of them."""
    window = coverage.window

    def known(session: S) -> S:
        if session.session_at in window:
            if not coverage.is_complete:
                return replace(session, unknown_since=window.since) if session.unknown_since == NEVER else session
            return replace(session, unknown_since=None, is_context=False)
        unknown = session.unknown_since
        was_unknown = unknown is not None and (unknown == NEVER or unknown in window)
        if coverage.is_complete and was_unknown and session.session_at > window.until:
            return replace(session, unknown_since=window.until)
        return session

    left, fresh = [known(one) for one in records], [known(_read_in_part(one, coverage)) for one in new]
    if coverage.context is None or partners([coverage.context], left):
        return left, fresh
    later = [one for one in records if one.session_at > coverage.context.session_at]
    following = min(later, key=lambda session: session.session_at, default=None)
    unknown_since = following.unknown_since if following else NEVER
    return left, [*fresh, replace(coverage.context, unknown_since=unknown_since, is_context=True)]


def _read_in_part(session: Session, coverage: Coverage) -> Session:
    """A new session from a past of which something could not be read: others before it may be missing."""
    is_read = session.origin not in (Origin.POLL, Origin.GAP)
    if coverage.is_complete or not is_read or session.unknown_since or session.session_at not in coverage.window:
        return session
    return replace(session, unknown_since=coverage.window.since)


def _judged(
    marks: Sequence[RecordedSession], known: Collection[Session], coverage: Coverage | None
) -> tuple[list[RecordedSession], list[RecordedSession]]:
    """The colour bar's records that still tell something, and those that a better record has made stale."""
    if not marks:
        return [], []
    days = _gravest_by_day(known)
    stale = [mark for mark in marks if _is_covered(mark, coverage) or is_told(mark, days)]
    return [mark for mark in marks if mark not in stale], stale


def _is_covered(mark: Session, coverage: Coverage | None) -> bool:
    """Whether all that happened on the mark's day is known; the mark stands at no time that means anything."""
    return coverage is not None and coverage.is_complete and coverage.window.has_day(mark.session_at.date())


def _gravest_by_day(sessions: Iterable[Session]) -> dict[date, int]:
    """How grave the worst session of each day is, or of a day beside it: nobody knows when Cove's days begin."""
    days: dict[date, int] = {}
    for session in sessions:
        for day in (session.session_at.date() + beside * DAY for beside in (-1, 0, 1)):
            days[day] = max(days.get(day, 0), SEVERITY[session.status])
    return days


def is_told(mark: Session, days: dict[date, int]) -> bool:
    """Return whether a better record of the mark's day, or of one beside it, is at least as grave."""
    return days.get(mark.session_at.date(), 0) >= SEVERITY[mark.status]


def _new_marks(
    seen: Sequence[Session],
    kept: Sequence[RecordedSession],
    known: Collection[Session],
    coverage: Coverage | None,
) -> tuple[list[Session], list[RecordedSession]]:
    """The colour bar's marks that are news, and those on record that it has changed: one a day."""
    if not seen:
        return [], []
    days = _gravest_by_day(known)
    by_day = {mark.session_at.date(): mark for mark in kept}
    taken = {session.session_at for session in known}
    new, changed = [], []
    for mark in seen:
        record = by_day.get(mark.session_at.date())
        if is_told(mark, days) or _is_covered(mark, coverage):
            continue
        if record is None:
            new.append(replace(mark, session_at=_free(mark.session_at, taken)))
        elif SEVERITY[mark.status] > SEVERITY[record.status]:
            changed.append(replace(record, status=mark.status, status_code=mark.status_code))
    return new, changed


def _free(moment: datetime, taken: Collection[datetime]) -> datetime:
    while moment in taken:
        moment += timedelta(seconds=1)
    return moment


def _without_collisions(recorded: Sequence[RecordedSession], changes: SessionChanges) -> SessionChanges:
    """The changes such that at no moment two records have the same time, which is their key.

    A record that moves to where another one is, or was, is written anew; a mark of the colour bar makes room, and so
    does a session of which nobody knows the end.
    """
    if not changes.new and not changes.changed:
        return changes
    removed = {one.id for one in changes.removed}
    old = {one.id: one.session_at for one in recorded if one.id not in removed}
    changed = {one.id: one for one in changes.changed}
    moving = {number: one.session_at for number, one in changed.items() if one.session_at != old[number]}
    crowded = {number for number, at in moving.items() if any(at == of for other, of in old.items() if other != number)}
    arrivals = {one.session_at for one in changes.new if one.ended_at} | {*moving.values()}
    crowded |= {one.id for one in recorded if one.id in old and one.ended_at is None and one.session_at in arrivals}
    again = [as_session(changed.get(one.id, one)) for one in recorded if one.id in crowded]
    taken = {moving.get(number, at) for number, at in old.items() if number not in crowded}
    taken |= {at for number, at in old.items() if number in moving and number not in crowded}
    new: list[Session] = []
    for one in sorted((*changes.new, *again), key=_least_movable):
        at = _free(one.session_at, taken)
        taken.add(at)
        new.append(one if at == one.session_at else replace(one, session_at=at))
    return SessionChanges(
        new=tuple(new),
        changed=tuple(one for one in changes.changed if one.id not in crowded),
        removed=(*changes.removed, *(one for one in recorded if one.id in crowded)),
        unchanged_count=changes.unchanged_count,
    )


def _least_movable(session: Session) -> tuple[bool, bool, datetime]:
    """An order in which whoever knows its time best keeps it."""
    return session.origin is Origin.COLORBAR, session.ended_at is None, session.session_at

"""What sessions that were seen add to those on record. Pure: no clock, network or database.

Sessions of one data source are told apart by their times, whichever of them each fact knows. What is seen may be
a poll's few facts, or all that a device had in a window of time: then a record that it does not explain is wrong.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import TypeVar

from cove_poller.records.columns import DataSource
from cove_poller.records.session import TRUST, Origin, RecordedSession, Session, is_near
from cove_poller.records.statuses import SEVERITY
from cove_poller.records.window import Window

S = TypeVar("S", bound=Session)
Time = Callable[[Session], datetime | None]
NUDGES = tuple(timedelta(seconds=sign * second) for second in (1, 2) for sign in (1, -1))


def _end(session: Session) -> datetime | None:
    return session.session_at


def _start(session: Session) -> datetime | None:
    return session.started_at


def _lone_time(session: Session) -> datetime | None:
    """The only time that is known, so that it may be the start or the end."""
    return session.session_at if session.started_at is None else None


SAME_TIMES: tuple[tuple[Time, Time], ...] = ((_end, _end), (_start, _start), (_start, _lone_time), (_lone_time, _start))
"""Which time of one record may be which of the other's, where both are of the same session; the surest first."""


def _rules(source: str) -> tuple[tuple[Time, Time], ...]:
    """The total's sessions overlap, so that one may begin when another begins or ends: only their ends count."""
    return SAME_TIMES[:1] if source == DataSource.TOTAL else SAME_TIMES


def _by_time(records: Iterable[S], time: Time) -> dict[datetime, list[S]]:
    found: dict[datetime, list[S]] = defaultdict(list)
    for record in records:
        if moment := time(record):
            found[moment].append(record)
    return found


def partners(
    seen: Sequence[Session], records: Sequence[S], *, nudges: Sequence[timedelta] = (timedelta(),)
) -> dict[int, S]:
    """Which of `records` is of the same session as which of `seen` (by its place there); none is taken twice.

    The surest matches come first. With `nudges` times match that differ by one of them.
    """
    found: dict[int, S] = {}
    taken: set[int] = set()
    source = seen[0].data_source if seen else DataSource.TOTAL
    if source == DataSource.TOTAL:
        nudges = [nudge for nudge in nudges if not nudge]
    for of_seen, of_record in _rules(source):
        by_time = _by_time(records, of_record)
        for nudge in nudges:
            for place, session in enumerate(seen):
                moment = of_seen(session)
                if place in found or moment is None:
                    continue
                free = (record for record in by_time.get(moment + nudge, ()) if id(record) not in taken)
                if record := next(free, None):
                    found[place] = record
                    taken.add(id(record))
    return found


def combined(record: S, seen: Session) -> S:
    """The record with the better facts of both: the more trusted origin's, and among equals the newer word.

    Where a history and another fact know the same start and end, the graver word wins, whoever says it. A snapshot
    is a poll of the past, so it never softens a poll's word, and never outweighs the newest one.
    """
    are_polls = {seen.origin, record.origin} <= {Origin.POLL, Origin.SNAPSHOT}
    newer_wins = TRUST[seen.origin] >= TRUST[record.origin] or (are_polls and seen.is_last)
    best, rest = (seen, record) if newer_wins else (record, seen)
    if best.status_code is None and rest.status_code is not None:
        best = replace(best, status=rest.status, status_code=rest.status_code)
    is_older_word = (are_polls or seen.origin is record.origin) and not seen.is_last
    if (is_older_word or _is_contradiction(record, seen)) and SEVERITY[rest.status] > SEVERITY[best.status]:
        best = replace(best, status=rest.status, status_code=rest.status_code)
    start = best.started_at or rest.started_at
    if best.origin is record.origin and is_near(start, record.started_at):
        start = record.started_at
    return replace(
        record,
        session_at=best.session_at if best.started_at else max(seen.session_at, record.session_at),
        started_at=start,
        status=best.status,
        status_code=best.status_code,
        errors_count=rest.errors_count if best.errors_count is None else best.errors_count,
        origin=max(seen.origin, record.origin, key=TRUST.__getitem__),
    )


def _is_contradiction(one: Session, other: Session) -> bool:
    """Whether both speak of one session, from the same start to the same end, and one of them from its history."""
    same = one.started_at is not None and (one.started_at, one.session_at) == (other.started_at, other.session_at)
    return same and Origin.SESSIONS in (one.origin, other.origin)


@dataclass(frozen=True)
class SessionChanges:
    """What was seen of one data source and is not on record; what is on record and wrong."""

    new: tuple[Session, ...]
    changed: tuple[RecordedSession, ...]
    removed: tuple[RecordedSession, ...]
    unchanged_count: int


def compare(
    seen: Sequence[Session], recorded: Sequence[RecordedSession], covered: Window | None = None
) -> SessionChanges:
    """What `seen` adds to `recorded`, of one data source.

    `recorded` has the newest record, those next to the times seen, and all of each day that a colour bar's mark is
    about. In the window `covered`, `seen` is all there
    was. A success that is not the last session is news only when it is newer than anything recorded: an older one
    was there to see before, under another time.
    """
    exact = [one for one in recorded if one.origin is not Origin.COLORBAR]
    marks = [one for one in recorded if one.origin is Origin.COLORBAR]
    sessions = [one for one in seen if one.origin is not Origin.COLORBAR]
    newest = max((record.session_at for record in recorded), default=None)
    found = _found(sessions, exact, covered)
    new = [one for place, one in enumerate(sessions) if place not in found and not _is_old_success(one, newest)]
    better = {place: combined(record, sessions[place]) for place, record in found.items()}
    changed = [one for place, one in better.items() if one != found[place]]
    duplicates = _duplicates(sessions, exact, found) if covered else []
    known = [*({one.id: one for one in (*exact, *better.values())}.values()), *new]
    kept, stale = _judged(marks, known, covered)
    new_marks, old_marks = _new_marks([one for one in seen if one.origin is Origin.COLORBAR], kept, known, covered)
    return _without_collisions(
        recorded,
        SessionChanges(
            new=(*new, *new_marks),
            changed=(*changed, *old_marks),
            removed=(*duplicates, *stale),
            unchanged_count=len(seen) - len(new) - len(changed) - len(new_marks) - len(old_marks),
        ),
    )


def _found(
    sessions: Sequence[Session], recorded: Sequence[RecordedSession], covered: Window | None
) -> dict[int, RecordedSession]:
    """The record of each session, by the session's place."""
    found = partners(sessions, recorded)
    left = [place for place in range(len(sessions)) if place not in found]
    if covered:  # all sessions are known, so what is left over may be a second off
        taken = {record.id for record in found.values()}
        free = [record for record in recorded if record.id not in taken]
        more = partners([sessions[place] for place in left], free, nudges=NUDGES)
        return found | {left[place]: record for place, record in more.items()}
    # a poll's facts of one session may be two, of which each finds the record
    return found | {place: more[0] for place in left if (more := partners([sessions[place]], recorded))}


def _is_old_success(session: Session, newest: datetime | None) -> bool:
    return session.origin is Origin.GAP and newest is not None and session.session_at <= newest


def _duplicates(
    sessions: Sequence[Session], recorded: Sequence[RecordedSession], found: dict[int, RecordedSession]
) -> list[RecordedSession]:
    """The records of sessions that have a better record."""
    taken = {record.id for record in found.values()}
    free = [record for record in recorded if record.id not in taken]
    return list(partners([sessions[place] for place in found], free, nudges=(timedelta(), *NUDGES)).values())


def _judged(
    marks: Sequence[RecordedSession], known: Collection[Session], covered: Window | None
) -> tuple[list[RecordedSession], list[RecordedSession]]:
    """The colour bar's records that still tell something, and those that a better record has made stale."""
    days = _gravest_by_day(known)
    stale = [mark for mark in marks if _is_covered(mark, covered) or is_told(mark, days)]
    return [mark for mark in marks if mark not in stale], stale


def _is_covered(mark: Session, covered: Window | None) -> bool:
    """Whether all that happened on the mark's day is known; the mark stands at no time that means anything."""
    return covered is not None and covered.has_day(mark.session_at.date())


def _gravest_by_day(sessions: Iterable[Session]) -> dict[date, int]:
    days: dict[date, int] = {}
    for session in sessions:
        day = session.session_at.date()
        days[day] = max(days.get(day, 0), SEVERITY[session.status])
    return days


def is_told(mark: Session, days: dict[date, int]) -> bool:
    """Whether better records of the day are at least as grave as the colour bar's mark."""
    return days.get(mark.session_at.date(), 0) >= SEVERITY[mark.status]


def _new_marks(
    seen: Sequence[Session], kept: Sequence[RecordedSession], known: Collection[Session], covered: Window | None
) -> tuple[list[Session], list[RecordedSession]]:
    """The colour bar's marks that are news, and those on record that it has changed: one a day."""
    days = _gravest_by_day(known)
    by_day = {mark.session_at.date(): mark for mark in kept}
    taken = {session.session_at for session in known}
    new, changed = [], []
    for mark in seen:
        record = by_day.get(mark.session_at.date())
        if is_told(mark, days) or _is_covered(mark, covered):
            continue
        if record is None:
            new.append(replace(mark, session_at=_free(mark.session_at, taken)))
        elif SEVERITY[mark.status] > SEVERITY[record.status]:  # nobody knows when Cove's days begin
            changed.append(replace(record, status=mark.status, status_code=mark.status_code))
    return new, changed


def _free(moment: datetime, taken: Collection[datetime]) -> datetime:
    while moment in taken:
        moment += timedelta(seconds=1)
    return moment


def _without_collisions(recorded: Sequence[RecordedSession], changes: SessionChanges) -> SessionChanges:
    """The changes such that at no moment two records have the same time, which is their key.

    A record that moves to where another one is, or was, is written anew; a colour bar's mark makes room.
    """
    removed = {one.id for one in changes.removed}
    old = {one.id: one.session_at for one in recorded}
    moving = [one for one in changes.changed if one.session_at != old[one.id]]
    crowded = {one.id for one in moving if any(at == one.session_at for number, at in old.items() if number != one.id)}
    arrivals = {one.session_at for one in (*changes.new, *moving)}
    in_the_way = [
        one
        for one in recorded
        if one.origin is Origin.COLORBAR and one.id not in removed and one.session_at in arrivals
    ]
    if not crowded and not in_the_way:
        return changes
    again = [as_session(one) for one in changes.changed if one.id in crowded]
    taken = {*arrivals, *old.values()}
    again += [replace(as_session(one), session_at=_free(one.session_at, taken)) for one in in_the_way]
    gone = {*crowded, *(one.id for one in in_the_way)}
    return SessionChanges(
        new=(*changes.new, *again),
        changed=tuple(one for one in changes.changed if one.id not in gone),
        removed=(*changes.removed, *(one for one in recorded if one.id in gone)),
        unchanged_count=changes.unchanged_count,
    )


def as_session(record: RecordedSession) -> Session:
    """The session alone, without its place in the record."""
    return Session(**{name: getattr(record, name) for name in Session.__dataclass_fields__})


def merged(told: Sequence[Session], read: Sequence[Session], *, is_complete: bool) -> tuple[Session, ...]:
    """A poll's sessions of one data source and those `read` from its history, each session once.

    Where the history `is_complete`, a session that differs by a second or two is the same.
    """
    found = partners(told, read)
    left = [place for place in range(len(told)) if place not in found]
    if is_complete:
        more = partners([told[place] for place in left], read, nudges=NUDGES)
        found |= {left[place]: session for place, session in more.items()}
    better = {id(session): combined(session, told[place]) for place, session in found.items()}
    only_told = (told[place] for place in left if place not in found)
    return (*(better.get(id(session), session) for session in read), *only_told)


def unexplained(told: Sequence[Session], read: Sequence[Session]) -> Iterator[Session]:
    """The sessions that a poll shows, of one data source, and its history, which should have them, does not."""
    found = partners(told, read, nudges=(timedelta(), *NUDGES))
    return (session for place, session in enumerate(told) if place not in found)

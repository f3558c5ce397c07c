"""Whether two records are of the same session, and what is then known of it. Pure.

Sessions of one source are told apart by their times, whichever of them each fact knows, and by statuses that cannot be
of one session.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeVar

from cove_poller.records.columns import DataSource
from cove_poller.records.session import (
    MINUTE,
    PROVISIONAL,
    TRUST,
    Origin,
    Session,
    TimeIs,
    in_whole_minutes,
    is_close,
    is_same_time,
    may_be_one,
)
from cove_poller.records.statuses import SEVERITY

S = TypeVar("S", bound=Session)
Likeness = tuple[int, bool, timedelta]
"""How alike two sessions are, the surest first: the kind of agreement, other statuses, how far their times differ."""


def likeness(one: Session, other: Session) -> Likeness | None:
    """Return how surely two records are of the same session; None if they are not.

    For example a poll's end 01:40:44 and a history's 01:40 are, and a failed session that began when a completed one
    did are not. The total's sessions overlap, so only their one time counts. A mark of the colour bar stands at no time
    that means anything, so it is like none.
    """
    if Origin.COLORBAR in (one.origin, other.origin):
        return None
    in_minutes = in_whole_minutes(one) != in_whole_minutes(other)
    kind = None
    if one.data_source == DataSource.TOTAL:
        kind = 0 if is_close(one.session_at, other.session_at) else None
    elif one.ended_at and other.ended_at:
        kind = _kind_of_whole(one, other, in_minutes=in_minutes)
    elif one.session_at == other.session_at and one.time_is == other.time_is:
        kind = 1
    elif may_be_one(one, other):
        kind = 2 if any(is_same_time(*pair, in_minutes=in_minutes) for pair in _comparable(one, other)) else None
    if kind is None:
        return None
    return kind, one.status_code != other.status_code, _apart(one, other)


def _kind_of_whole(one: Session, other: Session, *, in_minutes: bool) -> int | None:
    """How two sessions agree whose ends are known."""
    starts_agree = is_same_time(one.started_at, other.started_at, in_minutes=in_minutes)
    if is_same_time(one.ended_at, other.ended_at, in_minutes=in_minutes):
        if starts_agree or one.started_at is None or other.started_at is None:
            return 0
        return 3 if may_be_one(one, other) else None
    earlier = min(one, other, key=lambda session: session.session_at)
    return 1 if starts_agree and earlier.status_code in PROVISIONAL else None


def _comparable(one: Session, other: Session) -> Iterator[tuple[datetime | None, datetime | None]]:
    """The pairs of times that are the same thing of one session, if it is one: a lone time may be either end."""
    yield one.started_at, other.started_at
    for session, of_other in ((one.lone_time, other), (other.lone_time, one)):
        yield session, of_other.session_at
        yield session, of_other.started_at


def _apart(one: Session, other: Session) -> timedelta:
    times = [(at, of_other) for at in _times(one) for of_other in _times(other)]
    return min(abs(at - of_other) for at, of_other in times)


def _times(session: Session) -> tuple[datetime, ...]:
    return (session.session_at, session.started_at) if session.started_at else (session.session_at,)


def partners(seen: Sequence[Session], records: Sequence[S]) -> dict[int, S]:
    """Return which of `records` is of the same session as which of `seen` (by its place); none is taken twice.

    The surest come first, and of those the nearest, so that no other session lies between the two.
    """
    if not seen or not records:
        return {}
    times = sorted(((at, number) for number, record in enumerate(records) for at in _times(record)))
    moments = [at for at, _ in times]
    found: list[tuple[Likeness, int, int]] = []
    for place, session in enumerate(seen):
        near = {
            number
            for at in _times(session)
            for _, number in times[bisect_left(moments, at - MINUTE) : bisect_right(moments, at + MINUTE)]
        }
        found += [(alike, place, one) for one in near if (alike := likeness(session, records[one]))]
    chosen: dict[int, S] = {}
    taken: set[int] = set()
    for _, place, number in sorted(found):
        if place not in chosen and number not in taken:
            chosen[place] = records[number]
            taken.add(number)
    return chosen


def combined(record: S, seen: Session) -> S:
    """Return the record with the better facts of both, the same in whatever order they become known.

    F18 says when a session ended, a history when it began; of two statuses the graver one is believed, but an
    interrupted session may have gone on to a later end.
    """
    if record.ended_at and seen.ended_at and _is_continued(record, seen):
        word: Session = seen if seen.session_at > record.session_at else record
        end, is_, errors_count = word.session_at, word.time_is, word.errors_count
    else:
        end, is_ = _end(record, seen)
        word = _graver(record, seen)
        errors_count = max((one.errors_count for one in (record, seen) if one.errors_count is not None), default=None)
    start = _start(record, seen)
    return replace(
        record,
        session_at=end,
        started_at=start if start is None or start <= end else None,
        time_is=is_,
        status=word.status,
        status_code=word.status_code,
        errors_count=errors_count,
        origin=max(seen.origin, record.origin, key=TRUST.__getitem__),
    )


def _is_continued(record: Session, seen: Session) -> bool:
    """Whether two ends are of one session that went on."""
    return not is_same_time(
        record.ended_at, seen.ended_at, in_minutes=in_whole_minutes(record) != in_whole_minutes(seen)
    )


def _end(record: Session, seen: Session) -> tuple[datetime, TimeIs | None]:
    """The time of the session, and what it is."""
    if seen.ended_at and (record.ended_at is None or seen.is_sure or _is_finer(seen, record)):
        return seen.session_at, TimeIs.END
    if record.time_is is None and seen.time_is is TimeIs.START and record.started_at is None:
        return record.session_at, TimeIs.START
    return record.session_at, record.time_is


def _start(record: Session, seen: Session) -> datetime | None:
    """The start: a history's before a poll's, seconds before minutes."""
    if record.started_at is None or seen.started_at is None:
        return record.started_at or seen.started_at
    is_better = seen.origin is Origin.SESSIONS and record.origin is not Origin.SESSIONS and not in_whole_minutes(seen)
    return seen.started_at if is_better or _is_finer(seen, record) else record.started_at


def _is_finer(seen: Session, record: Session) -> bool:
    return in_whole_minutes(record) and not in_whole_minutes(seen)


def _graver(record: Session, seen: Session) -> Session:
    """Whose status is believed."""
    is_final = {seen.status_code in PROVISIONAL, record.status_code in PROVISIONAL} == {True, False}
    both_ended = record.ended_at and seen.ended_at
    if is_final and (None in (record.status_code, seen.status_code) or not both_ended):
        return record if seen.status_code in PROVISIONAL else seen
    return seen if SEVERITY[seen.status] > SEVERITY[record.status] else record


def as_session(record: Session) -> Session:
    """Return the session alone, without its place in the record."""
    return Session(**{name: getattr(record, name) for name in Session.__dataclass_fields__})


def merged(told: Sequence[Session], read: Sequence[Session]) -> tuple[Session, ...]:
    """Return a poll's sessions of one data source and those `read` from its history, each session once."""
    found = partners(told, read)
    better = {id(session): combined(session, told[place]) for place, session in found.items()}
    only_told = (session for place, session in enumerate(told) if place not in found)
    return (*(better.get(id(session), session) for session in read), *only_told)


def unexplained(told: Sequence[Session], read: Sequence[Session]) -> Iterator[Session]:
    """Return the sessions that a poll shows, of one data source, and its history, which should have them, does not."""
    found = partners(told, read)
    return (session for place, session in enumerate(told) if place not in found)

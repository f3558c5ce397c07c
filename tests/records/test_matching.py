"""What is known of the past: matching, colour bars, snapshots. Plain values."""

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cove_poller.cove.snapshot_sessions import sessions_from_snapshots
from cove_poller.records.colorbar import usual_time
from cove_poller.records.device import SourceFields
from cove_poller.records.device_reading import DeviceReading
from cove_poller.records.matching import Coverage, SessionChanges, compare
from cove_poller.records.reading import Circumstances, read_source
from cove_poller.records.same_session import as_session, merged
from cove_poller.records.session import Origin, RecordedSession, Session, TimeIs
from cove_poller.records.statuses import Status
from cove_poller.records.window import Window

MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC)
CODES = {Status.SUCCESS: 5, Status.WARNING: 8, Status.FAILED: 2}
WINDOW = Window(MIDNIGHT - timedelta(days=1), MIDNIGHT + timedelta(days=40))
WHOLE = Coverage(WINDOW, is_complete=True)


def at(minute: float) -> datetime:
    return MIDNIGHT + timedelta(minutes=minute)


def seen(
    end: float,
    start: float | None = None,
    status: Status = Status.SUCCESS,
    origin: Origin = Origin.SESSIONS,
    source: str = "D01",
) -> Session:
    """A session whose end is known; of a poll whose start is not, nobody knows what its time is."""
    started_at = None if start is None else at(start)
    is_lone = start is None and origin in (Origin.POLL, Origin.GAP, Origin.COLORBAR)
    time_is = None if is_lone else TimeIs.END
    return Session(source, at(end), started_at, status, CODES[status], None, origin, time_is=time_is)


def on_record(number: int, session: Session) -> RecordedSession:
    values = {name: getattr(session, name) for name in Session.__dataclass_fields__}
    return RecordedSession(**values, id=number, account_id=1, job_run_id=None)


def applied(recorded: Sequence[RecordedSession], changes: SessionChanges) -> list[Session]:
    """The record after the changes, as a database with a unique key on the time would have it."""
    rows = {record.id: record for record in recorded}
    for gone in changes.removed:
        del rows[gone.id]
    number = max(rows, default=0)
    for session in changes.new:
        assert session.session_at not in {row.session_at for row in rows.values()}
        number += 1
        rows[number] = on_record(number, session)
    for changed in changes.changed:  # one statement, row after row
        assert changed.session_at not in {row.session_at for row in rows.values() if row.id != changed.id}
        rows[changed.id] = changed
    return sorted((as_session(row) for row in rows.values()), key=lambda one: one.session_at)


def test_sessions_that_follow_on_each_other_to_the_second_stay_two() -> None:
    first, second = seen(10, 0), seen(20, 10)
    polled = [on_record(1, seen(0, origin=Origin.POLL)), on_record(2, seen(10, origin=Origin.POLL))]  # their starts
    assert applied(polled, compare([first, second], polled, WHOLE)) == [first, second]


def test_two_records_of_one_session_become_one() -> None:
    whole = seen(30, 0)
    polled = [on_record(1, seen(0, origin=Origin.POLL)), on_record(2, seen(30, origin=Origin.GAP))]
    assert applied(polled, compare([whole], polled, WHOLE)) == [whole]


@pytest.mark.parametrize("seconds", [1, 5])
def test_times_a_few_seconds_apart_are_one_sessions(seconds: int) -> None:
    polled = [on_record(1, seen(10, origin=Origin.POLL))]
    for origin in (Origin.SESSIONS, Origin.POLL):
        exact = replace(seen(10, 0, origin=origin), session_at=at(10) + timedelta(seconds=seconds))
        assert len(applied(polled, compare([exact], polled))) == 1


def test_times_further_apart_are_two_sessions() -> None:
    first = replace(seen(10, origin=Origin.POLL), session_at=at(10) + timedelta(seconds=7))
    later = replace(first, session_at=at(10) + timedelta(seconds=13))
    assert len(applied([on_record(1, first)], compare([later], [on_record(1, first)]))) == 2


def test_the_totals_sessions_are_told_apart_by_their_ends() -> None:
    total = seen(10, 0, origin=Origin.POLL, source="D09")
    next_second = replace(total, session_at=at(10) + timedelta(seconds=6))
    assert len(applied([on_record(1, total)], compare([next_second], [on_record(1, total)], WHOLE))) == 2
    assert merged([next_second], [total]) == (total, next_second)


def test_the_graver_word_on_one_whole_session_wins_in_any_order_and_stays() -> None:
    good, bad = seen(10, 0), seen(10, 0, Status.WARNING, Origin.POLL)
    for first, then in ((good, bad), (bad, good)):
        record = applied([], compare([first], []))
        for again in (then, good, bad):
            record = applied(
                [on_record(1, one) for one in record], compare([again], [on_record(1, one) for one in record])
            )
        assert [(one.status, one.status_code) for one in record] == [(Status.WARNING, 8)]


def test_a_snapshot_never_softens_what_a_poll_has_said_of_a_session() -> None:
    polled = replace(seen(10, status=Status.FAILED, origin=Origin.POLL), time_is=TimeIs.END)
    snapshot = seen(10, status=Status.WARNING, origin=Origin.SNAPSHOT)
    for first, then in ((polled, snapshot), (snapshot, polled)):
        (record,) = applied([], compare([first], []))
        (left,) = applied([on_record(1, record)], compare([then], [on_record(1, record)]))
        assert (left.status, left.status_code, left.origin) == (Status.FAILED, 2, Origin.SNAPSHOT)


# marks of the colour bar


def mark(day: int, status: Status = Status.SUCCESS, minute: float = 120) -> Session:
    return seen(24 * 60 * day + minute, status=status, origin=Origin.COLORBAR)


def test_a_mark_gives_way_to_a_better_record_of_its_day_unless_it_is_graver() -> None:
    marks = [on_record(1, mark(0)), on_record(2, mark(1, Status.FAILED))]
    polls = [seen(60, origin=Origin.POLL), seen(24 * 60 + 60, origin=Origin.POLL)]
    left = applied(marks, compare(polls, marks))
    assert [one for one in left if one.origin is Origin.COLORBAR] == [mark(1, Status.FAILED)]
    assert len(left) == 3


def test_no_mark_is_made_where_a_record_is_at_least_as_grave() -> None:
    record = [on_record(1, seen(60, status=Status.WARNING, origin=Origin.SNAPSHOT))]
    assert compare([mark(0), mark(0, Status.WARNING)], record).new == ()
    assert compare([mark(0, Status.FAILED)], record).new == (mark(0, Status.FAILED),)


def test_a_mark_never_becomes_healthier_since_nobody_knows_when_the_days_of_the_bar_begin() -> None:
    marks = [on_record(1, mark(0, Status.FAILED))]
    assert compare([mark(0), mark(1, Status.FAILED)], marks).changed == ()


def test_a_history_of_a_part_of_a_day_does_not_remove_the_mark_of_that_day() -> None:
    marks = [on_record(1, mark(0, Status.FAILED, minute=1200))]
    afternoon = Window(at(660), at(4000))
    left = applied(marks, compare([seen(1100, 1090)], marks, Coverage(afternoon, is_complete=True)))
    assert mark(0, Status.FAILED, minute=1200) in left


def test_where_the_history_is_complete_no_mark_stands_whatever_it_says() -> None:
    marks = [on_record(1, mark(0, Status.FAILED)), on_record(2, mark(3))]
    assert applied(marks, compare([seen(60, 0)], marks, WHOLE)) == [seen(60, 0)]


def test_a_mark_never_takes_the_place_of_a_record_at_its_very_second() -> None:
    record = [on_record(1, seen(120, origin=Origin.GAP))]
    left = applied(record, compare([mark(0, Status.FAILED)], record))
    assert [(one.status, one.origin) for one in left] == [
        (Status.SUCCESS, Origin.GAP),
        (Status.FAILED, Origin.COLORBAR),
    ]
    marks = [on_record(1, mark(0, Status.FAILED))]
    late = applied(marks, compare([seen(120, origin=Origin.POLL)], marks))
    assert sorted((one.status.value, one.origin.value) for one in late) == [("failed", "colorbar"), ("success", "poll")]


def test_a_mark_is_not_one_of_the_sessions_that_a_row_tells_though_it_stands_at_its_second() -> None:
    told, failed = seen(120, origin=Origin.POLL), mark(0, Status.FAILED)
    assert set(merged([told], [failed])) == {told, failed}


def test_a_day_has_one_mark_though_the_usual_time_changes() -> None:
    marks = [on_record(1, mark(0))]
    assert compare([mark(0, minute=300)], marks).new == ()
    (changed,) = compare([mark(0, Status.FAILED, minute=300)], marks).changed
    assert (changed.session_at, changed.status) == (at(120), Status.FAILED)


@pytest.mark.parametrize(
    ("hours", "expected"), [([], 12), ([2], 2), ([1, 2, 3], 2), ([23.5, 0.5, 23.9], 23.9), ([9, 2, 2.1, 2.2], 2.1)]
)
def test_the_usual_time_is_the_one_next_to_all_others_over_midnight_too(hours: list[float], expected: float) -> None:
    moments = [MIDNIGHT + timedelta(days=number, hours=hour) for number, hour in enumerate(hours)]
    assert usual_time(moments) == timedelta(hours=expected)


# any order of polls and histories


@st.composite
def real_sessions(draw: st.DrawFn) -> list[Session]:
    """What really happened with one source: sessions that do not overlap, at times without a pause."""
    minute, found = 0, []
    for _ in range(draw(st.integers(1, 12))):
        minute += draw(st.integers(0, 300))
        length = draw(st.integers(1, 90))
        found.append(seen(minute + length, minute, draw(st.sampled_from(sorted(CODES)))))
        minute += length
    return found


@given(real_sessions(), st.randoms(use_true_random=False), st.booleans())
def test_any_polls_and_histories_in_any_order_leave_exactly_what_happened(
    really: list[Session], chance: random.Random, by_start: bool
) -> None:
    def polled(session: Session) -> Session:
        whole = chance.random() < 0.5
        told = session.begins_at if by_start and not whole else session.session_at
        start = session.started_at if whole else None
        is_known = whole or chance.random() < 0.5
        meaning = TimeIs.END if whole or not by_start else TimeIs.START
        is_start = is_known and meaning is TimeIs.START
        return replace(
            session,
            session_at=told,
            started_at=told if is_start else start,
            origin=Origin.POLL,
            time_is=meaning if is_known else None,
        )

    record: list[RecordedSession] = []
    steps = [chance.randrange(1, len(really) + 1) for _ in range(4)]
    for count in sorted(steps):
        told = polled(really[count - 1])
        if chance.random() < 0.4:
            left = applied(record, compare(merged([told], really[:count]), record, WHOLE))
        else:
            left = applied(record, compare([told], record))
        record = [on_record(number, one) for number, one in enumerate(left, start=1)]
    assert applied(record, compare(really, record, WHOLE)) == really


# snapshots


def test_snapshots_are_read_like_polls_and_a_running_session_is_none_yet() -> None:
    hour = timedelta(hours=1)
    first, second = int(at(0).timestamp()), int(at(24 * 60).timestamp())
    rows = [
        (at(300), {"F00": 5, "F15": first + 3600, "F18": first + 3600, "F12": 3600, "F17": 5}),
        (at(1450), {"F00": 1, "F18": first + 3600, "F12": 3600, "F17": 5}),
        (at(1800), {"F00": 2, "F15": second + 3600, "F18": second + 3600, "F12": 3600, "F17": 2}),
    ]
    readings = [
        (
            moment,
            DeviceReading({"D01": read_source("D01", fields_of(row), Circumstances(moment))}, ("D01",)),
        )
        for moment, row in rows
    ]
    found = sessions_from_snapshots(readings, WINDOW)
    assert [(one.started_at, one.session_at, one.status_code, one.origin) for one in found] == [
        (at(0), at(0) + hour, 5, Origin.SNAPSHOT),
        (at(1440), at(1440) + hour, 2, Origin.SNAPSHOT),
    ]


def fields_of(row: dict[str, int]) -> SourceFields:
    return SourceFields.model_validate(row)

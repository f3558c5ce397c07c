"""What one row says of one data source, under both meanings of its times; and what that adds to the record."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cove_poller.records.columns import DataSource, label
from cove_poller.records.device import SourceFields, StatisticsRow, device_from_row
from cove_poller.records.device_reading import read_device
from cove_poller.records.matching import compare
from cove_poller.records.reading import Circumstances, SourceReading, read_source
from cove_poller.records.runs.remark import Standing, remark, source_reports
from cove_poller.records.session import Origin, RecordedSession, Session, TimeIs
from cove_poller.records.statuses import TABLE, Status, Statuses, worst

NOON = 1_772_000_000
HOUR = 3600
AROUND = Circumstances(datetime.fromtimestamp(NOON + 10 * HOUR, UTC))


def utc(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def make_reading(**fields: Any) -> SourceReading:
    return read_source("D01", SourceFields.model_validate(fields), AROUND)


def told(reading: SourceReading) -> list[tuple[int | None, int, int | None, str]]:
    """Each session as (start, end, code, origin), in hours from noon."""
    return [
        (
            None if session.started_at is None else round((session.started_at.timestamp() - NOON) / HOUR),
            round((session.session_at.timestamp() - NOON) / HOUR),
            session.status_code,
            session.origin.value,
        )
        for session in reading.sessions
    ]


def make_record(session: Session, **changes: Any) -> RecordedSession:
    values = {name: getattr(session, name) for name in Session.__dataclass_fields__}
    return RecordedSession(**{**values, **changes}, id=1, account_id=1, job_run_id=None)


ONE_SESSION = {"F00": 5, "F12": HOUR, "F16": 5, "F17": 5, "F18": NOON + HOUR}


@pytest.mark.parametrize("f15", [NOON, NOON + HOUR], ids=["F15-start", "F15-end"])
@pytest.mark.parametrize("f09", [NOON, NOON + HOUR], ids=["F09-start", "F09-end"])
def test_three_facts_of_one_session_are_one_session_with_its_start_and_end(f15: int, f09: int) -> None:
    assert told(make_reading(F15=f15, F09=f09, **ONE_SESSION)) == [(0, 1, 5, "poll")]


def test_start_and_end_are_told_by_f15_and_f09_alone_where_they_differ_in_meaning() -> None:
    assert told(make_reading(F00=5, F15=NOON, F09=NOON + HOUR)) == [(0, 1, 5, "poll")]


@pytest.mark.parametrize("running_code", [1, 9, 12])
def test_a_running_session_is_no_record_and_those_before_it_are(running_code: int) -> None:
    reading = make_reading(F00=running_code, F17=2, F18=NOON, F09=NOON - 9 * HOUR, F16=5)
    assert reading.running
    assert told(reading) == [(None, 0, 2, "poll"), (None, -9, 5, "gap")]


def test_a_session_that_is_not_completed_stands_beside_the_last_completed_one() -> None:
    reading = make_reading(F00=7, F15=NOON + 5 * HOUR, F12=HOUR, F17=5, F18=NOON + HOUR, F09=NOON + HOUR, F16=5)
    assert told(reading) == [(None, 5, 7, "poll"), (None, 1, 5, "poll")]


def test_a_success_of_which_nobody_says_whether_it_had_errors_is_not_a_success() -> None:
    (_, success) = make_reading(F00=2, F15=NOON, F09=NOON - HOUR).sessions
    assert (success.origin, success.status_code, success.status) == (Origin.GAP, None, Status.WARNING)


def test_two_statuses_for_one_session_count_as_the_graver() -> None:
    (session,) = make_reading(F00=5, F15=NOON, F17=8, F18=NOON).sessions
    assert (session.status, session.status_code) == (Status.WARNING, 8)


def test_a_status_without_a_time_is_no_session_but_no_run_may_be_better_than_it() -> None:
    reading = make_reading(F00=2, F17=5, F18=NOON, F16=5, F09=NOON)
    assert told(reading) == [(None, 0, 5, "poll")]
    assert reading.problem
    assert reading.problem.floor is Status.FAILED
    assert reading.problem.reason == "Failed, at a time that Cove does not tell"


def test_a_status_that_is_not_told_makes_the_source_blind_however_good_what_is_told() -> None:
    for fields in ({"F09": NOON, "F16": 5, "F17": 5, "F18": NOON}, {"F00": 0, "F17": 5, "F18": NOON}):
        reading = make_reading(**fields)
        assert reading.problem
        assert reading.problem.floor is Status.WARNING


@pytest.mark.parametrize(("f00", "duration"), [(8, {}), (2, {"F12": HOUR - 5}), (2, {"F12": 7 * HOUR})])
def test_a_session_is_one_and_as_grave_as_its_gravest_status_whatever_its_duration_says(
    f00: int, duration: dict[str, int]
) -> None:
    reading = make_reading(F00=f00, F15=NOON, F17=5, F18=NOON + HOUR, **duration)
    assert told(reading) == [(0, 1, f00, "poll")]


def test_a_success_with_errors_told_by_a_start_and_an_end_is_one_session() -> None:
    assert told(make_reading(F00=8, F15=NOON, F09=NOON + HOUR)) == [(0, 1, 8, "poll")]


def test_a_graver_status_is_not_taken_back_by_what_is_told_of_the_session_once_the_next_one_runs() -> None:
    (grave,) = make_reading(F00=8, F15=NOON, F17=5, F18=NOON).sessions
    later = make_reading(F00=1, F17=5, F18=NOON, F09=NOON, F16=5)
    changes = compare(later.sessions, [make_record(grave)])
    assert (changes.new, changes.changed) == ((), ())
    again = compare(make_reading(F00=5, F15=NOON).sessions, [make_record(grave)])
    assert (again.new, again.changed) == ((), ())


def test_a_failed_total_gets_no_start_from_a_success_of_another_source_seconds_before() -> None:
    fields = SourceFields.model_validate({"F00": 3, "F15": NOON, "F09": NOON - 2})
    (session,) = (one for one in read_source("D09", fields, AROUND).sessions if one.session_at == utc(NOON))
    assert (session.started_at, session.status) == (None, Status.FAILED)


def test_a_completed_session_without_a_status_has_that_of_the_success_which_it_is() -> None:
    reading = make_reading(F00=1, F18=NOON, F09=NOON, F16=8)
    assert told(reading) == [(None, 0, 8, "poll")]


@pytest.mark.parametrize("never", [{}, {"F00": 0}, {"F00": "0", "F15": "0", "F09": "", "F18": "0"}])
def test_a_source_that_never_ran_has_no_session_and_no_trouble(never: dict[str, Any]) -> None:
    assert make_reading(**never) == SourceReading()


def test_a_source_that_could_not_be_read_is_at_best_a_warning() -> None:
    reading = read_source("D01", SourceFields(), AROUND, readable=False)
    assert reading.problem
    assert (reading.problem.floor, reading.problem.reason) == (Status.WARNING, "could not be read")


EXPECTED = {
    0: "warning", 1: "running", 2: "failed", 3: "failed", 4: "warning", 5: "success", 6: "warning", 7: "warning",
    8: "warning", 9: "running", 10: "failed", 11: "warning", 12: "running", 13: "warning", 99: "warning",
}  # fmt: skip


@pytest.mark.parametrize("source", list(DataSource))
@pytest.mark.parametrize(("code", "expected"), EXPECTED.items())
def test_every_status_code_of_every_source_gets_its_word_and_nothing_unknown_is_a_success(
    source: DataSource, code: int, expected: str
) -> None:
    settings = [{"I32": "2"}, {"I78": str(source)}, {f"{source}F00": str(code)}, {f"{source}F15": str(NOON)}]
    row = StatisticsRow(1, 1, settings)
    reading = read_device(device_from_row(row), (), AROUND).sources[source]
    if expected == "running":
        assert reading.running
        assert reading.sessions == ()
    else:
        (session,) = reading.sessions
        assert session.status == expected
        text = remark(source_reports([Standing(source, session, None, is_member=True)], utc(NOON)))
        assert text.startswith(f"{label(source)}: ")
        assert str(code) in text or code not in (0, 4, 13, 99)


def test_only_five_is_a_success_unless_the_configuration_says_otherwise() -> None:
    assert [code for code in range(-1, 200) if Statuses().meaning(code) is Status.SUCCESS] == [5]
    assert Statuses.from_config({6: "failed"}).meaning(6) is Status.FAILED
    assert {row.meaning for row in TABLE.values()} <= {Status.SUCCESS, Status.WARNING, Status.FAILED, Status.RUNNING}
    assert worst([Status.SUCCESS, Status.NONE, Status.RUNNING]) is Status.SUCCESS


def test_a_source_that_is_active_but_refused_unknown_or_garbled_is_blind_and_one_that_only_restores_is_not() -> None:
    settings = [
        {"I78": "D01D02D10D17D22"}, {"D01F00": "5"}, {"D01F15": str(NOON)}, {"D02F00": "5"}, {"D02F15": "tomorrow"},
        {"D09F00": "5"}, {"D09F15": str(NOON)},
    ]  # fmt: skip
    device = device_from_row(StatisticsRow(1, None, settings))
    reading = read_device(device, ("D10F15",), AROUND)
    assert set(reading.problems) == {"D02", "D10", "D22"}


def test_a_device_of_which_only_the_total_is_told_is_blind_in_all_its_sources() -> None:
    settings = [{"I78": "D01D02"}, {"D09F00": "5"}, {"D09F15": str(NOON)}]
    device = device_from_row(StatisticsRow(1, None, settings))
    assert set(read_device(device, (), AROUND).problems) == {"D01", "D02"}


def test_a_known_session_is_not_recorded_again_whichever_of_its_times_is_seen() -> None:
    (whole,) = make_reading(F15=NOON, F09=NOON, **ONE_SESSION).sessions
    for seen in ({"F15": NOON, "F00": 5}, {"F15": NOON + HOUR, "F00": 5}, {"F00": 1, "F17": 5, "F18": NOON + HOUR}):
        changes = compare(make_reading(**seen).sessions, [make_record(whole)])
        assert (changes.new, changes.changed, changes.unchanged_count) == ((), (), 1)


def test_the_end_that_becomes_known_later_completes_the_record() -> None:
    (start_only,) = make_reading(F00=5, F15=NOON).sessions
    changes = compare(make_reading(F15=NOON, F09=NOON, **ONE_SESSION).sessions, [make_record(start_only)])
    (better,) = changes.changed
    assert (better.started_at, better.session_at, better.id) == (utc(NOON), utc(NOON + HOUR), 1)
    assert changes.new == ()


def test_a_status_that_becomes_graver_is_believed_and_one_that_is_no_longer_told_is_kept() -> None:
    (success,) = make_reading(F15=NOON, F09=NOON, **ONE_SESSION).sessions
    (worse,) = compare(make_reading(F00=2, F15=NOON, F18=NOON + HOUR).sessions, [make_record(success)]).changed
    assert (worse.status, worse.status_code) == (Status.FAILED, 2)
    silent = compare(make_reading(F15=NOON).sessions, [make_record(success)])
    assert (silent.new, silent.changed) == ((), ())


@pytest.mark.parametrize(("hours", "is_news"), [(-1, False), (1, True)])
def test_a_success_between_two_polls_is_news_only_if_newer_than_anything_recorded(hours: int, is_news: bool) -> None:
    (recorded,) = make_reading(F00=2, F15=NOON).sessions
    seen = make_reading(F00=2, F15=NOON + 2 * HOUR, F09=NOON + hours * HOUR, F16=5).sessions
    new = compare(seen, [make_record(recorded)]).new
    assert sorted(session.origin for session in new) == [Origin.GAP] * is_news + [Origin.POLL]


def test_a_better_source_of_a_session_is_not_overruled_by_a_poll() -> None:
    (seen,) = make_reading(F00=5, F15=NOON).sessions
    record = make_record(seen, origin=Origin.SESSIONS, status=Status.FAILED, status_code=2, errors_count=3)
    assert compare([seen], [record]).changed == ()


RUNNING = {"F00": 1, "F12": HOUR, "F17": 2, "F18": NOON + HOUR}


@pytest.mark.parametrize(("minutes_since", "start"), [(30, 0), (60, None), (90, None)])
def test_while_a_session_runs_a_duration_is_the_completed_ones_only_if_longer_than_anything_since(
    minutes_since: int, start: int | None
) -> None:
    around = Circumstances(utc(NOON + HOUR) + timedelta(minutes=minutes_since))
    assert told(read_source("D01", SourceFields.model_validate(RUNNING), around))[0][0] == start


@pytest.mark.parametrize(("seconds", "start"), [(HOUR, 0), (31 * 24 * HOUR + 1, None)])
def test_only_what_can_be_a_duration_gives_a_start(seconds: int, start: int | None) -> None:
    reading = make_reading(F00=5, F15=NOON + HOUR, F12=seconds, F17=5, F18=NOON + HOUR)
    assert told(reading)[0][0] == start


def test_no_session_began_before_its_device_was_there() -> None:
    around = replace(AROUND, created_at=utc(NOON + HOUR // 2))
    fields = SourceFields.model_validate({"F00": 5, "F15": NOON + HOUR, "F12": HOUR, "F17": 5, "F18": NOON + HOUR})
    assert told(read_source("D01", fields, around)) == [(None, 1, 5, "poll")]


def test_a_derived_start_before_the_end_of_the_session_before_it_is_not_believed() -> None:
    (before,) = make_reading(F00=5, F15=NOON, F17=5, F18=NOON).sessions
    (new,) = compare(
        make_reading(F00=5, F15=NOON + HOUR, F12=2 * HOUR, F17=5, F18=NOON + HOUR).sessions, [make_record(before)]
    ).new
    assert (new.started_at, new.session_at) == (None, utc(NOON + HOUR))


def test_what_f15_is_is_remembered_for_rows_that_do_not_show_it() -> None:
    shown = make_reading(F00=5, F15=NOON, F12=HOUR, F17=5, F18=NOON + HOUR)
    assert shown.times_are.last is TimeIs.START
    around = replace(AROUND, times_are={"D01": shown.times_are})
    fields = SourceFields.model_validate({"F00": 2, "F15": NOON + 2 * HOUR, "F17": 5, "F18": NOON + HOUR})
    (last, _) = read_source("D01", fields, around).sessions
    assert (last.time_is, last.started_at) == (TimeIs.START, utc(NOON + 2 * HOUR))

"""The rules of the record, each with the smallest input that it is about: what a device's polls and histories make."""

from dataclasses import replace
from datetime import timedelta
from itertools import permutations

import pytest

from cove_poller.records.source_history import with_ignored
from tests.world.ledger import POLICY, Ledger, at, ended, fields, row

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


def hourly(status: int, hour: int) -> dict[str, str]:
    return ended(at(hour), status, 3000)


def test_an_hourly_job_makes_hourly_runs_and_no_success_covers_a_failure_up() -> None:
    ledger = Ledger()
    for hour in range(12):
        ledger.poll(at(hour) + 5 * MINUTE, D01=hourly(2 if hour in (6, 7, 8) else 5, hour))
    assert ledger.statuses == ["Success"] * 6 + ["Failed"] * 3 + ["Success"] * 3


def test_a_backfill_of_hourly_sessions_makes_a_run_of_each() -> None:
    ledger = Ledger()
    sessions = [row("D01", at(hour), 2 if hour % 24 < 9 and hour // 24 in (3, 9) else 5, 50) for hour in range(1, 649)]
    ledger.poll(at(648) + MINUTE, D01=ended(at(648), 5, 3000))
    ledger.history(at(648) + MINUTE, at(0), sessions)
    assert (len(ledger.told), ledger.statuses.count("Failed")) == (648, 18)


def test_what_runs_at_the_first_poll_may_hide_a_failure_before_it_so_that_round_is_no_success() -> None:
    ledger = Ledger(active="D01D02")
    for hours in (12, 12.5, 13, 13.5):
        running = fields(1, F17=5, F18=at(2), F09=at(2), F16=5)
        ledger.poll(at(hours), D01=ended(at(11.9), 5, 600), D02=running)
    ledger.poll(at(14), D01=ended(at(11.9), 5, 600), D02=ended(at(13.9), 5, 600))
    assert ledger.told == [(at(11.9), "Warning"), (at(13.9), "Success")]
    assert "was running at the first poll" in ledger.remark(at(11.9))


def test_what_had_ended_before_the_first_poll_makes_its_run_also_where_something_else_ends_just_after_it() -> None:
    ledger = Ledger(active="D01D02")
    ledger.poll(at(12), D01=ended(at(11.9), 2, 600), D02=fields(1, F17=5, F18=at(2), F09=at(2), F16=5))
    ledger.poll(at(12.5), D01=ended(at(11.9), 2, 600), D02=ended(at(12.4), 5, 60))
    assert ledger.told == [(at(11.9), "Failed"), (at(12.4), "Failed")]


def test_what_runs_at_a_later_poll_hides_nothing() -> None:
    ledger = Ledger(active="D01D02")
    ledger.poll(at(11), D01=ended(at(1), 5, 600), D02=ended(at(2), 5, 600))
    ledger.poll(at(12), D01=ended(at(11.9), 5, 600), D02=fields(1, F17=5, F18=at(2), F09=at(2), F16=5))
    ledger.poll(at(13), D01=ended(at(11.9), 5, 600), D02=fields(1, F17=5, F18=at(2), F09=at(2), F16=5))
    assert ledger.told[-1] == (at(11.9), "Success")


def test_a_count_of_items_is_no_duration() -> None:
    ledger = Ledger("m365", "D19D20")
    for hours, status in ((21 + 52 / 60, 5), (27 + 52 / 60, 2), (33 + 52 / 60, 5)):
        mail = ended(at(hours), status, 3456789)
        ledger.poll(at(hours) + MINUTE, D19=mail, D20=ended(at(hours), 5, 3456789))
    assert ledger.statuses == ["Success", "Failed", "Success"]
    assert {one.started_at for one in ledger.sessions.values()} == {None}


def test_a_first_poll_writes_its_newest_round_alone() -> None:
    ledger = Ledger("m365", "D19D20D05")
    failed = fields(2, F15=at(12), F09=at(7), F16=5, F17=2, F18=at(12))
    ledger.poll(at(12) + MINUTE, D19=failed, D20=failed, D05=ended(at(12)))
    assert ledger.told == [(at(12), "Failed")]
    assert "no session yet" not in ledger.remark(at(12))


def test_a_night_of_which_a_source_could_not_be_read_is_no_success() -> None:
    ledger = Ledger(active="D01D08")
    ledger.poll(at(30), D01=ended(at(26), 5, 600), D08=ended(at(26.1), 5, 600))
    rows = [row("D01", at(2), 5, 10), row("D01", at(26), 5, 10)]
    ledger.history(at(30), at(0), rows, problems={"D08": "could not be read"})
    assert (at(2), "Warning") in ledger.told
    assert "VMware: could not be read" in ledger.remark(at(2))


def test_a_source_without_a_session_for_too_long_is_named_and_no_run_is_a_success() -> None:
    ledger = Ledger(active="D01D10")
    for day in range(20, 24):
        ledger.poll(at(3, day), D01=ended(at(2, day), 5, 600), D10=ended(at(2), 5, 600))
    assert ledger.histories["D10"].is_silent
    assert set(ledger.statuses) == {"Warning"}


def test_a_weekly_source_is_not_silent_on_its_fourth_day() -> None:
    ledger = Ledger(active="D01D02")
    bar = "0500000" * 4
    for day in range(4):
        system_state = ended(at(1), 5, 600) | {"F08": bar}
        ledger.poll(at(3, day), D01=ended(at(2, day), 5, 600), D02=system_state)
    assert not ledger.histories["D02"].is_silent
    assert set(ledger.statuses) == {"Success"}


@pytest.mark.parametrize("ahead", [timedelta(hours=1), timedelta(days=2), timedelta(days=365)])
def test_a_time_that_has_not_come_yet_is_never_believed(ahead: timedelta) -> None:
    ledger = Ledger()
    wrong = at(12) + ahead
    reading = ledger.poll(at(12), D01=fields(5, F15=wrong, F18=wrong, F09=wrong))
    assert ledger.sessions == {}
    assert reading.problems["D01"].floor == "warning"
    assert "clock" in reading.problems["D01"].reason
    ledger.poll(at(12.5), D01=fields(2, F15=at(12.5) - 5 * MINUTE))
    assert ledger.of("D01") == [(at(12.5) - 5 * MINUTE, 2)]
    assert ledger.statuses == ["Failed"]


def test_switching_a_source_off_changes_no_run_of_the_past() -> None:
    ledger = Ledger(active="D01D02")
    ledger.poll(at(11.5), D01=ended(at(10), 5, 60), D02=ended(at(11), 2, 60))
    ledger.poll(at(12.5), D01=ended(at(12), 5, 60), D02=ended(at(11), 2, 60))
    ledger.active = "D01"
    ledger.poll(at(13.5), D01=ended(at(13), 5, 60))
    assert ledger.told == [(at(11), "Failed"), (at(12), "Failed"), (at(13), "Success")]


def test_a_laptop_that_is_off_is_no_trouble_and_keeps_its_runs() -> None:
    ledger = Ledger("workstation")
    ledger.poll(at(1), D01=ended(at(0.5), 5, 600))
    before = ledger.rows()
    for hours in (30, 30.5, 31):
        reading = ledger.poll(at(hours), D01=fields(7, F09=at(0.5), F16=5, F17=5, F18=at(0.5)))
        assert (reading.problems, reading.sources["D01"].not_started) == ({}, True)
    assert ledger.rows() == before


def test_a_server_whose_session_did_not_start_is_a_warning() -> None:
    ledger = Ledger()
    ledger.poll(at(1), D01=fields(7, F15=at(0.5)))
    assert ledger.statuses == ["Warning"]


@pytest.mark.parametrize("seconds", [1, 3, 5])
def test_a_few_seconds_between_f15_and_f18_make_no_second_session(seconds: int) -> None:
    ledger = Ledger()
    end = at(2)
    late = fields(5, F15=end + timedelta(seconds=seconds), F18=end, F17=5, F09=end + timedelta(seconds=2), F12=2400)
    ledger.poll(at(2.2), D01=late)
    ledger.poll(at(2.7), D01=late)
    assert [(one.session_at, one.started_at) for one in ledger.sessions.values()] == [(end, end - 40 * MINUTE)]


def test_a_time_a_second_before_the_end_is_no_start() -> None:
    ledger = Ledger()
    end = at(2)
    ledger.poll(at(2.2), D01=fields(5, F15=end - timedelta(seconds=1), F18=end, F17=5, F12=2400))
    assert [(one.session_at, one.started_at) for one in ledger.sessions.values()] == [(end, end - 40 * MINUTE)]


@pytest.mark.parametrize("polled_first", [True, False])
def test_a_history_in_whole_minutes_doubles_nothing(polled_first: bool) -> None:
    ledger = Ledger()
    end = at(2) + timedelta(seconds=44)
    start = at(1) + timedelta(seconds=17)
    poll = ended(end, 5, int((end - start).total_seconds()))
    if polled_first:
        ledger.poll(at(2.5), D01=poll)
    ledger.history(at(2.6), at(0), [row("D01", at(2), 5, 60)])
    ledger.poll(at(2.7), D01=poll)
    assert [(one.session_at, one.started_at) for one in ledger.sessions.values()] == [(end, start)]


def test_an_interrupted_session_goes_on_to_what_it_became() -> None:
    ledger = Ledger()
    ledger.poll(at(1.5), D01=fields(6, F15=at(1) + 20 * MINUTE, F18=at(1) + 20 * MINUTE, F17=6, F12=1200))
    ledger.history(at(2), at(0), [row("D01", at(1) + 20 * MINUTE, 6, 20)])
    ledger.poll(at(4.2), D01=fields(2, F15=at(4), F18=at(4), F17=2, F12=3 * 3600))
    assert ledger.of("D01") == [(at(4), 2)]
    assert ledger.statuses == ["Failed"]


def test_a_session_that_failed_at_once_and_the_one_that_began_then_are_two() -> None:
    ledger = Ledger()
    ledger.poll(at(1.1), D01=fields(2, F15=at(1), F18=at(1), F17=2, F12=0))
    well = fields(5, F15=at(1), F18=at(1) + 40 * MINUTE, F17=5, F12=2400, F09=at(1), F16=5)
    ledger.poll(at(2), D01=well)
    assert ledger.of("D01") == [(at(1), 2), (at(1) + 40 * MINUTE, 5)]
    assert ledger.statuses == ["Failed", "Success"]


def test_a_poll_that_tells_nothing_of_a_source_changes_no_earlier_run() -> None:
    ledger = Ledger(active="D01D02")
    night = {"D01": ended(at(2), 5, 600), "D02": ended(at(2.1), 5, 600)}
    ledger.poll(at(3), **night)
    before = ledger.told
    ledger.poll(at(3.5), D01=night["D01"])
    ledger.poll(at(4), **night)
    assert ledger.told == before


def test_a_failure_without_a_time_changes_no_night_before_it() -> None:
    ledger = Ledger(active="D01D02")
    nights = [row(code, at(2 + extra, day), 5, 10) for day in range(4) for code, extra in (("D01", 0), ("D02", 0.1))]
    ledger.poll(at(3, 3), D01=ended(at(2, 3), 5, 600), D02=ended(at(2.1, 3), 5, 600))
    ledger.poll(at(4, 3), D01=ended(at(2, 3), 5, 600), D02=fields(2, F09=at(2.1, 3), F16=5))
    ledger.history(at(4.1, 3), at(0), nights)
    assert ledger.statuses == ["Success"] * 4


def test_a_failure_stands_in_a_run_though_the_device_vanishes_while_another_source_runs() -> None:
    ledger = Ledger(active="D01D02")
    ledger.poll(at(1), D01=ended(at(-2), 5, 600), D02=ended(at(-2), 5, 600))
    running = fields(1, F09=at(-2), F16=5, F17=5, F18=at(-2))
    ledger.poll(at(2), D01=ended(at(1) + 50 * MINUTE, 2, 600), D02=running)
    ledger.gone(at(2.5))
    assert ledger.told[-1] == (at(1) + 50 * MINUTE, "Failed")


def test_no_run_of_an_outage_of_the_poller_is_a_success() -> None:
    ledger = Ledger(active="D01D10")
    ledger.poll(at(3), D01=ended(at(2), 5, 600), D10=ended(at(2.1), 5, 600))
    files = fields(5, F15=at(2, 3), F18=at(2, 3), F17=5, F09=at(2, 3), F16=5, F12=600)
    sql = fields(2, F15=at(2.1, 3), F18=at(2.1, 3), F17=2, F09=at(2.1), F16=5, F12=600)
    ledger.poll(at(3, 3), D01=files, D10=sql)
    assert ledger.told == [(at(2.1), "Success"), (at(2.1, 3), "Failed")]


def test_what_came_last_before_a_backfill_is_carried_over() -> None:
    ledger = Ledger(active="D01D14")
    ledger.poll(at(3, 8), D01=ended(at(2, 8), 5, 600), D14=fields(2, F15=at(1, 3), F18=at(1, 3), F17=2))
    rows = [row("D01", at(2, day), 5, 10) for day in range(6, 9)]
    ledger.history(at(3, 8), at(3, 5), rows, context=[row("D01", at(2, 5), 5, 10), row("D14", at(1, 3), 2, 10)])
    assert ledger.told == [(at(2, day), "Failed") for day in (6, 7, 8)]


def test_completed_with_errors_is_a_warning_however_it_becomes_known() -> None:
    ledger = Ledger()
    ledger.poll(at(3), D01=ended(at(2), 5, 600, F06=3))
    assert ledger.statuses == ["Warning"]
    ledger.history(at(3.1), at(0), [row("D01", at(2), 5, 10, errors=3)])
    assert ledger.statuses == ["Warning"]


def test_a_reviewed_run_stays_and_what_became_of_its_session_makes_a_run_of_its_own() -> None:
    ledger = Ledger()
    ledger.poll(at(8.1), D01=fields(6, F15=at(8), F18=at(8), F17=6, F12=3600))
    ledger.review()
    ledger.poll(at(9.1), D01=fields(2, F15=at(9), F18=at(9), F17=2, F12=7200))
    assert ledger.told == [(at(8), "Warning"), (at(9), "Failed")]


TOUCHING = (2, 5, 2, 2)
TOUCHING_ENDS = [at(0) + number * MINUTE for number in range(1, 5)]
"""Four sessions that touch: Failed, Completed, Failed, Failed, a minute each."""


def touching(meaning: str, completed: tuple[int, ...]) -> list[dict[str, str]]:
    """What each poll is told of them; `completed` are the statuses that F17 and F18 tell."""
    back = MINUTE if meaning == "start" else timedelta()
    polls = []
    for number, (end, code) in enumerate(zip(TOUCHING_ENDS, TOUCHING, strict=True), 1):
        done = [place for place in range(number) if TOUCHING[place] in completed]
        good = [place for place in range(number) if TOUCHING[place] == 5]
        last = {"F17": TOUCHING[done[-1]], "F18": TOUCHING_ENDS[done[-1]]} if done else {}
        success = {"F09": TOUCHING_ENDS[good[-1]] - back, "F16": 5} if good else {}
        polls.append(fields(code, F15=end - back, F12=60, **last, **success))
    return polls


@pytest.mark.parametrize("completed", [(2, 5), (5,)], ids=["all-are-completed", "successes-are-completed"])
@pytest.mark.parametrize("meaning", ["start", "end"])
def test_sessions_that_touch_are_told_apart_in_any_order_of_polls_and_histories(
    meaning: str, completed: tuple[int, ...]
) -> None:
    polls = touching(meaning, completed)
    rows = [row("D01", end, code, 1) for end, code in zip(TOUCHING_ENDS, TOUCHING, strict=True)]
    want = list(zip(TOUCHING_ENDS, TOUCHING, strict=True))
    outcomes = set()
    for order in permutations(range(5)):
        ledger = Ledger()
        now = at(0) + 5 * MINUTE
        for step in order:
            now += timedelta(seconds=10)
            if step == 4:
                ledger.history(now, at(-1), rows)
            else:
                ledger.poll(now, D01=polls[step])
        assert ledger.of("D01") == want, order
        outcomes.add(tuple(ledger.told))
    assert outcomes == {tuple((end, "Success" if code == 5 else "Failed") for end, code in want)}


def test_the_same_answer_twice_changes_nothing() -> None:
    ledger = Ledger(active="D01D02")
    running = fields(1, F09=at(1), F16=5, F17=5, F18=at(1), F12=600)
    for now in (at(2), at(2), at(2.5), at(9)):
        ledger.poll(now, D01=running, D02=ended(at(1.1), 2, 300))
        rows, writes = ledger.rows(), ledger.writes
        ledger.poll(now, D01=running, D02=ended(at(1.1), 2, 300))
        assert (ledger.rows(), ledger.writes) == (rows, writes)


def test_a_source_that_nobody_wants_is_judged_no_more_and_its_earlier_runs_stay() -> None:
    ledger = Ledger(active="D01D10")
    ledger.poll(at(3), D01=ended(at(2), 5, 600), D10=ended(at(2.1), 2, 600))
    ledger.histories["D10"] = with_ignored(ledger.histories["D10"], at(4), ignored=True)
    ledger.poll(at(27), D01=ended(at(26), 5, 600), D10=ended(at(26.1), 2, 600))
    assert ledger.told == [(at(2.1), "Failed"), (at(26), "Success")]
    ledger.histories["D10"] = with_ignored(ledger.histories["D10"], at(30), ignored=False)
    ledger.poll(at(51), D01=ended(at(50), 5, 600), D10=ended(at(50.1), 2, 600))
    assert ledger.statuses == ["Failed", "Success", "Failed"]


def test_a_silent_source_that_begins_to_run_changes_no_run_before() -> None:
    ledger = Ledger(active="D01D10")
    for day in range(6):
        ledger.poll(at(3, day), D01=ended(at(2, day), 5, 600), D10=ended(at(2.1), 5, 600))
    before = ledger.told
    running = fields(1, F09=at(2.1), F16=5, F17=5, F18=at(2.1))
    ledger.poll(at(3.5, 5), D01=ended(at(2, 5), 5, 600), D10=running)
    ledger.poll(at(4.5, 5), D01=ended(at(2, 5), 5, 600), D10=ended(at(4.2, 5), 2, 3600))
    assert ledger.told[: len(before)] == before
    assert "Warning" in ledger.statuses[2:6]


def test_a_history_with_an_odd_row_makes_no_night_of_its_window_a_success() -> None:
    ledger = Ledger(active="D01D08")
    ledger.poll(at(29, 4), D01=ended(at(26, 4), 5, 600), D08=ended(at(26.1, 4), 5, 600))
    rows = [row("D01", at(2, day), 5, 10) for day in range(5)]
    rows += [row("D08", at(2.1, day), 5, 5) for day in (0, 2, 3, 4)]
    ledger.history(at(29.2, 4), at(0), rows, problems={"D08": "could not be read"})
    assert (at(2, 1), "Warning") in ledger.told
    assert "Success" not in ledger.statuses[:5]


def test_a_session_known_as_context_that_goes_on_and_fails_gets_a_run() -> None:
    ledger = Ledger(active="D01D02")
    files = ended(at(1.9), 5, 300)
    interrupted = fields(6, F15=at(1) + 20 * MINUTE, F18=at(1) + 20 * MINUTE, F17=6, F12=1200)
    ledger.poll(at(2), D01=files, D02=interrupted)
    ledger.poll(at(2.5), D01=files, D02=fields(1, F17=6, F18=at(1) + 20 * MINUTE))
    ledger.poll(at(3.3), D01=files, D02=fields(1, F17=6, F18=at(1) + 20 * MINUTE))
    ledger.poll(at(4.1), D01=files, D02=fields(2, F15=at(4), F18=at(4), F17=2, F12=3 * 3600))
    assert ledger.told[-1] == (at(4), "Failed")


def test_a_history_up_to_a_moment_before_the_first_poll_makes_a_run_of_each_of_its_nights() -> None:
    ledger = Ledger(active="D01D14")
    ledger.poll(at(12, 10), D01=ended(at(11, 10), 5, 600), D14=ended(at(10.9, 10), 5, 600))
    rows = [row("D01", at(2, day), 2 if day == 6 else 5, 10) for day in range(1, 9)] + [row("D14", at(2.1, 3), 5, 10)]
    ledger.history(at(12.2, 10), at(0, 1), rows, until=at(0, 9))
    assert (at(2, 6), "Failed") in ledger.told
    assert len(ledger.told) == 9


def test_a_wrong_clock_that_is_wrong_in_two_ways_leaves_all_of_its_time_unknown() -> None:
    ledger = Ledger(active="D01D02")
    ledger.poll(at(3), D01=ended(at(2), 5, 600), D02=ended(at(2.1), 5, 600))
    for hour in range(4, 57):
        files = ended(at(2, (hour - 3) // 24) if hour >= 27 else at(2), 5, 600)
        ahead = fields(5, F15=at(100 if hour < 41 else 200), F09=at(2.1), F18=at(2.1), F17=5, F16=5)
        ledger.poll(at(hour), D01=files, D02=ahead)
    failed = fields(2, F15=at(56.5), F17=2, F18=at(56.5), F09=at(20), F16=5, F12=600)
    ledger.poll(at(57), D01=ended(at(2, 2), 5, 600), D02=failed)
    assert (at(2, 1), "Warning") in ledger.told


@pytest.mark.parametrize("seconds", [0, 44])
def test_a_time_of_a_poll_in_whole_minutes_doubles_nothing(seconds: int) -> None:
    end = at(1) + 40 * MINUTE + timedelta(seconds=seconds)
    ledger = Ledger()
    ledger.poll(at(2), D01=fields(2, F15=end.replace(second=0)))
    ledger.history(at(2.2), at(0), [row("D01", end, 2, 10)])
    assert ledger.of("D01") == [(end, 2)]
    rounded_up = Ledger()
    later = end.replace(second=0) + MINUTE * bool(seconds)
    rounded_up.poll(at(2), D01=fields(2, F15=later, F18=end, F17=2, F12=2400, F09=at(-5), F16=5))
    assert len([one for one in rounded_up.of("D01") if one[0] > at(0)]) == 1


def test_where_only_the_round_counts_an_old_failure_stands_in_one_run() -> None:
    ledger = Ledger(active="D01D10", policy=replace(POLICY, overall="round"), gap=timedelta(days=2))
    for day in range(5):
        old = fields(2, F15=at(2), F18=at(2), F17=2, F12=600)
        ledger.poll(at(3, day), D01=ended(at(2, day), 5, 600), D10=old)
    assert ledger.statuses == ["Failed", "Success", "Success", "Warning", "Warning"]


def test_a_source_that_was_switched_on_just_now_is_not_silent_yet() -> None:
    ledger = Ledger(gap=timedelta(days=2))
    for day in range(5):
        ledger.poll(at(3, day), D01=ended(at(2, day), 5, 60))
    ledger.active = "D01D10"
    ledger.poll(at(4, 4), D01=ended(at(3.5, 4), 5, 60))
    ledger.poll(at(5, 4), D01=ended(at(4.5, 4), 5, 60))
    assert set(ledger.statuses) == {"Success"}


def test_one_poll_that_cannot_read_a_source_leaves_no_gap() -> None:
    ledger = Ledger(active="D01D02")
    ledger.poll(at(2), D01=ended(at(1), 5, 60), D02=ended(at(1.05), 5, 60))
    ledger.poll(at(2.5), D01=ended(at(2.4), 5, 60))
    ledger.poll(at(3), D01=ended(at(2.4), 5, 60), D02=ended(at(2.8), 5, 60))
    assert ledger.histories["D02"].gaps == ()


def test_a_session_that_became_worse_since_its_run_was_reviewed_gets_a_run_though_another_source_runs() -> None:
    ledger = Ledger(active="D01D02")
    running = fields(1, F09=at(7), F16=5, F17=5, F18=at(7))
    ledger.poll(at(7.1), D01=ended(at(7), 5, 600), D02=ended(at(7), 5, 600))
    ledger.poll(at(8.1), D01=fields(6, F15=at(8), F18=at(8), F17=6, F12=3600), D02=ended(at(7), 5, 600))
    ledger.review()
    ledger.poll(at(9.1), D01=fields(2, F15=at(9), F18=at(9), F17=2, F12=7200), D02=running)
    ledger.poll(at(9.6), D01=ended(at(9.5), 5, 600), D02=running)
    ledger.poll(at(10.1), D01=ended(at(9.5), 5, 600), D02=ended(at(10), 5, 600))
    assert (at(9), "Failed") in ledger.told


def test_a_failure_since_the_first_poll_gets_a_run_though_another_source_was_unreadable_until_then() -> None:
    ledger = Ledger(active="D01D02D10")
    refused = ("D02F00", "D02F15")
    running = fields(1, F09=at(-10), F16=5, F17=5, F18=at(-10))
    ledger.poll(at(1.6), refused, D01=ended(at(-10), 5, 600), D10=ended(at(-10), 5, 600))
    ledger.poll(at(2.1), refused, D01=ended(at(1.9), 2, 600), D10=running)
    ledger.poll(at(2.6), D01=ended(at(2.5), 5, 60), D02=ended(at(2.4), 5, 600), D10=ended(at(2.45), 5, 600))
    assert (at(1.9), "Failed") in ledger.told


def test_runs_of_the_total_stay_when_a_source_becomes_readable() -> None:
    ledger = Ledger(gap=timedelta(days=2))
    for day in range(4):
        ledger.poll(at(3, day), D09=ended(at(2, day), 2 if day == 2 else 5, 600))
    before = ledger.told
    failed = fields(2, F15=at(2, 4), F18=at(2, 4), F17=2, F09=at(2, 1), F16=5, F12=600)
    ledger.poll(at(3, 4), D01=failed, D09=ended(at(2, 4), 2, 600))
    assert ledger.told == [*before, (at(2, 4), "Failed")]


def test_a_failure_of_the_total_is_not_covered_up_by_its_next_session() -> None:
    ledger = Ledger(active="D01D02")
    ledger.poll(at(0), D01=ended(at(-1), 5, 60), D02=ended(at(-1), 5, 60), D09=ended(at(-1), 5, 60))
    ledger.poll(at(1), D01=ended(at(0.9), 5, 60), D02=ended(at(-1), 5, 60), D09=ended(at(0.9), 2, 60))
    ledger.poll(at(1.2), D01=ended(at(0.9), 5, 60), D02=ended(at(1.1), 5, 60), D09=ended(at(1.1), 5, 60))
    assert ledger.told[-1] == (at(1.1), "Failed")

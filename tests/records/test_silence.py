"""How long a data source may be without a session."""

from datetime import UTC, datetime, timedelta

import pytest

from cove_poller.records.health.silence import is_lost, is_switched_off, silence_limit, silent_since
from cove_poller.records.source_history import Period, SourceHistory, with_silence

DAY = timedelta(days=1)
TWO_DAYS = timedelta(hours=48)
MONDAY = datetime(2026, 3, 2, tzinfo=UTC)


def every(distance: timedelta, count: int) -> tuple[datetime, ...]:
    return tuple(MONDAY + number * distance for number in range(count))


@pytest.mark.parametrize(
    ("ends", "bar", "limit"),
    [
        ((), "", TWO_DAYS),
        (every(DAY, 9), "", timedelta(hours=60)),
        (every(timedelta(hours=1), 9), "", TWO_DAYS),
        (every(7 * DAY, 4), "", timedelta(days=17.5)),
        (every(7 * DAY, 3), "", TWO_DAYS),
        (every(7 * DAY, 1), "0500000" * 4, timedelta(days=17.5)),
        (every(7 * DAY, 1), "0000005", TWO_DAYS),
        (every(DAY, 9), "0500000" * 4, timedelta(hours=60)),
    ],
)
def test_a_source_may_be_silent_for_its_limit_or_two_and_a_half_times_its_rhythm(
    ends: tuple[datetime, ...], bar: str, limit: timedelta
) -> None:
    assert silence_limit(TWO_DAYS, ends, bar) == limit


def test_silence_begins_when_the_limit_is_over() -> None:
    history = SourceHistory(recent=every(DAY, 3))
    last = MONDAY + 2 * DAY
    assert silent_since(history, MONDAY, TWO_DAYS, last + TWO_DAYS) is None
    assert silent_since(history, MONDAY, TWO_DAYS, last + 3 * DAY) == last + TWO_DAYS


def test_a_source_that_never_ran_is_silent_after_its_limit_since_it_is_known() -> None:
    assert silent_since(SourceHistory(), MONDAY, TWO_DAYS, MONDAY + 3 * DAY) == MONDAY + TWO_DAYS


def test_a_source_that_was_switched_on_later_has_its_limit_from_then_on() -> None:
    later = MONDAY + 30 * DAY
    for recent in ((), (MONDAY,)):
        history = SourceHistory(active=(Period(later, None),), recent=recent)
        assert silent_since(history, MONDAY, TWO_DAYS, later + TWO_DAYS) is None
        assert silent_since(history, MONDAY, TWO_DAYS, later + 3 * DAY) == later + TWO_DAYS


def test_a_silence_ends_with_a_session_also_where_the_source_is_silent_again_by_then() -> None:
    silent = SourceHistory(silent=(Period(MONDAY, None),))
    found = with_silence(silent, MONDAY + 5 * DAY, MONDAY + 2 * DAY)
    assert found.silent == (Period(MONDAY, MONDAY + 2 * DAY), Period(MONDAY + 5 * DAY, None))
    assert with_silence(silent, MONDAY + DAY, MONDAY - DAY) == silent


@pytest.mark.parametrize(
    ("bar", "not_started", "idle", "is_off"),
    [
        ("5" * 26 + "00", False, 2 * DAY, True),
        ("5" * 26 + "07", False, 2 * DAY, True),
        ("5" * 27 + "0", False, DAY, False),
        ("0", False, DAY, False),
        ("5" * 28, True, timedelta(hours=30), True),
        ("5" * 28, True, timedelta(hours=20), False),
        ("5" * 28, False, timedelta(hours=30), False),
    ],
)
def test_a_workstation_is_off_where_a_session_could_not_start_or_two_days_show_none(
    bar: str, not_started: bool, idle: timedelta, is_off: bool
) -> None:
    assert is_switched_off(bar, idle, not_started=not_started) is is_off


def test_a_workstation_is_lost_where_its_whole_bar_is_empty_or_it_was_idle_for_four_limits() -> None:
    week = 7 * DAY
    assert not is_lost("5" + "0" * 27, 28 * DAY, week)
    assert is_lost("5" + "0" * 27, 29 * DAY, week)
    assert is_lost("0" * 27 + "7", DAY, week)
    assert not is_lost("0" * 20, DAY, week)


def test_a_limit_that_nobody_lives_to_see_is_still_a_span_that_can_be_added_to_a_date() -> None:
    limit = silence_limit(timedelta(hours=20_000_000), (), "")
    assert datetime(2026, 3, 2, tzinfo=UTC) + 4 * limit < datetime.max.replace(tzinfo=UTC)

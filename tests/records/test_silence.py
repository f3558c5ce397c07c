"""How long a data source may be without a session."""

from datetime import UTC, datetime, timedelta

import pytest

from cove_poller.records.silence import silence_limit, silent_since
from cove_poller.records.source_history import SourceHistory

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

"""How often a customer is polled: once in every slot of its interval, by the first sync that succeeds."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cove_poller.config.settings import IntervalSettings
from cove_poller.records.intervals import FORGIVEN, Schedule, interval_of, slot

HALF_HOUR = timedelta(minutes=30)
BEGIN = datetime(2026, 3, 2, tzinfo=UTC)
MIDNIGHT = BEGIN + timedelta(days=1)
UNITS = {"m": 1, "h": 60, "d": 1440, "w": 10080}

lengths = st.sampled_from(["1m", "5m", "30m", "45m", "4h", "7h", "1d", "1w"])
syncs = st.lists(st.tuples(st.integers(0, 14 * 86_400), st.booleans()), min_size=1, max_size=60)
"""Moments in seconds after BEGIN, and whether Cove was to be reached then."""


def settings(default: str | None = None, **customers: str) -> IntervalSettings:
    return IntervalSettings.model_validate({"default": default, "customers": customers})


def minutes(text: str) -> int:
    return int(text[:-1]) * UNITS[text[-1]]


def polls_of(customer: str, intervals: IntervalSettings, moments: list[tuple[datetime, bool]]) -> list[datetime]:
    """When a customer was polled with success, by syncs at these moments."""
    polled, last = [], None
    for moment, reachable in moments:
        schedule = Schedule(intervals, last, moment)
        skipped = not schedule.is_anybody_due([customer, "Example Garage"])
        if reachable and not skipped and schedule.is_due(customer):
            polled.append(moment)
        if reachable or skipped:
            last = moment
    return polled


@given(lengths, lengths, syncs)
def test_a_customer_is_polled_by_the_first_successful_sync_of_each_slot_and_by_no_other(
    default: str, own: str, syncs: list[tuple[int, bool]]
) -> None:
    moments = [(BEGIN + timedelta(seconds=seconds), reachable) for seconds, reachable in sorted(syncs)]
    intervals = settings(default, **{"Example Bakery": own})
    for customer, length in (("Example Bakery", own), ("Example Garage", default)):
        first: dict[int, datetime] = {}
        for moment, reachable in moments:
            if reachable:
                first.setdefault(int(moment.timestamp() + 60) // (minutes(length) * 60), moment)
        assert polls_of(customer, intervals, moments) == list(first.values())


@given(st.sampled_from([30, 60, 240, 1440]), st.lists(st.integers(-60, 300), min_size=50, max_size=200))
def test_cron_that_is_a_minute_early_or_five_late_still_polls_at_the_customers_pace(
    length: int, jitters: list[int]
) -> None:
    moments = [(BEGIN + number * HALF_HOUR + timedelta(seconds=late), True) for number, late in enumerate(jitters)]
    polled = polls_of("Example Bakery", settings(f"{length}m"), moments)
    gaps = [later - earlier for earlier, later in pairwise(polled)]
    assert len(polled) == -(-len(jitters) * 30 // length)
    assert all(abs(gap - timedelta(minutes=length)) <= timedelta(seconds=360) for gap in gaps)


def test_a_sync_a_minute_before_a_slot_counts_for_it_and_an_earlier_one_does_not() -> None:
    four_hours, noon = timedelta(hours=4), MIDNIGHT + timedelta(hours=12)
    assert slot(noon - FORGIVEN, four_hours) == slot(noon, four_hours)
    assert slot(noon - FORGIVEN - timedelta(seconds=1), four_hours) == slot(noon, four_hours) - 1
    assert slot(noon + four_hours, four_hours) == slot(noon, four_hours) + 1


@pytest.mark.parametrize(
    ("name", "hours"),
    [
        ("Example Bakery", 4),
        ("Example Bakery (it@bakery.example.com)", 4),
        ("example  BAKERY (new@bakery.example.com)", 4),
        ("Example Museum (a@example.com)", 2),
        ("Example Museum (b@example.com)", 1),
        ("Example Garage (a@example.com)", 3),
        ("Example Garage (b@example.com)", 24),
        ("Example Bakery Two", 24),
    ],
)
def test_a_customers_interval_is_found_by_the_name_that_cove_lists_with_or_without_its_mail_address(
    name: str, hours: int
) -> None:
    customers = {
        "Example Bakery": "4h", "Example Museum": "2h", "Example Museum (b@example.com)": "1h",
        "Example Garage (a@example.com)": "3h", "example bakery": "1d",
    }  # fmt: skip
    assert interval_of(name, settings("1d", **customers)) == timedelta(hours=hours)


def test_without_a_default_whoever_is_not_named_is_due_every_time() -> None:
    schedule = Schedule(settings(**{"Example Bakery": "4h"}), MIDNIGHT, MIDNIGHT + timedelta(seconds=1))
    assert (schedule.is_due("Example Bakery"), schedule.is_due("Example Museum")) == (False, True)

"""Times as people write them, and the span between two of them."""

from datetime import UTC, date, datetime, time, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cove_poller.records.window import Window, parse_when

NOW = datetime(2026, 3, 14, 15, 9, 26, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
FIRST, LAST = (datetime.fromisoformat(day) for day in ("1970-01-02", "2100-01-01"))
MOMENTS = st.datetimes(FIRST, LAST).map(lambda moment: moment.replace(tzinfo=UTC))
STEPS = st.sampled_from([1, 2, 3, 4, 6, 8, 12, 24]).map(lambda hours: hours * HOUR)


@st.composite
def windows(draw: st.DrawFn) -> Window:
    """A window of up to forty days."""
    since = draw(MOMENTS)
    return Window(since, since + draw(st.timedeltas(timedelta(seconds=1), 40 * DAY)))


class TestParseWhen:
    @pytest.mark.parametrize(
        ("text", "moment"),
        [
            ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
            ("2026-01-31T06:00", datetime(2026, 1, 31, 6, tzinfo=UTC)),
            ("2026-01-31 06:00:07", datetime(2026, 1, 31, 6, 0, 7, tzinfo=UTC)),
            ("2026-01-31T06:00Z", datetime(2026, 1, 31, 6, tzinfo=UTC)),
            ("2026-01-31T06:00+02:00", datetime(2026, 1, 31, 4, tzinfo=UTC)),
            ("2026-01-31T23:00-05:30", datetime(2026, 2, 1, 4, 30, tzinfo=UTC)),
            ("28d", datetime(2026, 2, 14, 15, 9, 26, tzinfo=UTC)),
            ("12h", datetime(2026, 3, 14, 3, 9, 26, tzinfo=UTC)),
            ("4w", datetime(2026, 2, 14, 15, 9, 26, tzinfo=UTC)),
            ("90m", datetime(2026, 3, 14, 13, 39, 26, tzinfo=UTC)),
            (" 1d\n", NOW - DAY),
        ],
    )
    def test_every_way_to_write_a_time(self, text: str, moment: datetime) -> None:
        found = parse_when(text, NOW)
        assert found == moment
        assert found.utcoffset() == timedelta()

    @pytest.mark.parametrize(
        "text",
        [
            "", " ", "yesterday", "now", "2026-13-01", "2026-02-30", "31.01.2026", "28", "28 d", "d", "0d", "-3d",
            "1.5d", "3y", "999999d", "2026-01-31T25:00", "2026-01-31T06:00+99:00", "0001-01-01T00:00+02:00",
            "9999-12-31T23:59-02:00", "28d 12h",
        ],
    )  # fmt: skip
    def test_anything_else_is_refused_with_the_text_and_examples(self, text: str) -> None:
        with pytest.raises(ValueError, match="is no time; say 2026-01-31, 2026-01-31T06:00, 28d, 12h or 4w") as caught:
            parse_when(text, NOW)
        assert repr(text) in str(caught.value)

    def test_a_span_that_goes_back_beyond_all_time_is_refused(self) -> None:
        with pytest.raises(ValueError, match="is no time"):
            parse_when("99999d", datetime(200, 1, 1, tzinfo=UTC))

    @given(MOMENTS, ZONES)
    def test_a_date_time_with_its_zone_is_that_moment(self, moment: datetime, zone: timezone) -> None:
        assert parse_when(moment.astimezone(zone).isoformat(), NOW) == moment

    @given(MOMENTS)
    def test_a_date_time_without_a_zone_is_in_utc(self, moment: datetime) -> None:
        assert parse_when(moment.replace(tzinfo=None).isoformat(), NOW) == moment

    @given(st.dates(date(1970, 1, 1), date(2100, 1, 1)))
    def test_a_date_is_its_first_moment_in_utc(self, day: date) -> None:
        assert parse_when(day.isoformat(), NOW) == datetime.combine(day, time(tzinfo=UTC))

    @given(st.integers(1, 99999), MOMENTS)
    def test_a_span_goes_back_from_now(self, number: int, now: datetime) -> None:
        assert parse_when(f"{number}h", now) == now - number * HOUR
        assert parse_when(f"{number}d", now) == now - number * DAY

    @given(st.text())
    def test_any_text_is_a_time_in_utc_or_refused_in_words(self, text: str) -> None:
        found: datetime | str
        try:
            found = parse_when(text, NOW)
        except ValueError as error:
            found = str(error)
        assert "is no time" in found if isinstance(found, str) else found.utcoffset() == timedelta()


class TestWindow:
    def test_both_ends_belong_to_it(self) -> None:
        window = Window(NOW, NOW + HOUR)
        second = timedelta(seconds=1)
        moments = (NOW - second, NOW, NOW + second, NOW + HOUR, NOW + HOUR + second)
        assert [moment in window for moment in moments] == [False, True, True, True, False]

    def test_its_moments_are_at_round_hours_and_at_its_end(self) -> None:
        window = Window(NOW, NOW + timedelta(hours=20))
        assert [*window.moments(6 * HOUR)] == [
            datetime(2026, 3, 14, 18, tzinfo=UTC),
            datetime(2026, 3, 15, 0, tzinfo=UTC),
            datetime(2026, 3, 15, 6, tzinfo=UTC),
            datetime(2026, 3, 15, 11, 9, 26, tzinfo=UTC),
        ]

    @given(windows(), STEPS)
    def test_its_moments_lie_in_it_and_no_further_apart_than_a_step(self, window: Window, step: timedelta) -> None:
        moments = [*window.moments(step)]
        assert moments[-1] == window.until
        assert all(window.since < moment <= window.until for moment in moments)
        assert all(before < after <= before + step for before, after in pairwise([window.since, *moments]))
        for moment in moments[:-1]:
            assert (moment - datetime.combine(moment.date(), time(tzinfo=UTC))) % step == timedelta()

    @given(windows())
    def test_its_days_are_all_that_it_touches(self, window: Window) -> None:
        days = [*window.days()]
        assert (days[0], days[-1]) == (window.since.date(), window.until.date())
        assert all(after - before == DAY for before, after in pairwise(days))

    @given(windows(), ZONES)
    def test_it_does_not_matter_in_which_zone_its_ends_are(self, window: Window, zone: timezone) -> None:
        other = Window(window.since.astimezone(zone), window.until.astimezone(zone))
        assert [*other.days()] == [*window.days()]
        assert [*other.moments(6 * HOUR)] == [*window.moments(6 * HOUR)]

"""Spans of time as people write them."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from cove_poller.spans import Interval, parse_option, parse_span, span_text

NO_SPAN = "is no span of time; write 90m, 2h, 1d or 4w"


class Settings(BaseModel):
    every: Interval


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("90m", timedelta(minutes=90)),
        ("2h", timedelta(hours=2)),
        ("1d", timedelta(days=1)),
        ("4w", timedelta(days=28)),
        (" 05m\n", timedelta(minutes=5)),
        ("99999w", timedelta(weeks=99999)),
    ],
)
def test_minutes_hours_days_and_weeks_are_read(text: str, span: timedelta) -> None:
    assert parse_span(text) == span


@pytest.mark.parametrize(
    "text",
    [
        "",
        "30",
        "d",
        "0h",
        "00d",
        "-4h",
        "1.5d",
        "4 hours",
        "60 d",
        "1e3d",
        "1y",
        "1D",
        "999999d",
        "1d 2h",
        "٣d",
        30,
        None,
    ],
)
def test_anything_else_is_no_span_of_time(text: object) -> None:
    with pytest.raises(ValueError, match=f"^{NO_SPAN}$"):
        parse_span(text)


def test_the_error_of_an_option_says_its_name_and_what_was_written() -> None:
    assert parse_option("--keep", "60d") == timedelta(days=60)
    with pytest.raises(ValueError, match=f"^--keep '1y' {NO_SPAN}$"):
        parse_option("--keep", "1y")


def test_a_setting_is_read_and_shown_as_it_was_written_and_refused_without_its_value() -> None:
    assert [Settings(every=text).model_dump()["every"] for text in ("30m", "36h", "28d", "1w")] == [
        "30m", "36h", "28d", "7d",
    ]  # fmt: skip
    with pytest.raises(ValidationError) as caught:
        Settings(every="secret")
    assert caught.value.errors()[0]["msg"] == f"Value error, {NO_SPAN}"


@given(st.integers(1, 9999), st.sampled_from("mhdw"))
def test_a_span_that_is_shown_is_read_again_as_the_same(number: int, unit: str) -> None:
    span = parse_span(f"{number}{unit}")
    assert parse_span(span_text(span)) == span

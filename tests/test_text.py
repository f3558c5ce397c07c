"""Small pieces of text, from literals."""

from datetime import timedelta

import pytest

from cove_poller.text import age, aligned, counted, fitted, listed, long_age, one_line


@pytest.mark.parametrize(
    ("minutes", "short", "long"),
    [
        (-5, "0 minutes", "0 minutes"),
        (1.9, "1 minute", "1 minute"),
        (119, "119 minutes", "119 minutes"),
        (120, "2 hours", "2 hours"),
        (48 * 60 - 1, "47 hours", "47 hours"),
        (48 * 60, "2 days", "48 hours"),
        (100 * 60 - 1, "4 days", "99 hours"),
        (100 * 60, "4 days", "4 days"),
    ],
)
def test_an_age_is_in_the_one_unit_that_fits(minutes: float, short: str, long: str) -> None:
    assert (age(timedelta(minutes=minutes)), long_age(timedelta(minutes=minutes))) == (short, long)


def test_one_is_singular_and_all_else_plural() -> None:
    assert [counted(number, "device") for number in (0, 1, 2)] == ["0 devices", "1 device", "2 devices"]


def test_a_text_that_is_too_long_is_cut_with_a_mark() -> None:
    assert [fitted("abcd", limit) for limit in (None, 4, 3)] == ["abcd", "abcd", "ab…"]


def test_a_line_has_no_breaks_and_no_control_characters() -> None:
    assert one_line(" a\r\n\tb\x1b[31m\u202ec ") == "a b[31mc"


def test_of_many_names_the_first_are_listed_and_the_rest_counted() -> None:
    assert (listed(["a", "b"]), listed(["a", "b", "c"], 2)) == ("a, b", "a, b and 1 more")


def test_cells_stand_below_each_other_and_nothing_trails() -> None:
    assert aligned([("a", "bb"), ("ccc", "d")]) == ["a    bb", "ccc  d"]

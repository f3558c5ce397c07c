"""The pictures of the report, from literals. Pure."""

from datetime import UTC, datetime, timedelta

import pytest

from cove_poller.records.health.overview import PlotSession
from cove_poller.records.statuses import Statuses
from cove_poller.views.report_plot import bar_letters, bar_lines, bar_text, packed_sessions, plot_begin

BEGIN = datetime(2026, 2, 11, tzinfo=UTC)


def session(account: int, source: str, minutes: int, status: str = "success") -> PlotSession:
    return PlotSession(account, source, BEGIN + timedelta(minutes=minutes), status)


def test_a_bar_has_a_letter_a_day_and_what_cannot_be_read_is_no_success() -> None:
    assert bar_letters("0128567a", Statuses()) == "nrfwswww"


@pytest.mark.parametrize(
    ("letters", "text"),
    [
        ("", "no colour bar"),
        ("s", "1 days: 1 success; the last: success"),
        ("sswrnf", "6 days: 1 failed, 1 warning, 2 success, 1 running, 1 no backup; the last: failed"),
    ],
)
def test_a_bar_is_told_in_words_the_worst_first(letters: str, text: str) -> None:
    assert bar_text(letters) == text


def test_a_bar_is_drawn_with_a_line_per_run_of_equal_days_the_newest_on_the_right_the_worse_the_higher() -> None:
    assert bar_lines("s" * 25 + "fws") == [("s", "M0 13h124M135 13h4"), ("f", "M125 8h4"), ("w", "M130 10.5h4")]
    assert bar_lines("rn") == [("r", "M130 13h4"), ("n", "M135 15h4")]
    assert bar_lines("") == []


def test_the_plot_begins_at_the_midnight_of_27_days_ago() -> None:
    assert plot_begin(datetime(2026, 3, 10, 23, 59, tzinfo=UTC)) == BEGIN


def test_sessions_become_three_letters_of_minute_and_status_by_device_and_source() -> None:
    sessions = [
        session(1, "D10", 0), session(1, "D01", 1), session(1, "D01", 16, "failed"),
        session(1, "D01", 40319, "warning"), session(2, "D01", 5), session(3, "D01", 5),
    ]  # fmt: skip
    assert packed_sessions(sessions, [1, 2], BEGIN) == {1: {"D01": "AAEABCnX9", "D10": "AAA"}, 2: {"D01": "AAU"}}


def test_what_is_outside_the_28_days_is_left_out_and_a_device_without_sessions_has_none() -> None:
    sessions = [session(1, "D01", -1), session(1, "D01", 28 * 1440)]
    assert packed_sessions(sessions, [1], BEGIN) == {1: {}}


def test_coves_total_is_drawn_only_where_no_source_is_known() -> None:
    sessions = [session(1, "D09", 0), session(1, "D01", 0), session(2, "D09", 0)]
    assert packed_sessions(sessions, [1, 2], BEGIN) == {1: {"D01": "AAA"}, 2: {"D09": "AAA"}}

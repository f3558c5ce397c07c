"""The pictures of the report, from literals. Pure."""

from datetime import UTC, datetime

from cove_poller.records.health.overview import PlotSessions
from cove_poller.records.statuses import Statuses
from cove_poller.views.report_plot import PackedSessions, bar_letters, bar_runs, plot_begin, sessions_by_source

BEGIN = datetime(2026, 2, 11, tzinfo=UTC)


def test_a_bar_has_a_letter_a_day_and_what_cannot_be_read_is_no_success() -> None:
    assert bar_letters("0128567a", Statuses()) == "nrfwswww"


def test_a_bar_has_a_run_for_equal_days() -> None:
    assert [*bar_runs("sssfws")] == [("s", "sss"), ("f", "f"), ("w", "w"), ("s", "s")]
    assert [*bar_runs("")] == []


def test_the_plot_begins_at_the_midnight_of_27_days_ago() -> None:
    assert plot_begin(datetime(2026, 3, 10, 23, 59, tzinfo=UTC)) == BEGIN


def test_sessions_become_steps_minutes_and_statuses_each_after_the_one_before() -> None:
    packed = PackedSessions()
    assert packed.add([40319 * 4 + 1, 0, 16 * 4 + 2, 49 * 4]) == 4
    assert packed.add([2015 * 4, 4031 * 4]) == 2
    assert packed.texts() == ["AAB" + "_" * 19 + "9" + "-" + "_A", "AQBO" + "fA", "sfsw" + "ss"]


def test_what_is_outside_the_28_days_is_left_out() -> None:
    packed = PackedSessions()
    assert packed.add([-1 * 4, 28 * 1440 * 4]) == 0
    assert packed.texts() == ["", "", ""]


def test_coves_total_is_drawn_only_where_no_source_is_known_and_a_device_without_sessions_has_none() -> None:
    sessions = [PlotSessions(1, "D09", [0]), PlotSessions(1, "D01", [0]), PlotSessions(2, "D09", [0])]
    sessions.append(PlotSessions(4, "D01", [0]))  # of another page's device
    found = sessions_by_source(sessions, [1, 2, 3])
    assert {account: [*sources] for account, sources in found.items()} == {1: ["D01"], 2: ["D09"], 3: []}

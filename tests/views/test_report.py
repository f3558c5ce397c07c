"""What the report says, from literals. Pure."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from cove_poller.records.columns import LABELS
from cove_poller.records.health.news import Condition
from cove_poller.records.health.overview import Overview, PlotSessions
from cove_poller.records.statuses import Status
from cove_poller.views.report import Report, make_report
from tests.world.states import CONFIG, NEVER, NOW, OFF, POLL, SILENT, ago, overview, plotted, source, state


def report(known: Overview, *sessions: PlotSessions) -> Report:
    return make_report(known, sessions, CONFIG)


def test_a_device_is_a_row_of_text() -> None:
    (row,) = report(overview(state(color_bar="5" * 27 + "2"))).rows
    assert (row.customer, row.name, row.device_type, row.condition, row.condition_word) == (
        "Example Bakery", "SRV1", "Server", "success", "Success",
    )  # fmt: skip
    assert (row.last_session, row.last_success, row.success_age) == (
        "2026-03-10 05:00", "2026-03-10 05:00", "3 hours ago",
    )  # fmt: skip
    assert row.bar == "s" * 27 + "f"


def test_a_device_that_never_ran_says_never() -> None:
    (row,) = report(overview(state(**NEVER, color_bar=""))).rows
    assert (row.last_session, row.last_success, row.success_age, row.bar) == ("never", "never", "", "")


def test_the_tiles_count_every_device_once_by_condition_and_by_last_success() -> None:
    found = report(
        overview(state(), state(status=Status.FAILED), state(last_success_at=ago(30)), state(**OFF), state(**NEVER))
    )
    assert [(tile.name, tile.word, tile.count) for tile in found.conditions] == [
        ("failed", "Failed", 1), ("stale", "Stale", 1), ("warning", "Warning", 0), ("never", "Never ran", 0),
        ("offline", "Offline", 1), ("running", "Running", 0), ("success", "Success", 2),
    ]  # fmt: skip
    assert [(tile.name, tile.word, tile.count) for tile in found.buckets] == [
        ("24h", "within 24 hours", 2), ("48h", "24 to 48 hours ago", 1), ("older", "over 48 hours ago", 1),
        ("never", "never", 1),
    ]  # fmt: skip


def test_all_is_quiet_after_a_good_poll() -> None:
    found = report(overview(state()))
    assert (found.notices, found.as_of, found.data_at) == ([], "2026-03-10 08:00", "2026-03-10 07:55 UTC")
    assert found.polls == ["main: 2026-03-10 07:55 UTC, 5 minutes ago"]


@pytest.mark.parametrize(
    ("changes", "is_loud", "said", "data_at"),
    [
        ({"last_outcome": "error", "last_error": "no"}, True, "5 minutes ago; the newest failed: no", "07:55"),
        ({"last_success_at": ago(3)}, True, "3 hours ago, so this is old", "05:00"),
        ({"last_outcome": "partial"}, False, "5 minutes ago; the newest could not read everything", "07:55"),
    ],
)
def test_what_may_be_old_is_said_loudly_and_dates_the_page(
    changes: dict[str, Any], is_loud: bool, said: str, data_at: str
) -> None:
    found = report(overview(polls=[replace(POLL, **changes)]))
    (notice,) = found.notices
    line = f"As of 2026-03-10 {data_at}Z: login main: last successful poll {said}"
    assert (notice.is_loud, notice.text, found.data_at) == (is_loud, line, f"2026-03-10 {data_at} UTC")


def test_a_login_that_was_never_polled_is_said_loudly_and_nobody_knows_how_old_the_page_is() -> None:
    found = report(overview(unpolled=["second"]))
    assert [(one.is_loud, "login second: has never been polled" in one.text) for one in found.notices] == [(True, True)]
    assert (found.polls[0], found.data_at) == ("second: never", "unknown time")


def test_the_details_are_what_the_browser_needs_to_sort_filter_and_unfold() -> None:
    sources = (
        source("failed", 2, **SILENT, errors_count=4, color_bar="52"),
        source("success", problem="could not be read", last_session_at=None, last_success_at=None, running=True),
        source("none", None, source="D02", last_session_at=None, last_success_at=None),
    )
    standing = (Condition("it is unreadable", ago(3), NOW),)
    device = state(sources=sources, running_since=ago(0.5), alert_after=timedelta(hours=26), standing=standing)
    details = report(overview(device), plotted(1, "D01", [(ago(3), "failed")])).details
    at = int(ago(3).timestamp())
    assert {name: details[name] for name in ("asOf", "oldSeconds", "begin", "sources")} == {
        "asOf": int(NOW.timestamp()), "oldSeconds": 5400,
        "begin": int((NOW - timedelta(days=27, hours=8)).timestamp()), "sources": LABELS,
    }  # fmt: skip
    assert details["devices"] == [
        [
            at, at, "24h", int(NOW.timestamp()),
            [
                "Running since 2026-03-10 07:30 UTC.", "srv1_x, account 1, login main.", "Job 1 in Backupchecks.",
                "Stale: SQL Server has had no session for 20 days; System State has had no success yet in 41 days.",
                "Since 2026-03-10 05:00 UTC: it is unreadable.",
                "Stale after 26 hours without a success.", "Last seen 2026-03-10 08:00 UTC.",
            ],
            [
                ["D10", "f", "Failed, no session for 20 days", int(ago(480).timestamp()), 4, "sf"],
                ["D01", "w", "could not be read, running", None, None, ""],
                ["D02", "n", "never ran, no success yet in 41 days", None, None, ""],
            ],
            {"D01": 1},
            None,
        ]
    ]  # fmt: skip
    assert details["runs"] == ["_" * 19 + "b", "M", "f"]


def test_what_is_wrong_with_a_login_itself_is_said_but_not_loudly() -> None:
    poll = replace(POLL, standing=(Condition("Cove refuses 2 columns", ago(3), NOW),))
    (notice,) = report(overview(polls=[poll])).notices
    assert (notice.is_loud, notice.text) == (False, "Login main: since 2026-03-10 05:00 UTC: Cove refuses 2 columns")


def test_a_device_without_a_job_says_so() -> None:
    facts = report(overview(state(job_id=None))).details["devices"][0][4]
    assert facts[1] == "Not linked to a job in Backupchecks yet."


def test_a_customers_page_says_nothing_of_logins_and_jobs_and_everybodys_does() -> None:
    known = overview(state())
    words = ("login main", "in Backupchecks")
    for for_customer in (True, False):
        text = str(make_report(known, [], CONFIG, for_customer=for_customer))
        assert [word in text for word in words] == [not for_customer] * 2

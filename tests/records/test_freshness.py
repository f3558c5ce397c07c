"""Whether the poller is alive, and the one wording for it, from literals. Pure."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from cove_poller.records.health.freshness import Freshness, all_freshness, poll_freshness, poll_warnings
from tests.world.states import LIMIT, NOW, POLL, overview


@pytest.mark.parametrize(
    ("changes", "freshness", "text"),
    [
        ({}, "fresh", "last successful poll 5 minutes ago"),
        ({"last_success_at": NOW - timedelta(minutes=90)}, "fresh", "last successful poll 90 minutes ago"),
        ({"last_success_at": NOW - timedelta(minutes=91)}, "overdue",
         "last successful poll 91 minutes ago, so this is old"),
        ({"last_outcome": "partial"}, "partial",
         "last successful poll 5 minutes ago; the newest could not read everything"),
        (
            {"last_outcome": "partial", "last_error": "x"},
            "broken off",
            "last successful poll 5 minutes ago; the newest could not read everything: x",
        ),
        (
            {"last_outcome": "error", "last_error": "Cove\nis \x1bdown"},
            "failed",
            "last successful poll 5 minutes ago; the newest failed: Cove is down",
        ),
        (
            {"last_outcome": "error", "last_error": "x", "last_success_at": NOW - timedelta(hours=9)},
            "overdue",
            "last successful poll 9 hours ago, so this is old; the newest failed: x",
        ),
        (
            {"last_outcome": "error", "last_success_at": None},
            "never",
            "no poll has ever been successful, so nothing is known of its devices; the newest failed",
        ),
        (None, "never", "has never been polled, so nothing is known of its devices"),
    ],
)  # fmt: skip
def test_a_poll_is_judged_by_the_age_of_the_last_success_and_then_by_the_newest(
    changes: dict[str, Any] | None, freshness: str, text: str
) -> None:
    found = poll_freshness("main", None if changes is None else replace(POLL, **changes), NOW, LIMIT)
    assert (found.freshness, found.text) == (freshness, text)
    assert found.is_old == (freshness in ("never", "overdue"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, []),
        ({"last_outcome": "partial"}, []),
        ({"last_outcome": "partial", "last_error": "x"}, ["As of 2026-03-10 07:55Z"]),
        ({"last_outcome": "error"}, ["As of 2026-03-10 07:55Z"]),
        ({"last_success_at": NOW - timedelta(hours=9)}, ["As of 2026-03-09 23:00Z"]),
        ({"last_success_at": None}, ["As of 2026-03-10 08:00Z"]),
    ],
)
def test_what_may_be_old_is_said_with_the_time_it_is_from(changes: dict[str, Any], said: list[str]) -> None:
    lines = poll_warnings(overview(polls=[replace(POLL, **changes)]))
    assert [line.partition(": login main: ")[0] for line in lines] == said


def test_every_login_is_judged_by_the_configured_limit_those_never_polled_first() -> None:
    known = replace(overview(unpolled=["new\nname"]), max_poll_age=timedelta(minutes=4))
    assert [(one.login, one.freshness) for one in all_freshness(known)] == [
        ("new\nname", Freshness.NEVER), ("main", Freshness.OVERDUE),
    ]  # fmt: skip
    assert poll_warnings(known)[0].startswith("As of 2026-03-10 08:00Z: login new name: has never been polled")

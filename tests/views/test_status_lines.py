"""`status` in a pipe, from literals. Pure."""

from dataclasses import replace
from typing import Any

import pytest

from cove_poller.records.health.news import Condition
from cove_poller.records.statuses import Status
from cove_poller.views.status_lines import HEADER, legend, status_lines
from tests.world.states import CONFIG, NEVER, NOW, POLL, SILENT, ago, overview, source, state


def the_row(**changes: Any) -> dict[str, str]:
    header, line = status_lines(overview(state(**changes)), CONFIG).splitlines()
    assert header == "\t".join(HEADER)
    return dict(zip(HEADER, line.split("\t"), strict=True))


STANDING = (Condition("it is\nunreadable", ago(3), NOW),)


def test_a_device_is_a_line_of_fixed_fields_behind_a_header() -> None:
    assert HEADER == (
        "CONDITION", "CUSTOMER", "DEVICE", "TYPE", "ACCOUNT", "LOGIN", "LAST_SESSION", "LAST_SUCCESS", "AGE", "SOURCES",
        "LAST_28_DAYS", "STANDING",
    )  # fmt: skip
    sources = (source("failed", 2, source="D10"), source())
    bar = "5" * 22 + "012879"
    assert tuple(the_row(sources=sources, status=Status.FAILED, color_bar=bar).values()) == (
        "failed", "Example Bakery", "SRV1", "Server", "1", "main", "2026-03-10T05:00Z", "2026-03-10T05:00Z", "3 hours",
        "SQL Server: Failed; Files and Folders", "+" * 22 + "->X!!>", "none",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        (NEVER, {"CONDITION": "stale", "LAST_SESSION": "never", "LAST_SUCCESS": "never", "SOURCES": "none"}),
        ({"last_success_at": ago(50)}, {"CONDITION": "stale", "AGE": "2 days"}),
        ({"sources": (source(**SILENT),)}, {"CONDITION": "stale", "SOURCES": "SQL Server: no session for 20 days"}),
        ({"standing": STANDING}, {"STANDING": "since 2026-03-10 05:00Z: it is unreadable"}),
        ({"color_bar": ""}, {"LAST_28_DAYS": ""}),
        ({"customer": "[red]E\tv\nil\x1b[31m \u202egnp"}, {"CUSTOMER": "[red]E v il[31m gnp"}),
        ({"login": "a\tb"}, {"LOGIN": "a b"}),
        ({"computer_name": "\x1b\u202e"}, {"DEVICE": "?"}),
    ],
)  # fmt: skip
def test_what_is_not_there_and_what_is_hostile_keeps_the_line_whole(
    changes: dict[str, Any], fields: dict[str, str]
) -> None:
    row = the_row(**changes)
    assert {name: row[name] for name in fields} == fields


def test_the_configured_meaning_of_a_code_counts_in_the_bar_too() -> None:
    config = CONFIG.model_copy(update={"status": {6: "failed"}})
    assert status_lines(overview(state(color_bar="56")), config).endswith("\t+X\tnone")


def test_what_is_old_is_said_before_the_header_and_without_devices_there_is_the_header_alone() -> None:
    old = overview(polls=[replace(POLL, last_success_at=ago(9))])
    assert status_lines(old, CONFIG).splitlines() == [
        "As of 2026-03-09 23:00Z: login main: last successful poll 9 hours ago, so this is old", "\t".join(HEADER),
    ]  # fmt: skip


def test_what_is_wrong_with_a_login_itself_is_said_before_the_header() -> None:
    first, *_ = status_lines(overview(polls=[replace(POLL, standing=STANDING)]), CONFIG).splitlines()
    assert first == "login main: since 2026-03-10 05:00Z: it is unreadable"


def test_the_legend_leaves_nothing_out() -> None:
    assert legend() == "Days, today on the right: + success, ! warning, X failed, > running, - none"

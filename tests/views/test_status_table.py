"""`status` on a terminal, drawn from literals. Pure."""

import io
import re
from dataclasses import replace
from datetime import UTC, timedelta, timezone, tzinfo
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from cove_poller.records.health.news import Condition
from cove_poller.records.health.overview import Overview, only
from cove_poller.records.statuses import Status
from cove_poller.views.status_lines import legend
from cove_poller.views.status_table import status_table
from tests.world.states import CONFIG, POLL, SILENT, ago, overview, source, state


def drawn(known: Overview, width: int = 120, name: str | None = "problem", zone: tzinfo = UTC) -> str:
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=True, color_system="standard", highlight=False)
    console.print(status_table(known, only(known, name), CONFIG, width, zone))
    return file.getvalue()


def plain(printed: str) -> list[str]:
    return [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", printed).splitlines()]


FAILED: dict[str, Any] = {
    "status": Status.FAILED,
    "sources": (source("failed", 2, source="D10", errors_count=2, failing_since=ago(27)), source()),
}


def test_the_totals_come_first_then_a_line_for_each_device_that_needs_attention_and_nobody_else() -> None:
    devices = [
        state(),
        state(account_id=2, job_id=None, customer="Example Dental", computer_name="LONELY"),
        state(account_id=3, **FAILED, color_bar="5" * 26 + "52"),
        state(account_id=4, sources=(source(**SILENT),)),
    ]
    assert plain(drawn(overview(*devices)))[:9] == [
        "4 devices, 3 need attention (2026-03-10 08:00 UTC)",
        "Condition: 1 failed, 1 stale, 2 success, 1 unlinked",
        "Last success: 4 within 24 h, 0 within 48 h, 0 longer ago, 0 never",
        legend(),
        "",
        "CUSTOMER        DEVICE  WHAT                                SINCE (UTC)       LAST 28 DAYS",
        "Example Bakery  SRV1    SQL Server: Failed (2 errors)       2026-03-09 05:00  " + "+" * 27 + "X",
        "Example Bakery  SRV1    SQL Server: no session for 20 days  2026-03-10 07:00  " + "+" * 28,
        "Example Dental  LONELY  belongs to no job                   2026-01-27 16:00  " + "+" * 28,
    ]


def test_everybody_is_listed_when_asked_for_with_the_condition_where_nothing_is_wrong() -> None:
    last = plain(drawn(overview(state()), name=None))[-1]
    assert last == "Example Bakery  SRV1    success  2026-03-10 05:00  " + "+" * 28


def test_without_anybody_in_trouble_there_are_the_totals_alone() -> None:
    assert plain(drawn(overview(state())))[0] == "1 device, none needs attention (2026-03-10 08:00 UTC)"
    assert len(plain(drawn(overview(state())))) == 4


def test_times_are_in_the_zone_that_the_head_names() -> None:
    printed = plain(drawn(overview(state(**FAILED)), zone=timezone(timedelta(hours=1), "CET")))
    assert "(2026-03-10 09:00 CET)" in printed[0]
    assert "SINCE (CET)" in printed[-2]
    assert "2026-03-09 06:00" in printed[-1]


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_two_thousand_devices_of_which_60_need_attention_are_60_lines_and_a_head(width: int) -> None:
    named = {"customer": "A customer with a rather long name", "computer_name": "SRV-0815-BACKUP"}
    known = overview(*(state(account_id=one, **named, **(FAILED if one < 60 else {})) for one in range(2000)))
    lines = plain(drawn(known, width))
    assert len(lines) == 6 + 60
    assert max(map(cell_len, lines)) <= width


LONG: dict[str, Any] = {"customer": "株式会社サンプル" * 9, "computer_name": "SRV" * 40}


@pytest.mark.parametrize("width", [40, 80, 100, 120, 200])
@pytest.mark.parametrize("names", [LONG, {"customer": "A", "computer_name": "B"}])
def test_no_line_of_a_device_is_wider_than_the_terminal(width: int, names: dict[str, Any]) -> None:
    known = overview(*(state(account_id=one, **FAILED, **names) for one in range(60)))
    lines = plain(drawn(known, width))
    assert len([line for line in lines if f"{'2026-' * (width >= 100)}03-09 05:00" in line]) == 60
    assert max(map(cell_len, lines)) <= width


def test_marks_mean_the_same_without_colour() -> None:
    printed = drawn(overview(state(**FAILED, color_bar="52")))
    assert "\x1b[30;42m+" in printed  # a success is green, and a plus
    assert "\x1b[37;41mX" in printed


def test_what_sync_told_of_a_device_is_its_line_with_its_beginning() -> None:
    told = (Condition("Example Bakery, SRV1 (device 1): Cove sends no name for it", ago(3), ago(3), True),)
    lines = plain(drawn(overview(state(standing=told), polls=[replace(POLL, standing=told)])))
    assert lines[0].startswith("login main: since 2026-03-10 05:00Z: Example Bakery, SRV1")
    assert re.search(r"SRV1 +Cove sends no name for it +2026-03-10 05:00", lines[-1])


def test_hostile_names_are_text_and_never_markup_nor_control_characters() -> None:
    printed = drawn(overview(state(**FAILED, customer="[red]Evil[/red] \x1b[2J\u202e")))
    assert "[red]Evil[/red] [2J" in printed
    assert "\x1b[2J" not in printed
    assert "\u202e" not in printed


def test_what_is_old_is_said_first() -> None:
    assert "so this is old" in drawn(overview(state(), polls=[replace(POLL, last_success_at=ago(9))])).splitlines()[0]


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_of_2000_devices_the_60_that_need_attention_are_a_line_each_below_a_head_at_any_width(width: int) -> None:
    long = {
        "customer": "Example Bakery and Sons International Holding",
        "computer_name": "SRV-FILES-AND-SQL-0001",
    }
    bad: list[dict[str, Any]] = [
        {**FAILED, "color_bar": "5" * 26 + "52"}, {"sources": (source(**SILENT),)}, {"job_id": None, **long},
    ]  # fmt: skip
    devices = [state(account_id=number, **(bad[number % 3] if number < 60 else {})) for number in range(2000)]
    lines = plain(drawn(overview(*devices), width))
    heading = next(number for number, line in enumerate(lines) if line.startswith("CUSTOMER"))
    assert lines[0].startswith("2000 devices, 60 need attention")
    assert len(lines[heading + 1 :]) == 60
    assert heading <= 8  # the totals and the legend, wrapped on a narrow terminal
    assert max(map(cell_len, lines)) <= width
    assert all(re.search(r"\d\d-\d\d \d\d:\d\d|\?", line) for line in lines[heading + 1 :])

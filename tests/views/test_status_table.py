"""`status` on a terminal, drawn from literals. Pure."""

import io
import re
from dataclasses import replace

from rich.console import Console

from cove_poller.records.health.news import Condition
from cove_poller.records.health.overview import Overview
from cove_poller.records.statuses import Status
from cove_poller.views.status_lines import legend, summary
from cove_poller.views.status_table import status_table
from tests.world.states import CONFIG, POLL, ago, overview, source, state


def drawn(known: Overview) -> str:
    file = io.StringIO()
    console = Console(file=file, width=220, force_terminal=True, color_system="standard", highlight=False)
    console.print(status_table(known, CONFIG))
    return file.getvalue()


def test_a_table_by_customer_has_marks_that_mean_the_same_without_colour_the_legend_and_the_counts() -> None:
    devices = [
        state(color_bar="52"), state(account_id=2, job_id=None, customer="Example Dental", computer_name="LONELY"),
        state(account_id=3, status=Status.WARNING, sources=(source("warning", 6),)),
    ]  # fmt: skip
    known = overview(*devices)
    printed = drawn(known)
    text = re.sub(r"\x1b\[[0-9;]*m", "", printed)
    assert "\x1b[30;42m+" in printed  # a success is green, and a plus
    assert "\x1b[37;41mX" in printed
    assert text.count("Example Bakery") == 1
    assert re.search(r"LONELY +Server +success, unlinked +2026-03-10 05:00 +2026-03-10 05:00 \(3 hours\)", text)
    assert re.search(r"warning +.*Files and Folders: Interrupted", text)
    assert [line.strip() for line in text.splitlines()[-3:]] == [legend(), *summary(known)]


def test_what_stands_is_listed_below_with_its_beginning() -> None:
    standing = (Condition("device 1 srv1_x: System State: could not be read", ago(3), ago(3)),)
    text = drawn(overview(state(standing=standing), polls=[replace(POLL, standing=standing)]))
    line = "since 2026-03-10 05:00Z: device 1 srv1_x: System State: could not be read"
    assert [one.strip() for one in text.splitlines()[-5:-3]] == [f"login main: {line}", line]


def test_hostile_names_are_text_and_never_markup_nor_control_characters() -> None:
    printed = drawn(overview(state(customer="[red]Evil[/red] \x1b[2J\u202e")))
    assert "[red]Evil[/red] [2J" in printed
    assert "\x1b[2J" not in printed
    assert "\u202e" not in printed


def test_what_is_old_is_said_first() -> None:
    assert "so this is old" in drawn(overview(state(), polls=[replace(POLL, last_success_at=ago(9))])).splitlines()[0]

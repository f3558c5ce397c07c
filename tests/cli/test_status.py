"""`status` as the installed command: in a pipe, on a terminal, as JSON, and when what it shows is old."""

import csv
import json
import re
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from cove_poller.cli.status import ONLY as CHOICES
from cove_poller.records.health.overview import ONLY
from tests.world.terminal import Terminal
from tests.world.watched import BUCKETS, CONDITIONS, COUNTS, NOW, Watched


def rows(stdout: str) -> list[dict[str, str]]:
    """The lines behind the header."""
    header, *lines = stdout.splitlines()
    return [dict(zip(header.split("\t"), line.split("\t"), strict=True)) for line in lines]


def the_json(site: Watched, *arguments: str) -> dict[str, Any]:
    content = json.loads(site.cli("status", "--json", *arguments).stdout)
    assert isinstance(content, dict)
    return content


def test_a_pipe_gets_a_line_per_device_worst_first_and_a_customer_is_found_by_any_part_of_its_name(
    watched_site: Watched,
) -> None:
    done = watched_site.cli("status")
    found = rows(done.stdout)
    assert (done.returncode, done.stderr, done.stdout.isascii()) == (0, "", True)
    assert [row["CONDITION"] for row in found if row["CUSTOMER"] == "Example Bakery"] == [
        "failed", "stale", "warning", "never", "offline", "running", "success",
    ]  # fmt: skip
    assert {row["DEVICE"]: row["CONDITION"] for row in found if row["ACCOUNT"] != "9"} == CONDITIONS
    by_device = {row["DEVICE"]: row for row in found}
    assert by_device["FAIL"]["SOURCES"] == "SQL Server: Failed; Files and Folders"
    assert by_device["STALE"]["LAST_SUCCESS"] == f"{NOW - timedelta(hours=62):%Y-%m-%dT%H:%MZ}"
    assert set(by_device["OFF"]["LAST_28_DAYS"]) == {"-", "+"}
    assert by_device["OFF"]["LAST_28_DAYS"].index("+") in (27 - 20, 27 - 21)  # 20 days ago, by the day's border
    chosen = rows(watched_site.cli("status", "--customer", "dENT", "--only", "unlinked").stdout)
    assert [row["DEVICE"] for row in chosen] == ["LONELY"]


def test_every_filter_of_the_overview_can_be_asked_for(watched_site: Watched) -> None:
    assert list(ONLY) == CHOICES
    found = {name: {row["DEVICE"] for row in rows(watched_site.cli("status", "--only", name).stdout)} for name in ONLY}
    by_condition = {name: {device for device, one in CONDITIONS.items() if one == name} for name in ONLY}
    for name in ("failed", "stale", "never", "offline"):
        assert found[name] == by_condition[name]
    assert found["warning"] == by_condition["warning"] | {"STALE"}  # what is silent is a warning, too
    assert found["problem"] >= found["failed"] | found["stale"] | found["warning"] | found["unlinked"]
    assert found["problem"].isdisjoint(found["offline"] | found["never"])


def test_a_terminal_gets_the_totals_and_who_needs_attention_in_colours_unless_there_may_be_none(
    watched_site: Watched,
) -> None:
    assert "\x1b[30;42m+" in watched_site.on_terminal("status")
    plain = watched_site.on_terminal("status", NO_COLOR="1")
    assert "\x1b" not in plain
    lines = [line.rstrip() for line in plain.splitlines()]
    assert lines[0].startswith("9 devices, 4 need attention (")
    assert lines[2] == "Last success: 4 within 24 h, 2 within 48 h, 2 longer ago, 1 never"
    began = f"{NOW - timedelta(hours=2):%Y-%m-%d %H:%M}"
    assert re.search(rf"FAIL +SQL Server: Failed +{began}", plain)
    assert len(lines) == 10
    assert len(watched_site.on_terminal("status", "--all", NO_COLOR="1").splitlines()) == 15


@pytest.mark.parametrize("columns", [80, 100, 120, 200])
def test_no_terminal_is_too_narrow_for_a_line_a_device(watched_site: Watched, columns: int) -> None:
    terminal = Terminal(watched_site.cli, "status", "--utc", columns=columns, streams=["stdout"], NO_COLOR="1")
    assert terminal.finish() == 0
    _, _, table = terminal.text.replace("\r", "").partition("\n\n")
    assert [len(line) <= columns for line in table.splitlines()] == [True] * 5


def test_local_times_have_the_zone_of_this_machine(watched_site: Watched) -> None:
    assert "SINCE (EAT)" in watched_site.on_terminal("status", NO_COLOR="1", TZ="EAT-3")
    assert "SINCE (UTC)" in watched_site.on_terminal("status", "--utc", NO_COLOR="1", TZ="EAT-3")


def test_what_began_since_then_is_all_that_is_listed(watched_site: Watched) -> None:
    found = {row["DEVICE"] for row in rows(watched_site.cli("status", "--only", "problem", "--since", "90m").stdout)}
    assert found == {"WARN", "LONELY"}  # FAIL began two hours ago; LONELY was first seen at the poll
    assert "FAIL" in watched_site.cli("status", "--since", "yesterday").stdout
    assert watched_site.cli("status", "--since", "2999-01-01").returncode == 2


def test_csv_has_a_line_per_device_that_no_spreadsheet_takes_for_a_formula(watched_site: Watched) -> None:
    found = list(csv.DictReader(watched_site.cli("status", "--csv").stdout.splitlines()))
    assert len(found) == 9
    (fail,) = (row for row in found if row["device"] == "FAIL")
    assert (fail["condition"], fail["problem"], fail["since"]) == (
        "failed", "SQL Server: Failed", f"{NOW - timedelta(hours=2):%Y-%m-%dT%H:%M:%SZ}",
    )  # fmt: skip


def test_a_customer_that_nobody_is_called_is_an_error_that_names_those_near(watched_site: Watched) -> None:
    done = watched_site.cli("status", "--customer", "Exemple Bakery")
    assert done.returncode == 2
    assert "no customer has 'Exemple Bakery' in its name; there are: Example Bakery" in done.stderr


def test_json_has_the_counts_the_polls_and_every_device(watched_site: Watched) -> None:
    content = the_json(watched_site)
    assert (content["counts"], content["buckets"], content["warnings"]) == (COUNTS, BUCKETS, [])
    assert (len(content["devices"]), [one["is_old"] for one in content["polls"]]) == (9, [False])
    (fail,) = (one for one in content["devices"] if one["account_id"] == 2)
    assert fail["any_success_at"] == f"{NOW - timedelta(hours=2.1):%Y-%m-%dT%H:%M:%SZ}"
    assert fail["last_success_at"] == f"{NOW - timedelta(hours=26):%Y-%m-%dT%H:%M:%SZ}"
    assert fail["sources"][0]["last_success_at"] == f"{NOW - timedelta(hours=26):%Y-%m-%dT%H:%M:%SZ}"
    assert [one["is_linked"] for one in content["devices"] if one["name"] == "LONELY"] == [False]


def test_an_old_state_is_never_shown_without_saying_so_first(own_watched: Watched) -> None:
    own_watched.age_polls(timedelta(hours=9, minutes=1))
    since = NOW - timedelta(hours=9, minutes=1)
    said = f"As of {since:%Y-%m-%d %H:%M}Z: login main: last successful poll 9 hours ago, so this is old"
    assert own_watched.cli("status").stdout.splitlines()[0] == said
    content = the_json(own_watched)
    assert (content["warnings"], content["polls"][0]["is_old"], content["exit_code"]) == ([said], True, 0)


def test_status_without_a_database_fails_in_json_too_and_makes_none(own_watched: Watched) -> None:
    (own_watched.cli.directory / "cove.db").unlink()
    done = own_watched.cli("status", "--json")
    assert (done.returncode, json.loads(done.stdout)["error"]["code"]) == (14, "database")
    assert not (own_watched.cli.directory / "cove.db").exists()


def test_status_reads_while_a_long_run_holds_the_database(own_watched: Watched) -> None:
    engine = sa.create_engine(own_watched.database_url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        assert own_watched.cli("status").returncode == 0

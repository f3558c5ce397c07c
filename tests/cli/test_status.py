"""`status` as the installed command: in a pipe, on a terminal, as JSON, and when what it shows is old."""

import json
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from cove_poller.cli.status import ONLY as CHOICES
from cove_poller.records.health.overview import ONLY
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


def test_a_terminal_gets_a_table_in_colours_unless_there_may_be_none(watched_site: Watched) -> None:
    assert "\x1b[30;42m+" in watched_site.on_terminal("status")
    plain = watched_site.on_terminal("status", NO_COLOR="1")
    assert "\x1b" not in plain
    assert "9 devices. Last success: 4 within 24 h, 2 within 48 h, 2 longer ago, 1 never." in plain


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

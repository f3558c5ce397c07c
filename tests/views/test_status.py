"""`status` as people and scripts meet it: on a terminal, in a pipe, as JSON, and when what it shows is old."""

import json
import re
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from tests.world.watched import BUCKETS, CONDITIONS, COUNTS, NOW, Watched

FIELDS = [
    "CONDITION", "CUSTOMER", "DEVICE", "TYPE", "ACCOUNT", "LOGIN", "LAST_SESSION", "LAST_SUCCESS", "AGE", "SOURCES",
    "LAST_28_DAYS",
]  # fmt: skip


def rows(stdout: str) -> list[dict[str, str]]:
    """The lines behind the header."""
    header, *lines = stdout.splitlines()
    assert header.split("\t") == FIELDS
    return [dict(zip(FIELDS, line.split("\t"), strict=True)) for line in lines]


def the_json(site: Watched, *arguments: str) -> dict[str, Any]:
    content = json.loads(site.cli("status", "--json", *arguments).stdout)
    assert isinstance(content, dict)
    return content


def test_a_pipe_gets_a_header_and_a_whole_line_of_fixed_fields_per_device_worst_first(any_watched: Watched) -> None:
    done = any_watched.cli("status")
    found = rows(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert [row["CONDITION"] for row in found if row["CUSTOMER"] == "Example Bakery"] == [
        "failed", "stale", "warning", "never", "offline", "running", "success",
    ]  # fmt: skip
    assert {row["DEVICE"]: row["CONDITION"] for row in found if row["ACCOUNT"] != "9"} == CONDITIONS
    by_device = {row["DEVICE"]: row for row in found}
    assert by_device["FAIL"]["SOURCES"] == "SQL Server: Failed; Files and Folders"
    assert by_device["STALE"]["LAST_SUCCESS"] == f"{NOW - timedelta(hours=50):%Y-%m-%dT%H:%MZ}"
    assert by_device["STALE"]["AGE"] == "2 days"
    assert (by_device["NEW"]["LAST_SUCCESS"], by_device["NEW"]["AGE"]) == ("never", "never")
    assert set(by_device["OFF"]["LAST_28_DAYS"]) == {"-", "+"}
    assert by_device["OFF"]["LAST_28_DAYS"].index("+") in (27 - 20, 27 - 21)  # 20 days ago, by the day's border
    assert done.stdout.isascii()


def test_hostile_names_stay_harmless_text_on_one_line(watched_site: Watched) -> None:
    for printed in (watched_site.cli("status").stdout, watched_site.on_terminal("status", NO_COLOR="1")):
        assert "[red]Evil[/red]" in printed
        assert "\x1b" not in printed
        assert "\u202e" not in printed
    (evil,) = (row for row in rows(watched_site.cli("status").stdout) if row["ACCOUNT"] == "9")
    assert evil["CUSTOMER"] == "[red]Evil[/red] [31mInc|gnp Co Ltd"
    assert evil["DEVICE"] == 'X"\\' + "Y" * 300


def test_a_terminal_gets_a_table_with_marks_and_colours_a_legend_and_the_counts(watched_site: Watched) -> None:
    printed = watched_site.on_terminal("status")
    text = re.sub(r"\x1b\[[0-9;]*m", "", printed)
    assert "\x1b[30;42m+" in printed  # a success is green, and a plus
    assert "\x1b[37;41mX" in printed
    assert text.count("Example Bakery") == 1
    assert "Last 28 days, today on the right: + success, ! warning, X failed, > running, - none" in text
    assert "9 devices. Last success: 5 within 24 h, 1 within 48 h, 2 longer ago, 1 never." in text
    assert "1 failed, 1 stale, 1 warning, 1 never, 1 offline, 1 running, 3 success" in text
    assert re.search(r"LONELY +Server +success, unlinked", text)


def test_json_has_every_field_the_counts_the_buckets_and_the_polls(any_watched: Watched) -> None:
    content = the_json(any_watched)
    assert list(content) == [
        "command", "outcome", "exit_code", "started_at", "duration_seconds", "as_of", "warnings", "polls",
        "unpolled_logins", "counts", "buckets", "devices", "error",
    ]  # fmt: skip
    assert (content["counts"], content["buckets"], content["warnings"]) == (COUNTS, BUCKETS, [])
    (poll,) = content["polls"]
    assert (poll["login"], poll["last_outcome"], poll["is_old"]) == ("main", "ok", False)
    (fail,) = (one for one in content["devices"] if one["account_id"] == 2)
    assert fail["last_success_at"] == f"{NOW - timedelta(hours=2.1):%Y-%m-%dT%H:%M:%SZ}"
    assert (fail["customer"], fail["condition"], fail["is_linked"]) == ("Example Bakery", "failed", True)
    assert fail["alert_after_seconds"] == 48 * 3600
    sql = fail["sources"][0]
    assert (sql["source"], sql["name"], sql["status"], sql["status_code"]) == ("D10", "SQL Server", "failed", 2)
    assert sql["last_success_at"] == f"{NOW - timedelta(hours=26):%Y-%m-%dT%H:%M:%SZ}"
    assert [one["is_linked"] for one in content["devices"] if one["name"] == "LONELY"] == [False]


@pytest.mark.parametrize(
    ("only", "names"),
    [
        ("failed", {"FAIL"}), ("warning", {"WARN"}), ("stale", {"STALE"}), ("running", {"RUN"}),
        ("unlinked", {"LONELY"}),
    ],
)  # fmt: skip
def test_only_shows_such_devices_alone(watched_site: Watched, only: str, names: set[str]) -> None:
    assert {row["DEVICE"] for row in rows(watched_site.cli("status", "--only", only).stdout)} == names


def test_customer_takes_any_part_of_a_name_in_any_case(watched_site: Watched) -> None:
    assert {row["DEVICE"] for row in rows(watched_site.cli("status", "--customer", "dENT").stdout)} == {"LONELY"}
    assert rows(watched_site.cli("status", "--customer", "nobody").stdout) == []


def test_an_old_state_is_never_shown_without_saying_so_first(own_watched: Watched) -> None:
    own_watched.age_polls(timedelta(hours=9, minutes=1))
    first = own_watched.cli("status").stdout.splitlines()[0]
    since = NOW - timedelta(hours=9, minutes=1)
    said = f"As of {since:%Y-%m-%d %H:%M}Z: the last successful poll of login main was 9 hours ago, so this is old"
    assert first == said
    assert own_watched.on_terminal("status", NO_COLOR="1").startswith(said)
    content = the_json(own_watched)
    assert (content["warnings"], content["polls"][0]["is_old"], content["exit_code"]) == ([said], True, 0)


def test_a_newest_poll_that_failed_is_said_though_one_before_was_good(own_watched: Watched) -> None:
    own_watched.execute(
        "INSERT INTO cove_polls (command, login, started_at, finished_at, outcome, exit_code, error)"
        " SELECT command, login, started_at, finished_at, 'error', 13, 'Cove is down' FROM cove_polls"
    )
    first = own_watched.cli("status").stdout.splitlines()[0]
    assert "the newest poll of login main failed; what is shown is from" in first
    assert first.endswith("(Cove is down)")


def test_a_login_that_was_never_polled_is_said(own_watched: Watched) -> None:
    own_watched.execute("DELETE FROM cove_polls")
    assert "login main has never been polled" in own_watched.cli("status").stdout.splitlines()[0]


def test_devices_of_a_login_that_is_not_configured_are_not_shown_as_if_they_were_watched(own_watched: Watched) -> None:
    own_watched.execute("UPDATE cove_devices SET login = 'former' WHERE account_id = 1")
    done = own_watched.cli("status")
    assert "login former has never been polled" in done.stdout.splitlines()[0]
    assert "\tOK\t" in done.stdout


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

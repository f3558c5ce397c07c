"""The installed command as a process: output, JSON, logs and exit codes, as cron and people meet them."""

import json
import re
import shlex
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest

from cove_poller import errors
from cove_poller.cli.program import program
from tests.conftest import Cli, the_json, wait_for
from tests.world.fake_cove import FakeCove, Fleet, HttpAnswer, make_fleet, serving
from tests.world.forked import Process
from tests.world.terminal import Terminal

NOW = datetime.now(UTC).replace(microsecond=0)
"""The command has the real clock, by which nothing may be stale here."""


@pytest.fixture
def fleet() -> Fleet:
    return make_fleet(seed=4, begin=NOW - timedelta(days=2), days=2, devices=8)


@pytest.fixture
def cove(fleet: Fleet) -> Iterator[FakeCove]:
    with serving(FakeCove(fleet, NOW)) as cove:
        yield cove


@pytest.fixture
def cli(cli: Cli, cove: FakeCove) -> Cli:
    """The command, configured for the fake Cove and SQLite."""
    cli.configure(cove)
    return cli


def test_sync_in_cron_prints_nothing_when_all_is_well(cli: Cli) -> None:
    done = cli("sync")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_sync_on_a_terminal_says_what_it_did(cli: Cli) -> None:
    terminal = Terminal(cli, "sync", streams=["stdout"])
    assert terminal.finish() == 0
    assert terminal.text.startswith("main: 8 devices, ")
    assert "job runs: " in terminal.text


def test_sync_json_is_one_object_with_the_agreed_keys(cli: Cli) -> None:
    content = the_json(cli("sync", "--json").stdout)
    assert list(content) == ["command", "outcome", "exit_code", "started_at", "duration_seconds", "logins"]
    assert (content["command"], content["outcome"], content["exit_code"]) == ("sync", "ok", 0)
    assert content["started_at"].endswith("Z")
    (login,) = content["logins"]
    assert list(login) == [
        "login", "partner_id", "devices", "requests", "login_requests", "sessions", "job_runs", "running", "unlinked",
        "gaps", "spooled", "warnings", "standing", "error",
    ]  # fmt: skip
    assert login["sessions"].keys() == {"new", "updated", "unchanged"}
    assert login["job_runs"].keys() == {"new", "updated", "unchanged", "protected"}
    assert (login["devices"], login["login_requests"], login["error"]) == (8, 1, None)


def test_json_is_printed_on_failure_too_and_the_person_gets_text_on_stderr(cli: Cli, cove: FakeCove) -> None:
    cove.password = "another"
    done = cli("sync", "--json")
    content = the_json(done.stdout)
    assert (done.returncode, content["exit_code"], content["outcome"]) == (11, 11, "error")
    assert content["logins"][0]["error"]["code"] == "login_rejected"
    assert "Unknown partner/username or bad password" in done.stderr


def test_a_failure_says_what_happened_to_which_login_what_is_safe_and_what_to_do(cli: Cli, cove: FakeCove) -> None:
    cove.password = "another"
    first, second, third, *_ = cli("sync").stderr.splitlines()
    assert first == "cove-poller sync exited with code 11:"
    assert second == (
        "login main: Cove rejects user api-poller with no partner name: error 2100, \"Unknown partner/username or bad"
        ' password". Check user, password and, to the letter, the partner name in Cove\'s console'
    )  # fmt: skip
    assert third == "  No backup data was read or written. Fix the login, then run `cove-poller test-login`."


def test_dry_run_says_so_and_lists_what_it_would_create(cli: Cli) -> None:
    done = cli("sync", "--dry-run")
    assert done.stdout.startswith(
        "Nothing was written: this is what would be.\n"
        "8 devices: 0 with a job in Backupchecks, 0 unlinked; 8 new jobs, 3 new customers\nmain: 8 devices"
    )
    assert '    "Example Bakery 0 (it0@example.com)" = "Example Bakery 0"\n' in done.stdout
    assert "  would create job SRV0 (Example Bakery 0 (it0@example.com))\n" in done.stdout
    preview = json.loads(cli("sync", "--dry-run", "--json").stdout)["preview"]
    assert {name: preview[name] for name in ("devices", "matched", "unlinked")} == {
        "devices": 8, "matched": 0, "unlinked": 0,
    }  # fmt: skip
    assert (len(preview["new_jobs"]), len(preview["new_customers"])) == (8, 3)
    assert preview["new_customers"][0].keys() == {"cove_name", "name", "near", "toml"}
    assert cli("sync").returncode == 0
    assert json.loads(cli("sync", "--dry-run", "--json").stdout)["preview"]["matched"] == 8
    assert "preview" not in json.loads(cli("sync", "--json").stdout)


@pytest.mark.parametrize("flags", [(), ("-vv",), ("-vv", "--log-format", "json")])
@pytest.mark.parametrize("is_right", [True, False])
def test_no_secret_is_in_any_output_at_any_verbosity(
    cli: Cli, cove: FakeCove, flags: tuple[str, ...], is_right: bool
) -> None:
    secret = cove.password
    if not is_right:
        cove.password = "another"
    outputs = [cli(*flags, command, "--json") for command in ("sync", "test-login")]
    outputs += [cli(*flags, "config", "show"), cli(*flags, "config", "check"), cli(*flags, "migrate", "--dry-run")]
    everything = "".join(done.stdout + done.stderr for done in outputs)
    assert outputs[0].stdout
    for hidden in (secret, *cove.visas):
        assert hidden not in everything


def test_logs_go_to_stderr_as_text_or_as_a_json_object_a_line(cli: Cli) -> None:
    assert " DEBUG Login: " in cli("-vv", "sync").stderr
    lines = cli("-vv", "--log-format", "json", "sync").stderr.splitlines()
    assert all({"time", "level", "logger", "message"} <= json.loads(line).keys() for line in lines)
    assert lines


def test_test_login_says_who_and_where_and_writes_no_backup_data(cli: Cli, cove: FakeCove) -> None:
    done = cli("test-login")
    host = cove.url.removeprefix("http://").removesuffix("/jsonapi")
    assert done.stdout == (
        f"main: logged in at {host}\n  user: api-poller\n  partner: Example MSP (admin@example.com) (id 1000)\n"
        "  devices visible: 8\n  columns refused: none\n"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert not (cli.directory / "cove.db").exists()


def test_test_login_lets_a_rejected_login_be_tried_again(cli: Cli, cove: FakeCove) -> None:
    right, cove.password = cove.password, "another"
    assert cli("sync").returncode == 11
    cove.password = right
    assert cli("sync").returncode == 11
    assert cove.count("Login") == 1
    assert cli("test-login").returncode == 0
    assert cli("sync").returncode == 0


def test_a_login_that_test_login_finds_rejected_is_not_tried_by_sync(cli: Cli, cove: FakeCove) -> None:
    cli("sync")
    cove.password = "another"
    assert cli("test-login").returncode == 11
    before = len(cove.requests)
    assert cli("sync").returncode == 11
    assert len(cove.requests) == before


def test_test_login_works_where_the_partners_name_may_not_be_asked_for(cli: Cli, cove: FakeCove) -> None:
    cove.faults.forbidden_methods = frozenset({"GetPartnerInfoById"})
    content = the_json(cli("test-login", "--json").stdout)
    assert content["logins"][0]["partner_name"] is None
    assert content["logins"][0]["devices"] == 8


def test_one_failing_login_does_not_stop_the_others(cli: Cli, cove: FakeCove) -> None:
    cli.configure(cove, '[logins.other]\nusername = "nobody"\npassword = "wrong"\n')
    done = cli("sync", "--json")
    content = the_json(done.stdout)
    assert (done.returncode, content["outcome"]) == (3, "partial")
    assert [login["error"] and login["error"]["code"] for login in content["logins"]] == [None, "login_rejected"]
    assert cli("sync", "--login", "main").returncode == 0
    assert cli("sync", "--login", "other").returncode == 11


def test_an_unknown_login_is_wrong_usage_and_the_known_ones_are_named(cli: Cli) -> None:
    done = cli("sync", "--login", "mian")
    assert done.returncode == 2
    assert "there is no login 'mian'; configured are: main" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "command", "said"),
    [
        (["sync", "--json", "--login", "mian"], "sync", "there is no login 'mian'"),
        (["status", "--json", "--only", "bad"], "status", "'bad' is not one of"),
        (["devices", "list", "--json", "--no-such-option"], "devices", "No such option"),
        (["--no-such-option", "sync", "--json"], "cove-poller", "No such option"),
    ],
)
def test_wrong_usage_is_one_json_object_too(cli: Cli, arguments: list[str], command: str, said: str) -> None:
    done = cli(*arguments)
    content = the_json(done.stdout)
    assert (done.returncode, content["exit_code"], content["outcome"]) == (2, 2, "error")
    assert (content["command"], content["error"]["code"]) == (command, "usage")
    assert said in content["error"]["message"]
    assert said in done.stderr


@pytest.fixture
def hanging(cli: Cli, cove: FakeCove) -> Process:
    """A sync that waits for Cove's answer."""
    cli("sync")
    cove.faults.slow_seconds = 30
    before = len(cove.arrived)
    process = cli.start("sync", "--json")
    wait_for(lambda: len(cove.arrived) > before)
    return process


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_run_that_is_told_to_stop_says_so_and_closes_its_audit_row(
    cli: Cli, hanging: Process, number: int, code: int
) -> None:
    hanging.send_signal(number)
    stdout, stderr = hanging.communicate(timeout=20)
    assert hanging.returncode == code
    assert the_json(stdout)["exit_code"] == code
    assert "what was saved before is right and stays" in stderr
    assert "Traceback" not in stderr
    with closing(sqlite3.connect(cli.directory / "cove.db")) as connection:
        rows = connection.execute("SELECT outcome, exit_code FROM cove_polls ORDER BY id").fetchall()
    assert rows[-1] == ("error", code)


def test_sync_while_another_one_runs_ends_with_15(cli: Cli, hanging: Process) -> None:
    done = cli("sync")
    assert done.returncode == 15
    assert "another sync is busy with login main; nothing was done" in done.stderr


def exit_codes(cli: Cli, cove: FakeCove) -> dict[int, Any]:
    """For each exit code a way to reach it."""

    def partial() -> int:
        cove.faults.edit_row = lambda row, device: row if device.account_id > 500_000 else {**row, "I1": ""}
        return cli("sync").returncode

    def bug() -> int:
        cli.before = (
            "import cove_poller.commands.sync\n"
            "def broken(*a, **k): raise ZeroDivisionError\ncove_poller.commands.sync.sync = broken\n"
        )
        return cli("sync").returncode

    def configuration() -> int:
        cli.write_config("[database]\n")
        return cli("sync").returncode

    def rejected() -> int:
        cove.password = "another"
        return cli("sync").returncode

    def forbidden() -> int:
        cove.faults.forbidden_methods = frozenset({"EnumerateAccountStatistics"})
        return cli("sync").returncode

    def unavailable() -> int:
        cove.faults.answers.append(HttpAnswer(503))
        return cli("sync").returncode

    def database() -> int:
        (cli.directory / "cove.db").write_text("this is not a database, but long enough to look like a file of one" * 9)
        return cli("sync").returncode

    return {
        0: lambda: cli("sync").returncode,
        1: bug,
        2: lambda: cli("sync", "--no-such-option").returncode,
        3: partial,
        10: configuration,
        11: rejected,
        12: forbidden,
        13: unavailable,
        14: database,
    }


@pytest.mark.parametrize("code", [0, 1, 2, 3, 10, 11, 12, 13, 14])  # 15, 130 and 143 have tests of their own
def test_each_exit_code_can_be_reached(cli: Cli, cove: FakeCove, code: int) -> None:
    assert exit_codes(cli, cove)[code]() == code


def test_every_error_has_an_exit_code_that_the_readme_lists() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    pending, found = [errors.CovePollerError], set()
    while pending:
        kind = pending.pop()
        pending += kind.__subclasses__()
        found.add(kind.exit_code)
    for code in {0, 2, errors.PARTIAL_EXIT_CODE, *found}:
        assert f"| {code} |" in readme


def test_help_is_quick_and_imports_neither_driver_nor_network(cli: Cli) -> None:
    done = cli.fresh("--help", PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 0
    for module in ("sqlalchemy", "psycopg2", "requests", "pydantic", "rich"):
        assert f" {module}\n" not in done.stderr


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command by its words."""
    with click.Context(group) as context:
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            if isinstance(command, click.Group):
                yield from commands(command, (*path, name))
            elif command:
                yield (*path, name), command


SELF_EVIDENT = {("config", "check"), ("config", "show"), ("devices", "list"), ("devices", "jobs")}
ALL_COMMANDS = dict(commands(program))


@pytest.mark.parametrize("words", [words for words in ALL_COMMANDS if words not in SELF_EVIDENT], ids=" ".join)
def test_help_ends_with_examples_that_the_command_itself_understands(words: tuple[str, ...]) -> None:
    _, *lines = (ALL_COMMANDS[words].epilog or "").replace("\b\n", "").splitlines()
    assert lines
    for line in lines:
        name, *arguments = shlex.split(re.split(r"(?<=\S)  +", line.strip())[0])
        assert name == "cove-poller"
        if arguments[0].startswith("-"):
            program.parse_args(click.Context(program), list(arguments))
            del arguments[0]
        assert tuple(arguments[: len(words)]) == words
        command = ALL_COMMANDS[words]
        command.parse_args(click.Context(command), arguments[len(words) :])


@pytest.mark.parametrize("words", ALL_COMMANDS, ids=" ".join)
def test_help_tells_each_option_that_has_a_default(words: tuple[str, ...]) -> None:
    with (
        click.Context(program, **program.context_settings) as root,
        click.Context(ALL_COMMANDS[words], root) as context,
    ):
        for option in context.command.params:
            if isinstance(option, click.Option) and isinstance(option.default, str | int) and not option.is_flag:
                assert f"[default: {option.default}" in (option.get_help_record(context) or ("", ""))[1]


def test_every_command_has_json() -> None:
    assert [
        " ".join(words) for words, one in ALL_COMMANDS.items() if not any(o.name == "as_json" for o in one.params)
    ] == []


def test_v_says_what_a_person_wants_to_know_of_a_run_that_went_well(cli: Cli) -> None:
    said = cli("-v", "sync")
    (line,) = [one for one in said.stderr.splitlines() if "login main: " in one]
    counts = the_json(cli("sync", "--json").stdout)["logins"][0]
    expected = (
        rf"login main: {counts['devices']} devices with \d+ requests, \d+ new sessions, \d+ new job runs and 0 changed"
    )
    assert re.search(rf"{expected}, in \d+\.\d s$", line)
    assert cli("sync").stderr == ""


def test_a_slow_cove_ends_with_13_within_its_time_out(cli: Cli, cove: FakeCove) -> None:
    cli.configure(cove, timeout_seconds=0.3)
    cove.faults.slow_seconds = 2
    began = time.monotonic()
    assert cli("sync").returncode == 13
    assert time.monotonic() - began < 10


def test_the_installed_command_does_the_same_as_what_the_other_tests_fork(cli: Cli) -> None:
    said = cli.fresh("sync", "--json")
    assert (said.returncode, said.stderr) == (0, "")
    first, second = the_json(said.stdout), the_json(cli("sync", "--json").stdout)
    assert first.keys() == second.keys()
    assert first["logins"][0]["sessions"]["new"] == second["logins"][0]["sessions"]["unchanged"] > 0


def test_the_module_can_be_run_too(cli: Cli) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cove_poller", "--version"],
        cwd=cli.directory, env=cli.environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.startswith("cove-poller, version ")


def test_a_file_with_a_secret_that_others_can_read_is_a_warning_and_the_sync_goes_on(cli: Cli) -> None:
    (cli.directory / "cove.toml").chmod(0o644)
    done = cli("sync")
    assert done.returncode == 0
    assert "chmod 600" in done.stderr

"""With `--log-format json` each line on stderr is an entry of the log, whatever goes wrong; without it none is."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from cove_poller.cli.program import program
from tests.conftest import BEGIN, Cli
from tests.pages.readme import commands
from tests.world.fake_cove import FakeCove, make_fleet
from tests.world.terminal import Terminal
from tests.world.watched import Watched

TIMES = re.compile(r'"(started_at|duration_seconds)": [^,]+')
STRAY = """\
import sys, threading, warnings
import cove_poller.commands.sync as job
before = job.sync
def late(*a, **k):
    warnings.warn("something is old", stacklevel=1)
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()
    sys.stderr.write("without an end of the line")
    return before(*a, **k)
job.sync = late
"""
MISTAKES = [
    ("--no-such-option",),
    ("no-such-command",),
    ("sync", "--no-such-option"),
    ("sync", "--login", "mian"),
    ("sync", "--log-format", "text"),
    ("test-login", "--login", "mian"),
    ("backfill",),
    ("backfill", "--since", "soon"),
    ("backfill", "--since", "28d"),  # nobody can be asked
    ("backfill", "--since", "28d", "--device", "SRV99", "--yes"),
    ("migrate", "--url", "nonsense"),
    ("status", "--only", "bad"),
    ("status", "--csv", "--json"),
    ("status", "--customer", "nobody"),
    ("status", "--since", "2999-01-01"),
    ("report",),
    ("report", "--output", "/no/such/folder/report.html"),
    ("report", "--output", "-", "--json"),
    ("check", "--format", "prometheus", "--output", "/no/such/folder/x.prom"),
    ("check", "--format", "prometheus", "--customer", "nobody"),
    ("check", "--format", "checkmk", "--output", "verdict", "--login", "mian"),
    ("check", "--no-such-option"),
    ("devices",),
    ("devices", "link", "SRV99"),
    ("devices", "link", "FAIL", "--job", "none"),
    ("devices", "link", "FAIL", "--job", "FAIL"),
    ("devices", "ignore", "FAIL"),  # nobody can be asked
    ("devices", "ignore", "FAIL", "--source", "D77", "--yes"),
    ("devices", "list", "more"),
    ("config",),
    ("config", "init", "cove.toml"),
    ("config", "show", "more"),
    ("config", "check", "--no"),
    ("doctor", "more"),
    ("prune",),
    ("prune", "--keep", "1d"),
]
UNTOLD = {
    ("check", "--no-such-option"), ("check", "--format", "prometheus", "--output", "/no/such/folder/x.prom"),
    ("devices", "link", "FAIL", "--job", "FAIL"),
}  # fmt: skip
"""What goes to stdout alone, as a plug-in's does, and what is no mistake: it is linked so already."""


def entries(done: subprocess.CompletedProcess[str]) -> list[dict[str, str]]:
    """What each line on stderr says, all of which are entries of a log."""
    found = [json.loads(line) for line in done.stderr.splitlines()]
    assert all({"time", "level", "logger", "message"} <= one.keys() for one in found)
    return found


@pytest.mark.parametrize("words", MISTAKES, ids=" ".join)
def test_each_mistake_is_told_in_entries_where_the_log_is_json_and_in_plain_text_where_it_is_not(
    watched_site: Watched, words: tuple[str, ...]
) -> None:
    plain, in_json = watched_site.cli(*words), watched_site.cli("--log-format", "json", *words)
    assert plain.returncode == in_json.returncode
    assert TIMES.sub("", plain.stdout) == TIMES.sub("", in_json.stdout)
    assert not any(line.startswith("{") for line in plain.stderr.splitlines())
    said = "\n".join(one["message"] for one in entries(in_json))
    assert said.split() == plain.stderr.split()
    assert bool(said) is (words not in UNTOLD) or not plain.returncode  # older versions of click show a group's help


def test_there_is_a_mistake_of_each_command() -> None:
    leaves = [path for path in commands(program)[1:] if path not in (("config",), ("devices",))]
    assert [path for path in leaves if not any(words[: len(path)] == path for words in MISTAKES)] == []


def mistakes_of_the_configuration(cli: Cli, cove: FakeCove) -> dict[str, Callable[[], object]]:
    return {
        "none": lambda: (cli.directory / "cove.toml").unlink(),
        "no TOML": lambda: cli.write_config("[database\n"),
        "unknown keys": lambda: cli.write_config("[database]\nulr = 1\n[nonsense]\n"),
        "read by others": lambda: (cli.directory / "cove.toml").chmod(0o644),
        "another password": lambda: setattr(cove, "password", "another"),
        "two logins": lambda: cli.configure(cove, '[logins.other]\nusername = "nobody"\npassword = "wrong"\n'),
        "no database": lambda: (cli.directory / "cove.db").write_text("this is not a database, but long enough" * 20),
    }


@pytest.mark.parametrize(
    "what", mistakes_of_the_configuration(Cli(Path()), FakeCove(make_fleet(1, BEGIN, 1, 1), BEGIN))
)
def test_what_is_wrong_around_a_run_is_told_in_entries_by_each_command(cli: Cli, cove: FakeCove, what: str) -> None:
    cli.configure(cove)
    mistakes_of_the_configuration(cli, cove)[what]()
    found = [entry for command in ("sync", "test-login", "config check", "doctor", "check --format prometheus")
             for entry in entries(cli("--log-format=json", *command.split()))]  # fmt: skip
    assert {one["level"] for one in found} <= {"error", "warning"}
    assert found


def test_a_bug_is_one_entry_with_its_traceback(cli: Cli, cove: FakeCove) -> None:
    cli.configure(cove)
    cli.before = "".join([
        "import cove_poller.commands.sync as job\n", "def broken(*a, **k): raise ZeroDivisionError('by nothing')\n",
        "job.sync = broken\n",
    ])  # fmt: skip
    (bug,) = entries(cli("--log-format", "json", "sync"))
    assert bug["message"] == "a bug in cove-poller: ZeroDivisionError"
    assert bug["traceback"].endswith("ZeroDivisionError: by nothing")
    assert cli("sync").stderr.startswith("Traceback (most recent call last):\n")


def test_what_python_itself_writes_there_is_told_in_entries_too(cli: Cli, cove: FakeCove) -> None:
    cli.configure(cove)
    cli.before = STRAY
    said = [one["message"] for one in entries(cli("--log-format", "json", "sync"))]
    assert any("UserWarning: something is old" in one for one in said)
    assert "ZeroDivisionError: division by zero" in said
    assert "without an end of the line" in said


def test_a_result_that_could_not_be_printed_is_told_in_an_entry(cli: Cli, cove: FakeCove) -> None:
    cli.configure(cove)
    with Path("/dev/full").open("wb") as full:
        process = cli.start("--log-format", "json", "sync", "--json", files={"stdout": full.fileno()})
        *_, lost = map(json.loads, process.communicate()[1].splitlines())
    assert lost["message"] == "cove-poller: the result could not be printed: No space left on device"


def test_nothing_moves_on_a_terminal_whose_log_is_json(cli: Cli, cove: FakeCove) -> None:
    cli.configure(cove)
    terminal = Terminal(cli, "--log-format", "json", "-v", "sync", streams=["stderr"])
    assert terminal.finish() == 0
    assert "info" in {json.loads(line)["level"] for line in terminal.raw.decode().splitlines()}

"""What lasts, as cron meets it: the command as a process, with a fleet in which every device has a trouble."""

import json
import re
import signal
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from tests.conftest import Cli, the_json, wait_for
from tests.world.fake_cove import FakeCove, serving
from tests.world.troubled import COUNT, begin_trouble, end_trouble, make_troubled_fleet

NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.mark.long
def test_twenty_conditions_are_mailed_once_shown_all_the_time_and_each_told_at_its_end(cli: Cli) -> None:
    with serving(FakeCove(make_troubled_fleet(NOW), NOW)) as cove:
        cli.configure(cove, '[backupchecks]\nurl = "https://bc.example.com"')
        assert cli("sync").returncode == 0
        begin_trouble(cove)
        first = cli("sync")
        lines = first.stderr.splitlines()
        assert (first.returncode, lines[0]) == (3, "cove-poller sync exited with code 3:")
        assert len([line for line in lines if line.startswith("login main: Example Bakery, SRV")]) == COUNT
        assert lines.count("  https://bc.example.com/jobs/1") == 1  # below the line of the device that has this job
        second = cli("sync")
        assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
        content = json.loads(cli("sync", "--json").stdout)
        assert (content["outcome"], content["logins"][0]["warnings"]) == ("ok", [])
        assert len(content["logins"][0]["standing"]) == COUNT
        shown = json.loads(cli("status", "--only", "problem", "--json").stdout)["devices"]
        assert [len(device["standing"]) for device in shown] == [1] * COUNT
        assert {device["condition"] for device in shown} == {"failed", "warning"}
        assert cli("check").returncode == 2
        cove.password, right = "another", cove.password
        failing = [cli("sync") for _ in range(2)]
        assert [(done.returncode, bool(done.stderr)) for done in failing] == [(11, True), (11, False)]
        cove.password = right
        assert cli("test-login").returncode == 0
        end_trouble(cove)
        last = cli("sync")
        over = [line for line in last.stderr.splitlines() if line.startswith("login main: over: Example Bakery, SRV")]
        assert (last.returncode, len(over)) == (0, COUNT)
        assert cli("sync").stderr == ""


def test_the_mail_says_since_when_in_the_time_of_this_machine_when_trouble_begins_and_while_it_lasts(cli: Cli) -> None:
    with serving(FakeCove(make_troubled_fleet(NOW), NOW)) as cove:
        cli.configure(cove)
        cli.environ["TZ"] = "EAT-3"
        assert cli("sync").returncode == 0
        begin_trouble(cove)
        begun = [line for line in cli("sync").stderr.splitlines() if " (device " in line]
        now = since_in(begun[0])
        assert abs(now - datetime.now(UTC)) < timedelta(minutes=5)
        assert {since_in(line) for line in begun} == {now}
        a_day_passes(cli)
        before = f"{now - timedelta(days=1):%Y-%m-%d %H:%M} EAT"
        lasting = [line for line in cli("sync").stderr.splitlines() if " (device " in line]
        plain = [line.replace("warning: ", "").removesuffix(f" (since {now:%Y-%m-%d %H:%M} EAT)") for line in begun]
        assert sorted(lasting) == sorted(line.replace("main: ", f"main: still, since {before}: ") for line in plain)
        assert len(lasting) == COUNT


def since_in(line: str) -> datetime:
    (since,) = re.findall(r" \(since (.{16}) EAT\)$", line)
    return datetime.fromisoformat(f"{since}+03:00")


def a_day_passes(cli: Cli) -> None:
    """Let what stands have begun, and have been told, a day earlier."""
    with closing(sqlite3.connect(cli.directory / "cove.db")) as connection, connection:
        rows = connection.execute("SELECT account_id, conditions FROM cove_devices WHERE conditions IS NOT NULL")
        for account, text in rows.fetchall():
            earlier = {
                key: [what, since - 86400, told - 86400, *rest]
                for key, (what, since, told, *rest) in json.loads(text).items()
            }
            connection.execute(
                "UPDATE cove_devices SET conditions = ?, row_digest = NULL WHERE account_id = ?",
                (json.dumps(earlier), account),
            )


@pytest.mark.parametrize("as_json", [False, True])
def test_what_is_new_of_a_login_is_told_though_the_process_is_stopped_during_the_next(cli: Cli, as_json: bool) -> None:
    with (
        serving(FakeCove(make_troubled_fleet(NOW), NOW)) as cove,
        serving(FakeCove(make_troubled_fleet(NOW), NOW)) as slow,
    ):
        cli.configure(cove, f'[logins.other]\nusername = "{slow.username}"\npassword = "{slow.password}"\n')
        with (cli.directory / "cove.toml").open("a") as file:
            file.write(f'api.url = "{slow.url}"\npartner_id = 1001\n')
        assert cli("sync").returncode == 0
        begin_trouble(cove)
        slow.faults.slow_seconds, before = 30, len(slow.arrived)
        process = cli.start("sync", *(["--json"] if as_json else []))
        wait_for(lambda: len(slow.arrived) > before)
        process.send_signal(signal.SIGTERM)
        stdout, stderr = process.communicate()
        assert process.returncode == 143
        assert stderr.startswith("cove-poller sync: told to stop; what was saved before is right and stays")
        assert stderr.count("told to stop") == 1
        assert stderr.count(" (device ") == COUNT
        if as_json:
            content = the_json(stdout)
            assert (content["exit_code"], content["outcome"], content["error"]["code"]) == (143, "error", "terminated")
            assert [len(login["warnings"]) for login in content["logins"]] == [COUNT, 0]

"""What lasts, as cron meets it: the command as a process, with a fleet in which every device has a trouble."""

import json
from datetime import UTC, datetime

import pytest

from tests.conftest import Cli
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

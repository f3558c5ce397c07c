"""`check` as a monitoring system runs it, also when something is wrong with the check itself."""

import json
import stat
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cove_poller import __version__
from cove_poller.cli.check import deliver
from cove_poller.redaction import remember
from tests.conftest import Cli, the_json
from tests.world.watched import COUNTS, HOSTILE_DEVICE, NOW, Watched


def test_nagios_gets_one_line_that_names_the_worst_and_its_exit_code(watched_site: Watched) -> None:
    done = watched_site.cli("check")
    assert (done.returncode, done.stderr, done.stdout.count("\n")) == (2, "", 1)
    assert done.stdout.startswith(
        "COVE CRITICAL: 1 critical, 3 warning of 9 devices: FAIL (Example Bakery) failed: SQL Server Failed;"
        " STALE (Example Bakery) Files and Folders has had no session for 62 hours;"
        " WARN (Example Bakery) warning: Files and Folders Interrupted;"
        " LONELY (Example Dental) belongs to no job, so nobody sees its runs | devices=9;;;0 "
    )


def test_thresholds_by_type_decide_from_when_on_a_device_is_bad(watched_site: Watched) -> None:
    strict = watched_site.cli("check", "--warning-hours", "server=2.5", "--critical-hours", "server=4").stdout
    # FAIL; older than 4 hours: STALE, WARN, RUN, LONELY and the hostile one (4 hours and a little)
    assert strict.startswith("COVE CRITICAL: 6 critical, 1 warning of 9 devices: ")
    assert "OFF (" not in strict


def test_one_customer_or_one_login_can_be_checked_alone(watched_site: Watched) -> None:
    said = watched_site.cli("check", "--customer", "dental").stdout
    assert said.startswith("COVE WARNING: 1 warning of 1 device: LONELY (Example Dental) belongs to no job")
    assert watched_site.cli("check", "--login", "main").returncode == 2
    for option, name in (("--customer", "nobody"), ("--login", "other")):
        done = watched_site.cli("check", option, name)
        assert (done.returncode, done.stdout.startswith("COVE UNKNOWN: "), name in done.stdout) == (3, True, True)


@pytest.mark.parametrize(
    ("counts", "word", "code"),
    [(("1", "2"), "WARNING", 1), (("4", "2"), "WARNING", 1), (("5", "2"), "OK", 0), (("5", "1"), "CRITICAL", 2)],
)
def test_so_many_devices_are_a_warning_or_critical_as_is_asked(
    watched_site: Watched, counts: tuple[str, str], word: str, code: int
) -> None:
    done = watched_site.cli("check", "--warning-count", counts[0], "--critical-count", counts[1])
    assert (done.returncode, done.stdout.split(":")[0]) == (code, f"COVE {word}")
    assert "1 critical, 3 warning of 9 devices" in done.stdout


def test_a_dead_poller_is_critical_by_the_configured_limit_or_the_one_that_is_asked_for(own_watched: Watched) -> None:
    own_watched.execute("DELETE FROM cove_devices WHERE account_id <> 1")
    assert own_watched.cli("check").stdout.startswith("COVE OK: 1 device, none in trouble | ")
    own_watched.age_polls(timedelta(hours=9))
    done = own_watched.cli("check")
    assert (done.returncode, done.stdout.partition(";")[0]) == (
        2, "COVE CRITICAL: login main: last successful poll 9 hours ago, so this is old",
    )  # fmt: skip
    assert own_watched.cli("check", "--max-poll-age", "10h").returncode == 0
    config = (own_watched.cli.directory / "cove.toml").read_text()
    own_watched.cli.write_config(f'{config}[alerts]\nmax_poll_age = "10h"\n')
    assert own_watched.cli("check").returncode == 0
    assert own_watched.cli("check", "--max-poll-age", "90m").returncode == 2


def test_checkmk_gets_a_line_per_device_and_one_for_the_poller_and_exit_code_0(watched_site: Watched) -> None:
    done = watched_site.cli("check", "--format", "checkmk")
    first, *devices = done.stdout.splitlines()
    assert (done.returncode, first.startswith('0 "Cove poller main" poll_age='), len(devices)) == (0, True, 9)


def test_prometheus_gets_a_whole_file_that_its_own_parser_reads(watched_site: Watched, tmp_path: Path) -> None:
    file = tmp_path / "cove.prom"
    file.write_text("old")
    done = watched_site.cli("check", "--format", "prometheus", "--output", str(file))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert [one.name for one in tmp_path.iterdir() if one.is_file()] == ["cove.prom"]
    families = {family.name: family for family in text_string_to_metric_families(file.read_text())}
    assert {one.labels["condition"]: one.value for one in families["cove_devices"].samples} == COUNTS
    (build,) = families["cove_poller_build_info"].samples
    assert (build.labels, build.value) == ({"version": __version__}, 1)
    for metric, table in (("cove_poll_sessions_written", "cove_sessions"), ("cove_poll_job_runs_written", "job_runs")):
        assert [one.value for one in families[metric].samples] == [watched_site.count(table)]
    assert families["cove_poll_last_exit_code"].samples[0].value == 0
    ended = families["cove_source_last_session_timestamp_seconds"].samples
    (sql,) = (one.value for one in ended if one.labels["source"] == "SQL Server")
    assert sql == (NOW - timedelta(hours=2)).timestamp()
    success = families["cove_device_last_success_timestamp_seconds"].samples
    times = {sample.labels["account_id"]: sample.value for sample in success}
    assert times["3"] == (NOW - timedelta(hours=62)).timestamp()


def test_json_has_the_level_of_each_login_and_device_and_ends_as_a_plugin_does(watched_site: Watched) -> None:
    done = watched_site.cli("check", "--json")
    content = the_json(done.stdout)
    assert (done.returncode, content["exit_code"], content["outcome"], content["level"]) == (2, 2, "ok", "critical")
    levels = {
        one["name"]: (one["level"], one["condition"]) for one in content["devices"] if one["name"] != HOSTILE_DEVICE
    }
    assert levels["FAIL"] == ("critical", "failed")
    assert levels["LONELY"] == ("warning", "success")
    assert content["devices"][0]["name"] == "FAIL"
    assert [(one["login"], one["level"]) for one in content["polls"]] == [("main", "ok")]
    assert the_json(watched_site.cli("check", "--json", "--customer", "Dental").stdout)["level"] == "warning"


@pytest.mark.parametrize(
    "arguments", [["--no-such-option"], ["--max-poll-age", "90"], ["--output", "/dev/null"], ["--customer", "nobody"]]
)
def test_json_is_one_object_also_where_nothing_can_be_said(watched_site: Watched, arguments: list[str]) -> None:
    done = watched_site.cli("check", "--json", *arguments)
    content = the_json(done.stdout)
    assert (done.returncode, done.stderr) == (3, "")
    assert (content["exit_code"], content["outcome"], content["level"]) == (3, "error", "unknown")
    assert content["error"]["message"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--warning-hours", "desktop=3"], "wrong usage: 'desktop' is no device type"),
        (["--max-poll-age", "90"], "wrong usage: --max-poll-age '90' is no span of time"),
        (["--no-such-option"], "wrong usage: No such option"),
        (["--output", "/dev/null"], "/dev/null is there and is no ordinary file"),
    ],
)
def test_a_check_that_cannot_be_made_is_unknown_in_one_line(
    watched_site: Watched, arguments: list[str], said: str
) -> None:
    done = watched_site.cli("check", *arguments)
    assert (done.returncode, done.stderr) == (3, "")
    assert done.stdout.startswith("COVE UNKNOWN: ")
    assert said in done.stdout
    assert done.stdout.count("\n") == 1


def test_without_configuration_database_or_preparation_every_format_says_unknown(cli: Cli) -> None:
    done = cli("check")
    assert (done.returncode, done.stdout.count("\n"), done.stderr) == (3, 1, "")
    assert done.stdout.startswith("COVE UNKNOWN: no configuration found")
    cli.write_config('[database]\nurl = "sqlite:///cove.db"\n[logins.main]\nusername = "x"\n')
    assert cli("check").stdout == "COVE UNKNOWN: there is no database cove.db yet\n"
    assert not (cli.directory / "cove.db").exists()
    (cli.directory / "cove.db").touch()
    done = cli("check")
    assert (done.returncode, done.stdout.count("\n")) == (3, 1)
    assert done.stdout.startswith("COVE UNKNOWN: the database is not prepared; run: cove-poller migrate")
    done = cli("check", "--format", "checkmk")
    assert (done.returncode, done.stdout[:18]) == (0, '3 "Cove poller" - ')
    (cli.directory / "cove.prom").write_text("cove_device_stale 0\n")
    done = cli("check", "--format", "prometheus", "--output", "cove.prom")
    assert (done.returncode, done.stderr[:13]) == (3, "COVE UNKNOWN:")
    families = text_string_to_metric_families((cli.directory / "cove.prom").read_text())
    told = {family.name: family.samples[0].value for family in families}
    assert told == {"cove_check_success": 0, "cove_poller_build_info": 1}


def test_json_stays_json_whatever_a_name_says_of_a_secret(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    remember('c4nary"/+of a&login')
    told = {"device": {"name": "srv1 c4nary%5C%22/+of a&amp;login"}, "level": "ok"}
    file = tmp_path / "check.json"
    deliver(told, file, "json")
    deliver(told, None, "json")
    for text in (file.read_text(encoding="utf-8"), capsys.readouterr().out):
        assert "c4nary" not in text
        assert json.loads(text)["level"] == "ok"

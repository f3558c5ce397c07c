"""`check` as Nagios, Checkmk and Prometheus read it, with the real command on a fleet that is known."""

import re
import stat
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import Cli
from tests.world.watched import COUNTS, HOSTILE_DEVICE, NOW, Watched

# Monitoring Plugins Development Guidelines: 'label'=value[UOM];[warn];[crit];[min];[max]
NUMBER = r"-?\d+(\.\d+)?"
PERFDATA = re.compile(
    rf"('[^'=]+'|[^'=\s]+)=(U|{NUMBER}(s|us|ms|%|B|KB|MB|TB|c)?)(;({NUMBER})?){{0,4}}"
)  # fmt: skip
CHECKMK = re.compile(r'[0-3] "[^"]+" (-|(\w+=\d+(;\d*)*)(\|\w+=\d+(;\d*)*)*) \S.*')


def test_nagios_gets_one_line_that_names_the_worst_with_perfdata_and_its_exit_code(any_watched: Watched) -> None:
    done = any_watched.cli("check")
    assert (done.returncode, done.stderr) == (2, "")
    text, perfdata = done.stdout.removesuffix("\n").split(" | ")
    assert text == (
        "COVE CRITICAL: 1 critical, 3 warning of 9 devices: FAIL (Example Bakery) failed: SQL Server Failed;"
        " STALE (Example Bakery) no success for 50 hours; WARN (Example Bakery) warning: Files and Folders Interrupted;"
        " LONELY (Example Dental) belongs to no job, so nobody sees its runs"
    )
    values = re.findall(r"\S+", perfdata)
    assert all(PERFDATA.fullmatch(value) for value in values)
    assert {name: int(value) for name, value in re.findall(r"(\w+)=(\d+);;;0;9", perfdata)} == COUNTS | {"unlinked": 1}


def test_thresholds_by_type_decide_from_when_on_a_device_is_bad(watched_site: Watched) -> None:
    strict = watched_site.cli("check", "--warning-hours", "server=2.5", "--critical-hours", "server=4").stdout
    assert "OFF (" not in strict
    # FAIL; older than 4 hours: STALE, WARN, RUN, LONELY and the hostile one (4 hours and a little)
    assert strict.startswith("COVE CRITICAL: 6 critical, 1 warning of 9 devices: ")
    loose = watched_site.cli("check", "--warning-hours", "500").stdout
    assert "STALE" not in loose


def test_a_poller_that_is_dead_is_critical_and_its_old_green_is_called_old(own_watched: Watched) -> None:
    own_watched.execute("DELETE FROM cove_devices WHERE account_id <> 1")
    assert own_watched.cli("check").stdout.startswith("COVE OK: 1 device, none in trouble | ")
    own_watched.age_polls(timedelta(hours=9))
    done = own_watched.cli("check")
    assert done.returncode == 2
    assert done.stdout.startswith(
        "COVE CRITICAL: login main: last successful poll 9 hours ago; as last known, 1 device, none in trouble | "
    )
    assert own_watched.cli("check", "--max-poll-age", "10h").returncode == 0
    assert '2 "Cove poller main" poll_age=' in own_watched.cli("check", "--format", "checkmk").stdout


def test_characters_that_nagios_takes_for_its_own_are_replaced(own_watched: Watched) -> None:
    own_watched.execute("UPDATE cove_devices SET status = 'failed' WHERE account_id = 9")
    own_watched.execute("DELETE FROM cove_devices WHERE account_id <> 9")
    own_watched.execute("UPDATE cove_polls SET login = 'it''s=a |b'")
    own_watched.execute("UPDATE cove_devices SET login = 'it''s=a |b'")
    (line,) = own_watched.cli("check").stdout.splitlines()
    text, _, perfdata = line.partition("|")
    assert "[red]Evil[/red] [31mInc/gnp Co Ltd" in text
    assert "'poll_age_it_s_a /b'=" in perfdata
    assert "|" not in perfdata


def test_checkmk_gets_a_line_per_device_and_one_for_the_poller_and_exit_code_0(watched_site: Watched) -> None:
    done = watched_site.cli("check", "--format", "checkmk")
    lines = done.stdout.splitlines()
    assert done.returncode == 0
    assert all(CHECKMK.fullmatch(line) for line in lines)
    assert lines[0].startswith('0 "Cove poller main" poll_age=')
    by_service = {line.split('"')[1]: line for line in lines}
    assert len(by_service) == 10
    assert by_service["Cove FAIL"].startswith('2 "Cove FAIL" success_age=')
    assert ";172800;345600;0 Example Bakery: failed: SQL Server Failed" in by_service["Cove FAIL"]
    assert by_service["Cove OFF"][0] == "0"
    assert by_service["Cove NEW"].startswith('0 "Cove NEW" - Example Bakery: never a success')


def test_devices_of_one_name_are_services_of_their_own(own_watched: Watched) -> None:
    own_watched.execute("UPDATE cove_devices SET computer_name = 'OK' WHERE account_id = 3")
    printed = own_watched.cli("check", "--format", "checkmk").stdout
    assert '"Cove OK ok_x1"' in printed
    assert '"Cove OK stale_x3"' in printed


def test_prometheus_gets_a_whole_file_that_its_own_parser_reads(any_watched: Watched, tmp_path: Path) -> None:
    file = tmp_path / "cove.prom"
    file.write_text("old")
    done = any_watched.cli("check", "--format", "prometheus", "--output", str(file))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert [one.name for one in tmp_path.iterdir() if one.is_file()] == ["cove.prom"]
    families = {family.name: family for family in text_string_to_metric_families(file.read_text())}
    assert all(family.type == "gauge" and family.documentation for family in families.values())
    success = families["cove_device_last_success_timestamp_seconds"].samples
    times = {sample.labels["account_id"]: sample.value for sample in success}
    assert times["3"] == (NOW - timedelta(hours=50)).timestamp()
    assert "7" not in times
    labels = next(sample.labels for sample in success if sample.labels["account_id"] == "9")
    assert labels == {
        "customer": "[red]Evil[/red] [31mInc|gnp Co Ltd", "device": HOSTILE_DEVICE.upper(), "type": "Server",
        "account_id": "9", "login": "main",
    }  # fmt: skip
    assert {one.labels["condition"]: one.value for one in families["cove_devices"].samples} == COUNTS
    assert {one.labels["account_id"] for one in families["cove_device_stale"].samples if one.value} == {"3"}
    assert {one.labels["account_id"] for one in families["cove_device_running"].samples if one.value} == {"6"}
    status = {one.labels["account_id"]: one.value for one in families["cove_device_status"].samples}
    assert (status["1"], status["2"], status["4"], status["7"]) == (1, 3, 2, 0)
    assert families["cove_poll_last_success_timestamp_seconds"].samples[0].value >= NOW.timestamp()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--warning-hours", "desktop=3"], "wrong usage: 'desktop' is no device type"),
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
    (family,) = text_string_to_metric_families((cli.directory / "cove.prom").read_text())
    assert (family.name, family.samples[0].value) == ("cove_check_success", 0)

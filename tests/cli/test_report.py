"""`report` as the installed command: the page is written whole, and the database only read."""

import hashlib
import json
import re
import zlib
from base64 import b64decode
from pathlib import Path

import pytest

from tests.conftest import Cli
from tests.world.watched import CONDITIONS, NOW, Watched


def names(page: str) -> list[str]:
    return re.findall(r"<tr><td>.*?<th>(.*?)<", page, re.DOTALL)


def test_the_page_has_every_device_and_is_written_where_it_is_wanted_from_a_database_that_stays_as_it_is(
    watched_site: Watched, tmp_path: Path
) -> None:
    file, database = tmp_path / "report.html", watched_site.cli.directory / "cove.db"
    before = hashlib.sha256(database.read_bytes()).digest()
    done = watched_site.cli("report", "--output", str(file))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    page = file.read_text(encoding="utf-8")
    assert {*CONDITIONS} < {*names(page)}
    assert f"<title>Backups, {NOW:%Y-%m-%d}" in page
    packed = re.findall(r'<script id="details" [^>]*>(.*?)</script>', page, re.DOTALL)[0]
    details = json.loads(zlib.decompress(b64decode(packed)))
    assert (len(details["devices"]), len(names(page))) == (9, 9)
    assert sum(bool(one[6]) for one in details["devices"]) == 8  # all but NEW have sessions to draw
    assert hashlib.sha256(database.read_bytes()).digest() == before


def test_a_dash_writes_the_page_to_stdout_and_nothing_else(watched_site: Watched) -> None:
    done = watched_site.cli("report", "--output", "-")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("<!DOCTYPE html>\n")
    assert done.stdout.endswith("</html>\n")
    assert not (watched_site.cli.directory / "-").exists()


def test_a_report_replaces_the_one_before_as_a_whole_keeps_its_rights_and_leaves_nothing_behind(
    watched_site: Watched, tmp_path: Path
) -> None:
    file, link = tmp_path / "page.html", tmp_path / "link.html"
    file.write_text("the one before")
    file.chmod(0o640)
    link.symlink_to(file)
    before = file.open()  # whoever reads it meanwhile
    assert watched_site.cli("report", "--output", str(link)).returncode == 0
    assert before.read() == "the one before"
    before.close()
    assert file.read_text().endswith("</html>\n")
    assert (file.stat().st_mode & 0o777, link.is_symlink()) == (0o640, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.html", "page.html"]


@pytest.mark.parametrize(
    ("output", "reason"), [("gone/page.html", "No such file or directory"), (".", "Is a directory")]
)
def test_a_file_that_cannot_be_written_is_wrong_usage(watched_site: Watched, output: str, reason: str) -> None:
    done = watched_site.cli("report", "--output", output)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{output} cannot be written: {reason}" in done.stderr


def test_without_a_database_there_is_no_report_and_none_is_made(cli: Cli) -> None:
    cli.write_config('[database]\nurl = "sqlite:///cove.db"\n[logins.main]\nusername = "x"\npassword = "invented"\n')
    done = cli("report", "--output", "report.html")
    assert done.returncode == 14
    assert "there is no database cove.db yet" in done.stderr
    assert [path.name for path in cli.directory.iterdir()] == ["cove.toml"]


def test_a_page_for_a_customer_has_its_devices_alone_and_its_name(watched_site: Watched) -> None:
    everybody = watched_site.cli("report", "--output", "-").stdout
    customers = sorted({*re.findall(r"<tr><td>(.*?)<th>", everybody)})
    assert len(customers) > 1
    page = watched_site.cli("report", "--output", "-", "--customer", customers[0].upper()).stdout
    assert {*re.findall(r"<tr><td>(.*?)<th>", page)} == {customers[0]}
    assert set(names(page)) < set(names(everybody))
    assert f"<title>Backups of {customers[0]}, " in page
    done = watched_site.cli("report", "--output", "-", "--customer", "nobody")
    assert (done.returncode, done.stdout) == (2, "")
    assert customers[0] in done.stderr


def test_json_tells_what_was_written_and_not_beside_the_page_itself(watched_site: Watched, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    content = json.loads(watched_site.cli("report", "--output", str(file), "--json").stdout)
    expected = {"command": "report", "outcome": "ok", "exit_code": 0, "output": str(file), "devices": 9, "error": None}
    assert {name: content[name] for name in expected} == expected
    assert file.read_text(encoding="utf-8").endswith("</html>\n")
    both = watched_site.cli("report", "--output", "-", "--json")
    assert (both.returncode, json.loads(both.stdout)["error"]["code"]) == (2, "usage")


@pytest.mark.parametrize(
    ("command", "key"), [("config check", "logins"), ("config show", "toml"), ("migrate --dry-run", "sql")]
)
def test_other_commands_answer_in_json_too_and_when_the_configuration_is_wrong(
    watched_site: Watched, tmp_path: Path, command: str, key: str
) -> None:
    good = watched_site.cli(*command.split(), "--json", COVE_POLLER_PASSWORD="an-invented-one")
    assert (good.returncode, json.loads(good.stdout)["outcome"]) == (0, "ok")
    assert key in json.loads(good.stdout)
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("[databse]")
    bad = watched_site.cli("--config", str(wrong), *command.split(), "--json")
    content = json.loads(bad.stdout)
    assert (bad.returncode, content["exit_code"], content["error"]["code"]) == (10, 10, "configuration")


def test_with_a_log_in_json_the_trouble_of_a_command_is_an_entry_of_it(watched_site: Watched, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("[databse]")
    done = watched_site.cli("--config", str(wrong), "--log-format", "json", "-q", "sync")
    entry = json.loads(done.stderr)  # one line, and nothing beside it
    assert (done.returncode, done.stdout, entry["level"]) == (10, "", "error")
    assert entry["message"].startswith("cove-poller sync: ")

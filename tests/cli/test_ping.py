"""The monitoring that is told how a run goes: a real HTTP server beside the real command."""

import logging
import signal
import threading
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest
from pydantic import SecretStr

from cove_poller.cli.ping import watched
from tests.conftest import BEGIN, NEVER_STALE, Cli, the_json, wait_for
from tests.world.fake_cove import FakeCove, Fleet, make_fleet

CHECK = "3c5f0b9e-7a51-4f0e-9d53-0123456789ab"
LIMIT = 100_000


@dataclass(frozen=True)
class Ping:
    what: str
    run_id: str
    body: str


@dataclass
class Monitoring:
    """A service like healthchecks.io that keeps what it is told."""

    url: str = ""
    arrived: list[str] = field(default_factory=list)  # before the answer
    pings: list[Ping] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)  # of the next answers, instead of 200
    slow_seconds: float = 0

    @property
    def told(self) -> list[str]:
        return [ping.what for ping in self.pings]


class _Handler(BaseHTTPRequestHandler):
    monitoring: Monitoring

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        url, here = urlsplit(self.path), self.monitoring
        here.arrived.append(self.path)
        time.sleep(here.slow_seconds)
        here.pings.append(Ping(url.path.removeprefix(f"/{CHECK}"), parse_qs(url.query)["rid"][0], body))
        self.send_response(here.statuses.pop(0) if here.statuses else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Stay quiet."""


@pytest.fixture
def monitoring() -> Iterator[Monitoring]:
    monitoring = Monitoring()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"monitoring": monitoring}))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    monitoring.url = f"http://127.0.0.1:{server.server_address[1]}/{CHECK}"
    yield monitoring
    server.shutdown()
    server.server_close()


@pytest.fixture
def fleet() -> Fleet:
    return make_fleet(seed=4, begin=BEGIN, days=2, devices=4)


@pytest.fixture
def configure(cli: Cli, cove: FakeCove) -> Callable[..., None]:
    """Writes a configuration with the URL of a monitoring."""

    def configure(url: str, more: str = "") -> None:
        cli.configure(cove, f'{NEVER_STALE}[healthchecks]\nurl = "{url}"\n{more}')

    return configure


@pytest.fixture(autouse=True)
def _configured(configure: Callable[..., None], monitoring: Monitoring) -> None:
    configure(monitoring.url)


BACKFILL = ("backfill", "--since", "27d", "--source", "colorbar", "--yes")


@pytest.mark.parametrize("command", [("sync",), BACKFILL], ids=["sync", "backfill"])
def test_a_run_that_goes_well_is_told_at_its_start_and_its_end_by_one_run_id(
    cli: Cli, monitoring: Monitoring, command: tuple[str, ...]
) -> None:
    done = cli(*command)
    assert (done.returncode, done.stderr) == (0, "")
    assert monitoring.told == ["/start", ""]
    first, last = monitoring.pings
    assert first.run_id == last.run_id == str(UUID(first.run_id))
    assert (first.body, last.body) == ("", "")
    cli("sync")
    assert monitoring.pings[2].run_id != first.run_id


def test_a_run_that_fails_is_told_with_its_exit_code_and_what_it_printed(
    cli: Cli, monitoring: Monitoring, cove: FakeCove
) -> None:
    cove.faults.forbidden_methods = frozenset({"EnumerateAccountStatistics"})
    done = cli("-v", "sync")
    assert monitoring.told == ["/start", "/12"]
    trouble = done.stderr[done.stderr.index("cove-poller sync exited with code 12:") :]
    assert trouble.strip() in monitoring.pings[1].body


def test_the_last_lines_of_the_log_are_told_too(cli: Cli, monitoring: Monitoring) -> None:
    done = cli("-vv", "sync")
    lines = [line for line in done.stderr.splitlines() if " DEBUG " in line or " INFO " in line]
    assert lines
    assert monitoring.pings[1].body.splitlines() == lines


@pytest.mark.parametrize(
    ("spoil", "code", "requests"),
    [
        (lambda cli: (cli.directory / "cove.db").write_text("this is no database at all" * 40), 14, 0),
        (lambda cli: (cli.directory / "cove.db").mkdir(), 14, 3),  # it may be mended, and what Cove told is kept
    ],
)
def test_a_run_that_records_nothing_is_told_as_failed(
    cli: Cli, monitoring: Monitoring, cove: FakeCove, spoil: Callable[[Cli], Any], code: int, requests: int
) -> None:
    spoil(cli)
    done = cli("sync")
    assert done.returncode == code
    assert monitoring.told == ["/start", f"/{code}"]
    assert monitoring.pings[1].body == done.stderr.strip()
    assert len(cove.requests) == requests


def test_a_bug_is_told_with_its_traceback_and_without_the_password_in_it(
    cli: Cli, monitoring: Monitoring, cove: FakeCove
) -> None:
    cli.before = (
        "import cove_poller.commands.sync\n"
        "def broken(installation, *a, **k):\n"
        "    login, url = installation.credentials.login_password('main'), installation.config.healthchecks.url\n"
        "    raise ZeroDivisionError(login.get_secret_value(), url.get_secret_value())\n"
        "cove_poller.commands.sync.sync = broken\n"
    )
    done = cli("sync")
    assert done.returncode == 1
    assert monitoring.told == ["/start", "/1"]
    body = monitoring.pings[1].body
    assert "Traceback" in body
    assert "ZeroDivisionError: ('[redacted]', '[redacted]')" in body
    assert cove.password not in body


def test_a_run_that_is_told_to_stop_is_told_as_failed(cli: Cli, monitoring: Monitoring, cove: FakeCove) -> None:
    cove.faults.slow_seconds = 30
    process = cli.start("sync")
    wait_for(lambda: cove.arrived)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 143
    assert monitoring.told == ["/start", "/143"]
    assert "told to stop" in monitoring.pings[1].body


def test_a_stop_while_the_start_is_being_told_does_not_look_like_success(cli: Cli, monitoring: Monitoring) -> None:
    monitoring.slow_seconds = 2
    process = cli.start("sync")
    wait_for(lambda: monitoring.arrived)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 143
    assert sorted(monitoring.told) == ["/143", "/start"]


@pytest.mark.parametrize("flags", [(), ("-vv",), ("-vv", "--log-format", "json")])
def test_a_monitoring_that_cannot_be_reached_is_a_warning_that_names_its_host_only(
    cli: Cli, configure: Callable[..., None], flags: tuple[str, ...]
) -> None:
    configure(f"http://127.0.0.1:9/{CHECK}")
    done = cli(*flags, "sync", "--json")
    assert done.returncode == the_json(done.stdout)["exit_code"] == 0
    assert done.stderr.count("the monitoring at 127.0.0.1:9 could not be told how the run goes: ConnectionError") == 2
    assert CHECK not in done.stderr


def test_what_fails_once_is_tried_again_and_what_is_refused_for_good_is_not(cli: Cli, monitoring: Monitoring) -> None:
    monitoring.statuses = [503, 200, 404]
    done = cli("sync")
    assert done.returncode == 0
    assert monitoring.told == ["/start", "/start", ""]
    host = urlsplit(monitoring.url).netloc
    warning = f"the monitoring at {host} could not be told how the run goes: it answers HTTP 404"
    assert warning in done.stderr
    assert CHECK not in done.stderr


def test_a_redirect_is_not_followed(cli: Cli, monitoring: Monitoring) -> None:
    monitoring.statuses = [302]
    assert "it answers HTTP 302" in cli("sync").stderr
    assert monitoring.told == ["/start", ""]


@pytest.mark.parametrize("command", [("sync", "--dry-run"), (*BACKFILL, "--dry-run"), ("test-login",), ("migrate",)])
def test_a_dry_run_and_the_other_commands_tell_nobody(
    cli: Cli, monitoring: Monitoring, command: tuple[str, ...]
) -> None:
    assert cli(*command).returncode == 0
    assert monitoring.pings == []


def test_a_query_in_the_url_is_kept(cli: Cli, configure: Callable[..., None], monitoring: Monitoring) -> None:
    configure(f"{monitoring.url}/?create=1")
    cli("sync")
    assert monitoring.told == ["/start", ""]
    assert all(path.count("create=1") == 1 for path in monitoring.arrived)


def test_a_long_log_is_cut_at_what_the_service_keeps_and_the_newest_lines_stay(monitoring: Monitoring) -> None:
    with watched("sync", SecretStr(monitoring.url), lambda: ["an-invented-password"]) as ends:
        for number in range(1000):
            logging.getLogger("cove_poller").warning("%d %s an-invented-password", number, "x" * 1000)
        ends(13, "what was printed")
    body = monitoring.pings[1].body
    assert 90_000 < len(body) <= LIMIT
    assert body.startswith("what was printed\n")
    assert " 999 xxx" in body.splitlines()[-1]
    assert "an-invented-password" not in body


@pytest.mark.parametrize("wrong", [f"http://hc-ping.example.com/{CHECK}", f"https://user:x@example.com/{CHECK}",
                                   f"https:///{CHECK}", CHECK, f"https://[{CHECK}"])  # fmt: skip
def test_a_url_that_is_not_safe_is_refused_without_being_shown(
    cli: Cli, configure: Callable[..., None], wrong: str
) -> None:
    configure(wrong)
    done = cli("sync")
    assert done.returncode == 10
    assert "healthchecks.url: " in done.stderr
    assert CHECK not in done.stderr


def test_show_hides_all_of_the_url_but_its_host_and_what_it_prints_loads_again(
    cli: Cli, configure: Callable[..., None], monitoring: Monitoring
) -> None:
    text = cli("config", "show").stdout
    host = urlsplit(monitoring.url).netloc
    assert tomllib.loads(text)["healthchecks"] == {"url": f"http://{host}/********"}
    cli.write_config(text.replace('password = "********"', 'password = "x"'))
    assert cli("config", "check").returncode == 0


def test_a_configuration_with_the_url_should_be_nobody_elses_to_read(
    cli: Cli, configure: Callable[..., None], monitoring: Monitoring
) -> None:
    text = (cli.directory / "cove.toml").read_text()
    file = cli.write_config("\n".join(line for line in text.splitlines() if not line.startswith("password")))
    file.chmod(0o644)
    assert "chmod 600" in cli("config", "check", COVE_POLLER_PASSWORD="x").stderr

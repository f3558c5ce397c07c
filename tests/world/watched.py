"""A fleet whose state right now is known by construction, polled once by the real command, for what people look at."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tests.conftest import Cli
from tests.world.fake_cove import FakeCove, FakeDevice, Fleet, Partner, TrueSession, serving
from tests.world.terminal import Terminal

NOW = datetime.now(UTC).replace(microsecond=0)
HOSTILE_CUSTOMER = "[red]Evil[/red] \x1b[31mInc|\u202egnp\tCo\nLtd"
HOSTILE_DEVICE = 'x"\\' + "y" * 300
CONFIG = """\
[database]
url = "{database}"
[api]
url = "{url}"
requests_per_second = 1000
[logins.main]
username = "api-poller"
"""


def session(source: str, hours_ago: float, status: int = 5, minutes: int = 10) -> TrueSession:
    end = NOW - timedelta(hours=hours_ago)
    return TrueSession(source, end - timedelta(minutes=minutes), end, status)


def device(account: int, name: str, *sessions: TrueSession, partner: int = 1001, **changes: Any) -> FakeDevice:
    active = tuple(dict.fromkeys(one.source for one in sessions))
    values = {"kind": "server", "computer_name": name.upper(), "active": active, **changes}
    made = FakeDevice(account, partner, f"{name}_x{account}", **values)
    for one in sorted(sessions, key=lambda one: one.end):
        made.sessions.setdefault(one.source, []).append(one)
    return made


def make_watched_fleet() -> Fleet:
    """One device in each condition, at NOW; account 8 will be unlinked."""
    devices = [
        device(1, "ok", session("D01", 27), session("D01", 3)),
        device(2, "fail", session("D01", 3), session("D10", 26), session("D10", 2, status=2), session("D01", 2.1)),
        device(3, "stale", session("D01", 86), session("D01", 62)),
        device(4, "warn", session("D01", 30), session("D01", 1, status=6)),
        device(5, "off", session("D01", 24 * 20), kind="workstation"),
        device(6, "run", session("D01", 10), session("D01", -1, minutes=90)),
        device(7, "new", active=()),
        device(8, "lonely", session("D01", 5), partner=1002),
        device(9, HOSTILE_DEVICE, session("D01", 4), partner=1003),
    ]
    devices[-1].name = "evil_x9"
    partners = [
        Partner(1000, "Example MSP", None),
        Partner(1001, "Example Bakery", 1000),
        Partner(1002, "Example Dental", 1000),
        Partner(1003, HOSTILE_CUSTOMER, 1000),
    ]  # fmt: skip
    return Fleet(partners, devices)


CONDITIONS = {
    "FAIL": "failed", "STALE": "stale", "WARN": "warning", "NEW": "never", "OFF": "offline", "RUN": "running",
    "OK": "success", "LONELY": "success",
}  # fmt: skip
COUNTS = {"failed": 1, "stale": 1, "warning": 1, "never": 1, "offline": 1, "running": 1, "success": 3}
BUCKETS = {"24h": 4, "48h": 2, "older": 2, "never": 1}  # the last successes of FAIL's SQL and WARN are a day old


@dataclass
class Watched:
    """The command in its directory, and its database. Neither Cove nor its password is there any more."""

    cli: Cli
    database_url: str

    def execute(self, statement: str, **parameters: Any) -> None:
        engine = sa.create_engine(self.database_url, poolclass=sa.NullPool)
        with engine.begin() as connection:
            connection.execute(sa.text(statement), parameters)
        engine.dispose()

    def count(self, table: str) -> int:
        """How many rows a table has."""
        engine = sa.create_engine(self.database_url, poolclass=sa.NullPool)
        with engine.connect() as connection:
            return connection.execute(sa.select(sa.func.count()).select_from(sa.table(table))).scalar_one()

    def copy(self, directory: Path) -> "Watched":
        """The same of its own, for a test that changes it; its database is a file beside it."""
        shutil.copytree(self.cli.directory, directory)
        return Watched(Cli(directory), f"sqlite:///{directory / 'cove.db'}")

    def age_polls(self, span: timedelta) -> None:
        moment = (NOW - span).replace(tzinfo=None)
        self.execute("UPDATE cove_polls SET started_at = :moment, finished_at = :moment", moment=f"{moment}.000000")

    def on_terminal(self, *arguments: str, **environ: str) -> str:
        """What the command shows where its stdout is a wide terminal."""
        terminal = Terminal(self.cli, *arguments, columns=220, streams=["stdout"], **environ)
        assert terminal.finish() == 0
        return terminal.raw.decode()


@contextmanager
def watched(directory: Path, database_url: str) -> Iterator[Watched]:
    """A site after one poll."""
    cli = Cli(directory)
    url = database_url or "sqlite:///cove.db"
    with serving(FakeCove(make_watched_fleet(), NOW)) as cove:
        cli.write_config(CONFIG.format(database=url, url=cove.url))
        assert cli("migrate").returncode == 0
        done = cli("sync", COVE_POLLER_PASSWORD=cove.password)
        assert done.returncode == 0, done.stderr
    site = Watched(cli, database_url or f"sqlite:///{directory / 'cove.db'}")
    site.execute("UPDATE cove_devices SET job_id = NULL WHERE account_id = 8")
    yield site

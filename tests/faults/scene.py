"""Where a fault is tried: a fake Cove with three devices, a prepared database, and the command."""

import logging
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg2
import sqlalchemy as sa
from click.testing import CliRunner

from cove_poller.cli.program import program
from cove_poller.redaction import forget_all
from tests.conftest import NEVER_STALE, Cli
from tests.faults.table import Fault
from tests.world.fake_cove import FakeCove
from tests.world.small_fleet import MORNING, make_device, make_small_fleet

DEVICES = 3


@dataclass(frozen=True)
class Ran:
    """How a run ended, and what it said; `error` is what it should never end with."""

    code: int | None
    said: str
    error: BaseException | None = None


@contextmanager
def _own_logging() -> Iterator[None]:
    """Let a command set its logging, for itself alone."""
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
    for name in ("cove_poller", "cove_poller.progress"):
        logging.getLogger(name).setLevel(logging.NOTSET)


@dataclass
class Scene:
    """Everything that a fault may break. `url` is of the database."""

    cove: FakeCove
    cli: Cli
    template: Path
    make_postgres: Callable[[], str]
    url: str = ""
    timeout_seconds: float = 10

    def __post_init__(self) -> None:
        self.database = self.directory / "cove.db"
        shutil.copy(self.template, self.database)
        self.url = f"sqlite:///{self.database}"
        self.configure()

    @property
    def directory(self) -> Path:
        return self.cli.directory

    @property
    def config(self) -> Path:
        return self.directory / "cove.toml"

    def configure(self, *, login: str = "", api: str = "", database: str = "", url: str = "") -> None:
        """Write the configuration, with other lines for what a fault is about."""
        login = login or f'password = "{self.cove.password}"'
        api = f'url = "{url or self.cove.url}"\nrequests_per_second = 1000\npage_size = 2\n{api}\n'
        limits = f"max_attempts = 2\ntimeout_seconds = {self.timeout_seconds}\n"
        head = f'[database]\nurl = "{self.url}"\n{database}\n[api]\n{api}{limits}'
        self.cli.write_config(f'{head}[logins.main]\nusername = "{self.cove.username}"\n{login}\n{NEVER_STALE}')

    def use_postgres(self) -> None:
        """Go on with a prepared PostgreSQL database."""
        self.url = self.make_postgres()
        self.configure()
        assert self.run("migrate").code == 0

    def run(self, *arguments: str, environ: Mapping[str, str] | None = None) -> Ran:
        """Run the command in this process: `sync`, unless another is named."""
        told = ["--config", str(self.config), *(arguments or ("sync",))]
        names = {"HOME": str(self.directory), **(environ or {})}
        with _own_logging():
            done = CliRunner().invoke(program, told, env=names)
        forget_all()
        error = None if isinstance(done.exception, SystemExit) else done.exception
        return Ran(done.exit_code, done.stderr, error)

    def runs(self) -> int:
        """How many job runs there are."""
        try:
            if self.url.startswith("sqlite"):
                with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as connection:
                    return int(connection.execute("SELECT count(*) FROM job_runs").fetchone()[0])
            with closing(psycopg2.connect(self.url.replace("+psycopg2", ""))) as server, server.cursor() as cursor:
                cursor.execute("SELECT count(*) FROM job_runs")
                return int((cursor.fetchone() or [0])[0])
        except (sqlite3.Error, psycopg2.Error):  # there is no such table, or no database
            return 0

    def execute(self, *statements: str) -> None:
        """Change the database by other means."""
        engine = sa.create_engine(self.url, poolclass=sa.NullPool)
        with engine.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)


def new_cove() -> FakeCove:
    return FakeCove(make_small_fleet(*(make_device(n, f"srv{n}_a{n}") for n in range(1, DEVICES + 1))), MORNING)


def check(fault: Fault, scene: Scene) -> None:
    """Try a fault. Raise AssertionError if anything else comes of it than its row of the table says."""
    ran = fault.cause(scene)
    assert ran.error is None, ran
    assert "Traceback" not in ran.said
    assert scene.cove.password not in ran.said
    asked = len(scene.cove.arrived)
    requests = asked if fault.requests is None else fault.requests
    assert (ran.code, scene.runs(), asked) == (fault.code, fault.runs, requests), ran.said
    assert fault.says in ran.said
    assert bool(ran.said) == bool(fault.says), ran.said
    if fault.heals:
        scene.cove.faults.meddle = None
        after = scene.run()
        assert (after.code, scene.runs()) == (0, DEVICES), after
        assert not re.search(r"login main: (?!over: )", after.said), after


Cause = Callable[[Scene], Ran]


def fault_of(faults: list[Fault], kind: str) -> Callable[..., Callable[[Cause], Cause]]:
    """Return a decorator that adds a fault of that kind to the list: its name, and what comes of it."""

    def named(
        name: str, code: int, runs: int, requests: int | None, says: str = "", *, heals: bool = False
    ) -> Callable[[Cause], Cause]:
        def add(cause: Cause) -> Cause:
            faults.append(Fault(kind, name, "", code, runs, requests, says, cause, heals))
            return cause

        return add

    return named

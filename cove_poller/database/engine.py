"""The database as a whole: its preparation, transactions and the lock. `store` has the statements."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from enum import Enum
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from pydantic import SecretStr
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError

from cove_poller.config.settings import BackupchecksSettings, Config
from cove_poller.database import migrate
from cove_poller.database.connecting import limits, signals
from cove_poller.database.connecting.engines import (
    copy_in_memory,
    make_engine,
    missing_file,
    sqlite_file,
    without_statement_limit,
)
from cove_poller.database.connecting.faults import database_errors
from cove_poller.database.connecting.locks import AdvisoryLock, file_lock, held, refuse_if_all_are_busy, suffix
from cove_poller.database.connecting.pooler import refuse_shared_sessions
from cove_poller.database.connecting.signals import undisturbed
from cove_poller.database.grants import grants
from cove_poller.database.inspection import inspect_database
from cove_poller.database.store import Store
from cove_poller.database.tables import Tables
from cove_poller.errors import DatabaseAway, DatabaseBusy, DatabaseError, DatabaseUnavailable

T = TypeVar("T")

log = logging.getLogger(__name__)


class Mode(Enum):
    """How a database is opened, and what that promises."""

    WRITE = "write"
    """What a transaction writes stays."""

    DRY = "dry"
    """Every transaction does what it would, and is undone at its end; see `Database.together`."""

    READ = "read"
    """The database itself refuses to write, and waits for nobody who writes, however long that takes."""


class Database:
    """A prepared database."""

    def __init__(self, engine: Engine, tables: Tables, settings: BackupchecksSettings, mode: Mode) -> None:
        self.tables = tables
        self.is_dry = mode is Mode.DRY
        self._engine = engine
        self._settings = settings
        self._mode = mode
        self._shared: Connection | None = None
        self._lock: AdvisoryLock | None = None
        self._is_stuck = False
        self._is_given_up = False

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Give a connection whose statements are all done or none. A signal to end waits for that."""
        with undisturbed(), database_errors():
            if self._shared is not None:
                with self._shared.begin_nested():
                    yield self._shared
                return
            with self._connected() as connection, connection.begin() as transaction:
                yield connection
                if self._mode is Mode.DRY:
                    transaction.rollback()

    def _connected(self) -> Connection:
        """Return a connection, waited for if the server is away, which was there before: it may just restart.

        Nobody waits a second time for a server that did not come back.
        """
        until = time.monotonic() + limits.RESTART
        with undisturbed(), database_errors():
            while True:
                try:
                    connection = self._engine.connect()
                except OperationalError:
                    is_over = self._is_given_up or self._engine.dialect.name == "sqlite" or time.monotonic() >= until
                    if is_over or not signals.pause(1):
                        self._is_given_up = True
                        raise
                else:
                    self._is_given_up = False
                    return connection

    def tried_twice(self, work: Callable[[Store], T]) -> T:
        """Return what `work` gives for the statements of one transaction that records devices, or for two.

        That is where the server went away, or somebody held up the first try. The second is not for the next page too
        where nobody gives way, so that a run with many logins comes to its end. The lock is looked after before.
        """
        try:
            found = self._tried(work)
        except (DatabaseAway, DatabaseBusy) as error:
            if self._is_stuck or signals.is_told() or self._shared is not None:
                raise
            log.info("once more, since %s", error)
            self._is_stuck = True
            found = self._tried(work)
        self._is_stuck = False
        return found

    def _tried(self, work: Callable[[Store], T]) -> T:
        if self._lock is not None:
            self._lock.assure()
        with self.recording() as store:
            return work(store)

    @contextmanager
    def store(self) -> Iterator[Store]:
        """Give the statements of one transaction."""
        with self.transaction() as connection:
            yield Store(connection, self.tables, self._settings)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Let a dry run see until the end of this block what it has written in it. Others do so anyway.

        Meanwhile nobody else can write what it did: not for runs that take long.
        """
        if self._mode is not Mode.DRY or self._shared is not None:
            yield
            return
        with database_errors(), self._connected() as self._shared, self._shared.begin() as transaction:
            try:
                yield
            finally:
                self._shared = None
            transaction.rollback()

    @contextmanager
    def recording(self) -> Iterator[Store]:
        """Give the statements of one transaction in which no other run writes what it knows of devices.

        Other runs are waited for, whatever their login, since two may list the same devices: each takes as long as a
        page or a group of histories does.
        """
        with self.store() as store:
            if self._mode is Mode.WRITE:
                store.devices.hold_recording()
            yield store

    @contextmanager
    def lock(self, login: str, command: str = "sync") -> Iterator[None]:
        """Keep other runs of a command away from this login. Raise LockHeld if one is busy with it.

        A sync and a backfill of one login are not in each other's way: each writes by `recording`.
        """
        if self._engine.dialect.name == "sqlite":
            file = sqlite_file(self._engine.url)
            name = f"{file}.{quote(login, safe='')}{suffix(command)}.lock"
            is_dry = self._mode is Mode.DRY
            with file_lock(name, held(login, command), leaves_no_file=is_dry) if file else nullcontext():
                yield
            return
        outer, lock = self._lock, AdvisoryLock(self._connected, login, command)
        try:
            lock.take()
            self._lock = lock
            yield
            lock.give_back()
        finally:
            self._lock = outer
            lock.release()


@contextmanager
def open_database(
    config: Config, password: SecretStr | None, mode: Mode, *, prepare: bool = False, logins: Sequence[str] = ()
) -> Iterator[Database]:
    """Give the database, found ready for use. Raise DatabaseError with what is missing.

    With `prepare`, SQLite is made ready first, file and all; in a dry run a copy of it in memory. Raise LockHeld where
    other runs are busy with all the `logins`.
    """
    signals.forget()
    engine = make_engine(config.database, password, read_only=mode is Mode.READ)
    if not prepare and (file := missing_file(config.database)):
        raise DatabaseError(f"there is no database {file} yet")
    with ExitStack() as stack:
        stack.callback(engine.dispose)
        if prepare and mode is Mode.DRY and not _is_ready(engine, config):
            engine = stack.enter_context(copy_in_memory(engine))
        with undisturbed(), database_errors():
            if prepare and engine.dialect.name == "postgresql":
                refuse_shared_sessions(engine)
            try:
                with database_errors(), engine.connect() as connection, connection.begin():
                    tables = _ready_tables(connection, config, prepare=prepare)
            except (DatabaseUnavailable, DatabaseBusy):  # the other run may have met with the same
                refuse_if_all_are_busy(engine, logins)
                raise
        yield Database(engine, tables, config.backupchecks, mode)


def _is_ready(engine: Engine, config: Config) -> bool:
    """Return whether nothing would have to be made first; PostgreSQL is never made ready in passing."""
    if engine.dialect.name != "sqlite":
        return True
    if file := missing_file(config.database):
        if not Path(file).parent.is_dir():
            raise DatabaseError(f"the database says: unable to open {file}: there is no such folder")
        return False
    with undisturbed(), database_errors(), engine.connect() as connection, connection.begin():
        return not inspect_database(connection, config).needs_migration


def migrate_database(config: Config, password: SecretStr | None, *, dry_run: bool, grant: str | None = None) -> str:
    """Make the database ready, or with `dry_run` only say how. Return the SQL; empty if it is ready already.

    The role `grant` then gets the rights that the poller needs, on PostgreSQL.
    """
    signals.forget()
    engine = make_engine(config.database, password)
    try:
        with undisturbed(), database_errors(), engine.begin() as connection:
            without_statement_limit(connection)
            migrate.limit_waiting(connection)
            found = inspect_database(connection, config)
            said = migrate.notes(connection, found, config.backupchecks)
            wanted = [*grants(connection, config, grant)] if grant else []
            done = migrate.statements(connection, found) if dry_run else migrate.run(connection, found)
            for statement in () if dry_run else wanted:
                connection.exec_driver_sql(statement)
            done += wanted
        return migrate.as_script(done, said) if done else ""
    finally:
        engine.dispose()


def _ready_tables(connection: Connection, config: Config, *, prepare: bool) -> Tables:
    """Return the tables, made first where they may be."""
    found = inspect_database(connection, config)
    if prepare and found.needs_migration and not found.obstacles and connection.dialect.name == "sqlite":
        migrate.run(connection, found)
        found = inspect_database(connection, config)
    if found.obstacles or found.needs_migration:
        missing = [*found.obstacles, *found.described()]
        raise DatabaseError("\n  ".join(["the database is not prepared; run: cove-poller migrate", *missing]))
    return found.tables()

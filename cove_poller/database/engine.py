"""The database as a whole: the engine, its preparation, transactions and the lock. `store` has the statements."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import filelock
from pydantic import SecretStr
from sqlalchemy import URL, Connection, Engine, create_engine, event, func, make_url, select
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from cove_poller.config.settings import BackupchecksSettings, Config, DatabaseSettings
from cove_poller.database import migrate
from cove_poller.database.grants import grants, with_grant
from cove_poller.database.inspection import inspect_database
from cove_poller.database.signals import undisturbed
from cove_poller.database.store import Store
from cove_poller.database.tables import Tables
from cove_poller.errors import ConfigError, DatabaseError, LockHeld, Terminated
from cove_poller.text import one_line

CONNECT_TIMEOUT_SECONDS = 10
BUSY_TIMEOUT_SECONDS = 30


@contextmanager
def database_errors() -> Iterator[None]:
    """Turn the library's errors into ours: the database's own words without the values that it quotes."""
    try:
        yield
    except SQLAlchemyError as error:
        reason = getattr(error, "orig", None) or error
        if isinstance(reason, Terminated):
            raise reason from None  # a signal came while a statement was under way, and the library took it for its own
        reason = getattr(getattr(reason, "diag", None), "message_primary", None) or reason
        raise DatabaseError(f"the database says: {with_grant(one_line(str(reason)))}") from error


class Mode(Enum):
    """How a database is opened, and what that promises."""

    WRITE = "write"
    """What a transaction writes stays."""

    DRY = "dry"
    """Every transaction does what it would, and is undone at its end; see `Database.together`."""

    READ = "read"
    """The database itself refuses to write, and waits for nobody who writes, however long that takes."""


def make_engine(settings: DatabaseSettings, password: SecretStr | None, mode: Mode = Mode.WRITE) -> Engine:
    """Return the engine for the configured database, which has connected to nothing yet.

    It is the same one each time, since an engine keeps what SQLAlchemy compiles of each statement.
    """
    url = _url(settings)
    if password is not None:
        url = url.set(password=password.get_secret_value())
    if url.get_backend_name() == "postgresql":
        return _postgresql_engine(url, mode is Mode.READ)
    if file := _sqlite_file(url):
        url = url.set(database=str(Path(file).absolute()))  # what a relative one means may change
    return _sqlite_engine(url, mode is Mode.READ)


def _url(settings: DatabaseSettings) -> URL:
    try:
        url = make_url(settings.url)
        if "@" in (url.host or "") or (url.get_backend_name() == "sqlite" and url.host):
            raise ArgumentError
    except (ArgumentError, ValueError):  # the latter for a port that is no number
        raise ConfigError(
            "database.url: cannot be understood; in a password, write / @ : # ? as %2F %40 %3A %23 %3F"
        ) from None
    return url


def _sqlite_file(url: URL) -> str | None:
    """Return the file of an SQLite database, None if it has none."""
    is_file = url.get_backend_name() == "sqlite" and url.database and url.database != ":memory:"
    return url.database if is_file else None


@lru_cache(maxsize=4)
def _sqlite_engine(url: URL, read_only: bool) -> Engine:
    engine = create_engine(url, hide_parameters=True, connect_args={"timeout": BUSY_TIMEOUT_SECONDS})
    event.listen(engine, "handle_error", _name_the_file)
    event.listen(engine, "connect", _leave_transactions_to_us)
    event.listen(engine, "begin", _begin_for_reading if read_only else _begin_for_writing)
    return engine


@lru_cache(maxsize=4)
def _postgresql_engine(url: URL, read_only: bool) -> Engine:
    arguments = {"connect_timeout": CONNECT_TIMEOUT_SECONDS, "application_name": "cove-poller"}
    engine = create_engine(url, hide_parameters=True, poolclass=NullPool, connect_args=arguments)
    if read_only:
        engine = engine.execution_options(postgresql_readonly=True)
    event.listen(engine, "connect", _think_in_utc)
    return engine


def _think_in_utc(connection: Any, _: Any) -> None:
    """Compare in UTC: where a column has no time zone, PostgreSQL takes the session's."""
    with connection.cursor() as cursor:
        cursor.execute("SET TIME ZONE 'UTC'")
    connection.commit()


def _name_the_file(context: ExceptionContext) -> None:
    """Say which file it was: SQLite does not. Its folder counts too, since journal and lock stand beside it."""
    reason, file = str(context.original_exception), context.engine and context.engine.url.database
    if file and ("unable to open" in reason or "readonly database" in reason):
        raise DatabaseError(
            f"the database says of {file}: {reason}; the user who runs this needs the right to write it and its folder"
        ) from context.original_exception


def _leave_transactions_to_us(connection: Any, _: Any) -> None:
    """Switch off that Python's driver begins transactions: only before some statements, so not before DDL."""
    connection.isolation_level = None


def _begin_for_writing(connection: Connection) -> None:
    """Lock at once: a transaction that begins by reading cannot always go on to write when another one writes."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _begin_for_reading(connection: Connection) -> None:
    """Wait for nobody who writes, so that a long run does not keep people from looking."""
    connection.exec_driver_sql("PRAGMA query_only = ON")
    connection.exec_driver_sql("BEGIN")


class Database:
    """A prepared database."""

    def __init__(
        self, engine: Engine, tables: Tables, settings: BackupchecksSettings, mode: Mode, shared: Connection | None
    ) -> None:
        self.tables = tables
        self._engine = engine
        self._settings = settings
        self._mode = mode
        self._shared = shared

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Give a connection whose statements are all done or none. A signal to end waits for that."""
        with undisturbed(), database_errors():
            if self._shared is not None:
                with self._shared.begin_nested():
                    yield self._shared
                return
            with self._engine.connect() as connection, connection.begin() as transaction:
                yield connection
                if self._mode is Mode.DRY:
                    transaction.rollback()

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
        with database_errors(), self._engine.connect() as self._shared, self._shared.begin() as transaction:
            try:
                yield
            finally:
                self._shared = None
            transaction.rollback()

    @contextmanager
    def lock(self, login: str) -> Iterator[None]:
        """Keep other runs away from this login. Raise LockHeld if one is busy with it."""
        if self._engine.dialect.name == "sqlite":
            file = _sqlite_file(self._engine.url)
            with _file_lock(Path(file), login) if file else nullcontext():
                yield
        else:
            with _advisory_lock(self._engine, login):
                yield


def held(login: str) -> LockHeld:
    return LockHeld(f"another run is busy with login {login}; nothing was done")


@contextmanager
def _file_lock(database: Path, login: str) -> Iterator[None]:
    name = quote(login, safe="")
    lock = filelock.FileLock(f"{database}.{name}.lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise held(login) from None
    except OSError as error:
        raise DatabaseError(f"the lock file {lock.lock_file} cannot be used: {error.strerror}") from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _advisory_lock(engine: Engine, login: str) -> Iterator[None]:
    digest = hashlib.sha256(f"cove-poller:{login}".encode()).digest()
    key = int.from_bytes(digest[:8], "big", signed=True)
    with database_errors():
        connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    try:
        with database_errors():
            if not connection.scalar(select(func.pg_try_advisory_lock(key))):
                raise held(login)
        yield
    finally:
        with undisturbed():
            connection.close()  # that gives the lock back, as it does when the process dies


def missing_file(settings: DatabaseSettings) -> str | None:
    """Return the SQLite file that is not there yet."""
    file = _sqlite_file(_url(settings))
    return file if file and not Path(file).exists() else None


@contextmanager
def open_database(
    config: Config, password: SecretStr | None, mode: Mode, *, prepare: bool = False
) -> Iterator[Database]:
    """Give the database, found ready for use. Raise DatabaseError with what is missing.

    With `prepare`, SQLite is made ready first, file and all; in a dry run only until the end of it.
    """
    engine = make_engine(config.database, password, mode)
    if not prepare and (file := missing_file(config.database)):
        raise DatabaseError(f"there is no database {file} yet")
    try:
        with database_errors(), engine.connect() as connection, connection.begin() as transaction:
            tables, was_ready = _ready_tables(connection, config, prepare=prepare)
            if mode is Mode.DRY and not was_ready:
                yield Database(engine, tables, config.backupchecks, mode, shared=connection)
                transaction.rollback()
                return
        yield Database(engine, tables, config.backupchecks, mode, shared=None)
    finally:
        engine.dispose()


def migrate_database(config: Config, password: SecretStr | None, *, dry_run: bool, grant: str | None = None) -> str:
    """Make the database ready, or with `dry_run` only say how. Return the SQL; empty if it is ready already.

    The role `grant` then gets the rights that the poller needs, on PostgreSQL.
    """
    engine = make_engine(config.database, password)
    try:
        with database_errors(), engine.begin() as connection:
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


def _ready_tables(connection: Connection, config: Config, *, prepare: bool) -> tuple[Tables, bool]:
    """Return the tables, and whether they were ready before."""
    found = inspect_database(connection, config)
    was_ready = not found.needs_migration
    if prepare and found.needs_migration and not found.obstacles and connection.dialect.name == "sqlite":
        migrate.run(connection, found)
        found = inspect_database(connection, config)
    if found.obstacles or found.needs_migration:
        missing = [*found.obstacles, *found.described()]
        raise DatabaseError("\n  ".join(["the database is not prepared; run: cove-poller migrate", *missing]))
    return found.tables(), was_ready

"""The database as a whole: the engine, its preparation, transactions and the lock. `store` has the statements."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import quote

import filelock
from pydantic import SecretStr
from sqlalchemy import Connection, Engine, create_engine, event, func, make_url, select
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from cove_poller.config.settings import Config, DatabaseSettings
from cove_poller.database import migrate
from cove_poller.database.inspection import inspect_database
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
        raise DatabaseError(f"the database says: {one_line(str(reason))}") from error


def make_engine(settings: DatabaseSettings, password: SecretStr | None, *, read_only: bool = False) -> Engine:
    """An engine for the configured database, through which nothing can be written if it is `read_only`.

    Connects to nothing yet.
    """
    try:
        url = make_url(settings.url)
        if "@" in (url.host or "") or (url.get_backend_name() == "sqlite" and url.host):
            raise ArgumentError
    except (ArgumentError, ValueError):  # the latter for a port that is no number
        raise ConfigError(
            "database.url: cannot be understood; in a password, write / @ : # ? as %2F %40 %3A %23 %3F"
        ) from None
    if password is not None:
        url = url.set(password=password.get_secret_value())
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url, hide_parameters=True, connect_args={"timeout": BUSY_TIMEOUT_SECONDS})
        event.listen(engine, "connect", _leave_transactions_to_us)
        event.listen(engine, "begin", _begin_for_reading if read_only else _begin_for_writing)
        return engine
    arguments = {"connect_timeout": CONNECT_TIMEOUT_SECONDS, "application_name": "cove-poller"}
    engine = create_engine(url, hide_parameters=True, poolclass=NullPool, connect_args=arguments)
    if read_only:
        engine = engine.execution_options(postgresql_readonly=True)
    event.listen(engine, "connect", _think_in_utc)
    return engine


def _think_in_utc(connection: Any, _: Any) -> None:
    """Where a column has no time zone, PostgreSQL compares it in the session's."""
    with connection.cursor() as cursor:
        cursor.execute("SET TIME ZONE 'UTC'")
    connection.commit()


def _leave_transactions_to_us(connection: Any, _: Any) -> None:
    """Python's driver begins a transaction only before some statements, so DDL would be outside of it."""
    connection.isolation_level = None


def _begin_for_writing(connection: Connection) -> None:
    """A transaction that begins by reading could not always go on to write when another one writes."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _begin_for_reading(connection: Connection) -> None:
    """A transaction that waits for nobody who writes, so that a long run does not keep people from looking."""
    connection.exec_driver_sql("PRAGMA query_only = ON")
    connection.exec_driver_sql("BEGIN")


class Database:
    """A prepared database.

    With a `dry` connection everything happens in its one transaction, which is rolled back at the end; if it `undoes`,
    every transaction is rolled back by itself, so that nobody has to wait for a long dry run.
    """

    def __init__(self, engine: Engine, tables: Tables, dry: Connection | None = None, *, undoes: bool = False) -> None:
        self.tables = tables
        self._engine = engine
        self._dry = dry
        self._undoes = undoes

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A connection whose statements are all done or none."""
        with database_errors():
            if self._dry is not None:
                with self._dry.begin_nested():
                    yield self._dry
            elif self._undoes:
                with self._engine.connect() as connection, connection.begin() as transaction:
                    yield connection
                    transaction.rollback()
            else:
                with self._engine.begin() as connection:
                    yield connection

    @contextmanager
    def lock(self, login: str) -> Iterator[None]:
        """Keep other runs away from this login. Raise LockHeld if one is busy with it."""
        if self._engine.dialect.name == "sqlite":
            path = self._engine.url.database
            with _file_lock(Path(path), login) if path and path != ":memory:" else nullcontext():
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
    with connection:
        with database_errors():
            if not connection.scalar(select(func.pg_try_advisory_lock(key))):
                raise held(login)
        yield  # closing the connection gives the lock back, also when the process dies


def missing_file(settings: DatabaseSettings) -> str | None:
    """The SQLite file that is not there yet."""
    url = make_engine(settings, None).url
    file = url.database if url.get_backend_name() == "sqlite" else None
    return file if file and not Path(file).exists() else None


@contextmanager
def open_database(
    config: Config,
    password: SecretStr | None,
    *,
    dry_run: bool = False,
    undo_each: bool = False,
    prepare: bool = True,
    read_only: bool = False,
) -> Iterator[Database]:
    """The database, found ready for use. Raise DatabaseError with what is missing.

    SQLite is made ready, file and all, unless `prepare` is false or it is only to be read. A dry run is one
    transaction, which is undone, or with `undo_each` every transaction is, where the tables are there already.
    """
    prepare = prepare and not read_only
    engine = make_engine(config.database, password, read_only=read_only)
    if not prepare and (file := missing_file(config.database)):
        raise DatabaseError(f"there is no database {file} yet")
    try:
        with database_errors(), engine.connect() as connection, connection.begin() as transaction:
            tables, was_ready = _ready_tables(connection, config, prepare=prepare)
            in_one = dry_run and not (undo_each and was_ready)
            if in_one:
                yield Database(engine, tables, connection)
                transaction.rollback()
        if not in_one:
            yield Database(engine, tables, undoes=dry_run)
    finally:
        engine.dispose()


@contextmanager
def undone_transaction(config: Config, password: SecretStr | None) -> Iterator[Connection]:
    """A connection to the database as it is, prepared or not, on which whatever is done is taken back.

    Raise DatabaseError. An SQLite file is not made.
    """
    engine = make_engine(config.database, password)
    try:
        with database_errors(), engine.connect() as connection, connection.begin() as transaction:
            migrate.limit_waiting(connection)
            yield connection
            transaction.rollback()
    finally:
        engine.dispose()


def migrate_database(config: Config, password: SecretStr | None, *, dry_run: bool) -> str:
    """Make the database ready, or with `dry_run` only say how. Return the SQL; empty if it is ready already."""
    engine = make_engine(config.database, password)
    try:
        with database_errors(), engine.begin() as connection:
            migrate.limit_waiting(connection)
            found = inspect_database(connection, config)
            done = migrate.statements(connection, found) if dry_run else migrate.run(connection, found)
        return migrate.as_script(done) if done else ""
    finally:
        engine.dispose()


def _ready_tables(connection: Connection, config: Config, *, prepare: bool) -> tuple[Tables, bool]:
    """The tables, and whether they were ready before."""
    found = inspect_database(connection, config)
    was_ready = not found.needs_migration
    if prepare and found.needs_migration and not found.obstacles and connection.dialect.name == "sqlite":
        migrate.run(connection, found)
        found = inspect_database(connection, config)
    if found.obstacles or found.needs_migration:
        missing = [*found.obstacles, *found.described()]
        raise DatabaseError("\n  ".join(["the database is not prepared; run: cove-poller migrate", *missing]))
    return found.tables(), was_ready

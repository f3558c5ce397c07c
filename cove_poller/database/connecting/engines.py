"""Connecting: the engine of each kind of database, and what every connection and transaction begins with."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import SecretStr
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DataError, OperationalError
from sqlalchemy.pool import NullPool, StaticPool

from cove_poller.config.settings import DatabaseSettings
from cove_poller.database.connecting import limits, signals
from cove_poller.errors import ConfigError

T = TypeVar("T")


def make_engine(settings: DatabaseSettings, password: SecretStr | None, *, read_only: bool = False) -> Engine:
    """Return the engine for the configured database, which has connected to nothing yet.

    It is the same one each time, since an engine keeps what SQLAlchemy compiles of each statement. A connection to a
    server is kept for the next transaction until the engine is disposed of: each is a process there, and costs more
    than most transactions. A file is opened anew for each, since it may have been put in another's place meanwhile.
    """
    url = _url(settings)
    if password is not None:
        url = url.set(password=password.get_secret_value())
    if url.get_backend_name() == "postgresql":
        return _postgresql_engine(url, read_only)
    if file := sqlite_file(url):
        url = url.set(database=str(Path(file).absolute()))  # what a relative one means may change
    return _sqlite_engine(url, read_only)


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


def sqlite_file(url: URL) -> str | None:
    """Return the file of an SQLite database, None if it has none."""
    is_file = url.get_backend_name() == "sqlite" and url.database and url.database != ":memory:"
    return url.database if is_file else None


def missing_file(settings: DatabaseSettings) -> str | None:
    """Return the SQLite file that is not there yet."""
    file = sqlite_file(_url(settings))
    return file if file and not Path(file).exists() else None


@lru_cache(maxsize=4)
def _sqlite_engine(url: URL, read_only: bool) -> Engine:
    arguments = {"factory": PatientConnection}
    engine = create_engine(url, hide_parameters=True, poolclass=NullPool, connect_args=arguments)
    event.listen(engine, "connect", _leave_transactions_to_us)
    event.listen(engine, "begin", _begin_for_reading if read_only else _begin_for_writing)
    event.listen(engine, "handle_error", _value_refused)
    event.listen(engine, "handle_error", _name_the_file)
    return engine


@contextmanager
def copy_in_memory(engine: Engine) -> Iterator[Engine]:
    """Give an engine for an SQLite database in memory, with what is in the file of `engine` if there is one."""
    arguments = {"factory": PatientConnection, "check_same_thread": False}
    memory = create_engine("sqlite://", hide_parameters=True, poolclass=StaticPool, connect_args=arguments)
    event.listen(memory, "connect", _leave_transactions_to_us)
    event.listen(memory, "begin", _begin_for_writing)
    event.listen(memory, "handle_error", _value_refused)
    file = sqlite_file(engine.url)
    if file and Path(file).exists():
        with closing(engine.raw_connection()) as source, closing(memory.raw_connection()) as copy:
            source.driver_connection.backup(copy.driver_connection)  # type: ignore[union-attr]
    try:
        yield memory
    finally:
        memory.dispose()


class PatientCursor(sqlite3.Cursor):
    """A cursor that waits for another writer, and hears signals meanwhile."""

    def execute(self, *arguments: Any) -> "PatientCursor":
        return patiently(lambda: super(PatientCursor, self).execute(*arguments))


class PatientConnection(sqlite3.Connection):
    """A connection to SQLite that waits for others in slices: while SQLite itself waits, Python hears no signal."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **{**options, "timeout": limits.BUSY_SLICE})

    def cursor(self, factory: Any = PatientCursor) -> Any:
        return super().cursor(factory)

    def commit(self) -> None:
        patiently(super().commit)


def patiently(statement: Callable[[], T]) -> T:
    """Return what the statement gives, tried again as long as it is somebody else's turn."""
    begun_at = time.monotonic()
    while True:
        try:
            return statement()
        except sqlite3.OperationalError as error:
            is_busy = getattr(error, "sqlite_errorname", "").startswith("SQLITE_BUSY")
            if not is_busy or time.monotonic() - begun_at > limits.BUSY or signals.is_time_up(begun_at):
                raise


@lru_cache(maxsize=4)
def _postgresql_engine(url: URL, read_only: bool) -> Engine:
    from cove_poller.database.connecting import (
        postgresql_waiting as waiting,  # not before it is needed: it imports the driver
    )

    waiting.prepare_driver()
    arguments = {
        "application_name": "cove-poller",
        "connection_factory": waiting.Connection,
        "keepalives_idle": limits.KEEPALIVE_IDLE,
        "keepalives_interval": limits.KEEPALIVE_INTERVAL,
        "keepalives_count": limits.KEEPALIVE_COUNT,
        "tcp_user_timeout": limits.TCP_USER_TIMEOUT_MILLISECONDS,
    }
    engine = create_engine(url, hide_parameters=True, pool_size=1, pool_pre_ping=True, connect_args=arguments)
    if read_only:
        engine = engine.execution_options(postgresql_readonly=True)
    event.listen(engine, "connect", _speak_utf8)
    event.listen(engine, "checkin", waiting.keep)
    event.listen(engine, "checkout", waiting.begin_anew)
    event.listen(engine, "begin", _begin_as_a_guest)
    event.listen(engine, "handle_error", _value_refused)
    return engine


def _speak_utf8(connection: Any, _: Any) -> None:
    """Send text that a database's own encoding lacks too, so that the database says so, of that text."""
    if connection.info.parameter_status("server_encoding") != "SQL_ASCII" and connection.encoding != "UTF8":
        connection.set_client_encoding("UTF8")
        connection.commit()


def _begin_as_a_guest(connection: Connection) -> None:
    """Limit how long a transaction may wait, and think in UTC: where a column has no zone, the session's is taken.

    All of it ends with the transaction: behind a pooler the session is somebody else's afterwards.
    """
    driver = connection.connection.driver_connection
    if driver is None or driver.autocommit:
        return
    settings = {
        "lock_timeout": f"'{limits.LOCK * 1000:.0f}ms'",
        "statement_timeout": f"'{limits.STATEMENT * 1000:.0f}ms'",
        "idle_in_transaction_session_timeout": f"'{limits.IDLE_IN_TRANSACTION * 1000:.0f}ms'",
        "TimeZone": "'UTC'",
    }
    connection.exec_driver_sql("; ".join(f"SET LOCAL {name} = {value}" for name, value in settings.items()))


def without_statement_limit(connection: Connection) -> None:
    """Let the statements of this transaction take as long as they like: an index on a large table may take hours."""
    if connection.dialect.name == "postgresql":
        connection.connection.driver_connection.wait_for_ever()  # type: ignore[union-attr]
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")


def _value_refused(context: Any) -> Any:
    """Return what a driver raises of its own accord about a value as the error of the database that it stands for."""
    error = context.original_exception
    if context.sqlalchemy_exception is None and isinstance(error, ValueError | OverflowError):
        return DataError(None, None, error, hide_parameters=True)
    return None


def _name_the_file(context: Any) -> Any:
    """Return an error of a file that may not be used with its name, which SQLite does not tell."""
    error, file = context.original_exception, context.engine and context.engine.url.database
    if not file or getattr(error, "sqlite_errorname", "").split("_")[1:2] not in (["CANTOPEN"], ["READONLY"]):
        return None
    named = sqlite3.OperationalError(f"{error}: {file}; whoever runs this needs the right to write it and its folder")
    named.sqlite_errorcode, named.sqlite_errorname = error.sqlite_errorcode, error.sqlite_errorname
    return OperationalError(None, None, named, hide_parameters=True)


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

"""What a database says when something is wrong, as our errors: in its own words, without the values that it quotes."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError

from cove_poller.database.connecting import limits
from cove_poller.database.grants import with_grant
from cove_poller.errors import DatabaseAway, DatabaseBusy, DatabaseError, DatabaseUnavailable, Terminated, ValueRefused
from cove_poller.text import one_line

AWAY = ("08", "57P01", "57P02", "57P03", "57P05", "25P03", "25P04")
"""SQLSTATEs, or their beginnings, of a connection that is lost or was ended, and of a server that starts or stops."""

BUSY = ("55P03", "40001", "40P01", "57014")
"""Of a statement that waited too long, or that was in another's way: nothing is wrong with it."""

VALUE = ("22", "23514")
"""Of a value that a type, the encoding or a condition does not take."""

SQLITE_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
SQLITE_VALUE = ("SQLITE_CONSTRAINT_CHECK", "SQLITE_MISMATCH", "SQLITE_TOOBIG")

TAKEN_ID = re.compile(r"Key \((?P<column>\w+)\)=\(\d+\)")
"""How PostgreSQL names the number, counted up by itself, that a row has already."""


@contextmanager
def database_errors() -> Iterator[None]:
    """Turn the library's errors into ours."""
    try:
        yield
    except SQLAlchemyError as error:
        raise _ours(error) from error


def _ours(error: SQLAlchemyError) -> Exception:
    reason: Any = getattr(error, "orig", None) or error
    if isinstance(reason, Terminated):
        return reason  # a signal came while a statement was under way, and the library took it for its own
    said = getattr(getattr(reason, "diag", None), "message_primary", None) or reason
    hints = [*_blockers(reason), *_sequence_behind(reason)]
    return _kind(error, reason)("; ".join([f"the database says: {with_grant(one_line(str(said)))}", *hints]))


def _kind(error: SQLAlchemyError, reason: Any) -> type[DatabaseError]:
    state = getattr(reason, "pgcode", None) or ""
    if state.startswith(VALUE) or getattr(reason, "sqlite_errorname", "") in SQLITE_VALUE:
        return ValueRefused
    if isinstance(reason, ValueError | OverflowError):
        return ValueRefused
    if state.startswith(AWAY) or (isinstance(error, DBAPIError) and error.connection_invalidated):
        return DatabaseAway
    if state.startswith(BUSY) or getattr(reason, "sqlite_errorcode", None) in SQLITE_BUSY:
        return DatabaseBusy
    is_wrong = getattr(reason, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR  # the statement, not the moment
    is_outage = isinstance(error, OperationalError | InterfaceError) and not is_wrong
    return DatabaseUnavailable if is_outage else DatabaseError


def _blockers(reason: Any) -> Iterator[str]:
    """Say who held what was waited for, as was asked while it was."""
    connection = getattr(getattr(reason, "cursor", None), "connection", None)
    if getattr(reason, "pgcode", None) == "55P03" and (blockers := getattr(connection, "blockers", ())):
        limit = limits.TURN if b"lock_timeout" in (reason.cursor.query or b"") else limits.LOCK
        yield f"after {limit:g} seconds {', and '.join(str(one) for one in blockers[:3])}"
        yield "end that, with pg_terminate_backend for instance, if it is stuck"


def _sequence_behind(reason: Any) -> Iterator[str]:
    """Say how to bring a sequence up to date that gives numbers which are taken, as after some ways to restore."""
    diag = getattr(reason, "diag", None)
    taken = TAKEN_ID.match(getattr(diag, "message_detail", None) or "")
    if getattr(reason, "pgcode", None) == "23505" and diag is not None and taken:
        yield sequence_mend(diag.schema_name, diag.table_name, taken["column"])


def sequence_mend(schema: str | None, table: str, column: str) -> str:
    """Return what to do about a sequence that is behind, with the statement."""
    name = ".".join(f'"{part}"' for part in (schema, table) if part)
    statement = f"SELECT setval(pg_get_serial_sequence('{name}', '{column}'), (SELECT max(\"{column}\") FROM {name}))"  # noqa: S608 - for a person to run
    return f"the sequence of {table}.{column} is behind the rows, as after a restore; run as their owner: {statement}"

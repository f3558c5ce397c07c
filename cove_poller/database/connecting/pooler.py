"""Recognises a pooler that gives a session to others between two transactions: no lock holds there."""

from collections.abc import Iterator
from contextlib import ExitStack

from sqlalchemy import Connection, Engine

from cove_poller.errors import DatabaseError

WHO = "SELECT pg_backend_pid()"
TRIES = 3
REFUSAL = (
    "the database is reached through a pooler (PgBouncer or the like) that gives connections to others between two"
    " transactions (pool_mode = transaction): no lock holds there that keeps two runs apart. Let [database] url lead to"
    " PostgreSQL itself, or to a pool with pool_mode = session"
)


def refuse_shared_sessions(engine: Engine) -> None:
    """Raise DatabaseError if a connection has not a session of the server for itself.

    A direct one is known by the server's process, which it was told when it connected: then nothing else is tried.
    Behind a pooler, other connections take sessions while this one has nothing under way.
    """
    with engine.connect() as first:
        first = first.execution_options(isolation_level="AUTOCOMMIT")
        driver = first.connection.driver_connection
        mine = first.exec_driver_sql(WHO).scalar_one()
        if driver is not None and driver.info.backend_pid == mine:
            return
        with ExitStack() as stack:
            others = set(_others(stack, engine, mine))
            if mine in others or first.exec_driver_sql(WHO).scalar_one() != mine:
                raise DatabaseError(REFUSAL)


def _others(stack: ExitStack, engine: Engine, mine: int) -> Iterator[int]:
    """Yield the sessions of further connections, each kept in a transaction, until one of them has `mine`."""
    for _ in range(TRIES):
        other: Connection = stack.enter_context(engine.connect())
        stack.enter_context(other.begin())
        process = other.exec_driver_sql(WHO).scalar_one()
        yield process
        if process == mine:
            return

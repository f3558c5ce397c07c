"""The rows of the poller's own tables that nobody goes by any more: which they are, counted and removed."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Table, and_, delete, func, select

from cove_poller.database.engine import Database

BATCH = 5000
"""Rows looked at in one transaction, so that nobody waits for long."""

FINISHED = ("ok", "partial")


@dataclass(frozen=True)
class Rows:
    """The rows of a table that meet a condition."""

    table: Table
    condition: ColumnElement[bool]


def old_sessions(database: Database, before: datetime) -> Rows:
    """Return the sessions of which the device had, by then, a newer one of the same source, status and Cove's code.

    So what was the case at `before` stays known: polls compare Cove's last, last completed and last successful
    session with it, and remarks tell since when a source has not succeeded.
    """
    sessions = database.tables.sessions
    newer = sessions.alias("newer")
    same = [newer.c[name] == sessions.c[name] for name in ("account_id", "data_source", "status")]
    same_code = newer.c.status_code.is_not_distinct_from(sessions.c.status_code)
    by_then = and_(newer.c.session_at > sessions.c.session_at, newer.c.session_at < before)
    has_newer = select(newer.c.id).where(*same, same_code, by_then).exists()
    return Rows(sessions, and_(sessions.c.session_at < before, has_newer))


def old_polls(database: Database, before: datetime) -> Rows:
    """Return the polls that nobody goes by: not the newest, nor newest successful, of their login and command, and
    not those that remember a rejection: the newest that tells of the login, and the first with the same
    fingerprint, which has the words; nor the newest that has the login's conditions.
    """
    polls = database.tables.polls
    rows, kept, told = polls.alias("rows"), polls.alias("kept"), polls.alias("told")
    by_command = select(func.max(rows.c.id)).group_by(rows.c.login, rows.c.command)
    telling = select(func.max(told.c.id)).where(told.c.login_fingerprint.is_not(None)).group_by(told.c.login)
    remembered = select(kept.c.login_fingerprint).where(kept.c.id.in_(telling))
    same = rows.c.login_fingerprint.in_(remembered)
    first = select(func.min(rows.c.id)).where(same).group_by(rows.c.login, rows.c.login_fingerprint)
    conditions = by_command.where(rows.c.conditions.is_not(None))
    needed = (by_command, by_command.where(rows.c.outcome.in_(FINISHED)), telling, first, conditions)
    return Rows(polls, and_(polls.c.started_at < before, *(polls.c.id.not_in(ids) for ids in needed)))


def count_rows(database: Database, rows: Rows) -> int:
    """Return how many such rows there are."""
    with database.transaction() as connection:
        return connection.scalar(select(func.count()).select_from(rows.table).where(rows.condition)) or 0


def remove_rows(database: Database, rows: Rows) -> int:
    """Remove such rows, batch by batch. Return how many that were."""
    removed = 0
    with database.transaction() as connection:
        ranges = list(_id_ranges(connection, rows.table))
    for first, last in ranges:
        batch = delete(rows.table).where(rows.table.c.id.between(first, last), rows.condition)
        with database.transaction() as connection:
            removed += connection.execute(batch).rowcount
    return removed


def _id_ranges(connection: Connection, table: Table) -> Iterator[tuple[int, int]]:
    """The ids that the table has, a batch after the other."""
    first, last = connection.execute(select(func.min(table.c.id), func.max(table.c.id))).one()
    for begin in range(first or 0, (last or -1) + 1, BATCH):
        yield begin, begin + BATCH - 1

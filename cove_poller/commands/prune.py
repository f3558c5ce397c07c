"""`prune`: remove old rows of the poller's own tables, but for those that later runs still go by.

Nothing of Backupchecks' is touched. Needs no lock: a row that it removes is one that no run looks at any more.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, and_, delete, func, select

from cove_poller.commands.login_run import utc_now
from cove_poller.commands.results import envelope, in_json
from cove_poller.config.credentials import Credentials
from cove_poller.config.settings import Config
from cove_poller.database.engine import Database, open_database

BATCH = 5000
"""Rows looked at in one transaction, so that nobody waits for long."""

FINISHED = ("ok", "partial")


@dataclass(frozen=True)
class Pruned:
    """How many rows from before `before` were removed, or with `dry_run` would be."""

    started_at: datetime
    finished_at: datetime
    before: datetime
    sessions: int
    polls: int
    dry_run: bool

    def to_json(self) -> dict[str, Any]:
        return {
            **envelope("prune", 0, self.started_at, self.finished_at),
            "dry_run": self.dry_run,
            "before": in_json(self.before),
            "removed": {"sessions": self.sessions, "polls": self.polls},
        }


def prune(
    config: Config,
    credentials: Credentials,
    keep: timedelta,
    *,
    dry_run: bool = False,
    now: Callable[[], datetime] = utc_now,
) -> Pruned:
    """Remove the sessions and polls that are older than `keep` and that nobody goes by. Raise DatabaseError."""
    started_at = now()
    before = started_at - keep
    with open_database(config, credentials.database_password(), prepare=False) as database:
        tables = database.tables
        counts = [
            _remove(database, table, condition, dry_run=dry_run)
            for table, condition in (
                (tables.sessions, _old_sessions(tables.sessions, before)),
                (tables.polls, _old_polls(tables.polls, before)),
            )
        ]
    return Pruned(started_at, now(), before, counts[0], counts[1], dry_run)


def _remove(database: Database, table: Table, condition: ColumnElement[bool], *, dry_run: bool) -> int:
    if dry_run:
        with database.transaction() as connection:
            return connection.scalar(select(func.count()).select_from(table).where(condition)) or 0
    removed = 0
    with database.transaction() as connection:
        ranges = list(_id_ranges(connection, table))
    for first, last in ranges:
        with database.transaction() as connection:
            removed += connection.execute(delete(table).where(table.c.id.between(first, last), condition)).rowcount
    return removed


def _id_ranges(connection: Connection, table: Table) -> Iterator[tuple[int, int]]:
    """The ids that the table has, a batch after the other."""
    first, last = connection.execute(select(func.min(table.c.id), func.max(table.c.id))).one()
    for begin in range(first or 0, (last or -1) + 1, BATCH):
        yield begin, begin + BATCH - 1


def _old_sessions(sessions: Table, before: datetime) -> ColumnElement[bool]:
    """The sessions of which the device had, by then, a newer one of the same source, status and Cove's code.

    So what was the case at `before` stays known: polls compare Cove's last, last completed and last successful
    session with it, and remarks tell since when a source has not succeeded.
    """
    newer = sessions.alias("newer")
    same = [newer.c[name] == sessions.c[name] for name in ("account_id", "data_source", "status")]
    same_code = newer.c.status_code.is_not_distinct_from(sessions.c.status_code)
    by_then = and_(newer.c.session_at > sessions.c.session_at, newer.c.session_at < before)
    return and_(sessions.c.session_at < before, select(newer.c.id).where(*same, same_code, by_then).exists())


def _old_polls(polls: Table, before: datetime) -> ColumnElement[bool]:
    """The polls that are not the newest, or newest successful, of their login and command, nor what a rejection is
    remembered by: the newest that tells of the login, and the first with the same fingerprint, which has the words.
    """
    rows, kept, told = polls.alias("rows"), polls.alias("kept"), polls.alias("told")
    by_command = select(func.max(rows.c.id)).group_by(rows.c.login, rows.c.command)
    telling = select(func.max(told.c.id)).where(told.c.login_fingerprint.is_not(None)).group_by(told.c.login)
    remembered = select(kept.c.login_fingerprint).where(kept.c.id.in_(telling))
    same = rows.c.login_fingerprint.in_(remembered)
    first = select(func.min(rows.c.id)).where(same).group_by(rows.c.login, rows.c.login_fingerprint)
    needed = (by_command, by_command.where(rows.c.outcome.in_(FINISHED)), telling, first)
    return and_(polls.c.started_at < before, *(polls.c.id.not_in(ids) for ids in needed))

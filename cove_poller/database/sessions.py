"""The statements about recorded sessions."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    FromClause,
    RowMapping,
    String,
    and_,
    cast,
    delete,
    exists,
    func,
    literal,
    or_,
    select,
    union,
    update,
)

from cove_poller.database.bulk import insert_rows
from cove_poller.database.statements import ACCOUNT, MOMENT, Statements
from cove_poller.database.tables import UtcDateTime
from cove_poller.records.columns import LABELS, DataSource
from cove_poller.records.session import Origin, RecordedSession, Session, TimeIs
from cove_poller.records.source_history import MOST_RECENT
from cove_poller.records.statuses import Status

SOURCE = Column("data_source", String)
STATUS = Column("status", String)
LAST: Column[datetime] = Column("last", UtcDateTime(timezone=True))
ALWAYS = Column("always", BigInteger)
WRITTEN = ("id", "account_id", "data_source", "origin")
RECORDED_STATUSES = (Status.SUCCESS, Status.WARNING, Status.FAILED)


@dataclass(frozen=True)
class Span:
    """A time of a device's data source, its ends included, of which all sessions are to be known."""

    account_id: int
    source: str
    begin: datetime
    end: datetime
    only_if_marked: bool = False


class Sessions(Statements):
    """Reads and writes sessions."""

    def near(self, times: Iterable[tuple[int, str, datetime]]) -> list[RecordedSession]:
        """Return for each (account, data source, time) the newest session, and the first that did not end before."""
        sessions = self._tables.sessions
        rows = [{"account_id": account, "data_source": source, "moment": at} for account, source, at in times]
        facts = self._rows("facts", [ACCOUNT, SOURCE, MOMENT], rows)
        same = and_(sessions.c.account_id == facts.c.account_id, sessions.c.data_source == facts.c.data_source)
        newest = select(func.max(sessions.c.session_at)).where(same).correlate(facts).scalar_subquery()
        later = sessions.c.session_at >= facts.c.moment
        first = select(func.min(sessions.c.session_at)).where(same, later).correlate(facts).scalar_subquery()
        keys = (facts.c.account_id, facts.c.data_source)
        wanted = union(select(*keys, newest.label("moment")), select(*keys, first.label("moment"))).subquery("wanted")
        return self._found(wanted, sessions.c.session_at == wanted.c.moment)

    def within(self, spans: Iterable[Span]) -> list[RecordedSession]:
        """Return the sessions in each span; of one that is `only_if_marked`, if a day mark is among them."""
        sessions, mark = self._tables.sessions, self._tables.sessions.alias("mark")
        rows = [
            {
                "account_id": span.account_id,
                "data_source": span.source,
                "moment": span.begin,
                "last": span.end,
                "always": int(not span.only_if_marked),
            }
            for span in spans
        ]
        wanted = self._rows("spans", [ACCOUNT, SOURCE, MOMENT, LAST, ALWAYS], rows)
        marked = exists().where(
            mark.c.account_id == wanted.c.account_id,
            mark.c.data_source == wanted.c.data_source,
            mark.c.session_at.between(wanted.c.moment, wanted.c.last),
            mark.c.origin == Origin.COLORBAR,
        )
        inside = sessions.c.session_at.between(wanted.c.moment, wanted.c.last)
        return self._found(wanted, inside, or_(wanted.c.always == 1, marked))

    def _found(self, wanted: FromClause, *conditions: Any) -> list[RecordedSession]:
        sessions = self._tables.sessions
        on = [sessions.c[name] == wanted.c[name] for name in ("account_id", "data_source") if name in wanted.c]
        query = select(sessions).join(wanted, and_(*on, *conditions)).order_by(sessions.c.session_at)
        return [_recorded_session(row) for row in self._mappings(query)]

    def newest_ends(self, until: Mapping[int, datetime]) -> dict[int, dict[str, list[datetime]]]:
        """Return, by account and data source, when the newest sessions up to a moment of each account had ended.

        They are as many as a rhythm is learnt from.
        """
        found: dict[int, dict[str, list[datetime]]] = {}
        if not until:
            return found
        rows = [{"account_id": account, "moment": at} for account, at in until.items()]
        sessions, wanted = self._tables.sessions, self._rows("accounts", [ACCOUNT, MOMENT], rows)
        key = (sessions.c.account_id, sessions.c.data_source)
        rank = func.row_number().over(partition_by=key, order_by=sessions.c.session_at.desc()).label("rank")
        ranked = (
            select(*key, sessions.c.session_at, rank)
            .join(wanted, wanted.c.account_id == sessions.c.account_id)
            .where(sessions.c.origin != Origin.COLORBAR, sessions.c.session_at <= wanted.c.moment)
            .subquery("ranked")
        )
        for row in self._mappings(select(ranked).where(ranked.c.rank <= MOST_RECENT)):
            found.setdefault(row["account_id"], {}).setdefault(row["data_source"], []).append(row["session_at"])
        return found

    def fingerprints(self, account_ids: Iterable[int]) -> dict[int, str]:
        """Return, by account, what is another if anything of its recorded sessions is; nothing of one without any."""
        sessions = self._tables.sessions
        if not (account_ids := [*account_ids]):
            return {}
        wanted = self._accounts(account_ids)
        told: list[Any] = [func.coalesce(cast(one, String), "") for one in sessions.c if one.key != "account_id"]
        rows = (
            select(sessions.c.account_id, reduce(lambda text, one: text + "|" + one, told).label("told"))
            .select_from(wanted.join(sessions, sessions.c.account_id == wanted.c.account_id))
            .order_by(sessions.c.account_id, sessions.c.id)
            .subquery("told")
        )
        joined = func.string_agg if self._dialect.name == "postgresql" else func.group_concat
        query = select(rows.c.account_id, joined(rows.c.told, ";").label("told")).group_by(rows.c.account_id)
        found = self._mappings(query)
        return {row["account_id"]: hashlib.sha256(row["told"].encode()).hexdigest()[:32] for row in found}

    def of_device(self, account_id: int) -> list[RecordedSession]:
        """Return all recorded sessions of a device."""
        query = select(self._tables.sessions).where(self._tables.sessions.c.account_id == account_id)
        return [_recorded_session(row) for row in self._mappings(query)]

    def remove(self, session_ids: Iterable[int]) -> None:
        """Remove sessions that a better record has taken the place of."""
        if not (rows := [{"id": one} for one in session_ids]):
            return
        sessions = self._tables.sessions
        gone = self._rows("gone", [sessions.c.id], rows)
        self._connection.execute(delete(sessions).where(sessions.c.id.in_(select(gone.c.id))))

    def insert(self, sessions: Iterable[tuple[int, Session]]) -> Sequence[RowMapping]:
        """Record sessions as (account, session). Return the rows really written, as far as they identify them."""
        table = self._tables.sessions
        if not (rows := [{"account_id": account, **_session_row(session)} for account, session in sessions]):
            return []
        columns = [column for column in table.c if column.key not in ("id", "job_run_id")]
        key = ["account_id", "data_source", "session_at"]
        statement = insert_rows(table, columns, rows, self._dialect, key)
        return self._mappings(statement.returning(*(table.c[name] for name in WRITTEN)))

    def update(self, sessions: Iterable[RecordedSession]) -> Sequence[RowMapping]:
        """Write what is better known of recorded sessions. Return the rows written, as far as they identify them."""
        rows = [{"id": session.id, **_session_row(session)} for session in sessions]
        columns = [name for name in _COLUMNS if name != "data_source"]
        return self._update(self._tables.sessions, columns, rows, returning=WRITTEN)

    def keep_as_context(self, session_ids: Iterable[int]) -> None:
        """Let sessions make no run of their own, since too little is known of their time."""
        rows = [{"id": session_id, "is_context": True} for session_id in session_ids]
        self._update(self._tables.sessions, ["is_context"], rows)

    def first_without_run(self, accounts: Mapping[int, bool]) -> dict[int, datetime]:
        """For each account the time of its first session that waits for a run; the total's count where said so."""
        sessions = self._tables.sessions
        total_counts = Column("total_counts", BigInteger)
        if not (rows := [{"account_id": one, "total_counts": int(counts)} for one, counts in accounts.items()]):
            return {}
        wanted = self._rows("accounts", [ACCOUNT, total_counts], rows)
        counts = or_(sessions.c.data_source != DataSource.TOTAL, wanted.c.total_counts == 1)
        query = (
            select(sessions.c.account_id, func.min(sessions.c.session_at).label("first"))
            .join(wanted, and_(sessions.c.account_id == wanted.c.account_id, counts))
            .where(sessions.c.job_run_id.is_(None), sessions.c.is_context.is_not(True))
            .group_by(sessions.c.account_id)
        )
        return {row["account_id"]: row["first"] for row in self._mappings(query)}

    def move(self, successors: Mapping[int, int]) -> None:
        """Let the sessions of removed runs be part of the runs that took their place, by old run id."""
        if not successors:
            return
        sessions, job_run_id = self._tables.sessions, self._tables.sessions.c.job_run_id
        old = Column("old_id", BigInteger)
        rows = [{"old_id": removed, "job_run_id": run_id} for removed, run_id in successors.items()]
        moves = self._rows("moves", [old, job_run_id], rows)
        statement = update(sessions).where(job_run_id == moves.c.old_id)
        self._connection.execute(statement.values({job_run_id: moves.c.job_run_id}))

    def release(self, run_ids: Iterable[int]) -> None:
        """Let the sessions of removed runs be part of no run."""
        if not (run_ids := [*run_ids]):
            return
        sessions = self._tables.sessions
        gone = self._rows("gone", [sessions.c.id], [{"id": one} for one in run_ids])
        released = update(sessions).where(sessions.c.job_run_id.in_(select(gone.c.id)))
        self._connection.execute(released.values(job_run_id=None))

    def free(self, session_ids: Iterable[int]) -> None:
        """Let sessions be part of no run, so that they wait for one."""
        self._update(self._tables.sessions, ["job_run_id"], [{"id": one, "job_run_id": None} for one in session_ids])

    def place(self, run_by_session: Mapping[int, int]) -> None:
        """Write which run sessions are part of."""
        rows = [{"id": session_id, "job_run_id": run_id} for session_id, run_id in run_by_session.items()]
        self._update(self._tables.sessions, ["job_run_id"], rows)

    def since(self, since: Mapping[int, datetime]) -> tuple[list[RecordedSession], list[RecordedSession]]:
        """Return each account's sessions from its moment on; and of each source and status the newest before that."""
        rows = [{"account_id": account, "moment": at} for account, at in since.items()]
        wanted = self._rows("accounts", [ACCOUNT, MOMENT], rows)
        later = self._found(wanted, self._tables.sessions.c.session_at >= wanted.c.moment)
        return later, self._newest_before(wanted)

    def _newest_before(self, wanted: FromClause) -> list[RecordedSession]:
        """Return of each account, data source and status the newest session before the account's moment."""
        sessions = self._tables.sessions
        kinds = self._rows(
            "kinds",
            [SOURCE, STATUS],
            [{"data_source": source, "status": status} for source in LABELS for status in RECORDED_STATUSES],
        )
        same = and_(
            sessions.c.account_id == wanted.c.account_id,
            sessions.c.data_source == kinds.c.data_source,
            sessions.c.status == kinds.c.status,
            sessions.c.session_at < wanted.c.moment,
        )
        newest = select(func.max(sessions.c.session_at)).where(same).correlate(wanted, kinds).scalar_subquery()
        last = select(wanted.c.account_id, kinds.c.data_source, newest.label("moment")).join_from(
            wanted, kinds, literal(1) == 1
        )
        found = last.subquery("last")
        return self._found(found, sessions.c.session_at == found.c.moment)


_SAME = ("data_source", "session_at", "started_at", "status_code", "errors_count", "unknown_since")
_COLUMNS = (*_SAME, "status", "origin", "time_is", "is_context", "duration_seconds")


def _session_row(session: Session) -> dict[str, Any]:
    return {name: getattr(session, name) for name in _COLUMNS}


def _recorded_session(row: RowMapping) -> RecordedSession:
    return RecordedSession(
        **{name: row[name] for name in (*_SAME, "id", "account_id", "job_run_id")},
        status=Status(row["status"]),
        origin=Origin(row["origin"]),
        time_is=TimeIs(row["time_is"]) if row["time_is"] else None,
        is_context=bool(row["is_context"]),
    )

"""The statements of a page of devices: one for all its rows each, so that a page costs what it costs.

Uses our column names only. A `Store` lives as long as one transaction.
"""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    FromClause,
    RowMapping,
    String,
    Table,
    and_,
    delete,
    exists,
    func,
    literal,
    or_,
    select,
    union,
    update,
)
from sqlalchemy.exc import IntegrityError

from cove_poller.columns import LABELS, DataSource
from cove_poller.config import BackupchecksSettings
from cove_poller.contract import JOB_RUNS, JOBS
from cove_poller.linking import Job
from cove_poller.objects import ObjectStore
from cove_poller.rows import Row, as_rows, insert_rows
from cove_poller.runs import PlannedRun, RecordedRun, Review
from cove_poller.schema import RUN_KEY, Tables, UtcDateTime
from cove_poller.sessions import Origin, RecordedSession, Session
from cove_poller.status import Status

log = logging.getLogger(__name__)

ACCOUNT = Column("account_id", BigInteger)
SOURCE = Column("data_source", String)
STATUS = Column("status", String)
MOMENT: Column[datetime] = Column("moment", UtcDateTime(timezone=True))
WRITTEN = ("id", "account_id", "data_source", "origin")
LAST: Column[datetime] = Column("last", UtcDateTime(timezone=True))
ALWAYS = Column("always", BigInteger)
RECORDED_STATUSES = (Status.SUCCESS, Status.WARNING, Status.FAILED)


@dataclass(frozen=True)
class Span:
    """A time of a device's data source, its ends included, of which all sessions are to be known."""

    account_id: int
    source: str
    begin: datetime
    end: datetime
    only_if_marked: bool = False


@dataclass(frozen=True)
class History:
    """What is recorded of one device from some moment on."""

    sessions: tuple[RecordedSession, ...]
    earlier: tuple[RecordedSession, ...]
    runs: tuple[RecordedRun, ...]


class Store:
    """Reads and writes on one connection."""

    def __init__(self, connection: Connection, tables: Tables, settings: BackupchecksSettings) -> None:
        self._connection = connection
        self._tables = tables
        self._settings = settings
        self._dialect = connection.dialect
        self.objects = ObjectStore(connection, tables, settings.source_type)

    def _rows(self, name: str, columns: Sequence[Column[Any]], rows: Iterable[Row]) -> FromClause:
        return as_rows(name, columns, rows, self._dialect)

    def _mappings(self, statement: Any) -> Sequence[RowMapping]:
        return self._connection.execute(statement).mappings().all()

    def _accounts(self, account_ids: Iterable[int]) -> FromClause:
        return self._rows("accounts", [ACCOUNT], [{"account_id": one} for one in account_ids])

    # devices

    def devices(self, account_ids: Iterable[int]) -> dict[int, Row]:
        """The recorded devices among `account_ids`."""
        devices, wanted = self._tables.devices, self._accounts(account_ids)
        found = self._mappings(select(devices).join(wanted, wanted.c.account_id == devices.c.account_id))
        return {row["account_id"]: dict(row) for row in found}

    def save_devices(self, new: Sequence[Row], changed: Sequence[Row]) -> None:
        """Write devices that are not there yet, and those of which something differs."""
        devices = self._tables.devices
        self._connection.execute(insert_rows(devices, list(devices.c), new, self._dialect, key=["account_id"]))
        self._update(devices, [column.key for column in devices.c if not column.primary_key], changed, key="account_id")

    def mark_gone(self, login: str, seen_ids: Iterable[int], now: datetime) -> list[str]:
        """Mark the devices of a login that a complete listing did not have. Return their names."""
        devices, seen = self._tables.devices, self._accounts(seen_ids)
        statement = (
            update(devices)
            .where(devices.c.login == login, devices.c.gone_at.is_(None))
            .where(devices.c.account_id.not_in(select(seen.c.account_id)))
            .values(gone_at=now, running_since=None, stale_since=None)
            .returning(devices.c.device_name)
        )
        return sorted(self._connection.scalars(statement))

    def save_stale(self, since: Mapping[int, datetime | None]) -> None:
        """Note since when devices are known to be stale, by account; None of those that are not any more."""
        rows = [{"account_id": account, "stale_since": at} for account, at in since.items()]
        self._update(self._tables.devices, ["stale_since"], rows, key="account_id")

    def count_devices(self, login: str) -> int:
        """How many devices of a login are recorded and not gone."""
        devices = self._tables.devices
        mine = select(func.count()).where(devices.c.login == login, devices.c.gone_at.is_(None))
        return self._connection.scalar(mine) or 0

    def devices_by_customer(self, login: str) -> dict[str, int]:
        """How many devices of a login are recorded and not gone, by Cove's name of their customer."""
        devices = self._tables.devices
        name = devices.c.customer_name
        query = select(name, func.count().label("devices")).group_by(name)
        mine = query.where(devices.c.login == login, devices.c.gone_at.is_(None))
        return {row["customer_name"]: row["devices"] for row in self._mappings(mine)}

    # customers and jobs

    def customers(self) -> list[tuple[int, str]]:
        customers = self._tables.customers
        found = self._mappings(select(*_named(customers, ("id", "name"))))
        return [(row["id"], row["name"]) for row in found]

    def partners_of_customers(self) -> list[tuple[int, int | None]]:
        """Which Cove partners have devices with which customers."""
        jobs, devices = self._tables.jobs, self._tables.devices
        columns = [*_named(jobs, ("customer_id",)), devices.c.partner_id]
        query = select(*columns).join_from(devices, jobs, jobs.c.cove_account_id == devices.c.account_id)
        return [(row["customer_id"], row["partner_id"]) for row in self._mappings(query.distinct())]

    def jobs_of_devices(self, account_ids: Iterable[int]) -> list[Job]:
        """The jobs that are linked to devices among `account_ids`."""
        jobs, wanted = self._tables.jobs, self._accounts(account_ids)
        return self._jobs(self._job_columns().join(wanted, wanted.c.account_id == jobs.c.cove_account_id))

    def jobs_of_customers(self, customer_ids: Iterable[int]) -> list[Job]:
        """All jobs of the poller's backup software that these customers have."""
        jobs = self._tables.jobs
        wanted = self._rows("wanted", [jobs.c.customer_id], [{"customer_id": one} for one in customer_ids])
        ours = jobs.c.backup_software == self._settings.backup_software
        return self._jobs(self._job_columns().join(wanted, wanted.c.customer_id == jobs.c.customer_id).where(ours))

    def _job_columns(self) -> Any:
        return select(*_named(self._tables.jobs, ("id", "customer_id", "job_name", "cove_account_id")))

    def _jobs(self, query: Any) -> list[Job]:
        return [Job(**row) for row in self._mappings(query.order_by(self._tables.jobs.c.id))]

    def create_customers(self, names: Iterable[str]) -> dict[str, int]:
        """Create customers. Return their ids by name."""
        rows = [{"name": name, "active": True} for name in names]
        made = self._insert_live("customers", self._tables.customers, ("name", "active"), rows, ("id", "name"))
        return {row["name"]: row["id"] for row in made}

    def create_jobs(self, jobs: Iterable[Row]) -> dict[int, int]:
        """Create jobs, each with customer_id, job_name, backup_type and cove_account_id. Return ids by account."""
        common = {"active": True, "backup_software": self._settings.backup_software}
        rows = [{**common, **job} for job in jobs]
        made = self._insert_live("jobs", self._tables.jobs, JOBS[1:], rows, ("id", "cove_account_id"))
        return {row["cove_account_id"]: row["id"] for row in made}

    def claim_jobs(self, accounts_by_job: Mapping[int, int]) -> dict[int, int]:
        """Link jobs that have no device yet. Return the job ids by account, of those that still had none."""
        jobs = self._tables.jobs
        rows = [{"id": job_id, "cove_account_id": account} for job_id, account in accounts_by_job.items()]
        free = jobs.c.cove_account_id.is_(None)
        return {
            row["cove_account_id"]: row["id"]
            for row in self._update(jobs, ["cove_account_id"], rows, free, returning=("id", "cove_account_id"))
        }

    # sessions

    def sessions_near(self, times: Iterable[tuple[int, str, datetime]]) -> list[RecordedSession]:
        """For each (account, data source, time): the newest session, and the first that did not end before."""
        sessions = self._tables.sessions
        rows = [{"account_id": account, "data_source": source, "moment": at} for account, source, at in times]
        facts = self._rows("facts", [ACCOUNT, SOURCE, MOMENT], rows)
        same = and_(sessions.c.account_id == facts.c.account_id, sessions.c.data_source == facts.c.data_source)
        newest = select(func.max(sessions.c.session_at)).where(same).correlate(facts).scalar_subquery()
        later = sessions.c.session_at >= facts.c.moment
        first = select(func.min(sessions.c.session_at)).where(same, later).correlate(facts).scalar_subquery()
        keys = (facts.c.account_id, facts.c.data_source)
        wanted = union(select(*keys, newest.label("moment")), select(*keys, first.label("moment"))).subquery("wanted")
        return self._sessions(wanted, sessions.c.session_at == wanted.c.moment)

    def sessions_in(self, spans: Iterable[Span]) -> list[RecordedSession]:
        """The sessions in each span; in those that are only about the colour bar, if a mark of it is among them."""
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
        return self._sessions(wanted, inside, or_(wanted.c.always == 1, marked))

    def _sessions(self, wanted: FromClause, *conditions: Any) -> list[RecordedSession]:
        sessions = self._tables.sessions
        on = [sessions.c[name] == wanted.c[name] for name in ("account_id", "data_source") if name in wanted.c]
        query = select(sessions).join(wanted, and_(*on, *conditions)).order_by(sessions.c.session_at)
        return [recorded_session(row) for row in self._mappings(query)]

    def remove_sessions(self, session_ids: Iterable[int]) -> None:
        """Remove sessions that a better record has taken the place of."""
        sessions = self._tables.sessions
        gone = self._rows("gone", [sessions.c.id], [{"id": one} for one in session_ids])
        self._connection.execute(delete(sessions).where(sessions.c.id.in_(select(gone.c.id))))

    def insert_sessions(self, sessions: Iterable[tuple[int, Session]]) -> Sequence[RowMapping]:
        """Record sessions as (account, session). Return the rows really written, as far as they identify them."""
        table = self._tables.sessions
        rows = [{"account_id": account, **_session_row(session)} for account, session in sessions]
        columns = [column for column in table.c if column.key not in ("id", "job_run_id")]
        key = ["account_id", "data_source", "session_at"]
        statement = insert_rows(table, columns, rows, self._dialect, key)
        return self._mappings(statement.returning(*(table.c[name] for name in WRITTEN)))

    def update_sessions(self, sessions: Iterable[RecordedSession]) -> Sequence[RowMapping]:
        """Write what is better known of recorded sessions. Return the rows written, as far as they identify them."""
        rows = [{"id": session.id, **_session_row(session)} for session in sessions]
        columns = ["session_at", "started_at", "status", "status_code", "errors_count", "duration_seconds", "origin"]
        return self._update(self._tables.sessions, columns, rows, returning=WRITTEN)

    def first_without_run(self, accounts: Mapping[int, bool]) -> dict[int, datetime]:
        """For each account the time of its first session that made no run; the total's count where said so."""
        sessions = self._tables.sessions
        total_counts = Column("total_counts", BigInteger)
        rows = [{"account_id": one, "total_counts": int(counts)} for one, counts in accounts.items()]
        wanted = self._rows("accounts", [ACCOUNT, total_counts], rows)
        counts = or_(sessions.c.data_source != DataSource.TOTAL, wanted.c.total_counts == 1)
        query = (
            select(sessions.c.account_id, func.min(sessions.c.session_at).label("first"))
            .join(wanted, and_(sessions.c.account_id == wanted.c.account_id, counts))
            .where(sessions.c.job_run_id.is_(None))
            .group_by(sessions.c.account_id)
        )
        return {row["account_id"]: row["first"] for row in self._mappings(query)}

    def histories(self, since: Mapping[int, datetime]) -> dict[int, History]:
        """What is recorded of each account from its moment on, and what came last before that."""
        wanted = self._rows(
            "accounts", [ACCOUNT, MOMENT], [{"account_id": account, "moment": at} for account, at in since.items()]
        )
        sessions = self._sessions(wanted, self._tables.sessions.c.session_at >= wanted.c.moment)
        later, earlier = by_account(sessions), by_account(self._newest_before(wanted))
        runs = self._runs(since, {session.job_run_id for session in sessions if session.job_run_id is not None})
        return {
            account: History(
                tuple(later.get(account, ())), tuple(earlier.get(account, ())), tuple(runs.get(account, ()))
            )
            for account in since
        }

    def _newest_before(self, wanted: FromClause) -> list[RecordedSession]:
        """Of each account, data source and status the newest session before the account's moment."""
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
        return self._sessions(found, sessions.c.session_at == found.c.moment)

    # job runs

    def _runs(self, since: Mapping[int, datetime], run_ids: Iterable[int]) -> dict[int, list[RecordedRun]]:
        """The runs of each account from its moment on, and those with one of the `run_ids`, whenever they were."""
        runs = self._tables.job_runs
        external_id = Column("external_id", String)
        rows = [{"external_id": str(account), "moment": at} for account, at in since.items()]
        wanted = self._rows("external", [external_id, MOMENT], rows)
        known = self._rows("known", [runs.c.id], [{"id": one} for one in run_ids])
        reviewed = runs.c.reviewed_at.is_not(None) if "reviewed_at" in runs.c else literal(0) == 1
        columns = _named(runs, ("id", "external_id", "run_at", "status", "remark"))
        query = select(*columns, reviewed.label("reviewed")).where(runs.c.source_type == self._settings.source_type)
        later = and_(runs.c.external_id == wanted.c.external_id, runs.c.run_at >= wanted.c.moment)
        by_time, by_id = query.join(wanted, later), query.join(known, known.c.id == runs.c.id)
        found = {row["id"]: row for row in (*self._mappings(by_time), *self._mappings(by_id))}
        objects = self.objects.of_runs(found)
        by_account: dict[int, list[RecordedRun]] = {}
        for row in found.values():
            run = RecordedRun(
                row["run_at"],
                row["status"],
                row["remark"] or "",
                row["id"],
                bool(row["reviewed"]),
                objects=objects.get(row["id"], ()),
            )
            by_account.setdefault(int(row["external_id"]), []).append(run)
        return by_account

    def remove_runs(self, run_ids: Collection[int]) -> set[int]:
        """Remove runs whose sessions went into others, unless somebody has reviewed or refers to them.

        Return the ids of those removed.
        """
        try:
            return self._remove_runs(run_ids)
        except IntegrityError:
            removed = set()
            for run_id in run_ids:  # one by one, so that one that is referred to does not keep the others
                with suppress(IntegrityError):
                    removed |= self._remove_runs([run_id])
            log.warning("%d superseded job runs stay, since other rows refer to them", len(set(run_ids) - removed))
            return removed

    def _remove_runs(self, run_ids: Collection[int]) -> set[int]:
        runs = self._tables.job_runs
        gone = self._rows("gone", [runs.c.id], [{"id": one} for one in run_ids])
        statement = delete(runs).where(runs.c.id.in_(select(gone.c.id)), *self._unreviewed())
        with self._connection.begin_nested():
            self.objects.remove(run_ids)
            return {row["id"] for row in self._mappings(statement.returning(*_named(runs, ("id",))))}

    def update_runs(self, runs: Iterable[PlannedRun]) -> set[int]:
        """Write runs that differ, unless somebody has reviewed them meanwhile. Return the ids of those written."""
        rows = [{"id": run.run_id, **_run_row(run)} for run in runs]
        columns = ["run_at", "status", "remark"]
        return {row["id"] for row in self._update(self._tables.job_runs, columns, rows, *self._unreviewed())}

    def insert_runs(
        self, runs: Iterable[tuple[int, int, PlannedRun]], now: datetime, review: Review | None
    ) -> dict[tuple[int, datetime], int]:
        """Write new runs as (account, job, run). Return their ids by account and run_at: of those really written."""
        table = self._tables.job_runs
        common: dict[str, Any] = {"source_type": self._settings.source_type, "mail_message_id": None, "created_at": now}
        rows = [
            {**common, "job_id": job_id, "external_id": str(account), **_run_row(run), **_review_row(run, review)}
            for account, job_id, run in runs
        ]
        columns = [name for name in JOB_RUNS if name != "id" and (review or name not in ("reviewed_at", "reviewed_by"))]
        made = self._insert_live("job_runs", table, columns, rows, ("id", "external_id", "run_at"), key=RUN_KEY)
        return {(int(row["external_id"]), row["run_at"]): row["id"] for row in made}

    def move_sessions(self, heirs: Mapping[int, int]) -> None:
        """Let the sessions of removed runs be part of the runs that took their place."""
        sessions, job_run_id = self._tables.sessions, self._tables.sessions.c.job_run_id
        old = Column("old_id", BigInteger)
        rows = [{"old_id": removed, "job_run_id": heir} for removed, heir in heirs.items()]
        moves = self._rows("moves", [old, job_run_id], rows)
        statement = update(sessions).where(job_run_id == moves.c.old_id)
        self._connection.execute(statement.values({job_run_id: moves.c.job_run_id}))

    def place_sessions(self, run_by_session: Mapping[int, int]) -> None:
        """Say of sessions which run they are part of."""
        rows = [{"id": session_id, "job_run_id": run_id} for session_id, run_id in run_by_session.items()]
        self._update(self._tables.sessions, ["job_run_id"], rows)

    def remark_limit(self) -> int | None:
        """How many characters a remark may have; None if as many as it likes."""
        return getattr(self._tables.job_runs.c.remark.type, "length", None)

    def customer_name_limit(self) -> int | None:
        """How many characters a customer's name may have; None if as many as it likes."""
        return getattr(self._tables.customers.c.name.type, "length", None)

    def _unreviewed(self) -> list[Any]:
        runs = self._tables.job_runs
        return [runs.c.reviewed_at.is_(None)] if "reviewed_at" in runs.c else []

    # all of them

    def _insert_live(
        self,
        name: str,
        table: Table,
        columns: Sequence[str],
        rows: Iterable[Row],
        returned: Sequence[str],
        key: Sequence[str] | None = None,
    ) -> Sequence[RowMapping]:
        """Insert into a table of Backupchecks', with the configured constants in the columns that only it knows."""
        constants = self._tables.constants.get(name, {})
        offered = [column for column in table.c if column.key in {*columns, *constants}]
        statement = insert_rows(table, offered, [{**constants, **row} for row in rows], self._dialect, key)
        return self._mappings(statement.returning(*_named(table, returned)))

    def _update(
        self,
        table: Table,
        columns: Sequence[str],
        rows: Iterable[Row],
        *conditions: Any,
        key: str = "id",
        returning: Sequence[str] | None = None,
    ) -> Sequence[RowMapping]:
        """Write `columns` of the rows with the given `key`, where the `conditions` still hold."""
        source = self._rows("changes", [table.c[name] for name in (key, *columns)], rows)
        statement = (
            update(table)
            .where(table.c[key] == source.c[key], *conditions)
            .values({table.c[name]: source.c[name] for name in columns})
        )
        return self._mappings(statement.returning(*_named(table, returning or (key,))))


def _named(table: Table, keys: Sequence[str]) -> list[Any]:
    """Columns under our names, also in the result; the library would go by the live ones."""
    return [table.c[key].label(key) for key in keys]


def by_account(sessions: Iterable[RecordedSession]) -> dict[int, list[RecordedSession]]:
    """The sessions of each account, in their order."""
    found: dict[int, list[RecordedSession]] = {}
    for session in sessions:
        found.setdefault(session.account_id, []).append(session)
    return found


def _session_row(session: Session) -> dict[str, Any]:
    return {
        "data_source": session.data_source,
        "session_at": session.session_at,
        "started_at": session.started_at,
        "status": session.status.value,
        "status_code": session.status_code,
        "errors_count": session.errors_count,
        "duration_seconds": session.duration_seconds,
        "origin": session.origin.value,
    }


def recorded_session(row: RowMapping) -> RecordedSession:
    """A row of `cove_sessions` as what it tells."""
    names = ("account_id", "data_source", "session_at", "started_at", "status_code", "errors_count", "id", "job_run_id")
    return RecordedSession(
        **{name: row[name] for name in names}, status=Status(row["status"]), origin=Origin(row["origin"])
    )


def _review_row(run: PlannedRun, review: Review | None) -> dict[str, Any]:
    if review is None or run.content.run_at not in review.window:
        return {}
    return {"reviewed_at": review.at, "reviewed_by": review.by}


def _run_row(run: PlannedRun) -> dict[str, Any]:
    return {"run_at": run.content.run_at, "status": run.content.status, "remark": run.content.remark}

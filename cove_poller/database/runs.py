"""The statements about Backupchecks' job runs. One that somebody has reviewed is never written to."""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Column, Connection, String, and_, case, delete, func, literal, select, union
from sqlalchemy.exc import IntegrityError

from cove_poller.config.backupchecks_columns import JOB_RUNS
from cove_poller.config.settings import BackupchecksSettings
from cove_poller.database.bulk import Row
from cove_poller.database.kept import not_kept
from cove_poller.database.run_objects import RunObjects
from cove_poller.database.statements import ACCOUNT, MOMENT, Statements, named
from cove_poller.database.tables import RUN_KEY, Tables, UtcDateTime
from cove_poller.records.columns import DataSource
from cove_poller.records.runs.device_history import RecordedRun
from cove_poller.records.runs.run_plan import PlannedRun, Review
from cove_poller.text import fitted

WRITTEN = ("run_at", "status", "remark")
DAY = timedelta(days=1)
LAST: Column[datetime] = Column("last", UtcDateTime(timezone=True))
LONGEST_ROUND = timedelta(days=31)
"""How long before the end of a run its sessions may have ended, whatever was configured when it was made."""

log = logging.getLogger(__name__)


class Runs(Statements):
    """Reads and writes job runs, with the objects of each.

    What is wanted is joined from the left: else SQLite looks through it once for each of all runs that there are.
    """

    def __init__(self, connection: Connection, tables: Tables, settings: BackupchecksSettings) -> None:
        super().__init__(connection, tables, settings)
        self.objects = RunObjects(connection, tables, settings.source_type)

    def since(self, since: Mapping[int, datetime], run_ids: Iterable[int]) -> dict[int, list[RecordedRun]]:
        """Return the runs of each account from its moment on, and those with one of the `run_ids`, of any time."""
        runs = self._tables.job_runs
        external_id = Column("external_id", String)
        rows = [{"external_id": str(account), "moment": at} for account, at in since.items()]
        wanted = self._rows("external", [external_id, MOMENT], rows)
        reviewed = runs.c.reviewed_at.is_not(None) if "reviewed_at" in runs.c else literal(0) == 1
        columns = named(runs, ("id", "external_id", "run_at", "status", "remark"))
        query = select(*columns, reviewed.label("reviewed"))
        mine = runs.c.source_type == self._settings.source_type
        asked = [(wanted, and_(runs.c.external_id == wanted.c.external_id, runs.c.run_at >= wanted.c.moment))]
        if ids := [{"id": one} for one in run_ids]:
            known = self._rows("known", [runs.c.id], ids)
            asked.append((known, known.c.id == runs.c.id))
        queries = (query.select_from(one.outerjoin(runs, and_(mine, on))) for one, on in asked)
        found = {row["id"]: row for one in queries for row in self._mappings(one) if row["id"] is not None}
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

    def plan_begins(self, moments: Mapping[int, datetime]) -> dict[int, datetime]:
        """Return, by account, when the first session ended of the last run up to the account's moment, or of the next.

        Rounds are told apart one after the other, so a plan has to begin with a whole one; at the moment itself where
        there is none before it.
        """
        runs = self._tables.job_runs
        rows = [{"account_id": one, "external_id": str(one), "moment": at} for one, at in moments.items()]
        wanted = self._rows("changed", [ACCOUNT, Column("external_id", String), MOMENT], rows)
        mine = select(runs.c.id).where(
            runs.c.source_type == self._settings.source_type, runs.c.external_id == wanted.c.external_id
        )
        before = mine.where(runs.c.run_at <= wanted.c.moment).order_by(runs.c.run_at.desc())
        after = mine.where(runs.c.run_at > wanted.c.moment).order_by(runs.c.run_at)
        ids = [query.limit(1).correlate(wanted).scalar_subquery() for query in (before, after)]
        edges = union(*(select(wanted.c.account_id, one.label("run_id")) for one in ids)).subquery("edges")
        run = (edges.c.account_id, runs.c.id.label("id"), runs.c.run_at.label("run_at"))
        query = select(*run).join_from(edges, runs, runs.c.id == edges.c.run_id)
        edges_of = [{**one, "last": moments[one["account_id"]]} for one in self._mappings(query)]
        begins = self._first_ends(edges_of)
        return {account: min(moment, begins.get(account, moment)) for account, moment in moments.items()}

    def _first_ends(self, edges: Sequence[Row]) -> dict[int, datetime]:
        """Return, by account, when the first session of its runs ended, up to a `last` moment.

        The runs are given with id, account and time.

        Looked for by time: by run alone all that is recorded of a device would be read.
        """
        if not edges:
            return {}
        sessions, span = self._tables.sessions, max(LONGEST_ROUND, timedelta(minutes=self._settings.round_span_minutes))
        rows = [{**one, "moment": one["run_at"] - span} for one in edges]
        found = self._rows("edges", [ACCOUNT, Column("id", BigInteger), MOMENT, LAST], rows)
        members = and_(
            sessions.c.account_id == found.c.account_id,
            sessions.c.session_at.between(found.c.moment, found.c.last),
            sessions.c.job_run_id == found.c.id,
        )
        makes_rounds = case((sessions.c.data_source != DataSource.TOTAL, sessions.c.session_at))
        begin = func.coalesce(func.min(makes_rounds), func.min(sessions.c.session_at)).label("begin")
        query = select(found.c.account_id, begin).join_from(found, sessions, members).group_by(found.c.account_id)
        return {row["account_id"]: row["begin"] for row in self._mappings(query)}

    def remove(self, run_ids: Collection[int]) -> set[int]:
        """Remove runs whose sessions went into others, unless somebody has reviewed or refers to them.

        Return the ids of those removed.
        """
        if not run_ids:
            return set()
        try:
            return self._remove(run_ids)
        except IntegrityError:
            removed = set()
            for run_id in run_ids:  # one by one, so that one that is referred to does not keep the others
                with suppress(IntegrityError):
                    removed |= self._remove([run_id])
            log.warning("%d superseded job runs stay, since other rows refer to them", len(set(run_ids) - removed))
            return removed

    def _remove(self, run_ids: Collection[int]) -> set[int]:
        runs = self._tables.job_runs
        gone = self._rows("gone", [runs.c.id], [{"id": one} for one in run_ids])
        statement = delete(runs).where(runs.c.id.in_(select(gone.c.id)), *self._unreviewed())
        with self._connection.begin_nested():
            self.objects.remove(run_ids)
            return {row["id"] for row in self._mappings(statement.returning(*named(runs, ("id",))))}

    def update(self, runs: Iterable[PlannedRun]) -> set[int]:
        """Write runs that differ, unless somebody has reviewed them meanwhile. Return the ids of those written."""
        rows = [{"id": run.run_id, **_run_row(run)} for run in runs]
        written = {row["id"] for row in self._update(self._tables.job_runs, WRITTEN, rows, *self._unreviewed())}
        if rows:
            self._check_updated(rows, written)
        return written

    def _check_updated(self, rows: Sequence[Row], written: Collection[int]) -> None:
        """Raise DatabaseError where a run is not as it was written, though nobody has reviewed or removed it."""
        runs = self._tables.job_runs
        wanted = self._rows("wanted", [runs.c.id], rows)
        query = select(*named(runs, ("id", *WRITTEN))).join(wanted, wanted.c.id == runs.c.id)
        unreviewed = {row["id"]: dict(row) for row in self._mappings(query.where(*self._unreviewed()))}
        there: list[tuple[Row, Row]] = [(row, unreviewed[row["id"]]) for row in rows if row["id"] in unreviewed]
        lost = [(row, found) for row, found in there if found["id"] not in written or self._differing(row, found)]
        self._refuse(lost, len(rows))

    def _differing(self, row: Row, found: Row) -> list[str]:
        """Return the columns in which a run differs from what was written, as far as they are wide enough for it."""
        columns = self._tables.job_runs.c
        return [name for name in WRITTEN if _plain(row[name], columns[name]) != _plain(found[name], columns[name])]

    def _refuse(self, lost: Sequence[tuple[Row, Row | None]], offered: int) -> None:
        if lost:
            names = sorted({name for row, found in lost if found for name in self._differing(row, found)})
            what = ", ".join(names) or "it is not there"
            raise not_kept(self._connection, self._tables.job_runs, len(lost), offered, what)

    def insert(
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
        if rows:
            self._check_inserted(rows, {row["id"] for row in made})
        return {(int(row["external_id"]), row["run_at"]): row["id"] for row in made}

    def _check_inserted(self, rows: Sequence[Row], made: Collection[int]) -> None:
        """Raise DatabaseError where a run is not there as it was written. One of another run in its place is right."""
        runs = self._tables.job_runs
        columns = [runs.c.external_id, runs.c.run_at]
        wanted = self._rows("wanted", columns, rows)
        same = and_(runs.c.source_type == self._settings.source_type, *(wanted.c[one.key] == one for one in columns))
        query = select(*named(runs, ("id", "external_id", *WRITTEN))).select_from(wanted.outerjoin(runs, same))
        found = [row for row in self._mappings(query) if row["id"] is not None]
        by_key = {(str(row["external_id"]), row["run_at"]): dict(row) for row in found}
        both: list[tuple[Row, Row | None]] = [(row, by_key.get((row["external_id"], row["run_at"]))) for row in rows]
        lost = [(row, one) for row, one in both if one is None or (one["id"] in made and self._differing(row, one))]
        self._refuse(lost, len(rows))

    def written_by_others(self, since: datetime) -> int:
        """Count the jobs of polled devices that somebody else has written runs of, too, since the poller knows them."""
        runs, jobs, devices = self._tables.job_runs, self._tables.jobs, self._tables.devices
        query = (
            select(func.count(jobs.c.id.distinct()))
            .join_from(jobs, devices, devices.c.account_id == jobs.c.cove_account_id)
            .join(runs, runs.c.job_id == jobs.c.id)
            .where(runs.c.run_at >= since, runs.c.run_at >= devices.c.first_seen_at)
            .where(func.coalesce(runs.c.source_type, "") != self._settings.source_type)
        )
        return self._connection.scalar(query) or 0

    def remark_limit(self) -> int | None:
        """Return how many characters a remark may have; None if as many as it likes."""
        return getattr(self._tables.job_runs.c.remark.type, "length", None)

    def _unreviewed(self) -> list[Any]:
        runs = self._tables.job_runs
        return [runs.c.reviewed_at.is_(None)] if "reviewed_at" in runs.c else []


def _plain(value: Any, column: Column[Any]) -> Any:
    """Return a value as it is stored, but for the blanks that a column of a fixed width adds."""
    return fitted(str(value), getattr(column.type, "length", None)).rstrip() if isinstance(value, str) else value or ""


def _review_row(run: PlannedRun, review: Review | None) -> dict[str, Any]:
    if review is None or run.content.is_uncertain or run.content.run_at not in review.window:
        return {}
    return {"reviewed_at": review.at, "reviewed_by": review.by}


def _run_row(run: PlannedRun) -> dict[str, Any]:
    return {"run_at": run.content.run_at, "status": run.content.status, "remark": run.content.remark}

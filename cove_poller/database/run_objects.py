"""The statements of job runs' objects: one for all runs of a page each, and none where no table is configured.

Uses our column names only. Lives as long as one transaction.
"""

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import Connection, FromClause, delete, select

from cove_poller.database.bulk import as_rows, insert_rows
from cove_poller.database.tables import OBJECTS, Tables
from cove_poller.records.runs.device_history import RunObject


class RunObjects:
    """Reads and writes objects on one connection, of runs of one `source_type` only."""

    def __init__(self, connection: Connection, tables: Tables, source_type: str) -> None:
        self._connection = connection
        self._objects = tables.objects
        self._runs = tables.job_runs
        self._constants = tables.constants.get(OBJECTS, {})
        self._source_type = source_type

    def limits(self) -> dict[str, int | None] | None:
        """Return the fields of an object that are kept, and how long each may be; None if no objects are kept."""
        if self._objects is None:
            return None
        kept = (column for column in self._objects.c if column.key in RunObject.__dataclass_fields__)
        return {column.key: getattr(column.type, "length", None) for column in kept}

    def of_runs(self, run_ids: Iterable[int]) -> dict[int, tuple[RunObject, ...]]:
        """Return the objects of each run that has some."""
        if self._objects is None or not (run_ids := [*run_ids]):
            return {}
        columns, wanted = self._objects.c, self._run_ids(run_ids)
        names = ["run_id", *(self.limits() or ())]
        query = select(*(columns[name].label(name) for name in names)).join(wanted, wanted.c.id == columns.run_id)
        found: dict[int, tuple[RunObject, ...]] = {}
        for row in self._connection.execute(query).mappings():
            # a CHAR column fills up with spaces
            content = {name: str(value or "").rstrip() for name, value in row.items() if name != "run_id"}
            found[row["run_id"]] = (*found.get(row["run_id"], ()), RunObject(**content))
        return found

    def remove(self, run_ids: Iterable[int]) -> None:
        """Remove the objects of runs that are about to be removed, unless somebody has reviewed them.

        Holds the runs until the transaction ends, so that nobody reviews one of them meanwhile.
        """
        self._delete(run_ids, unreviewed_only=True)

    def replace(self, objects: Mapping[int, Sequence[RunObject]]) -> None:
        """Give runs, which this very transaction has written, their objects in place of any others."""
        if self._objects is None or not objects:
            return
        self._delete(objects, unreviewed_only=False)
        rows = [
            {**self._constants, **vars(one), "run_id": run_id} for run_id, of_run in objects.items() for one in of_run
        ]
        if rows:
            self._connection.execute(insert_rows(self._objects, list(self._objects.c), rows, self._connection.dialect))

    def _delete(self, run_ids: Iterable[int], *, unreviewed_only: bool) -> None:
        if self._objects is None:
            return
        runs, wanted = self._runs, self._run_ids(run_ids)
        ours = select(runs.c.id).where(runs.c.id.in_(select(wanted.c.id)), runs.c.source_type == self._source_type)
        if unreviewed_only and "reviewed_at" in runs.c:
            ours = ours.where(runs.c.reviewed_at.is_(None))
        self._connection.execute(delete(self._objects).where(self._objects.c.run_id.in_(ours.with_for_update())))

    def _run_ids(self, run_ids: Iterable[int]) -> FromClause:
        return as_rows("wanted", [self._runs.c.id], [{"id": one} for one in run_ids], self._connection.dialect)

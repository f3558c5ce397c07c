"""What the database says after a run, in the terms in which `oracle` says what it should."""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

from tests.world.oracle import Fact, RunFact

Row = dict[str, Any]
PLAIN_ROWS = {
    "sessions": "SELECT s.account_id, s.data_source, s.session_at, s.started_at, s.status, s.status_code,"
    " s.errors_count, s.duration_seconds, s.origin, r.external_id, r.run_at FROM cove_sessions s"
    " LEFT JOIN job_runs r ON r.id = s.job_run_id",
    "runs": "SELECT c.name, j.job_name, j.cove_account_id, r.source_type, r.external_id, r.run_at, r.status,"
    " r.remark, r.mail_message_id, r.reviewed_at FROM job_runs r"
    " LEFT JOIN jobs j ON j.id = r.job_id LEFT JOIN customers c ON c.id = j.customer_id",
    "jobs": "SELECT job_name, cove_account_id FROM jobs",
    "customers": "SELECT name FROM customers",
}


class HasRows(Protocol):
    """A site, of which the database can be asked."""

    def rows(self, query: str, **parameters: Any) -> list[Row]: ...


def utc(value: Any) -> datetime:
    """Return a moment as either database gives it."""
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def plain(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(utc(value) if key.endswith("_at") and value else value for key, value in row.items())


def plain_rows(site: HasRows) -> dict[str, Counter[tuple[Any, ...]]]:
    """Return sessions and runs and which belong to which, without ids and the time of writing."""
    return {name: Counter(map(plain, site.rows(query))) for name, query in PLAIN_ROWS.items()}


def facts(site: HasRows, table: str = "cove_sessions", *, with_context: bool = False) -> set[Fact]:
    """Return the recorded sessions of the sources, without the total's and those that are only context."""
    rows = site.rows(f"SELECT * FROM {table} WHERE data_source <> 'D09'")
    return {
        (row["account_id"], row["data_source"], row["started_at"] and utc(row["started_at"]), utc(row["session_at"]),
         row["status_code"])
        for row in rows if with_context or not row["is_context"]
    }  # fmt: skip


def runs_by_device(site: HasRows) -> dict[str, set[RunFact]]:
    """Return the recorded job runs by the device's external id."""
    found: dict[str, set[RunFact]] = {}
    for row in site.rows("SELECT external_id, run_at, status FROM job_runs WHERE source_type = 'api'"):
        found.setdefault(row["external_id"], set()).add((utc(row["run_at"]), row["status"]))
    return found

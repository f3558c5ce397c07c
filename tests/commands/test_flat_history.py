"""A poll costs the same however much is recorded: PostgreSQL's own plans of its statements, over a long history."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.conftest import Site
from tests.world.fake_cove import FakeCove, TrueSession

GROWING = ("cove_sessions", "job_runs", "cove_polls")
"""What grows with the history; the devices and their jobs do not."""

MOST_ROWS = 2000
"""How many rows a step of a plan may touch: many for 20 devices, few beside what is recorded of them."""

COPIED = "command, login, outcome, exit_code, devices, login_fingerprint, is_complete, conditions, learnt"
HISTORY = (
    # a run of each device every three hours, as far back as makes 200,000 sessions
    """CREATE TABLE past AS
    SELECT account_id, data_source, first - n * interval '3 hours' AS at, mod(n, 9) = 0 AS has_failed
    FROM (SELECT DISTINCT account_id, data_source, min(session_at) OVER (PARTITION BY account_id) AS first
      FROM cove_sessions) known,
      generate_series(1, 200000 / (SELECT count(DISTINCT (account_id, data_source)) FROM cove_sessions)) n""",
    """INSERT INTO job_runs (job_id, run_at, status, remark, source_type, external_id)
    SELECT DISTINCT job_id, at, CASE WHEN has_failed THEN 'Failed' ELSE 'Success' END, 'As it was.', 'api',
      account_id::text
    FROM past JOIN cove_devices USING (account_id)""",
    """INSERT INTO cove_sessions
      (account_id, data_source, session_at, started_at, status, status_code, origin, job_run_id)
    SELECT account_id, data_source, at, at - interval '5 minutes',
      CASE WHEN has_failed THEN 'failed' ELSE 'success' END, CASE WHEN has_failed THEN 2 ELSE 5 END,
      'sessions', job_runs.id
    FROM past JOIN job_runs ON external_id = account_id::text AND run_at = at""",
    f"""INSERT INTO cove_polls (started_at, finished_at, {COPIED})
    SELECT started_at - n * interval '30 minutes', finished_at - n * interval '30 minutes', {COPIED}
    FROM (SELECT * FROM cove_polls) first, generate_series(50000, 1, -1) n""",
    "DROP TABLE past",
    "ANALYZE",
)


@contextmanager
def explained() -> Iterator[dict[str, Any]]:
    """Give the plan of each statement on the tables that grow, as it was carried out; what that did is undone."""
    plans: dict[str, Any] = {}

    def explain(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, is_many: bool) -> None:
        del cursor, context
        if not any(table in statement for table in GROWING) or statement.startswith("EXPLAIN"):
            return
        raw = connection.connection.dbapi_connection.cursor()
        raw.execute("SAVEPOINT explained")
        raw.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters[0] if is_many else parameters)
        plans[statement] = raw.fetchone()[0][0]["Plan"]
        raw.execute("ROLLBACK TO explained")

    sa.event.listen(sa.Engine, "before_cursor_execute", explain)
    try:
        yield plans
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", explain)


def steps(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from steps(below)


def growing(plan: dict[str, Any]) -> list[str]:
    """Return the steps of a plan that read a table from end to end, or much of it."""
    found = []
    for step in steps(plan):
        removed = sum(count for name, count in step.items() if name.startswith("Rows Removed"))
        touched = round((step["Actual Rows"] + removed) * step["Actual Loops"])
        is_scan = step["Node Type"] == "Seq Scan" and step["Relation Name"] in GROWING
        if is_scan or touched > MOST_ROWS:
            found.append(f"{step['Node Type']} {step.get('Relation Name', '')} of {touched} rows")
    return found


@pytest.fixture
def long_site(cove: FakeCove, make_postgres: Callable[[], str], tmp_path: Path) -> Site:
    """A fleet of 20 devices of which 200,000 sessions and 50,000 runs are recorded, and 50,000 polls."""
    site = Site(cove, make_postgres(), tmp_path)
    site.migrate()
    site.sync()
    site.execute(*HISTORY)
    (counts,) = site.rows(f"SELECT {', '.join(f'(SELECT count(*) FROM {table}) AS {table}' for table in GROWING)}")
    assert counts["cove_sessions"] > 190_000
    assert counts["job_runs"] > 40_000
    assert counts["cove_polls"] > 50_000
    return site


def test_no_statement_of_a_poll_reads_more_the_more_is_recorded(long_site: Site) -> None:
    found: dict[str, Any] = {}
    for is_new in (False, True):
        long_site.cove.now += timedelta(minutes=5)
        if is_new:
            device = next(one for one in long_site.cove.fleet.devices if one.active)
            source, end = device.active[0], long_site.cove.now - timedelta(minutes=1)
            device.sessions.setdefault(source, []).append(TrueSession(source, end - timedelta(minutes=5), end, 2))
            device.totals.clear()
        with explained() as plans:
            result = long_site.sync().to_json()
        assert (result["logins"][0]["sessions"]["new"] > 0) == is_new
        assert len(plans) > (8 if is_new else 3)
        found |= plans
    assert {statement: bad for statement, plan in found.items() if (bad := growing(plan))} == {}

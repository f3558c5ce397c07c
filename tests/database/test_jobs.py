"""The statements about jobs."""

from typing import Any

import sqlalchemy as sa

from cove_poller.config.settings import Config
from cove_poller.database.engine import Mode, open_database


def test_sqlite_does_not_look_through_what_is_wanted_once_for_each_job(prepared_sqlite: Config) -> None:
    plans: list[list[str]] = []

    def explain(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        del cursor
        if "FROM jobs" in statement:
            raw = connection.connection.dbapi_connection.cursor()
            plans.append([row[3] for row in raw.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)])

    sa.event.listen(sa.Engine, "before_cursor_execute", explain)
    try:
        with open_database(prepared_sqlite, None, Mode.DRY) as database, database.store() as store:
            store.jobs.of_devices([1, 2])
            store.jobs.of_customers([1, 2])
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", explain)
    assert len(plans) == 2
    for plan in plans:  # the values are put into a tree once, below a step of their own
        wanted = next(place for place, step in enumerate(plan) if "_each" in step)
        assert any(step.startswith("LIST SUBQUERY") for step in plan[:wanted]), plan

"""`migrate`: the statements that make a database ready, checked before the first of them is run."""

from collections.abc import Iterator

from sqlalchemy import Connection, String, cast, func, select
from sqlalchemy.schema import CreateIndex, CreateTable

from cove_poller.config.settings import BackupchecksSettings
from cove_poller.database.inspection import Inspection
from cove_poller.database.tables import RUN_KEY, default_tables, own_tables, run_key_index
from cove_poller.errors import DatabaseError
from cove_poller.text import counted

LOCK_TIMEOUT = "SET LOCAL lock_timeout = '10s'"
"""Better to fail than to hold Backupchecks up behind somebody's long transaction."""

SHOWN_DUPLICATES = 20

NEVER = {"postgresql": "'1970-01-01 00:00:00+00'", "sqlite": "'1970-01-01 00:00:00.000000'"}
"""What `records.session.NEVER` is in SQL."""

FILLINGS = {
    ("cove_sessions", "time_is"): "UPDATE {cove_sessions} SET time_is = 'end' WHERE started_at IS NOT NULL",
    ("cove_sessions", "unknown_since"): (
        "UPDATE {cove_sessions} AS seen SET unknown_since = {never} WHERE origin IN ('poll', 'gap') AND session_at <"
        " (SELECT first_seen_at FROM {cove_devices} AS device WHERE device.account_id = seen.account_id)"
    ),
    ("cove_devices", "replan_since"): "UPDATE {cove_devices} SET replan_since = {never}",
}
"""What rows of a version without such a column get into it: where a start is known the other time is the end, nobody
had looked at a source before its device's first poll, and all job runs are to be made anew by the rules of today."""


def limit_waiting(connection: Connection) -> None:
    """Let nothing in this transaction wait long for a lock, not even a look at what is there."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(LOCK_TIMEOUT)


def statements(connection: Connection, found: Inspection) -> list[str]:
    """Return the SQL that `found` asks for, in order; empty if the database is ready.

    Raise DatabaseError, before anything is changed, for what a person must solve first.
    """
    obstacles = [*found.obstacles, *_nullability_obstacles(connection, found)]
    if not obstacles and found.needs_run_key:
        obstacles = list(_duplicates(connection, found))
    if obstacles:
        raise DatabaseError("\n  ".join(["the database cannot be prepared:", *obstacles]))
    if not found.needs_migration:
        return []
    timeout = [LOCK_TIMEOUT] if connection.dialect.name == "postgresql" else []
    return [*timeout, *_changes(connection, found)]


def _changes(connection: Connection, found: Inspection) -> Iterator[str]:
    dialect = connection.dialect
    quote = dialect.identifier_preparer

    def name(table: str) -> str:
        return ".".join(quote.quote(part) for part in (found.schema, table) if part)

    job_runs = found.live.get("job_runs")
    if found.is_empty:
        tables = default_tables(found.schema)
        job_runs = tables[-1]
        yield from (str(CreateTable(table).compile(dialect=dialect)).strip() for table in tables)
    for table, column in found.missing_columns:
        kind = dialect.type_compiler_instance.process(column.type)
        yield f"ALTER TABLE {name(table)} ADD COLUMN {quote.quote(column.name)} {kind}"
    for table, live in found.not_nullable:
        yield f"ALTER TABLE {name(table)} ALTER COLUMN {quote.quote(live)} DROP NOT NULL"
    if job_runs is not None and (found.needs_run_key or found.is_empty):
        yield str(CreateIndex(run_key_index(job_runs)).compile(dialect=dialect)).strip()
    for own in found.missing_tables:
        yield str(CreateTable(own).compile(dialect=dialect)).strip()
        indexes = sorted(own.indexes, key=lambda index: str(index.name))
        yield from (str(CreateIndex(index).compile(dialect=dialect)).strip() for index in indexes)
    never = NEVER[dialect.name]
    own_names = {own.name: name(own.name) for own in own_tables(found.schema, found.dialect_name)}
    new = [(table, column.name) for table, column in found.missing_columns]
    yield from (FILLINGS[one].format(never=never, **own_names) for one in new if one in FILLINGS)


def _nullability_obstacles(connection: Connection, found: Inspection) -> Iterator[str]:
    if connection.dialect.name == "sqlite":
        for table, live in found.not_nullable:
            yield f"{table}.{live} is NOT NULL, and SQLite cannot change that; make the table anew without it"


def _duplicates(connection: Connection, found: Inspection) -> Iterator[str]:
    """Say which rows stand in the way of the unique index."""
    if any(column.key in RUN_KEY for table, column in found.missing_columns if table == "job_runs"):
        return
    runs = found.live["job_runs"]
    key = [runs.c[name] for name in RUN_KEY]
    query = (
        select(
            *key, func.count().label("copies"), func.min(runs.c.id).label("first"), func.max(runs.c.id).label("last")
        )
        .where(*(column.is_not(None) for column in key))
        .group_by(*key)
        .having(func.count() > 1)
        .order_by(*key)
        .limit(SHOWN_DUPLICATES)
    )
    for row in connection.execute(query).mappings():
        source_type, external_id, run_at = (row[column] for column in key)
        yield (
            f"job_runs has {row['copies']} rows (ids {row['first']} to {row['last']}) with source_type {source_type!r},"
            f" external_id {external_id!r}, run_at {run_at:%Y-%m-%d %H:%M:%S}Z; remove all but one"
        )


def notes(connection: Connection, found: Inspection, settings: BackupchecksSettings) -> list[str]:
    """Say what the next sync will do with the rows that are there, in words for people."""
    runs, devices = found.live.get("job_runs"), own_tables(found.schema, found.dialect_name)[0]
    is_old = ("cove_devices", "replan_since") in ((table, column.name) for table, column in found.missing_columns)
    if runs is None or not is_old:
        return []
    query = select(func.count()).where(
        runs.c.source_type == settings.source_type,
        runs.c.external_id.in_(select(cast(devices.c.account_id, String))),
        *([runs.c.reviewed_at.is_(None)] if "reviewed_at" in runs.c else []),
    )
    runs_to_make = counted(connection.scalar(query) or 0, "job run")
    return [f"the next sync makes {runs_to_make} anew, by the rules of this version; those that were reviewed stay"]


def run(connection: Connection, found: Inspection) -> list[str]:
    """Make the database ready, inside the connection's transaction. Return what was run."""
    done = statements(connection, found)
    for statement in done:
        connection.exec_driver_sql(statement)
    return done


def as_script(done: list[str], said: list[str]) -> str:
    """Return the statements as one transaction, for `psql` or `sqlite3` to run, with what is `said` as comments."""
    comments = "".join(f"-- {note}\n" for note in said)
    return comments + "".join(f"{statement};\n" for statement in ["BEGIN", *done, "COMMIT"])

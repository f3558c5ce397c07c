"""Tries what the poller does with a database: each right by a statement that touches no row, and a write undone."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from pydantic import SecretStr
from sqlalchemy import Connection, Table, delete, false, func, insert, null, select, update

from cove_poller.config.settings import BackupchecksSettings, Config
from cove_poller.database import migrate
from cove_poller.database.connecting.engines import make_engine
from cove_poller.database.connecting.faults import database_errors
from cove_poller.database.connecting.pooler import refuse_shared_sessions
from cove_poller.database.connecting.signals import undisturbed
from cove_poller.database.grants import grants
from cove_poller.database.inspection import Inspection, inspect_database
from cove_poller.database.store import Store
from cove_poller.database.tables import Tables
from cove_poller.errors import DatabaseError
from cove_poller.records.columns import DataSource
from cove_poller.records.runs.device_history import JobRun
from cove_poller.records.runs.run_plan import PlannedRun
from cove_poller.records.session import Origin, Session
from cove_poller.records.statuses import Status

NOBODY = -1
"""The account id of the device that is written and taken back; Cove has none like it."""

NAME = "cove-poller doctor"


class Trial:
    """Tries things on one connection to the database as it is, prepared or not; whatever is done is undone."""

    def __init__(self, connection: Connection, config: Config) -> None:
        self._connection = connection
        self._config = config
        self._settings = config.backupchecks

    @property
    def is_sqlite(self) -> bool:
        return self._connection.dialect.name == "sqlite"

    def server(self) -> str:
        """Return which database answers, with its version."""
        version = ".".join(str(part) for part in self._connection.dialect.server_version_info or ())
        return f"{'SQLite' if self.is_sqlite else 'PostgreSQL'} {version}"

    def clock(self) -> datetime | None:
        """Return the time that the server has; None for SQLite, which has none of its own."""
        return None if self.is_sqlite else self._connection.scalar(select(func.clock_timestamp()))

    def inspection(self) -> Inspection:
        """Return what is live, compared with the contract."""
        with database_errors():
            return inspect_database(self._connection, self._config)

    def store(self, tables: Tables) -> Store:
        """Return the statements of the transaction."""
        return Store(self._connection, tables, self._settings)

    def refused_rights(self, tables: Tables) -> Iterator[tuple[str, str]]:
        """Try each right by a statement that needs it and touches no row.

        Yield the table of each that is refused, and the right with the reason.
        """
        for table, right, statement in _statements(tables, self._settings):
            try:
                with database_errors(), self._connection.begin_nested():
                    self._connection.execute(statement)
            except DatabaseError as error:
                yield table, f"{right} on {table} ({str(error).partition(';')[0]})"

    def grants(self, tables: Collection[str]) -> list[str]:
        """Return the statements that grant the poller's role what it needs on the tables."""
        if self.is_sqlite:
            return []
        role = str(self._connection.scalar(select(func.current_user())))
        return [*grants(self._connection, self._config, role, tables)]

    def write(self, tables: Tables, now: datetime) -> bool | None:
        """Really write a device, its session and a run of each status.

        Return whether each row was there again; None if there is no job to write a run for. Raise DatabaseError.
        """
        store = Store(self._connection, tables, self._settings)
        with database_errors(), self._connection.begin_nested() as savepoint:
            job_id = self._job(tables, store)
            if job_id is None:
                return None
            words = self._settings.status.success, self._settings.status.warning, self._settings.status.failed
            store.devices.save([_device(job_id, now)], [])
            runs = [JobRun(now - timedelta(minutes=number), word, NAME) for number, word in enumerate(words)]
            written = store.runs.insert([(NOBODY, job_id, PlannedRun(None, run, ())) for run in runs], now, None)
            ids = list(written.values())
            store.runs.update([PlannedRun(ids[0], JobRun(now, words[0], ""), ())])
            session = Session(DataSource.TOTAL, now, None, Status.SUCCESS, 5, None, Origin.POLL)
            (row,) = store.sessions.insert([(NOBODY, session)])
            store.sessions.place({row["id"]: ids[0]})
            store.sessions.remove([row["id"]])
            poll = {"command": "doctor", "login": NAME, "started_at": now, "outcome": "running"}
            self._connection.execute(insert(tables.polls).values(poll))
            removed = store.runs.remove(ids)
            savepoint.rollback()
        return len(written) == len(words) and removed == set(ids)

    def _job(self, tables: Tables, store: Store) -> int | None:
        if not (self._settings.create_customers and self._settings.create_jobs):
            return self._connection.scalar(select(tables.jobs.c.id).limit(1))
        name = NAME[: store.jobs.customer_name_limit()]
        customer_id = store.jobs.create_customers([name])[name]
        job = {"customer_id": customer_id, "job_name": NAME, "backup_type": "Server", "cove_account_id": NOBODY}
        return store.jobs.create([job])[NOBODY]


@contextmanager
def trial(config: Config, password: SecretStr | None) -> Iterator[Trial]:
    """Connect to try things. Raise DatabaseError. An SQLite file is not made."""
    engine = make_engine(config.database, password)
    try:
        with undisturbed(), database_errors():
            if engine.dialect.name == "postgresql":
                refuse_shared_sessions(engine)
        with undisturbed(), database_errors(), engine.connect() as connection, connection.begin() as transaction:
            migrate.limit_waiting(connection)
            yield Trial(connection, config)
            transaction.rollback()
    finally:
        engine.dispose()


def _statements(tables: Tables, settings: BackupchecksSettings) -> Iterator[tuple[str, str, Any]]:
    """Yield the rights that `sync` and `prune` need: table, right, and a statement that needs it."""
    jobs, runs = tables.jobs, tables.job_runs
    yield from _needed(tables.customers, inserts=settings.create_customers)
    yield from _needed(jobs, inserts=settings.create_jobs, updates=("cove_account_id",))
    yield from _needed(runs, updates=("run_at", "status", "remark"), deletes=True)
    yield from _needed(tables.devices, updates=("job_id", "ignored"))
    yield from _needed(tables.sessions, updates=("session_at", "job_run_id"), deletes=True)
    yield from _needed(tables.polls, updates=("outcome", "finished_at"), deletes=True)


def _needed(
    table: Table, *, inserts: bool = True, updates: tuple[str, ...] = (), deletes: bool = False
) -> Iterator[tuple[str, str, Any]]:
    name, own = table.name, [column for column in table.c if not column.primary_key]
    yield name, "SELECT", select(*table.c).where(false())
    if inserts:
        nothing = select(*(null().label(column.key) for column in own)).where(false())
        yield name, "INSERT", insert(table).from_select([column.key for column in own], nothing)
    if updates:
        same = {table.c[key]: table.c[key] for key in updates}
        yield (
            name,
            f"UPDATE ({', '.join(table.c[key].name for key in updates)})",
            update(table).where(false()).values(same),
        )
    if deletes:
        yield name, "DELETE", delete(table).where(false())


def _device(job_id: int, now: datetime) -> dict[str, Any]:
    texts = ("login", "device_name", "customer_name", "device_type")
    moments = {"first_seen_at": now, "last_seen_at": now}
    rest = {"account_id": NOBODY, "data_sources": {}, "status": "none", "job_id": job_id, "ignored": False}
    return {**dict.fromkeys(texts, NAME), **moments, **rest}

"""`doctor`'s look at the database: whether it is there and ready, and whether the poller may do what it does."""

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from typing import Any

from pydantic import SecretStr
from sqlalchemy import Connection, Table, delete, false, func, insert, null, select, update

from cove_poller.commands.doctor_report import Check, Verdict, attempted, fine, not_tried, warning
from cove_poller.config.settings import BackupchecksSettings, Config
from cove_poller.config.urls import hidden_url
from cove_poller.database.engine import database_errors, described, inspect, missing_file, undone_transaction
from cove_poller.database.store import Store
from cove_poller.database.tables import Inspection, Tables
from cove_poller.errors import DatabaseError
from cove_poller.records.columns import DataSource
from cove_poller.records.run_plan import JobRun, PlannedRun
from cove_poller.records.session import Origin, Session
from cove_poller.records.statuses import Status

DATABASE, CONTRACT, TABLES, RIGHTS, TRIAL = "database", "table contract", "tables", "rights", "trial write"
NOBODY = -1
"""The account id of the device that is written and taken back; Cove has none like it."""

TRIAL_NAME = "cove-poller doctor"
GRANTS = "Grant them to the poller's role, as step 5 of the README's set-up shows."


class DatabaseLook:
    """Looks once, within a transaction that is undone. `clock_ahead` is how far the database's clock is."""

    def __init__(self, config: Config, password: SecretStr | None, now: Any) -> None:
        self.clock_ahead: timedelta | None = None
        self._config = config
        self._password = password
        self._now = now

    def checks(self) -> Iterator[Check]:
        """All checks of the database."""
        if file := missing_file(self._config.database):
            yield warning(DATABASE, f"there is no file {file} yet", "Run `cove-poller migrate`; `sync` would make it.")
            yield from (not_tried(name, "there is no database yet") for name in (CONTRACT, TABLES, RIGHTS, TRIAL))
            return
        with ExitStack() as stack:
            connections: list[Connection] = []

            def connect() -> Iterator[Check]:
                connection = stack.enter_context(undone_transaction(self._config, self._password))
                connections.append(connection)
                yield self._connected(connection)

            yield from attempted(DATABASE, connect, "Look at [database] in the configuration, and at the server.")
            if connections:
                yield from self._of_connection(connections[0])

    def _connected(self, connection: Connection) -> Check:
        version = ".".join(str(part) for part in connection.dialect.server_version_info or ())
        kind = "SQLite" if connection.dialect.name == "sqlite" else "PostgreSQL"
        if connection.dialect.name == "postgresql":
            self.clock_ahead = connection.execute(select(func.clock_timestamp())).scalar_one() - self._now()
        return fine(DATABASE, f"{kind} {version} answers at {hidden_url(self._config.database.url)}")

    def _of_connection(self, connection: Connection) -> Iterator[Check]:
        with database_errors():
            found = inspect(connection, self._config)
        ready = [_contract(found), _migration(found, is_sqlite=connection.dialect.name == "sqlite")]
        yield from ready
        if not all(check.verdict is Verdict.OK for check in ready):
            yield from (not_tried(name, "the tables are not ready") for name in (RIGHTS, TRIAL))
            return
        settings, tables = self._config.backupchecks, found.tables()
        rights = attempted(RIGHTS, lambda: [_rights(connection, tables, settings)])
        yield from rights
        if rights[0].verdict is Verdict.OK:
            yield from attempted(TRIAL, lambda: [_trial(connection, tables, settings, self._now())], TRIAL_ADVICE)
        else:
            yield not_tried(TRIAL, "rights are missing")


TRIAL_ADVICE = (
    "A sync would fail like this: look at what the database says, and at [backupchecks.defaults] and"
    " [backupchecks.status]."
)


def _contract(found: Inspection) -> Check:
    if found.obstacles:
        problems = "\n".join(["a person must mend what `migrate` cannot:", *found.obstacles])
        return _failed(CONTRACT, problems, "Do what each line says, then run `cove-poller migrate`.")
    if found.is_empty:
        return not_tried(CONTRACT, "there are no tables yet", "Run `cove-poller migrate`.")
    return fine(CONTRACT, "customers, jobs and job_runs have every column that is needed, and demand no other")


def _migration(found: Inspection, *, is_sqlite: bool) -> Check:
    if found.obstacles:
        return not_tried(TABLES, "the table contract is not met")
    if not found.needs_migration:
        return fine(TABLES, "all tables, columns and indexes are there")
    missing = "\n".join(["not everything is there:", *described(found)])
    if is_sqlite:
        return warning(TABLES, missing, "Run `cove-poller migrate`; `sync` would do it by itself.")
    return _failed(TABLES, missing, "Run `cove-poller migrate` as the owner of the tables.")


def _failed(name: str, message: str, advice: str) -> Check:
    code = {"code": DatabaseError.code, "exit_code": DatabaseError.exit_code}
    return Check(name, Verdict.FAILED, message, advice, **code)  # type: ignore[arg-type]


def _rights(connection: Connection, tables: Tables, settings: BackupchecksSettings) -> Check:
    """Each right by a statement that needs it and touches no row."""
    refused = []
    for table, right, statement in _statements(tables, settings):
        try:
            with database_errors(), connection.begin_nested():
                connection.execute(statement)
        except DatabaseError as error:
            refused.append(f"{right} on {table} ({error})")
    if refused:
        return _failed(RIGHTS, "\n".join(["the poller may not do what it has to:", *refused]), GRANTS)
    return fine(RIGHTS, "the poller may read and write what it has to; each right was tried")


def _statements(tables: Tables, settings: BackupchecksSettings) -> Iterator[tuple[str, str, Any]]:
    """The rights that `sync` and `prune` need: table, right, and a statement that needs it."""
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


def _trial(connection: Connection, tables: Tables, settings: BackupchecksSettings, now: datetime) -> Check:
    """A device, its session and a run of each status, really written; the transaction is undone later."""
    store = Store(connection, tables, settings)
    with database_errors(), connection.begin_nested() as savepoint:
        job_id = _trial_job(connection, tables, settings, store)
        if job_id is None:
            return not_tried(
                TRIAL,
                "there is no job to write a run for, and none may be created ([backupchecks] create_jobs)",
                "Make a job in Backupchecks, then run doctor again.",
            )
        store.save_devices([_trial_device(job_id, now)], [])
        words = (settings.status.success, settings.status.warning, settings.status.failed)
        runs = [JobRun(now - timedelta(minutes=number), word, TRIAL_NAME) for number, word in enumerate(words)]
        written = store.insert_runs([(NOBODY, job_id, PlannedRun(None, run, ())) for run in runs], now, None)
        ids = list(written.values())
        store.update_runs([PlannedRun(ids[0], JobRun(now, words[0], ""), ())])
        session = Session(DataSource.TOTAL, now, None, Status.SUCCESS, 5, None, Origin.POLL)
        (row,) = store.insert_sessions([(NOBODY, session)])
        store.place_sessions({row["id"]: ids[0]})
        store.remove_sessions([row["id"]])
        poll = {"command": "doctor", "login": TRIAL_NAME, "started_at": now, "outcome": "running"}
        connection.execute(insert(tables.polls).values(poll))
        removed = store.remove_runs(ids)
        savepoint.rollback()
    if len(written) != len(words) or removed != set(ids):
        return _failed(TRIAL, "not every row that was written was there again", TRIAL_ADVICE)
    return fine(TRIAL, "a device, a session and a run of each status were really written, and taken back")


def _trial_job(connection: Connection, tables: Tables, settings: BackupchecksSettings, store: Store) -> int | None:
    if not (settings.create_customers and settings.create_jobs):
        return connection.scalar(select(tables.jobs.c.id).limit(1))
    name = TRIAL_NAME[: store.customer_name_limit()]
    customer_id = store.create_customers([name])[name]
    job = {"customer_id": customer_id, "job_name": TRIAL_NAME, "backup_type": "Server", "cove_account_id": NOBODY}
    return store.create_jobs([job])[NOBODY]


def _trial_device(job_id: int, now: datetime) -> dict[str, Any]:
    texts = ("login", "device_name", "customer_name", "device_type")
    moments = {"first_seen_at": now, "last_seen_at": now}
    rest = {"account_id": NOBODY, "data_sources": {}, "status": "none", "job_id": job_id, "ignored": False}
    return {**dict.fromkeys(texts, TRIAL_NAME), **moments, **rest}

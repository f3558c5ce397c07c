"""The tables: Backupchecks' as they are found live, ours as they are laid down here, and what is wrong with them.

Backupchecks' layout differs between versions, so nothing of it is taken for granted: `inspect_database` compares
the live tables with the contract and binds them under our column names.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Connection,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Inspector,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    inspect,
    true,
)
from sqlalchemy.exc import SAWarning
from sqlalchemy.types import TypeDecorator

from cove_poller.config import backupchecks_columns as contract
from cove_poller.config.settings import BackupchecksSettings, ObjectSettings

RUN_KEY = ("source_type", "external_id", "run_at")
RUN_KEY_INDEX = "ux_job_runs_cove_key"
LIVE_COLUMNS = {"customers": contract.CUSTOMERS, "jobs": contract.JOBS, "job_runs": contract.JOB_RUNS}
MOMENTS = {"run_at", "reviewed_at", "created_at"}
NUMBERS = {"id", "customer_id", "job_id", "cove_account_id", "mail_message_id", "run_id"}
OBJECTS = "objects"
"""What the table with the objects of runs is called here; its live name is configured."""


class UtcDateTime(TypeDecorator[datetime]):
    """Aware UTC times in every kind of column: where it has no time zone, UTC is what is written."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        keeps_zone = dialect.name == "postgresql" and getattr(self.impl, "timezone", False)
        return value.astimezone(UTC) if keeps_zone else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        del dialect
        if value is None:
            return None
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


def _moment(name: str, **options: Any) -> Column[datetime]:
    return Column(name, UtcDateTime(timezone=True), **options)


BigId = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up only what is called INTEGER


def default_tables(metadata: MetaData) -> list[Table]:
    """Backupchecks' tables as the poller makes them in an empty database."""
    return [
        Table(
            "customers",
            metadata,
            Column("id", Integer, primary_key=True),
            Column("name", String(255), nullable=False),
            Column("active", Boolean, nullable=False, server_default=true()),
        ),
        Table(
            "jobs",
            metadata,
            Column("id", Integer, primary_key=True),
            Column("customer_id", Integer, ForeignKey("customers.id"), nullable=False),
            Column("backup_software", String(128), nullable=False),
            Column("backup_type", String(128), nullable=False),
            Column("job_name", String(512), nullable=False),
            Column("active", Boolean, nullable=False, server_default=true()),
            Column("cove_account_id", BigInteger),
        ),
        Table(
            "job_runs",
            metadata,
            Column("id", Integer, primary_key=True),
            Column("job_id", Integer, ForeignKey("jobs.id"), nullable=False),
            _moment("run_at", nullable=False),
            Column("status", String(64), nullable=False),
            Column("remark", Text),
            Column("mail_message_id", Integer),
            Column("source_type", String(64)),
            Column("external_id", String(255)),
            _moment("reviewed_at"),
            _moment("created_at"),
        ),
    ]


def own_tables(metadata: MetaData) -> list[Table]:
    """The poller's own tables."""
    sessions = Table(
        "cove_sessions",
        metadata,
        Column("id", BigId, primary_key=True),
        Column("account_id", BigInteger, nullable=False),
        Column("data_source", String(3), nullable=False),
        _moment("session_at", nullable=False),
        _moment("started_at"),
        Column("status", String(16), nullable=False),
        Column("status_code", Integer),
        Column("errors_count", BigInteger),
        Column("duration_seconds", BigInteger),
        Column("origin", String(16), nullable=False),
        Column("job_run_id", BigInteger),
        UniqueConstraint("account_id", "data_source", "session_at", name="ux_cove_sessions_key"),
    )
    Index("ix_cove_sessions_time", sessions.c.account_id, sessions.c.session_at)
    Index(
        "ix_cove_sessions_status",
        *(sessions.c[name] for name in ("account_id", "data_source", "status", "session_at")),
    )
    without_run = sessions.c.job_run_id.is_(None)
    Index(
        "ix_cove_sessions_without_run",
        sessions.c.account_id,
        sessions.c.session_at,
        postgresql_where=without_run,
        sqlite_where=without_run,
    )
    devices = Table(
        "cove_devices",
        metadata,
        Column("account_id", BigInteger, primary_key=True, autoincrement=False),
        Column("login", String(128), nullable=False),
        Column("partner_id", BigInteger),
        Column("device_name", Text, nullable=False),
        Column("computer_name", Text),
        Column("customer_name", Text, nullable=False),
        Column("device_type", String(32), nullable=False),
        Column("data_sources", JSON, nullable=False),
        Column("color_bar", Text),
        Column("status", String(16), nullable=False),
        Column("status_code", Integer),
        _moment("last_session_at"),
        _moment("last_success_at"),
        _moment("running_since"),
        Column("job_id", BigInteger),
        Column("ignored", Boolean, nullable=False, server_default=false()),
        _moment("first_seen_at", nullable=False),
        _moment("last_seen_at", nullable=False),
        _moment("gone_at"),
        Column("history", JSON),
        _moment("stale_since"),
    )
    polls = Table(
        "cove_polls",
        metadata,
        Column("id", BigId, primary_key=True),
        Column("command", String(32), nullable=False),
        Column("login", String(128), nullable=False),
        _moment("started_at", nullable=False),
        _moment("finished_at"),
        Column("outcome", String(16), nullable=False),
        Column("exit_code", Integer),
        Column("devices", Integer),
        Column("sessions_new", Integer),
        Column("job_runs_new", Integer),
        Column("job_runs_updated", Integer),
        Column("requests", Integer),
        Column("error", Text),
        Column("login_fingerprint", String(64)),
        Column("request", JSON),
    )
    Index("ix_cove_polls_login", polls.c.login, polls.c.id)
    return [devices, sessions, polls]


def run_key_index(job_runs: Table) -> Index:
    """The unique index that keeps a run from being there twice, whatever else goes wrong."""
    return Index(RUN_KEY_INDEX, *(job_runs.c[name] for name in RUN_KEY), unique=True)


@dataclass(frozen=True)
class Tables:
    """All tables under our column names, whatever the live ones are called.

    `constants` has, per live table, what its own columns are filled with.
    """

    customers: Table
    jobs: Table
    job_runs: Table
    devices: Table
    sessions: Table
    polls: Table
    objects: Table | None = None
    constants: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass
class Inspection:
    """What the database has. `obstacles` a person must solve; `migrations` are for `migrate` to make.

    `live` has the tables of Backupchecks that are there, bound under our names, as far as they go.
    """

    schema: str | None
    is_empty: bool = False
    live: dict[str, Table] = field(default_factory=dict)
    constants: dict[str, dict[str, Any]] = field(default_factory=dict)
    obstacles: list[str] = field(default_factory=list)
    missing_tables: list[Table] = field(default_factory=list)
    missing_columns: list[tuple[str, Column[Any]]] = field(default_factory=list)
    not_nullable: list[tuple[str, str]] = field(default_factory=list)
    needs_run_key: bool = False

    @property
    def needs_migration(self) -> bool:
        return bool(
            self.is_empty or self.missing_tables or self.missing_columns or self.not_nullable or self.needs_run_key
        )

    def tables(self) -> Tables:
        """The tables, once nothing is in the way and nothing is to be migrated."""
        devices, sessions, polls = own_tables(MetaData(schema=self.schema))
        live = self.live
        return Tables(
            live["customers"],
            live["jobs"],
            live["job_runs"],
            devices,
            sessions,
            polls,
            objects=live.get(OBJECTS),
            constants=self.constants,
        )


def inspect_database(connection: Connection, schema: str, settings: BackupchecksSettings) -> Inspection:
    """Compare what is live with the contract."""
    in_schema = None if connection.dialect.name == "sqlite" else schema
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SAWarning)  # of types and indexes that the library does not know, nor we use
        return _inspect(inspect(connection), in_schema, settings)


def _inspect(inspector: Inspector, in_schema: str | None, settings: BackupchecksSettings) -> Inspection:
    found = Inspection(in_schema)
    if in_schema and not inspector.has_schema(in_schema):
        found.obstacles.append(f'there is no schema "{in_schema}" ([database] schema)')
        return found
    names = set(inspector.get_table_names(in_schema))
    found.is_empty = not names & LIVE_COLUMNS.keys()
    for table in LIVE_COLUMNS if not found.is_empty else ():
        if table in names:
            _inspect_live(inspector, _mapped(table, settings), found)
        else:
            found.obstacles.append(f"table {table} is missing, though others are there; is [database] schema right?")
    if objects := settings.objects.table:
        if objects in names:
            _inspect_live(inspector, _mapped_objects(objects, settings.objects), found)
        else:
            mend = 'name the right one with [backupchecks.objects] table = "...", or none; it is not made by migrate'
            found.obstacles.append(f"table {objects} is missing; {mend}")
    _inspect_own(inspector, names, found)
    return found


def _inspect_own(inspector: Inspector, names: set[str], found: Inspection) -> None:
    for table in own_tables(MetaData(schema=found.schema)):
        if table.name not in names:
            found.missing_tables.append(table)
            continue
        there = {column["name"] for column in inspector.get_columns(table.name, found.schema)}
        found.missing_columns += [(table.name, column) for column in table.c if column.name not in there]


@dataclass(frozen=True)
class Mapped:
    """A table of Backupchecks' as it is configured: `ours` has the live names of our columns.

    `section` is where in the configuration it is to be mended, with {} for `columns` or `defaults`.
    """

    key: str
    name: str
    ours: dict[str, str]
    constants: dict[str, Any]
    section: str

    def renaming(self, key: str) -> str:
        return f'name the right column with {self.section.format("columns")} {key} = "..."'


def _mapped(table: str, settings: BackupchecksSettings) -> Mapped:
    mapping: dict[str, str] = getattr(settings.columns, table)
    ours = {key: mapping.get(key, key) for key in LIVE_COLUMNS[table]}
    return Mapped(table, table, ours, getattr(settings.defaults, table), f"[backupchecks.{{}}.{table}]")


def _mapped_objects(table: str, settings: ObjectSettings) -> Mapped:
    return Mapped(OBJECTS, table, settings.columns.used(), settings.defaults, "[backupchecks.objects.{}]")


def _inspect_live(inspector: Inspector, table: Mapped, found: Inspection) -> None:
    ours, constants = table.ours, table.constants
    columns = {column["name"]: column for column in inspector.get_columns(table.name, found.schema)}
    bound = [_bound(key, columns[live]) for key, live in ours.items() if live in columns]
    only_theirs = [live for live in constants if live in columns and live not in ours.values()]
    bound += [
        Column(live, columns[live]["type"], key=constant_key(live), info={"is_constant": True}) for live in only_theirs
    ]
    found.live[table.key] = Table(table.name, MetaData(schema=found.schema), *bound)
    found.constants[table.key] = {constant_key(live): constants[live] for live in only_theirs}
    _find_missing(table, columns, found)
    _find_wrong(table, columns, found)
    _find_unknown(table, columns, _counted_up(inspector, table.name, columns, found.schema), found)
    if table.key == "job_runs":
        key = {ours[column] for column in RUN_KEY}
        found.needs_run_key = key not in _unique_sets(inspector, table.name, found.schema)


def constant_key(live: str) -> str:
    """The key of a column that only the live table knows; it may be called like one of ours that is mapped."""
    return f"constant {live}"


def _bound(key: str, live: Any) -> Column[Any]:
    kind = live["type"]
    if isinstance(kind, DateTime):
        kind = UtcDateTime(timezone=bool(kind.timezone))
    return Column(live["name"], kind, key=key, primary_key=key == "id")


def _find_missing(table: Mapped, columns: dict[str, Any], found: Inspection) -> None:
    name = table.name
    defaults = {one.name: one for one in default_tables(MetaData(schema=found.schema))}
    for key, live in table.ours.items():
        if live in columns or key in contract.OPTIONAL.get(table.key, ()):
            continue
        if key in contract.ADDED.get(table.key, ()):
            kind = defaults[name].c[key].type
            found.missing_columns.append((name, Column(live, kind, key=key)))
            found.live[table.key].append_column(Column(live, kind, key=key))
        else:
            there = ", ".join(columns)
            found.obstacles.append(f"{name}.{live} is missing (there are: {there}); {table.renaming(key)}")


def _find_wrong(table: Mapped, columns: dict[str, Any], found: Inspection) -> None:
    name = table.name
    for key, live in table.ours.items():
        kind = columns[live]["type"] if live in columns else None
        if (key in MOMENTS and not isinstance(kind, DateTime | None)) or (
            key in NUMBERS and not isinstance(kind, Integer | None)
        ):
            wanted = "a timestamp" if key in MOMENTS else "an integer"
            found.obstacles.append(f"{name}.{live} is {kind}, but {key} must be {wanted}; {table.renaming(key)}")
        if key == "reviewed_at" and kind is not None and not columns[live]["nullable"]:
            problem = f"{name}.{live} is NOT NULL, but a new run has been reviewed by nobody"
            found.obstacles.append(f"{problem}; {table.renaming(key)}")
        if key == "mail_message_id" and kind is not None and not columns[live]["nullable"]:
            found.not_nullable.append((name, live))


def _find_unknown(table: Mapped, columns: dict[str, Any], counted_up: set[str], found: Inspection) -> None:
    """Columns that a new row needs and nobody supplies; constants for columns that are not there."""
    name, constants, key = table.name, table.constants, table.section.format("defaults")
    for live, column in columns.items():
        supplied = column.get("default") is not None or column.get("identity") or column.get("computed")
        known = {*table.ours.values(), *constants, *counted_up}
        if live not in known and not column["nullable"] and not supplied:
            found.obstacles.append(
                f"{name}.{live} is NOT NULL without a default; say what to write there with {key} {live} = ..."
            )
    found.obstacles += [f"{name}.{live} is missing, but {key} names it" for live in constants if live not in columns]


def _counted_up(inspector: Inspector, name: str, columns: dict[str, Any], schema: str | None) -> set[str]:
    """The column that SQLite fills by itself, though it has no default: an INTEGER that is the primary key."""
    key = inspector.get_pk_constraint(name, schema)["constrained_columns"]
    is_counted = inspector.dialect.name == "sqlite" and len(key) == 1 and str(columns[key[0]]["type"]) == "INTEGER"
    return set(key) if is_counted else set()


def _unique_sets(inspector: Inspector, name: str, schema: str | None) -> list[set[str | None]]:
    """The column sets that are unique, by an index or a constraint."""
    indexes: Sequence[Any] = inspector.get_indexes(name, schema)
    constraints: Sequence[Any] = inspector.get_unique_constraints(name, schema)
    whole = [one for one in indexes if one["unique"] and not _is_partial(one)]
    return [set(one["column_names"]) for one in (*whole, *constraints)]


def _is_partial(index: Any) -> bool:
    return any(option.endswith("_where") for option in index.get("dialect_options", {}))

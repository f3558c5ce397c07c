"""The tables as they are laid down: the poller's own, and Backupchecks' where the poller makes them itself."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    true,
)
from sqlalchemy.types import TypeDecorator

RUN_KEY = ("source_type", "external_id", "run_at")
RUN_KEY_INDEX = "ux_job_runs_cove_key"
OBJECTS = "objects"
"""What the table with the objects of runs is called here; its live name is configured."""


class UtcDateTime(TypeDecorator[datetime]):
    """Aware UTC times in every kind of column; where the column has no time zone, UTC is written."""

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


@cache
def default_tables(schema: str | None) -> tuple[Table, Table, Table]:
    """Return Backupchecks' customers, jobs and runs as the poller makes them in an empty database."""
    metadata = MetaData(schema=schema)
    return (
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
    )


@cache
def own_tables(schema: str | None, dialect_name: str) -> tuple[Table, Table, Table]:
    """Return the poller's devices, sessions and polls: the same objects each time, so that SQL is compiled once.

    An option of another dialect than the one in use would make SQLAlchemy import that one too.
    """
    metadata = MetaData(schema=schema)
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
        Column("time_is", String(5)),
        _moment("unknown_since"),
        Column("is_context", Boolean),
        UniqueConstraint("account_id", "data_source", "session_at", name="ux_cove_sessions_key"),
    )
    Index("ix_cove_sessions_time", sessions.c.account_id, sessions.c.session_at)
    Index(
        "ix_cove_sessions_status",
        *(sessions.c[name] for name in ("account_id", "data_source", "status", "session_at")),
    )
    without_run: dict[str, Any] = {f"{dialect_name}_where": sessions.c.job_run_id.is_(None)}
    Index(
        "ix_cove_sessions_without_run",
        sessions.c.account_id,
        sessions.c.session_at,
        **without_run,
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
        Column("stale_sources", Text),
        Column("source_history", JSON),
        Column("conditions", JSON),
        _moment("replan_since"),
        _moment("missing_since"),
        Column("row_digest", String(32)),
        _moment("due_at"),
        Column("shown_count", Integer),
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
        Column("is_complete", Boolean),
        Column("conditions", JSON),
        Column("learnt", JSON),
    )
    Index("ix_cove_polls_login", polls.c.login, polls.c.id)
    return devices, sessions, polls


def run_key_index(job_runs: Table) -> Index:
    """Return the unique index that keeps a run from being there twice, whatever else goes wrong."""
    made = [one for one in job_runs.indexes if one.name == RUN_KEY_INDEX]
    return made[0] if made else Index(RUN_KEY_INDEX, *(job_runs.c[name] for name in RUN_KEY), unique=True)


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

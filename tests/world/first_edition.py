"""A database as the poller's first edition left it: its tables, and rows that its rules made of a fleet's truth."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from tests.world.fake_cove import FakeDevice, TrueSession

TABLES = """
CREATE TABLE customers (id {serial} PRIMARY KEY, name VARCHAR(255) NOT NULL, active BOOLEAN DEFAULT true NOT NULL);
CREATE TABLE jobs (
    id {serial} PRIMARY KEY,
    customer_id INTEGER NOT NULL REFERENCES customers (id),
    backup_software VARCHAR(128) NOT NULL,
    backup_type VARCHAR(128) NOT NULL,
    job_name VARCHAR(512) NOT NULL,
    active BOOLEAN DEFAULT true NOT NULL,
    cove_account_id BIGINT
);
CREATE TABLE job_runs (
    id {serial} PRIMARY KEY,
    job_id INTEGER NOT NULL REFERENCES jobs (id),
    run_at {moment} NOT NULL,
    status VARCHAR(64) NOT NULL,
    remark TEXT,
    mail_message_id INTEGER,
    source_type VARCHAR(64),
    external_id VARCHAR(255),
    reviewed_at {moment},
    created_at {moment}
);
CREATE UNIQUE INDEX ux_job_runs_cove_key ON job_runs (source_type, external_id, run_at);
CREATE TABLE cove_devices (
    account_id BIGINT NOT NULL PRIMARY KEY,
    login VARCHAR(128) NOT NULL,
    partner_id BIGINT,
    device_name TEXT NOT NULL,
    computer_name TEXT,
    customer_name TEXT NOT NULL,
    device_type VARCHAR(32) NOT NULL,
    data_sources JSON NOT NULL,
    color_bar TEXT,
    status VARCHAR(16) NOT NULL,
    status_code INTEGER,
    last_session_at {moment},
    last_success_at {moment},
    running_since {moment},
    job_id BIGINT,
    ignored BOOLEAN DEFAULT false NOT NULL,
    first_seen_at {moment} NOT NULL,
    last_seen_at {moment} NOT NULL,
    gone_at {moment},
    history JSON,
    stale_since {moment}
);
CREATE TABLE cove_sessions (
    id {serial} PRIMARY KEY,
    account_id BIGINT NOT NULL,
    data_source VARCHAR(3) NOT NULL,
    session_at {moment} NOT NULL,
    started_at {moment},
    status VARCHAR(16) NOT NULL,
    status_code INTEGER,
    errors_count BIGINT,
    duration_seconds BIGINT,
    origin VARCHAR(16) NOT NULL,
    job_run_id BIGINT,
    CONSTRAINT ux_cove_sessions_key UNIQUE (account_id, data_source, session_at)
);
CREATE INDEX ix_cove_sessions_time ON cove_sessions (account_id, session_at);
CREATE INDEX ix_cove_sessions_status ON cove_sessions (account_id, data_source, status, session_at);
CREATE INDEX ix_cove_sessions_without_run ON cove_sessions (account_id, session_at) WHERE job_run_id IS NULL;
CREATE TABLE cove_polls (
    id {serial} PRIMARY KEY,
    command VARCHAR(32) NOT NULL,
    login VARCHAR(128) NOT NULL,
    started_at {moment} NOT NULL,
    finished_at {moment},
    outcome VARCHAR(16) NOT NULL,
    exit_code INTEGER,
    devices INTEGER,
    sessions_new INTEGER,
    job_runs_new INTEGER,
    job_runs_updated INTEGER,
    requests INTEGER,
    error TEXT,
    login_fingerprint VARCHAR(64),
    request JSON
);
CREATE INDEX ix_cove_polls_login ON cove_polls (login, id);
INSERT INTO customers (name) VALUES ('Example Bakery');
"""
TYPES = {
    "postgresql": {"serial": "SERIAL", "moment": "TIMESTAMP WITH TIME ZONE"},
    "sqlite": {"serial": "INTEGER", "moment": "DATETIME"},
}
STATUSES = {5: "success", 2: "failed"}

Night = Sequence[TrueSession]
"""The sessions that the first edition took for one round."""


def tables(kind: str) -> str:
    """The SQL that makes the tables, on "postgresql" or "sqlite"."""
    return TABLES.format(**TYPES[kind])


def at(moment: datetime | None) -> str:
    """A time in UTC as SQL; SQLite keeps it as the library writes it."""
    return "NULL" if moment is None else f"'{moment:%Y-%m-%d %H:%M:%S}.000000'"


def device_rows(
    device: FakeDevice, first_seen_at: datetime, last_seen_at: datetime, *, is_gone: bool = False
) -> Iterator[str]:
    """The SQL that writes a device and its job."""
    account = device.account_id
    sources = ", ".join(f'"{code}": {{"status": "success"}}' for code in device.active)
    yield (
        "INSERT INTO jobs (id, customer_id, backup_software, backup_type, job_name, cove_account_id) VALUES"
        f" ({account}, 1, 'Cove Data Protection', 'Server', '{device.computer_name}', {account})"
    )
    yield (
        "INSERT INTO cove_devices (account_id, login, partner_id, device_name, computer_name, customer_name,"
        " device_type, data_sources, status, status_code, job_id, first_seen_at, last_seen_at, gone_at) VALUES"
        f" ({account}, 'main', {device.partner_id}, '{device.name}', '{device.computer_name}', 'Example Bakery',"
        f" 'Server', '{{{sources}}}', 'success', 5, {account}, {at(first_seen_at)}, {at(last_seen_at)},"
        f" {at(last_seen_at if is_gone else None)})"
    )


def run_rows(run_id: int, night: Night, account: int, *, reviewed_at: datetime | None = None) -> Iterator[str]:
    """The SQL that writes a job run, a success as its newest session was, and the sessions that are part of it."""
    run_at = max(one.end for one in night)
    yield (
        "INSERT INTO job_runs (id, job_id, run_at, status, remark, source_type, external_id, reviewed_at, created_at)"
        f" VALUES ({run_id}, {account}, {at(run_at)}, 'Success', 'Files and Folders: Completed.', 'api', '{account}',"
        f" {at(reviewed_at)}, {at(run_at + timedelta(minutes=20))})"
    )
    for one in night:
        yield (
            "INSERT INTO cove_sessions (account_id, data_source, session_at, started_at, status, status_code,"
            f" errors_count, duration_seconds, origin, job_run_id) VALUES ({account}, '{one.source}', {at(one.end)},"
            f" {at(one.start)}, '{STATUSES[one.status]}', {one.status}, NULL,"
            f" {int((one.end - one.start).total_seconds())}, 'poll', {run_id})"
        )


def counted_on(kind: str, runs: int) -> Iterable[str]:
    """The SQL after which new job runs get numbers that are free."""
    return [f"ALTER SEQUENCE job_runs_id_seq RESTART WITH {runs + 1}"] if kind == "postgresql" else []

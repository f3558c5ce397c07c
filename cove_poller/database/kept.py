"""Whether a table of Backupchecks' has kept what was written to it: triggers, rules and policies may do otherwise."""

from collections.abc import Sequence

from sqlalchemy import Connection, Table, text

from cove_poller.errors import DatabaseError
from cove_poller.text import counted, listed

POSTGRESQL = text("""
SELECT 'trigger ' || tgname FROM pg_trigger
    WHERE tgrelid = to_regclass(:name) AND NOT tgisinternal AND tgenabled <> 'D'
UNION ALL SELECT 'policy ' || polname FROM pg_policy WHERE polrelid = to_regclass(:name)
UNION ALL SELECT 'rule ' || rulename FROM pg_rewrite WHERE ev_class = to_regclass(:name)
ORDER BY 1
""")
SQLITE = text("SELECT 'trigger ' || name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = :name ORDER BY 1")


def not_kept(connection: Connection, table: Table, count: int, offered: int, what: str) -> DatabaseError:
    """Return the error for rows that are not there as they were written, with what may be the reason."""
    quote = connection.dialect.identifier_preparer
    is_sqlite = connection.dialect.name == "sqlite"
    query, name = (SQLITE, table.name) if is_sqlite else (POSTGRESQL, quote.format_table(table))
    suspects: Sequence[str] = connection.execute(query, {"name": name}).scalars().all()
    reason = f"look at its {listed(suspects)}" if suspects else "look for triggers, rules and policies of it"
    rows = f"{count} of {counted(offered, 'row')}"
    return DatabaseError(f"{table.name} has not kept {rows} as written ({what}), so none of them is saved; {reason}")

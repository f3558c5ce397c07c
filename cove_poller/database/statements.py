"""How every statement of a page is made: its rows as one parameter, its columns under our names."""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Column, Connection, FromClause, RowMapping, Table, update

from cove_poller.config.settings import BackupchecksSettings
from cove_poller.database.bulk import Row, as_rows, insert_rows
from cove_poller.database.kept import not_kept
from cove_poller.database.tables import Tables, UtcDateTime

ACCOUNT = Column("account_id", BigInteger)
MOMENT: Column[datetime] = Column("moment", UtcDateTime(timezone=True))


def lock_key(name: str) -> int:
    """Return the number of an advisory lock; PostgreSQL has such numbers per database."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)


class Statements:
    """Makes and runs statements on one connection."""

    def __init__(self, connection: Connection, tables: Tables, settings: BackupchecksSettings) -> None:
        self._connection = connection
        self._tables = tables
        self._settings = settings
        self._dialect = connection.dialect

    def _rows(self, name: str, columns: Sequence[Column[Any]], rows: Iterable[Row]) -> FromClause:
        return as_rows(name, columns, rows, self._dialect)

    def _mappings(self, statement: Any) -> Sequence[RowMapping]:
        return self._connection.execute(statement).mappings().all()

    def _accounts(self, account_ids: Iterable[int]) -> FromClause:
        return self._rows("accounts", [ACCOUNT], [{"account_id": one} for one in account_ids])

    def _insert_live(
        self,
        name: str,
        table: Table,
        columns: Sequence[str],
        rows: Iterable[Row],
        returned: Sequence[str],
        key: Sequence[str] | None = None,
    ) -> Sequence[RowMapping]:
        """Insert into a table of Backupchecks', with the configured constants in the columns that only it knows."""
        constants = self._tables.constants.get(name, {})
        offered = [column for column in table.c if column.key in {*columns, *constants}]
        if not (written := [{**constants, **row} for row in rows]):
            return []
        statement = insert_rows(table, offered, written, self._dialect, key)
        found = self._mappings(statement.returning(*named(table, returned)))
        if key is None and len(found) != len(written):
            raise not_kept(self._connection, table, len(written) - len(found), len(written), "it is not there")
        return found

    def _update(
        self,
        table: Table,
        columns: Sequence[str],
        rows: Iterable[Row],
        *conditions: Any,
        key: str = "id",
        returning: Sequence[str] | None = None,
    ) -> Sequence[RowMapping]:
        """Write `columns` of the rows with the given `key`, where the `conditions` still hold."""
        if not (rows := [*rows]):
            return []
        source = self._rows("changes", [table.c[name] for name in (key, *columns)], rows)
        statement = (
            update(table)
            .where(table.c[key] == source.c[key], *conditions)
            .values({table.c[name]: source.c[name] for name in columns})
        )
        return self._mappings(statement.returning(*named(table, returning or (key,))))


def named(table: Table, keys: Sequence[str]) -> list[Any]:
    """Return columns under our names, also in the result; the library would go by the live ones."""
    return [table.c[key].label(key) for key in keys]

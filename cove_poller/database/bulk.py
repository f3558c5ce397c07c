"""A page's rows as one parameter of one SQL statement, on PostgreSQL and on SQLite.

Statements thus cost the same number of round trips whatever a page holds, and no limit on parameters is met.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    Dialect,
    FromClause,
    String,
    Table,
    bindparam,
    cast,
    column,
    func,
    insert,
    select,
    true,
    type_coerce,
)
from sqlalchemy.types import TypeEngine

from cove_poller.text import fitted

Row = Mapping[str, Any]


def as_rows(name: str, columns: Sequence[Column[Any]], rows: Iterable[Row], dialect: Dialect) -> FromClause:
    """Return a table `name` with the `columns` (by their keys) that holds `rows`."""
    rows = [*rows]
    value = bindparam(f"{name}_rows", as_json(columns, rows, dialect), String, unique=True)
    if dialect.name == "postgresql":
        typed = [column(one.key, one.type) for one in columns]
        recordset = func.json_to_recordset(cast(value, JSON)).table_valued(*typed)
        found = recordset.render_derived(name=f"{name}_each", with_types=True)
        return select(*found.c).limit(len(rows)).subquery(name)  # it would plan for 100, and read whole tables for one
    each = func.json_each(value).table_valued("value", name=f"{name}_each")
    fields = (
        type_coerce(func.json_extract(each.c.value, f'$."{one.key}"'), one.type).label(one.key) for one in columns
    )
    return select(*fields).subquery(name)


def as_json(columns: Sequence[Column[Any]], rows: Iterable[Row], dialect: Dialect) -> str:
    """Return the rows as a JSON list, each value as the database stores it in its column."""
    keys = [one.key for one in columns]
    writers = {one.key: _writer(one.type, dialect) for one in columns if not one.info.get("is_constant")}
    needed = [(key, write) for key, write in writers.items() if write]
    prepared = [{key: row.get(key) for key in keys} for row in rows]
    for row in prepared:
        for key, write in needed:
            row[key] = write(row[key])
    return json.dumps(prepared, default=str, ensure_ascii=False)  # SQLite compares keys as they are spelt


def _writer(kind: TypeEngine[Any], dialect: Dialect) -> Any:
    limit = getattr(kind, "length", None) if isinstance(kind, String) else None
    if limit:
        return lambda value: None if value is None else fitted(str(value), limit)
    return None if isinstance(kind, JSON) else kind.dialect_impl(dialect).bind_processor(dialect)


def insert_rows(
    table: Table,
    columns: Sequence[Column[Any]],
    rows: Iterable[Row],
    dialect: Dialect,
    key: Sequence[str] | None = None,
) -> Any:
    """Return an INSERT of all `rows`; those whose `key` is there already are left out."""
    source = as_rows("incoming", columns, rows, dialect)
    chosen = select(*(source.c[one.key] for one in columns)).where(true())  # SQLite needs a WHERE before ON CONFLICT
    if key is None:
        return insert(table).from_select([one.key for one in columns], chosen)
    own = import_module(f"sqlalchemy.dialects.{dialect.name}")  # both at once would be a tenth of a run's start
    statement = own.insert(table).from_select([one.key for one in columns], chosen)
    return statement.on_conflict_do_nothing(index_elements=[table.c[one] for one in key])

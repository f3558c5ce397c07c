"""A page's rows as one parameter of one SQL statement, on PostgreSQL and on SQLite.

Statements thus cost the same number of round trips whatever a page holds, and no limit on parameters is met.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any

from sqlalchemy import JSON, Column, Dialect, FromClause, String, Table, bindparam, column, insert, select, text, true
from sqlalchemy.types import TypeEngine

from cove_poller.text import fitted

Row = Mapping[str, Any]


def as_rows(name: str, columns: Sequence[Column[Any]], rows: Iterable[Row], dialect: Dialect) -> FromClause:
    """Return a table `name` with the `columns` (by their keys) that holds `rows`.

    As text, which SQLAlchemy neither takes apart nor puts together: that was a fifth of what a poll of 20 devices cost.
    """
    rows = [*rows]
    values = [bindparam(f"{name}_rows", as_json(columns, rows, dialect), String)]
    if dialect.name == "postgresql":
        query = _on_postgresql(name, columns, dialect)
        values.append(bindparam(f"{name}_count", len(rows)))
    else:
        query = _on_sqlite(name, columns)
    typed = [column(one.key, one.type) for one in columns]
    return text(query).bindparams(*values).columns(*typed).subquery(name)


def _on_postgresql(name: str, columns: Sequence[Column[Any]], dialect: Dialect) -> str:
    """Return the query, with the number of rows: it would plan for 100, and read whole tables for one."""
    kind = dialect.type_compiler_instance.process
    names = ", ".join(_quoted(one.key) for one in columns)
    typed = ", ".join(f"{_quoted(one.key)} {kind(one.type)}" for one in columns)
    each = f"json_to_recordset(CAST(:{name}_rows AS JSON)) AS {name}_each ({typed})"
    return f"SELECT {names} FROM {each} LIMIT :{name}_count"  # noqa: S608 - names of columns, quoted


def _on_sqlite(name: str, columns: Sequence[Column[Any]]) -> str:
    fields = ", ".join(f"json_extract(value, {_path(one.key)}) AS {_quoted(one.key)}" for one in columns)
    return f"SELECT {fields} FROM json_each(:{name}_rows)"  # noqa: S608 - names of columns, quoted


def _quoted(key: str) -> str:
    """Return an identifier in which nothing looks like a parameter."""
    doubled = key.replace('"', '""').replace(":", r"\:")
    return f'"{doubled}"'


def _path(key: str) -> str:
    doubled = key.replace("'", "''").replace(":", r"\:")
    return f"""'$."{doubled}"'"""


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

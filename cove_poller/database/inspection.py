"""What is live, compared with the contract: Backupchecks' layout differs between versions, so nothing is assumed.

`inspect_database` binds the live tables under our column names, and lists what is missing or in the way.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Column, Connection, DateTime, Inspector, Integer, MetaData, Table, inspect
from sqlalchemy.exc import SAWarning

from cove_poller.config import backupchecks_columns as contract
from cove_poller.config.settings import BackupchecksSettings, Config, ObjectSettings
from cove_poller.database.fitting import unfit_words
from cove_poller.database.tables import OBJECTS, RUN_KEY, Tables, UtcDateTime, default_tables, own_tables

LIVE_COLUMNS = {"customers": contract.CUSTOMERS, "jobs": contract.JOBS, "job_runs": contract.JOB_RUNS}
MOMENTS = {"run_at", "reviewed_at", "created_at"}
NUMBERS = {"id", "customer_id", "job_id", "cove_account_id", "mail_message_id", "run_id"}

_bound_before: dict[str, Table] = {}
"""The live tables as they were bound first: SQLAlchemy compiles a statement anew for each new table object."""


@dataclass
class Inspection:
    """What the database has. `obstacles` a person must solve; what is missing otherwise is for `migrate` to make.

    `live` has the tables of Backupchecks that are there, bound under our names, as far as they go.
    """

    schema: str | None
    dialect_name: str
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
        """Return the tables, once nothing is in the way and nothing is to be migrated."""
        devices, sessions, polls = own_tables(self.schema, self.dialect_name)
        live = {key: _bound_before.setdefault(_described_table(table), table) for key, table in self.live.items()}
        objects = live.pop(OBJECTS, None)
        return Tables(
            **live, devices=devices, sessions=sessions, polls=polls, objects=objects, constants=self.constants
        )

    def described(self) -> Iterator[str]:
        """Say what `migrate` would add or change, a line each."""
        if self.is_empty:
            yield "there are no tables customers, jobs and job_runs"
        yield from (f"table {table.name} is missing" for table in self.missing_tables)
        yield from (f"column {table}.{column.name} is missing" for table, column in self.missing_columns)
        yield from (f"{table}.{live} must be nullable" for table, live in self.not_nullable)
        if self.needs_run_key:
            yield "job_runs has no unique index over source_type, external_id and run_at"


def _described_table(table: Table) -> str:
    """Return what makes a bound table another one: two with the same description can stand for each other."""
    return repr([table.fullname, *((column.key, column.name, column.type, column.info) for column in table.c)])


def inspect_database(connection: Connection, config: Config) -> Inspection:
    """Compare what is live with the contract."""
    in_schema = None if connection.dialect.name == "sqlite" else config.database.db_schema
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SAWarning)  # of types and indexes that the library does not know, nor we use
        return _inspect(inspect(connection), in_schema, config.backupchecks)


def _inspect(inspector: Inspector, in_schema: str | None, settings: BackupchecksSettings) -> Inspection:
    found = Inspection(in_schema, inspector.dialect.name)
    if in_schema and not inspector.has_schema(in_schema):
        found.obstacles.append(f'there is no schema "{in_schema}" ([database] schema)')
        return found
    names = set(inspector.get_table_names(in_schema))
    views = {*inspector.get_view_names(in_schema), *_other_relations(inspector, in_schema)} & LIVE_COLUMNS.keys()
    found.is_empty = not (names | views) & LIVE_COLUMNS.keys()
    columns = _columns(inspector, in_schema, names, settings)
    for table in LIVE_COLUMNS if not found.is_empty else ():
        if table in columns:
            _inspect_live(inspector, _mapped(table, settings), columns[table], found, settings)
        elif table in views:
            found.obstacles.append(f"{table} is a view, but must be the table itself; is [database] schema right?")
        else:
            found.obstacles.append(f"table {table} is missing, though others are there; is [database] schema right?")
    if objects := settings.objects.table:
        if objects in columns:
            _inspect_live(inspector, _mapped_objects(objects, settings.objects), columns[objects], found, settings)
        else:
            fix = 'name the right one with [backupchecks.objects] table = "...", or none; it is not made by migrate'
            found.obstacles.append(f"table {objects} is missing; {fix}")
    _inspect_own(columns, found)
    return found


def _other_relations(inspector: Inspector, schema: str | None) -> Iterator[str]:
    """Yield what can be read like a table on PostgreSQL, and is neither a table nor a plain view."""
    if inspector.dialect.name == "postgresql":
        yield from inspector.get_materialized_view_names(schema)
        yield from inspector.get_foreign_table_names(schema)  # type: ignore[attr-defined]


def _columns(
    inspector: Inspector, schema: str | None, names: set[str], settings: BackupchecksSettings
) -> dict[str, dict[str, Any]]:
    """Return the columns of each table that there is, by table and name: asked for once, not for each table."""
    own = [one.name for one in own_tables(schema, inspector.dialect.name)]
    wanted = names.intersection([*LIVE_COLUMNS, *own, settings.objects.table])
    found = inspector.get_multi_columns(schema, filter_names=sorted(wanted)) if wanted else {}
    return {table: {one["name"]: _plain(one) for one in columns} for (_, table), columns in found.items()}


def _inspect_own(columns: Mapping[str, Mapping[str, Any]], found: Inspection) -> None:
    for table in own_tables(found.schema, found.dialect_name):
        if table.name not in columns:
            found.missing_tables.append(table)
            continue
        there = columns[table.name]
        found.missing_columns += [(table.name, column) for column in table.c if column.name not in there]


@dataclass(frozen=True)
class Mapped:
    """A table of Backupchecks' as it is configured: `ours` has the live names of our columns.

    `section` is where the configuration says so, with {} for `columns` or `defaults`.
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


def _inspect_live(
    inspector: Inspector, table: Mapped, columns: dict[str, Any], found: Inspection, settings: BackupchecksSettings
) -> None:
    ours, constants = table.ours, table.constants
    bound = [_bound(key, columns[live]) for key, live in ours.items() if live in columns]
    only_theirs = [live for live in constants if live in columns and live not in ours.values()]
    bound += [
        Column(live, columns[live]["type"], key=constant_key(live), info={"is_constant": True}) for live in only_theirs
    ]
    found.live[table.key] = Table(table.name, MetaData(schema=found.schema), *bound)
    found.constants[table.key] = {constant_key(live): constants[live] for live in only_theirs}
    _find_missing(table, columns, found)
    _find_wrong(table, columns, found)
    _find_unknown(inspector, table, columns, found)
    if table.key == "job_runs":
        found.obstacles += unfit_words(columns, ours, settings)
        key = {ours[column] for column in RUN_KEY}
        found.needs_run_key = not _is_unique(inspector, table.name, found.schema, key)


def _plain(column: Any) -> dict[str, Any]:
    """Return a column whose type is a domain as one of the type that the domain stands for, with its conditions."""
    plain = dict(column)
    while hasattr(plain["type"], "data_type") and hasattr(plain["type"], "not_null"):
        domain = plain["type"]
        plain["type"] = domain.data_type
        plain["nullable"] = plain["nullable"] and not domain.not_null
        plain["default"] = plain.get("default") or domain.default
    return plain


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
    defaults = {one.name: one for one in default_tables(found.schema)}
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


def _find_unknown(inspector: Inspector, table: Mapped, columns: dict[str, Any], found: Inspection) -> None:
    """Columns that a new row needs and nobody supplies; constants for columns that are not there."""
    name, constants, key = table.name, table.constants, table.section.format("defaults")
    known = {*table.ours.values(), *constants}
    needed = [live for live, column in columns.items() if live not in known and not _is_supplied(column)]
    found.obstacles += [
        f"{name}.{live} is NOT NULL without a default; say what to write there with {key} {live} = ..."
        for live in needed
        if live not in _counted_up(inspector, name, columns, found.schema)
    ]
    found.obstacles += [f"{name}.{live} is missing, but {key} names it" for live in constants if live not in columns]


def _is_supplied(column: Mapping[str, Any]) -> bool:
    """Whether a new row may leave the column out."""
    has_value = column.get("default") is not None or column.get("identity") or column.get("computed")
    return bool(column["nullable"] or has_value)


def _counted_up(inspector: Inspector, name: str, columns: dict[str, Any], schema: str | None) -> set[str]:
    """The column that SQLite fills by itself, though it has no default: an INTEGER that is the primary key."""
    if inspector.dialect.name != "sqlite":
        return set()
    key = inspector.get_pk_constraint(name, schema)["constrained_columns"]
    return set(key) if len(key) == 1 and str(columns[key[0]]["type"]) == "INTEGER" else set()


def _is_unique(inspector: Inspector, name: str, schema: str | None, columns: set[str]) -> bool:
    """Whether the columns are unique together, by an index or a constraint."""
    indexes: Sequence[Any] = inspector.get_indexes(name, schema)
    if any(set(one["column_names"]) == columns for one in indexes if one["unique"] and not _is_partial(one)):
        return True
    constraints: Sequence[Any] = inspector.get_unique_constraints(name, schema)
    return any(set(one["column_names"]) == columns for one in constraints)


def _is_partial(index: Any) -> bool:
    return any(option.endswith("_where") for option in index.get("dialect_options", {}))

"""A page's rows as one parameter: values on their way into the database and back, on both kinds."""

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from cove_poller.database.bulk import as_rows, insert_rows

VALUES: list[tuple[sa.types.TypeEngine[Any], Any]] = [
    (sa.Text(), 'it\'s "quoted", a \\ and a \\n, %s %(name)s :name $1 {} ; -- /*'),
    (sa.Text(), "Grüße, 東京, 😀, e\u0301, \u202e, \t\r\n"),
    (sa.Text(), '{"looks": ["like", "JSON"]}'),
    (sa.Text(), "null"),
    (sa.Text(), "true"),
    (sa.Text(), "007"),
    (sa.Text(), ""),
    (sa.Text(), "long " * 400_000),
    (sa.Text(), None),
    (sa.String(5), "five!"),
    (sa.String(5), None),
    (sa.Boolean(), True),
    (sa.Boolean(), False),
    (sa.Boolean(), None),
    (sa.BigInteger(), 2**63 - 1),
    (sa.BigInteger(), -(2**63)),
    (sa.BigInteger(), 2**53 + 1),
    (sa.BigInteger(), 0),
    (sa.BigInteger(), None),
    (sa.Float(), 0.1),
    (sa.JSON(), {"D01": {"status": 'it\'s "ok" 😀', "code": 5, "big": 2**53 + 1, "none": None, "yes": True}}),
    (sa.JSON(), []),
]


class TestRows:
    @pytest.mark.parametrize(("kind", "value"), VALUES, ids=[f"{kind} {str(value)[:20]!a}" for kind, value in VALUES])
    def test_a_value_comes_back_as_it_was(
        self, kind: sa.types.TypeEngine[Any], value: Any, connection: sa.Connection
    ) -> None:
        columns: list[sa.Column[Any]] = [sa.Column("number", sa.Integer), sa.Column("value", kind)]
        rows = [{"number": number, "value": value} for number in range(2)]
        found = connection.execute(sa.select(as_rows("given", columns, rows, connection.dialect)))
        assert [dict(row) for row in found.mappings()] == rows

    def test_a_text_that_is_too_long_for_its_column_is_cut_with_a_mark(self, connection: sa.Connection) -> None:
        columns = [sa.Column("value", sa.String(5))]
        rows = as_rows("given", columns, [{"value": "sixsix"}, {"value": "😀" * 6}], connection.dialect)
        assert connection.execute(sa.select(rows)).scalars().all() == ["sixs…", "😀😀😀😀…"]

    def test_what_a_row_does_not_have_is_null(self, connection: sa.Connection) -> None:
        columns: list[sa.Column[Any]] = [sa.Column("a", sa.Integer), sa.Column("b", sa.Text)]
        rows = as_rows("given", columns, [{"a": 1}, {"b": "two", "c": "not asked for"}], connection.dialect)
        assert [tuple(row) for row in connection.execute(sa.select(rows))] == [(1, None), (None, "two")]

    def test_no_rows_are_no_rows(self, connection: sa.Connection) -> None:
        rows = as_rows("given", [sa.Column("a", sa.Integer)], [], connection.dialect)
        assert connection.execute(sa.select(rows)).all() == []

    def test_columns_may_be_called_anything(self, connection: sa.Connection) -> None:
        names = ["select", "Mixed Case", "with.dot", "percent%", "=live", "ünï", "it's", "a:b", ":c"]
        columns = [sa.Column(name, sa.Text) for name in names]
        rows = as_rows("given", columns, [dict.fromkeys(names, "value")], connection.dialect)
        assert dict(connection.execute(sa.select(rows)).mappings().one()) == dict.fromkeys(names, "value")

    def test_rows_whose_key_is_there_already_are_left_out(self, connection: sa.Connection) -> None:
        table = sa.Table(
            "things",
            sa.MetaData(),
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("value", sa.Text),
            prefixes=["TEMPORARY"],
        )
        table.create(connection)
        made: list[Callable[[], Any]] = []
        for rows in ([{"id": 1, "value": "first"}], [{"id": 1, "value": "second"}, {"id": 2, "value": "new"}]):
            statement = insert_rows(table, list(table.c), rows, connection.dialect, key=["id"])
            made.append(connection.execute(statement.returning(table.c.id)).scalars().all)
        assert [ids() for ids in made] == [[1], [2]]
        assert [tuple(row) for row in connection.execute(sa.select(table).order_by(table.c.id))] == [
            (1, "first"),
            (2, "new"),
        ]

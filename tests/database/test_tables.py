"""Times on their way into the database and back, on both kinds."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
import sqlalchemy as sa

from cove_poller.database.bulk import insert_rows
from cove_poller.database.tables import UtcDateTime

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
MOMENTS = [
    NOON,
    NOON.replace(microsecond=123456),
    NOON.astimezone(timezone(timedelta(hours=5, minutes=30))),
    datetime(2026, 3, 2, 23, 59, 59, tzinfo=timezone(-timedelta(hours=8))),
    datetime(1970, 1, 1, tzinfo=UTC),
]


class TestUtcDateTime:
    @pytest.fixture
    def moments(self, connection: sa.Connection) -> sa.Table:
        """A table with a column of both kinds, as far as the database knows a difference."""
        table = sa.Table(
            "moments",
            sa.MetaData(),
            sa.Column("zoned", UtcDateTime(timezone=True)),
            sa.Column("zoneless", UtcDateTime(timezone=False)),
            prefixes=["TEMPORARY"],
        )
        table.create(connection)
        return table

    @pytest.mark.parametrize("moment", [*MOMENTS, None], ids=str)
    @pytest.mark.parametrize("in_rows", [False, True], ids=["value", "rows"])
    def test_a_time_comes_back_as_the_same_moment_in_utc(
        self, in_rows: bool, moment: datetime | None, connection: sa.Connection, moments: sa.Table
    ) -> None:
        row = {"zoned": moment, "zoneless": moment}
        if in_rows:
            connection.execute(insert_rows(moments, list(moments.c), [row], connection.dialect))
        else:
            connection.execute(moments.insert(), row)
        found = connection.execute(sa.select(moments)).one()
        assert tuple(found) == (moment, moment)
        if moment:
            assert {one.tzinfo for one in found} == {UTC}
            same = [column == moment for column in moments.c]
            assert connection.scalar(sa.select(sa.func.count()).where(*same)) == 1

    @pytest.mark.parametrize("moment", MOMENTS, ids=str)
    def test_utc_is_what_a_column_without_a_zone_holds(
        self, moment: datetime, connection: sa.Connection, moments: sa.Table
    ) -> None:
        connection.execute(moments.insert(), {"zoned": moment, "zoneless": moment})
        zoned = "zoned" if connection.dialect.name == "sqlite" else "zoned AT TIME ZONE 'UTC'"
        for expression in ("zoneless", zoned):
            text = connection.exec_driver_sql(f"SELECT CAST({expression} AS text) FROM moments").scalar_one()
            assert datetime.fromisoformat(text).replace(tzinfo=UTC) == moment

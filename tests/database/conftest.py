"""Connections of both kinds, without any table."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa


@pytest.fixture(params=["sqlite", "postgresql"])
def connection(request: pytest.FixtureRequest) -> Iterator[sa.Connection]:
    """A connection to each kind of database, PostgreSQL's with a local time that is not UTC."""
    if request.param == "sqlite":
        with sa.create_engine("sqlite://", poolclass=sa.NullPool).connect() as connection:
            yield connection
        return
    server = sa.make_url(request.getfixturevalue("postgres_url")).set(drivername="postgresql+psycopg2")
    with sa.create_engine(server, poolclass=sa.NullPool).connect() as connection:
        connection.exec_driver_sql("SET LOCAL TIME ZONE 'Asia/Tokyo'")
        yield connection
        connection.rollback()

"""Prepared databases for SQL that is tried in this process: made once for a test run, and left as they were found."""

import uuid
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from cove_poller.config.settings import Config
from cove_poller.database.engine import Database, Mode, migrate_database, open_database
from cove_poller.database.store import Store


def make_config(url: str) -> Config:
    return Config.model_validate({"database": {"url": url}, "logins": {"main": {"username": "u", "password": "p"}}})


@pytest.fixture(scope="session")
def prepared_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Config:
    config = make_config(f"sqlite:///{tmp_path_factory.mktemp('prepared') / 'cove.db'}")
    migrate_database(config, None, dry_run=False)
    return config


@pytest.fixture(scope="session")
def prepared_postgresql(postgres_url: str) -> Iterator[Config]:
    server, name = sa.make_url(postgres_url).set(drivername="postgresql+psycopg2"), f"prepared_{uuid.uuid4().hex}"
    admin = sa.create_engine(server, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    config = make_config(server.set(database=name).render_as_string(hide_password=False))
    migrate_database(config, None, dry_run=False)
    yield config
    with admin.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def prepared(request: pytest.FixtureRequest) -> Config:
    """The configuration of a prepared database, of both kinds in turn. Nothing may be left in it."""
    config: Config = request.getfixturevalue(f"prepared_{request.param}")
    return config


@pytest.fixture
def database(prepared: Config) -> Iterator[Database]:
    """A prepared database without rows, of both kinds in turn; what a test writes is undone."""
    with open_database(prepared, None, Mode.DRY) as database, database.together():
        yield database


@pytest.fixture
def store(database: Database) -> Iterator[Store]:
    """The statements of a transaction on such a database."""
    with database.store() as store:
        yield store

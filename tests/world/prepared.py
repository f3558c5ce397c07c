"""Prepared databases for SQL that is tried in this process: made once for a test run, and left as they were found."""

from collections.abc import Iterator

import pytest

from cove_poller.config.settings import Config
from cove_poller.database.engine import Database, Mode, migrate_database, open_database
from cove_poller.database.store import Store
from tests.conftest import postgres_databases


def make_config(url: str) -> Config:
    return Config.model_validate({"database": {"url": url}, "logins": {"main": {"username": "u", "password": "p"}}})


@pytest.fixture(scope="session")
def prepared_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Config:
    config = make_config(f"sqlite:///{tmp_path_factory.mktemp('prepared') / 'cove.db'}")
    migrate_database(config, None, dry_run=False)
    return config


@pytest.fixture(scope="session")
def prepared_postgresql(postgres_url: str) -> Iterator[Config]:
    with postgres_databases(postgres_url) as make:
        config = make_config(make())
        migrate_database(config, None, dry_run=False)
        yield config


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

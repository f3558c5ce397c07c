"""What is asked about recorded devices, on both databases."""

from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa

from cove_poller.database.engine import Database
from cove_poller.database.store import Store
from tests.conftest import BEGIN

MINUTE = timedelta(minutes=1)


def recorded(database: Database, store: Store, account: int, login: str) -> None:
    """A device as a poll of a login would have recorded it."""
    told = {"device_name": "srv1", "customer_name": "Example", "device_type": "server", "data_sources": {}}
    seen = {"status": "success", "ignored": False, "first_seen_at": BEGIN, "last_seen_at": BEGIN}
    store.connection.execute(sa.insert(database.tables.devices).values(account_id=account, login=login, **told, **seen))


def polled(database: Database, store: Store, login: str, ended: datetime | None, command: str = "sync") -> None:
    """A row of the audit trail."""
    row = {"command": command, "login": login, "started_at": BEGIN, "finished_at": ended, "outcome": "ok"}
    store.connection.execute(sa.insert(database.tables.polls).values(**row))


@pytest.mark.parametrize(
    ("login", "ended", "is_polled"),
    [
        ("main", BEGIN - MINUTE, False),
        ("main", BEGIN + MINUTE, True),
        ("main", None, True),
        ("lists-it-too", BEGIN - MINUTE, False),
        ("lists-it-too", BEGIN + MINUTE, True),
        ("lists-it-too", None, True),
        ("lists-others", BEGIN + MINUTE, False),
    ],
)
def test_a_sync_that_has_looked_since_is_noticed_also_of_another_login_that_lists_the_device(
    database: Database, store: Store, login: str, ended: datetime | None, is_polled: bool
) -> None:
    recorded(database, store, 1, "lists-it-too")
    recorded(database, store, 2, "lists-others")
    polled(database, store, login, BEGIN + MINUTE)
    polled(database, store, login, ended)
    polled(database, store, login, BEGIN + MINUTE, "backfill")
    assert store.devices.are_polled_since([1], "main", BEGIN) is is_polled
    assert not store.devices.are_polled_since([3], "unknown", BEGIN)

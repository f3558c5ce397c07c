"""What `prune` removes and what it must never remove, row by row, on both databases."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from cove_poller.database import old_rows
from cove_poller.database.engine import Database
from cove_poller.database.old_rows import count_rows, old_polls, old_sessions, remove_rows

CUT_OFF = datetime(2026, 3, 2, tzinfo=UTC)


def add_sessions(database: Database, *sessions: tuple[float, dict[str, Any]]) -> None:
    """Sessions as (days before the cut-off, what is not as usual), with the ids 1, 2, ..."""
    usual = {"account_id": 1, "data_source": "D01", "status": "success", "status_code": 5, "origin": "poll"}
    rows = [
        {**usual, "id": number, "session_at": CUT_OFF - timedelta(days=days), **values}
        for number, (days, values) in enumerate(sessions, 1)
    ]
    with database.transaction() as connection:
        connection.execute(sa.insert(database.tables.sessions), rows)


def add_polls(database: Database, *polls: tuple[float, dict[str, Any]]) -> None:
    """Rows of the audit trail as (days before the cut-off, what is not as usual), with the ids 1, 2, ..."""
    usual = {"command": "sync", "login": "main", "outcome": "ok", "login_fingerprint": None}
    rows = [
        {**usual, "id": number, "started_at": CUT_OFF - timedelta(days=days), **values}
        for number, (days, values) in enumerate(polls, 1)
    ]
    with database.transaction() as connection:
        connection.execute(sa.insert(database.tables.polls), rows)


def left(database: Database, table: str) -> list[int]:
    with database.transaction() as connection:
        ids = getattr(database.tables, table).c.id
        return list(connection.scalars(sa.select(ids).order_by(ids)))


def prune(database: Database) -> list[int]:
    """Remove everything old. Return how many sessions and polls that were, after having counted as many."""
    found = [old_sessions(database, CUT_OFF), old_polls(database, CUT_OFF)]
    counted = [count_rows(database, rows) for rows in found]
    assert [remove_rows(database, rows) for rows in found] == counted
    assert [count_rows(database, rows) for rows in found] == [0, 0]
    return counted


def test_the_newest_session_of_each_source_status_and_code_stays_and_all_after_the_cut_off(database: Database) -> None:
    add_sessions(
        database,
        (9, {}), (8, {}),
        (7, {"data_source": "D10"}),
        (7, {"account_id": 2}),
        (6, {"status": "failed", "status_code": 2}), (5, {"status": "failed", "status_code": 2}),
        (4.6, {"status": "warning", "status_code": 8}), (4.5, {"status": "warning", "status_code": 6}),
        (4, {"status": "warning", "status_code": None}), (3, {"status": "warning", "status_code": None}),
        (-1, {}), (-2, {}),
    )  # fmt: skip
    assert prune(database) == [3, 0]
    assert left(database, "sessions") == [2, 3, 4, 6, 7, 8, 10, 11, 12]


def test_of_the_audit_trail_the_newest_and_the_newest_successful_row_of_each_login_and_command_stay(
    database: Database,
) -> None:
    failed = {"outcome": "error"}
    add_polls(
        database, (200, {}), (190, {}), (180, failed), (170, failed), (160, {"command": "backfill"}),
        (150, {"login": "gone"}), (-1, failed), (-2, failed),
    )  # fmt: skip
    assert prune(database) == [0, 3]
    assert left(database, "polls") == [2, 5, 6, 7, 8]


def test_a_remembered_rejection_stays_with_its_first_words(database: Database) -> None:
    rejected = {"outcome": "error", "login_fingerprint": "salt:digest"}
    add_polls(database, (300, rejected), (290, rejected), (280, rejected), (270, {"outcome": "error"}), (-1, {}))
    assert prune(database) == [0, 2]
    assert left(database, "polls") == [1, 3, 5]


def test_a_large_table_is_gone_through_in_batches_and_none_is_left_out(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(old_rows, "BATCH", 10)
    add_sessions(database, *((100 - number / 100, {}) for number in range(101)))
    assert prune(database) == [100, 0]
    assert left(database, "sessions") == [101]

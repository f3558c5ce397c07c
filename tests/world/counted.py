"""What runs cost the database: statements, and rows that are written."""

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from cove_poller.commands.record_page import Recorder
from tests.conftest import Site


def changes_by_table(site: Site) -> dict[str, int]:
    """How many rows PostgreSQL has inserted, updated or deleted, by its own count."""
    site.rows("SELECT pg_stat_clear_snapshot(), pg_sleep(1.2)")  # it counts with up to a second's delay
    query = "SELECT relname, n_tup_ins + n_tup_upd + n_tup_del AS changes FROM pg_stat_user_tables"
    return {row["relname"]: row["changes"] for row in site.rows(query)}


@pytest.fixture
def statement_counts(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many statements each page cost, page after page."""
    counts: list[int] = []
    seen: list[str] = []
    original = Recorder.save_page

    def count(*args: Any) -> None:
        seen.append(args[2])

    def save_page(self: Recorder, *args: Any) -> Any:
        seen.clear()
        outcome = original(self, *args)
        counts.append(len(seen))
        return outcome

    sa.event.listen(sa.Engine, "before_cursor_execute", count)
    monkeypatch.setattr(Recorder, "save_page", save_page)
    yield counts
    sa.event.remove(sa.Engine, "before_cursor_execute", count)

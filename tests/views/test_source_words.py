"""A data source in words."""

from typing import Any

import pytest

from cove_poller.views.source_words import source_text, source_words
from tests.world.states import ago, source


@pytest.mark.parametrize(
    ("status", "code", "changes", "words", "text"),
    [
        ("success", 5, {}, "Completed", "Files and Folders"),
        ("success", 5, {"running": True, "source": "D10"}, "Completed", "SQL Server, running"),
        ("failed", 2, {"errors_count": 1}, "Failed", "Files and Folders: Failed (1 error)"),
        ("warning", 6, {"errors_count": 0}, "Interrupted", "Files and Folders: Interrupted"),
        ("warning", None, {}, "Status not known", "Files and Folders: Status not known"),
        ("warning", 77, {"source": "D77"}, "Unknown status 77", "D77: Unknown status 77"),
        ("none", None, {"last_session_at": None}, "never ran", "Files and Folders: never ran"),
        ("none", 7, {}, "Not started", "Files and Folders: Not started"),
        (
            "success",
            5,
            {"problem": "could\nnot be \x1bread", "running": True, "errors_count": 3},
            "could not be read",
            "Files and Folders: could not be read, running",
        ),
    ],
)
def test_a_source_is_named_with_what_is_wrong_with_it(
    status: str, code: int | None, changes: dict[str, Any], words: str, text: str
) -> None:
    found = source(status, code, **changes)
    assert (source_words(found), source_text(found)) == (words, text)


def test_a_stale_source_says_what_it_lacks_beside_what_else_is_wrong() -> None:
    assert source_text(source(), "no session for 20 days") == "Files and Folders: no session for 20 days"
    assert (
        source_text(source("failed", 2), "no success for 3 days") == "Files and Folders: Failed, no success for 3 days"
    )


def test_a_source_with_a_gap_says_since_when_and_why() -> None:
    text = "Files and Folders: sessions since 2026-03-10 05:00Z may be missing"
    assert source_text(source(gap_since=ago(3))) == f"{text} (they are still to be read)"
    assert source_text(source(gap_since=ago(3), gap_why="Cove refuses")) == f"{text} (Cove refuses)"

"""What a login has found out about its columns: how long it holds."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cove_poller.config.settings import LoginSettings
from cove_poller.cove.column_memory import ColumnMemory, basis_of
from cove_poller.cove.column_query import NOTHING_LEARNT, Learnt

NOW = datetime(2026, 3, 14, 12, tzinfo=UTC)
LEARNT = Learnt(("D02F12",), unpadded=True)
URL = "https://example.com/jsonapi"
LOGIN = LoginSettings(username="api")
BASIS = basis_of(URL, LOGIN)


def noted(at: datetime, learnt: Learnt = LEARNT) -> dict[str, Any]:
    return ColumnMemory(NOTHING_LEARNT, at, BASIS).note(learnt, at)


@pytest.mark.parametrize(("age", "holds"), [(0, True), (23.9, True), (24, False), (-1, False)])
def test_it_holds_for_a_day(age: float, *, holds: bool) -> None:
    memory = ColumnMemory.recalled(noted(NOW - timedelta(hours=age)), BASIS, NOW)
    assert memory.learnt == (LEARNT if holds else NOTHING_LEARNT)


def test_a_run_that_learns_nothing_new_does_not_make_it_younger() -> None:
    asked_at = NOW - timedelta(hours=23)
    memory = ColumnMemory.recalled(noted(asked_at), BASIS, NOW)
    assert ColumnMemory.recalled(memory.note(LEARNT, NOW), BASIS, NOW).asked_at == asked_at
    assert ColumnMemory.recalled(memory.note(NOTHING_LEARNT, NOW), BASIS, NOW).asked_at == NOW


@pytest.mark.parametrize(
    "other",
    [
        basis_of(URL, LoginSettings(username="other")),
        basis_of(URL, LoginSettings(username="api", partner="MSP")),
        basis_of(URL, LoginSettings(username="api", partner_id=7)),
        basis_of("https://example.org/jsonapi", LOGIN),
    ],
)
def test_another_login_begins_anew(other: str) -> None:
    assert ColumnMemory.recalled(noted(NOW), other, NOW).learnt == NOTHING_LEARNT


def test_without_a_note_nothing_is_known_and_a_column_that_is_no_longer_asked_for_is_forgotten() -> None:
    assert ColumnMemory.recalled(None, BASIS, NOW).learnt == NOTHING_LEARNT
    old = noted(NOW, Learnt(("I14", "I1", "D02F12")))
    assert ColumnMemory.recalled(old, BASIS, NOW).learnt == Learnt(("D02F12",))

"""A backfill that is repeated reads and compares only what has changed: Cove's word, the record, the terms."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from cove_poller.commands.results import LoginResult
from cove_poller.cove.session_rows import read_rows as original
from tests.conftest import BEGIN, Site, on_sqlite
from tests.world.fake_cove import Fleet, TrueSession, make_fleet
from tests.world.oracle import truth
from tests.world.recorded import facts, plain_rows

MINUTE = timedelta(minutes=1)


@pytest.fixture
def fleet() -> Fleet:
    return make_fleet(seed=7, begin=BEGIN, days=3, devices=5)


@pytest.fixture
def read_lists(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many sessions each list had that was read."""
    found: list[int] = []

    def read_rows(rows: Any, *args: Any) -> Any:
        told = [*rows]
        found.append(len(told))
        return original(told, *args)

    monkeypatch.setattr("cove_poller.cove.session_services.read_rows", read_rows)
    return found


@pytest.fixture
def repeated(site: Site, read_lists: list[int]) -> Callable[..., LoginResult]:
    """Reads the past of a site that was read twice already, a minute later; nothing was read the second time."""
    site.sync()
    first = _read(site)
    before = plain_rows(site)
    read_lists.clear()
    second = _read(site)
    assert (second.outcome.sessions.new, second.outcome.sessions.updated, read_lists) == (0, 0, [])
    assert second.outcome.sessions.unchanged >= first.outcome.sessions.new
    assert plain_rows(site) == before

    def again(**request: Any) -> LoginResult:
        site.cove.now += MINUTE
        return _read(site, **request)

    return again


def _read(site: Site, **request: Any) -> LoginResult:
    (result,) = site.backfill(**request).logins
    assert isinstance(result, LoginResult)
    assert (result.exit_code, result.outcome.failures) == (0, [])
    return result


def test_what_cove_tells_otherwise_is_read_and_nothing_else(
    site: Site, repeated: Callable[..., LoginResult], read_lists: list[int]
) -> None:
    changed: list[TrueSession] = []

    def edit(row: dict[str, Any], session: TrueSession) -> dict[str, Any]:
        if session.status == 5 and session.source == "D01" and not changed:  # a tenant has several lists
            changed.append(session)
        return row | ({"Status": "Failed"} if session in changed else {})

    site.cove.faults.edit_session = edit
    assert repeated().outcome.sessions.updated == 1
    assert len(read_lists) == 1
    (session,) = changed
    rows = site.rows("SELECT status FROM cove_sessions WHERE session_at = :at", at=_stored(site, session))
    assert "failed" in {row["status"] for row in rows}


def _stored(site: Site, session: TrueSession) -> Any:
    return session.end if "postgresql" in site.database_url else session.end.strftime("%Y-%m-%d %H:%M:%S.000000")


@pytest.mark.parametrize(
    "change",
    ["DELETE FROM cove_sessions WHERE id = {id}", "UPDATE cove_sessions SET errors_count = 77 WHERE id = {id}"],
)
def test_a_device_of_which_anything_else_is_on_record_is_read(
    change: str, site: Site, repeated: Callable[..., LoginResult], read_lists: list[int]
) -> None:
    before = facts(site)
    (row,) = site.rows("SELECT max(id) AS id FROM cove_sessions WHERE origin = 'sessions' AND data_source = 'D01'")
    site.execute(change.format(**row))
    repeated()
    assert len(read_lists) == 1
    assert facts(site) == before


@pytest.mark.parametrize("settings", [{"status": {"8": "failed"}}, {"backupchecks": {"round_gap_minutes": 20}}])
@on_sqlite
def test_by_another_configuration_every_device_is_read(
    settings: dict[str, Any], site: Site, repeated: Callable[..., LoginResult], read_lists: list[int]
) -> None:
    site.settings |= settings
    repeated()
    assert len(read_lists) >= len(site.cove.fleet.devices) - 1


@pytest.mark.parametrize("request_more", [{"since": BEGIN - timedelta(days=1)}, {"reviewed": True}])
@on_sqlite
def test_a_wider_window_and_a_review_read_every_device(
    request_more: dict[str, Any], site: Site, repeated: Callable[..., LoginResult], read_lists: list[int]
) -> None:
    repeated(**request_more)
    assert len(read_lists) >= len(site.cove.fleet.devices) - 1


@on_sqlite
def test_what_a_poll_has_added_since_is_compared(
    site: Site, repeated: Callable[..., LoginResult], read_lists: list[int]
) -> None:
    site.cove.now += timedelta(hours=3)
    site.sync()
    read_lists.clear()
    repeated()
    assert len(read_lists) > 0
    assert facts(site) == truth(site.cove.fleet.devices, BEGIN, site.cove.now)


@on_sqlite
def test_by_another_version_every_device_is_read(
    site: Site, repeated: Callable[..., LoginResult], read_lists: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cove_poller.commands.backfilling.known_history.__version__", "99")
    repeated()
    assert len(read_lists) >= len(site.cove.fleet.devices) - 1


@on_sqlite
def test_a_device_that_is_known_is_linked_again_where_its_link_was_lost(
    site: Site, repeated: Callable[..., LoginResult], read_lists: list[int]
) -> None:
    links = "SELECT account_id, job_id FROM cove_devices ORDER BY account_id"
    before = site.rows(links)
    site.execute("UPDATE cove_devices SET job_id = NULL")
    repeated()
    assert read_lists == []
    assert site.rows(links) == before

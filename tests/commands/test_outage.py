"""A database that is away: what is polled meanwhile is kept, and recorded by the next run as if it had been there."""

import gzip
import json
import stat
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from cove_poller.commands.outages.outage import record_spooled
from cove_poller.commands.outages.spool import Spool
from cove_poller.commands.record_page import Recorder
from cove_poller.commands.results import LoginResult
from cove_poller.config.settings import Config
from cove_poller.database.engine import Mode
from cove_poller.errors import DatabaseError
from cove_poller.views.mail import trouble
from tests.conftest import BEGIN, Site, on_sqlite
from tests.world.fake_cove import FakeCove, Fleet, RpcError
from tests.world.recorded import plain_rows

HALF = timedelta(minutes=30)
BEFORE, AWAY, AFTER = 2, 6, 2
DEVICES = (
    "SELECT account_id, device_name, status, status_code, last_session_at, last_success_at, data_sources,"
    " running_since, gone_at, first_seen_at, source_history FROM cove_devices ORDER BY account_id"
)


@dataclass
class Outage(Site):
    """A site whose database may be away."""

    is_away: bool = False

    def config(self) -> Config:
        url = "postgresql+psycopg2://nobody@127.0.0.1:1/nothing" if self.is_away else self.database_url
        return replace_url(super().config(), url)

    @property
    def spool(self) -> list[Path]:
        return sorted(self.directory.glob("spool/main.*.json.gz*"))

    def poll(self) -> LoginResult:
        (result,) = self.sync().logins
        assert isinstance(result, LoginResult)
        return result


def replace_url(config: Config, url: str) -> Config:
    return config.model_copy(update={"database": config.database.model_copy(update={"url": url})})


@pytest.fixture
def away(site: Site) -> Outage:
    """A prepared installation, polled twice, whose database has gone away."""
    found = Outage(site.cove, site.database_url, site.directory)
    for _ in range(BEFORE):
        assert found.poll().exit_code == 0
        found.cove.now += HALF
    found.is_away = True
    return found


def rows(site: Site) -> dict[str, Any]:
    return {**plain_rows(site), "devices": site.rows(DEVICES)}


@pytest.fixture
def undisturbed(cove: FakeCove, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """What the database says whose poller saw the same polls and was never without it."""

    def poll_all(polls: int) -> dict[str, Any]:
        directory = tmp_path / "undisturbed"
        directory.mkdir()
        other = Site(cove, f"sqlite:///{directory / 'cove.db'}", directory)
        other.migrate()
        now, cove.now = cove.now, cove.now - (polls - 1) * HALF
        for _ in range(polls):
            other.sync()
            cove.now += HALF
        cove.now = now
        return rows(other)

    return poll_all


@on_sqlite
def test_an_outage_is_mailed_when_it_begins_once_a_day_and_when_it_is_over(away: Outage) -> None:
    mails = []
    for _ in range(50):
        result = away.sync()
        assert result.exit_code == 14
        mails.append(trouble(result))
        away.cove.now += HALF
    assert [number for number, mail in enumerate(mails) if mail] == [0, 48]
    assert "20 devices is safe and will be recorded" in mails[0]
    assert "still, since 2026-03-0" in mails[48]
    away.is_away = False
    assert "the database is back: 50 polls" in trouble(away.sync())
    away.cove.now += HALF
    assert trouble(away.sync()) == ""


@on_sqlite
@pytest.mark.parametrize("forbidden", [(), ("GetAccountInfoById",)], ids=["with-histories", "without"])
def test_after_three_hours_without_the_database_the_rows_are_those_of_a_poller_that_saw_the_same_polls(
    away: Outage, undisturbed: Callable[..., dict[str, Any]], forbidden: tuple[str, ...]
) -> None:
    away.cove.faults.forbidden_methods = frozenset(forbidden)
    for number in range(AWAY):
        result = away.poll()
        assert (result.exit_code, result.spooled, len(away.spool)) == (14, number + 1, number + 1)
        assert "20 devices is safe and will be recorded" in str(result.error)
        away.cove.now += HALF
    away.is_away = False
    result = away.poll()
    assert (result.exit_code, result.error, result.spooled, away.spool) == (0, None, 0, [])
    assert [text for text in result.outcome.warnings if "the database is back: 6 polls from 2026-03-04 01:00Z" in text]
    for _ in range(AFTER - 1):
        away.cove.now += HALF
        assert away.poll().outcome.warnings == []
    assert rows(away) == undisturbed(BEFORE + AWAY + AFTER)


def test_on_both_databases_a_poll_is_recorded_once_and_again_nothing_changes(away: Outage) -> None:
    away.cove.now += timedelta(hours=8)
    away.poll()
    (file,) = away.spool
    content = file.read_bytes()
    away.is_away = False
    assert away.poll().outcome.sessions.new > 0
    before = rows(away)
    file.write_bytes(content)  # as if the run had been killed before it removed the file
    result = away.poll()
    assert (result.outcome.sessions.new, result.outcome.job_runs.new, result.outcome.job_runs.updated) == (0, 0, 0)
    assert rows(away) == before
    assert len(away.rows("SELECT id FROM cove_polls WHERE command = 'sync'")) == BEFORE + 1 + 2


@on_sqlite
def test_a_run_that_dies_while_it_records_what_was_kept_is_gone_on_with(
    away: Outage, undisturbed: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        away.poll()
        away.cove.now += HALF
    away.is_away = False
    for deaths in range(1, 4):
        with monkeypatch.context() as patched:
            save, calls = Recorder.save_gone, 0

            def die(self: Recorder, *args: Any, dies_at: int = deaths, save: Any = save) -> Any:
                nonlocal calls
                calls += 1
                if calls == dies_at:
                    raise KeyboardInterrupt
                return save(self, *args)

            patched.setattr(Recorder, "save_gone", die)
            if away.spool and deaths <= len(away.spool):
                with pytest.raises(KeyboardInterrupt):
                    away.poll()
    assert away.poll().exit_code == 0
    assert rows(away) == undisturbed(BEFORE + 4)


def test_a_file_of_the_spool_is_its_owners_alone_and_holds_no_secret(away: Outage) -> None:
    away.poll()
    (file,) = away.spool
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    text = gzip.decompress(file.read_bytes()).decode()
    assert json.loads(text)["is_complete"] is True
    secrets = [away.cove.password, *away.cove.visas]
    assert not [secret for secret in secrets if secret in text]


@pytest.mark.parametrize(
    "content",
    [b"", b"no gzip", gzip.compress(b"no JSON"), gzip.compress(b'{"format": 2}'), gzip.compress(b"[]"),
     gzip.compress(b'{"format": 1, "at": 5}'), gzip.compress(b"x" * 1000)[:-9]],
    ids=range(7),
)  # fmt: skip
@on_sqlite
def test_a_spool_that_cannot_be_read_is_set_aside_named_and_stops_nothing(away: Outage, content: bytes) -> None:
    away.poll()
    away.cove.now += HALF
    away.poll()
    broken = away.spool[0]
    broken.write_bytes(content)
    away.is_away = False
    result = away.poll()
    assert (result.exit_code, result.error, result.outcome.devices) == (3, None, 20)
    (said,) = result.outcome.failures
    assert str(broken) in said
    assert [one.name for one in away.spool] == [f"{broken.name}.unreadable"]
    assert "the database is back: 1 poll" in "".join(result.outcome.warnings)
    away.cove.now += HALF
    assert away.poll().exit_code == 0


@on_sqlite
def test_the_spool_is_bounded_in_size_and_age(away: Outage, monkeypatch: pytest.MonkeyPatch) -> None:
    away.poll()
    size = away.spool[0].stat().st_size
    monkeypatch.setattr("cove_poller.commands.outages.spool.MOST_BYTES", int(size * 3.5))
    for _ in range(5):
        away.cove.now += HALF
        result = away.poll()
    assert 1 <= len(away.spool) <= 3
    assert "older poll had to go for it" in str(result.error)
    away.cove.now += timedelta(days=8)
    away.poll()
    assert len(away.spool) == 1


class TestRejection:
    def test_while_the_database_is_away_a_login_is_tried_once_and_the_database_knows_it_afterwards(
        self, away: Outage
    ) -> None:
        away.cove.password = "another"
        tried = []
        for _ in range(4):
            logins = away.cove.count("Login")
            away.settings["login"] = {"password": "token-of-the-fake-cove"}
            result = away.poll()
            tried.append(away.cove.count("Login") - logins)
            assert result.exit_code == 14
            assert "error 2100" in str(result.error)
            away.cove.now += HALF
        assert tried == [1, 0, 0, 0]
        kept = "".join(one.read_text() for one in (away.directory / "spool").glob("*.rejected"))
        assert "fingerprint" in kept
        assert "token-of-the-fake-cove" not in kept
        away.is_away = False
        for _ in range(2):
            result = away.poll()
            assert (result.exit_code, "not tried again since" in str(result.error)) == (11, True)
        (away.directory / "spool" / "main.rejected").unlink()
        assert away.poll().exit_code == 11
        assert away.cove.count("Login") == BEFORE + 1

    def test_one_that_was_rejected_before_the_outage_is_not_tried_in_it(self, away: Outage) -> None:
        away.is_away = False
        away.settings["login"] = {"password": "token-of-the-fake-cove"}
        away.cove.password = "another"
        assert away.poll().exit_code == 11
        logins = away.cove.count("Login")
        away.is_away = True
        assert away.poll().exit_code == 14
        assert away.cove.count("Login") == logins
        away.settings["login"] = {"password": "another"}
        assert away.poll().spooled == 1

    def test_a_locked_user_is_asked_again_after_an_hour_and_then_after_two(self, away: Outage) -> None:
        away.cove.faults.login_error = RpcError(2100, "User is locked")
        tried = []
        for _ in range(8):
            logins = away.cove.count("Login")
            away.poll()
            tried.append(away.cove.count("Login") - logins)
            away.cove.now += HALF
        assert tried == [1, 0, 1, 0, 0, 0, 1, 0]


@on_sqlite
def test_what_cove_tells_of_a_listing_that_breaks_off_is_kept_and_nobody_is_marked_gone(
    away: Outage, fleet: Fleet
) -> None:
    del fleet.devices[0]
    away.settings["api"] = {"page_size": 10, "max_attempts": 1}
    original, calls = away.cove.answer, 0

    def answer(message: dict[str, Any]) -> dict[str, Any]:
        nonlocal calls
        calls += message["method"] == "EnumerateAccountStatistics"
        if calls == 2 and message["method"] == "EnumerateAccountStatistics":
            return {"id": 1, "jsonrpc": "2.0", "error": {"code": -32603, "message": "broken"}}
        return original(message)

    away.cove.answer = answer  # type: ignore[method-assign]
    result = away.poll()
    assert (result.exit_code, result.spooled) == (14, 1)
    assert "then " in str(result.error)
    away.is_away = False
    with away.installation().open(Mode.WRITE) as database:
        record_spooled(away.installation(), database, result)
    assert away.rows("SELECT account_id FROM cove_devices WHERE gone_at IS NOT NULL") == []
    assert away.spool == []


@on_sqlite
def test_where_nothing_can_be_kept_cove_is_not_asked_and_that_is_said(away: Outage) -> None:
    (away.directory / "spool").write_text("a file where the folder would be")
    requests = len(away.cove.requests)
    result = away.poll()
    assert (result.exit_code, result.spooled) == (14, 0)
    assert "nothing was polled, since it could not be kept in" in str(result.error)
    assert len(away.cove.requests) == requests


def test_a_dry_run_keeps_nothing(away: Outage) -> None:
    with pytest.raises(DatabaseError):
        away.sync(dry_run=True)
    assert away.spool == []
    assert away.cove.now > BEGIN


@on_sqlite
def test_a_database_that_goes_away_in_the_middle_of_a_run_costs_nothing(
    away: Outage, undisturbed: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    away.is_away = False
    away.settings["api"] = {"page_size": 8}
    original, calls = Recorder.save_page, 0

    def break_the_second(self: Recorder, *args: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise sa.exc.OperationalError("SELECT 1", None, RuntimeError("server closed the connection unexpectedly"))
        return original(self, *args)

    with monkeypatch.context() as patched:
        patched.setattr(Recorder, "save_page", break_the_second)
        result = away.poll()
    assert (result.exit_code, result.spooled) == (14, 1)
    assert "server closed the connection unexpectedly (what Cove tells of 20 devices is safe" in str(result.error)
    away.cove.now += HALF
    assert away.poll().exit_code == 0
    assert rows(away) == undisturbed(BEFORE + 2)


def test_another_sync_of_the_login_is_kept_away_without_a_database_too(away: Outage) -> None:
    with Spool(away.directory / "spool", "main").lock():
        requests = len(away.cove.requests)
        result = away.poll()
    assert "another sync is busy with login main" in str(result.error)
    assert (result.exit_code, len(away.cove.requests)) == (14, requests)

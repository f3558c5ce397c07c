"""`sync` with intervals against the fake Cove: who is polled, what counts as a poll, and that no session is lost."""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cove_poller.config.settings import IntervalSettings
from tests.conftest import BEGIN, NEVER_STALE, Cli, Site, on_sqlite
from tests.world.configs import config_text
from tests.world.fake_cove import FakeCove, FakeDevice, Fleet, Partner, TrueSession, serving

HALF_HOUR = timedelta(minutes=30)


def settings(default: str | None = None, **customers: str) -> IntervalSettings:
    return IntervalSettings.model_validate({"default": default, "customers": customers})


def make_device(account_id: int, partner_id: int) -> FakeDevice:
    start = BEGIN + timedelta(hours=1)
    sessions = [
        TrueSession("D01", moment, moment + timedelta(minutes=10), 5)
        for moment in (start + number * timedelta(hours=2) for number in range(24))
    ]
    name = f"srv{account_id}"
    return FakeDevice(account_id, partner_id, f"{name}_abcde", name.upper(), "server", ("D01",), {"D01": sessions})


@pytest.fixture
def fleet() -> Fleet:
    """Two servers of a bakery and one of a museum, which back up every two hours."""
    partners = [
        Partner(1000, "Example MSP", None),
        Partner(1001, "Example Bakery (it@bakery.example.com)", 1000),
        Partner(1002, "Example Museum", 1000),
    ]
    return Fleet(partners, [make_device(1, 1001), make_device(2, 1001), make_device(3, 1002)])


@pytest.fixture
def cove(fleet: Fleet) -> Iterator[FakeCove]:
    with serving(FakeCove(fleet, BEGIN + timedelta(hours=4))) as cove:
        yield cove


class IntervalSite(Site):
    """A site whose configuration has intervals."""

    def config(self) -> Any:
        return super().config().model_copy(update={"intervals": self.settings["intervals"]})


@pytest.fixture
def site(cove: FakeCove, database_url: str, tmp_path: Path) -> IntervalSite:
    site = IntervalSite(cove, database_url, tmp_path, {"intervals": settings("30m", **{"Example Bakery": "4h"})})
    site.migrate()
    return site


def seen_sessions(site: Site) -> Counter[int]:
    return Counter(row["account_id"] for row in site.rows("SELECT account_id FROM cove_sessions"))


@on_sqlite
def test_only_the_devices_of_customers_who_are_due_are_written_and_the_others_are_counted(
    site: IntervalSite, cove: FakeCove, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "cove_poller")
    polls = []
    for _ in range(9):
        (login,) = site.sync().to_json()["logins"]
        polls.append((login["devices"], login["not_due"], login["error"], login["warnings"]))
        cove.now += HALF_HOUR
    pauses = polls[-1][3]
    assert polls == [(3, 0, None, []), *[(1, 2, None, [])] * 7, (3, 0, None, pauses)]
    assert all("there was a time in which nobody looked" in line for line in pauses)
    assert "login main: 2 devices left out, not due yet" in caplog.messages
    assert site.rows("SELECT 1 FROM cove_devices WHERE gone_at IS NOT NULL") == []


@on_sqlite
def test_a_device_that_is_gone_is_marked_even_while_its_customer_is_not_due(
    site: IntervalSite, cove: FakeCove, fleet: Fleet
) -> None:
    site.sync()
    fleet.devices.pop(0)
    cove.now += HALF_HOUR
    (login,) = site.sync().to_json()["logins"]
    assert (login["devices"], login["not_due"]) == (1, 1)
    assert site.rows("SELECT account_id FROM cove_devices WHERE gone_at IS NOT NULL") == [{"account_id": 1}]


def test_when_nobody_is_due_cove_is_asked_for_nothing_and_the_audit_trail_says_ok(
    site: IntervalSite, cove: FakeCove
) -> None:
    site.settings["intervals"] = settings("4h")
    site.sync()
    asked = len(cove.requests)
    cove.now += HALF_HOUR
    result = site.sync()
    (login,) = result.to_json()["logins"]
    assert (result.exit_code, login["devices"], login["not_due"], login["requests"]) == (0, 0, 3, 0)
    assert len(cove.requests) == asked
    row = site.rows("SELECT command, outcome, exit_code, devices, error FROM cove_polls ORDER BY id")[-1]
    assert row == {"command": "sync", "outcome": "ok", "exit_code": 0, "devices": 0, "error": None}


@on_sqlite
def test_a_sync_that_failed_or_was_rejected_does_not_count_as_one(site: IntervalSite, cove: FakeCove) -> None:
    site.settings["intervals"] = settings("4h")
    cove.faults.forbidden_methods = frozenset({"EnumerateAccountStatistics"})
    assert site.sync().exit_code == 12
    cove.faults.forbidden_methods = frozenset()
    cove.now += HALF_HOUR
    site.settings["login"] = {"password": "wrong"}
    assert site.sync().exit_code == 11
    del site.settings["login"]
    cove.now += HALF_HOUR
    assert site.sync().to_json()["logins"][0]["devices"] == 3


@on_sqlite
def test_a_listing_that_broke_off_does_not_count_and_one_with_a_nameless_device_does(
    site: IntervalSite, cove: FakeCove
) -> None:
    site.settings |= {"intervals": settings("4h"), "api": {"page_size": 2}}
    cove.faults.break_at_record = 2
    assert site.sync().exit_code == 3
    cove.faults.break_at_record = None
    cove.faults.edit_row = lambda row, device: row if device.account_id > 1 else {**row, "I1": ""}
    cove.now += HALF_HOUR
    result = site.sync()
    assert (result.exit_code, result.to_json()["logins"][0]["not_due"]) == (3, 0)
    cove.now += HALF_HOUR
    assert site.sync().to_json()["logins"][0]["requests"] == 0


@on_sqlite
def test_backfill_and_a_sync_of_another_login_do_not_count_and_backfill_asks_whatever_the_interval(
    site: IntervalSite, cove: FakeCove
) -> None:
    site.settings["intervals"] = settings("1d")
    assert site.backfill().logins[0].exit_code == 0
    site.execute(
        "INSERT INTO cove_polls (command, login, started_at, outcome, exit_code)"
        f" VALUES ('sync', 'other', '{cove.now:%Y-%m-%d %H:%M:%S.000000}', 'ok', 0)"
    )
    assert site.sync().to_json()["logins"][0]["devices"] == 3
    cove.now += HALF_HOUR
    asked = len(cove.requests)
    assert site.backfill().exit_code == 0
    assert len(cove.requests) > asked


@on_sqlite
def test_a_clock_that_was_ahead_once_keeps_nobody_waiting(site: IntervalSite, cove: FakeCove) -> None:
    site.settings["intervals"] = settings("4h")
    right = cove.now
    cove.now += timedelta(days=1000)
    site.sync()
    cove.now = right
    assert site.sync().to_json()["logins"][0]["not_due"] == 0


@on_sqlite
def test_a_slow_pace_loses_no_session_that_cove_still_tells_of(site: IntervalSite, cove: FakeCove) -> None:
    """The bakery is polled every two hours, as often as it backs up, the museum every half hour: both are whole."""
    site.settings["intervals"] = settings("30m", **{"Example Bakery": "2h"})
    for _ in range(17):
        assert site.sync().exit_code == 0
        cove.now += HALF_HOUR
    counts = seen_sessions(site)
    assert counts[1] == counts[2] == counts[3] > 4


INTERVALS = """
[api]
url = "{url}"
[intervals]
default = "4h"
"""


def test_the_command_says_at_v_and_in_json_that_nobody_is_due_and_each_login_is_by_itself(
    cli: Cli, cove: FakeCove
) -> None:
    login = f'password = "{cove.password}"'
    other = f'[logins.other]\nusername = "{cove.username}"\n{login}\n'
    text = config_text(login=login, more=other + INTERVALS.format(url=cove.url) + NEVER_STALE)
    cli.write_config(text.replace("api-backupchecks", cove.username))
    assert cli("sync", "--login", "main").stderr == ""
    asked = len(cove.requests)
    quiet = cli("sync", "--login", "main")
    assert (quiet.returncode, quiet.stdout, quiet.stderr, len(cove.requests)) == (0, "", "", asked)
    told = cli("-v", "sync", "--json")
    logins = json.loads(told.stdout)["logins"]
    assert [(one["login"], one["devices"], one["not_due"]) for one in logins] == [("main", 0, 3), ("other", 3, 0)]
    assert "login main: no customer is due yet, so Cove is not asked; 3 devices left out" in told.stderr


@on_sqlite
def test_without_intervals_every_sync_polls_everybody_and_json_has_no_word_of_them(
    site: IntervalSite, cove: FakeCove
) -> None:
    site.settings["intervals"] = settings()
    for _ in range(2):
        (login,) = site.sync().to_json()["logins"]
        assert login["devices"] == 3
        assert "not_due" not in json.dumps(login)

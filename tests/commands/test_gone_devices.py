"""Devices that a complete listing lacks, through sync on both databases."""

from datetime import timedelta

import pytest

from cove_poller.commands.results import LoginResult
from tests.conftest import BEGIN, Site, on_sqlite
from tests.world.fake_cove import FakeDevice, Fleet, Partner, TrueSession

NIGHT = BEGIN + timedelta(hours=2)
MORNING = BEGIN + timedelta(hours=3)
HALF_HOUR = timedelta(minutes=30)


def session(source: str, end_minute: int, status: int = 5, minutes: int = 10) -> TrueSession:
    end = NIGHT + timedelta(minutes=end_minute)
    return TrueSession(source, end - timedelta(minutes=minutes), end, status)


def device(number: int, *sessions: TrueSession) -> FakeDevice:
    found = FakeDevice(number, 1001, f"srv{number}_x", f"SRV{number}", "server", ("D01", "D02"))
    for one in sessions or (session("D01", 0), session("D02", 5)):
        found.sessions.setdefault(one.source, []).append(one)
    return found


@pytest.fixture
def fleet() -> Fleet:
    partners = [Partner(1000, "Example MSP", None), Partner(1001, "Example Bakery", 1000)]
    return Fleet(partners, [device(number) for number in range(1, 31)])


def gone(site: Site) -> int:
    return len(site.rows("SELECT account_id FROM cove_devices WHERE gone_at IS NOT NULL"))


def poll(site: Site, minutes: int = 0) -> list[str]:
    site.cove.now = MORNING + timedelta(minutes=minutes)
    (login,) = site.sync().logins
    assert isinstance(login, LoginResult)
    return [*login.outcome.failures, *login.outcome.warnings]


@on_sqlite
def test_one_that_is_no_longer_listed_is_marked_and_named_once(site: Site) -> None:
    poll(site)
    del site.cove.fleet.devices[3]
    assert poll(site, 30) == ["Cove no longer lists 1 device: srv4_x"]
    assert (poll(site, 60), gone(site)) == ([], 1)


def test_when_more_than_a_tenth_vanish_at_once_none_is_marked_until_another_listing_lacks_them_too(site: Site) -> None:
    poll(site)
    lost = site.cove.fleet.devices[:6]
    del site.cove.fleet.devices[:6]
    (doubt,) = poll(site, 30)
    assert doubt.startswith("Cove lists 6 devices less than before, srv1_x, ")
    assert gone(site) == 0
    site.cove.fleet.devices[:0] = lost[:2]
    assert poll(site, 60) == ["Cove no longer lists 4 devices: srv3_x, srv4_x, srv5_x, srv6_x"]
    assert gone(site) == 4


def test_a_failure_that_waited_for_another_source_gets_its_run_when_the_device_vanishes(site: Site) -> None:
    failing = device(40, session("D01", -600), session("D02", -600), session("D01", 50, 2), session("D02", 300, 5, 260))
    site.cove.fleet.devices.append(failing)
    poll(site)
    site.cove.fleet.devices.remove(failing)
    poll(site, 30)
    runs = site.rows("SELECT status FROM job_runs WHERE external_id = '40' ORDER BY run_at")
    assert [row["status"] for row in runs][-1] == "Failed"


def test_a_name_in_the_configuration_that_fits_nobody_is_said_once(site: Site) -> None:
    site.settings = {"backupchecks": {"customers": {"Example Bakkery": "Bakker", "Example Bakery": "Bakery"}}}
    (line,) = poll(site)
    assert line.startswith('[backupchecks.customers] "Example Bakkery": no customer is called so')
    assert poll(site, 30) == []


@on_sqlite
def test_the_same_listing_recorded_a_second_time_confirms_nothing(site: Site) -> None:
    poll(site)
    del site.cove.fleet.devices[:6]
    for _ in range(2):
        poll(site, 30)
        assert gone(site) == 0
    poll(site, 60)
    assert gone(site) == 6

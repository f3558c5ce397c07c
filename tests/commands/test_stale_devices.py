"""Stale devices in the output of `sync`: said once, when it changes, and never of what is merely switched off."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.commands.test_sync import MORNING, add_session, make_device
from tests.conftest import BEGIN, Site
from tests.world.fake_cove import FakeCove, FakeDevice, Fleet, Partner, TrueSession, serving

LAST = MORNING.replace(hour=2, minute=10)  # when the night's backups of make_device end


@pytest.fixture
def fleet() -> Fleet:
    """A server and a workstation of one customer."""
    pc = make_device(2, "pc1_abcde", kind="workstation", active=("D01",))
    return Fleet([Partner(1000, "Example MSP", None), Partner(1001, "Example Bakery", 1000)], [make_device(), pc])


@pytest.fixture
def cove(fleet: Fleet) -> Iterator[FakeCove]:
    with serving(FakeCove(fleet, MORNING)) as cove:
        yield cove


def news(site: Site) -> list[str]:
    result = site.sync()
    assert result.exit_code == 0
    warnings = result.to_json()["logins"][0]["warnings"]
    assert isinstance(warnings, list)
    return warnings


def stale(site: Site) -> list[int]:
    query = "SELECT account_id FROM cove_devices WHERE stale_since IS NOT NULL ORDER BY account_id"
    return [row["account_id"] for row in site.rows(query)]


def succeed(device: FakeDevice, site: Site) -> None:
    for source in device.active:
        end = site.cove.now - timedelta(minutes=5)
        device.sessions[source].append(TrueSession(source, end - timedelta(minutes=5), end, 5))
    device.totals.clear()


def test_a_device_that_becomes_stale_and_recovers_is_said_once_each(site: Site, cove: FakeCove, fleet: Fleet) -> None:
    assert news(site) == []
    cove.now = LAST + timedelta(hours=48)
    assert news(site) == []
    cove.now = LAST + timedelta(hours=50)
    assert news(site) == ["SRV1 (Example Bakery) has had no success for 50 hours"]
    assert stale(site) == [1]
    for hours in (51, 80):  # the row is written again in between, since it was seen again
        cove.now = LAST + timedelta(hours=hours)
        assert news(site) == []
    assert stale(site) == [1]
    succeed(fleet.devices[0], site)
    assert news(site) == ["SRV1 (Example Bakery) is no longer stale"]
    assert (news(site), stale(site)) == ([], [])


def test_a_workstation_that_is_merely_switched_off_is_never_named(site: Site, cove: FakeCove, fleet: Fleet) -> None:
    fleet.devices.pop(0)
    news(site)
    for days in (8, 30, 31):
        cove.now = MORNING + timedelta(days=days)
        assert news(site) == []
    assert stale(site) == []


def test_the_first_backup_of_a_workstation_that_was_off_for_long_is_no_news_while_it_runs_nor_after(
    site: Site, cove: FakeCove, fleet: Fleet
) -> None:
    (pc,) = fleet.devices[:] = fleet.devices[1:]
    news(site)
    start = MORNING + timedelta(days=12)
    pc.sessions["D01"].append(TrueSession("D01", start, start + timedelta(minutes=30), 5))
    pc.totals.clear()
    cove.now = start + timedelta(minutes=10)
    assert news(site) == []
    assert site.rows("SELECT 1 FROM cove_devices WHERE running_since IS NOT NULL") != []
    cove.now = start + timedelta(minutes=40)
    assert (news(site), stale(site)) == ([], [])


def test_many_at_once_are_one_line_with_a_count_and_the_first_ten(site: Site, cove: FakeCove, fleet: Fleet) -> None:
    fleet.devices += [make_device(number, f"srv{number}_abcde") for number in range(10, 22)]
    cove.now = LAST + timedelta(hours=60)
    (line,) = news(site)
    assert line.startswith("13 devices have had no success for longer than they may: SRV1 (Example Bakery), SRV10 (")
    assert line.endswith(" and 3 more")
    assert line.count("(Example Bakery)") == 10
    assert news(site) == []


def test_a_device_that_never_succeeded_is_stale_from_when_it_was_first_seen(
    site: Site, cove: FakeCove, fleet: Fleet
) -> None:
    fleet.devices[0] = FakeDevice(5, 1001, "new_abcde", "NEW", "server", ())
    assert news(site) == []
    cove.now = MORNING + timedelta(hours=50)
    assert news(site) == ["NEW (Example Bakery) is known for 50 hours and never had a success"]


def test_the_customers_own_hours_count(site: Site) -> None:
    site.settings = {"alerts": {"customers": {"example bakery": {"server_hours": 4}}}}
    assert news(site) == ["SRV1 (Example Bakery) has had no success for 5 hours"]


def test_a_listing_that_breaks_off_says_nothing_of_staleness(site: Site, cove: FakeCove, fleet: Fleet) -> None:
    fleet.devices += [make_device(number, f"srv{number}_abcde") for number in range(3, 7)]
    news(site)
    cove.now = LAST + timedelta(hours=50)
    site.settings = {"api": {"page_size": 2}}
    cove.faults.break_at_record = 3
    result = site.sync()
    assert result.exit_code == 3
    assert not any("no success" in one for one in result.to_json()["logins"][0]["warnings"])
    assert stale(site) == []


def test_a_stale_device_that_goes_and_comes_back_is_said_anew_and_an_ignored_one_not(
    site: Site, cove: FakeCove, fleet: Fleet
) -> None:
    cove.now = LAST + timedelta(hours=50)
    assert news(site) == ["SRV1 (Example Bakery) has had no success for 50 hours"]
    server = fleet.devices.pop(0)
    assert news(site) == ["Cove no longer lists 1 device: srv1_abcde"]
    assert stale(site) == []
    fleet.devices.insert(0, server)
    assert news(site) == ["SRV1 (Example Bakery) has had no success for 50 hours"]
    site.execute("UPDATE cove_devices SET ignored = true, stale_since = NULL")
    assert news(site) == []


def test_a_backfill_keeps_what_was_said_and_the_next_sync_says_what_is_so(
    site: Site, cove: FakeCove, fleet: Fleet
) -> None:
    cove.now = LAST + timedelta(hours=50)
    news(site)
    site.backfill(BEGIN)
    assert stale(site) == [1]
    assert news(site) == []
    add_session(fleet.devices[0], "D01", 48)
    site.backfill(BEGIN)
    assert news(site) == ["SRV1 (Example Bakery) is no longer stale"]
    assert stale(site) == []

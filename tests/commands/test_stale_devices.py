"""Stale devices in the output of `sync`: said once, when it changes, and never of what is merely switched off."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from cove_poller.commands.stale_devices import changes, news
from tests.conftest import BEGIN, Site
from tests.world.fake_cove import FakeCove, FakeDevice, Fleet, Partner, TrueSession, serving
from tests.world.states import NEVER, NOW, OFF, ago, state

LAST = BEGIN + timedelta(hours=2, minutes=10)  # when the night's backups end
MORNING = BEGIN + timedelta(hours=8)
STALE = state(last_success_at=ago(50))
FINE = state(account_id=2)
OFFLINE = state(account_id=3, **OFF)


def test_a_device_is_news_when_it_becomes_stale_and_when_it_recovers_and_at_no_other_time() -> None:
    suspects = [(STALE, False), (STALE, True), (FINE, True), (FINE, False), (OFFLINE, False), (OFFLINE, True)]
    changed = changes(suspects)
    assert changed == [STALE, FINE, OFFLINE]
    assert news(changed) == [
        "SRV1 (Example Bakery) has had no success for 50 hours", "SRV1 (Example Bakery) is no longer stale",
    ]  # fmt: skip


def test_one_that_never_succeeded_is_named_so_and_names_keep_to_one_line() -> None:
    never = state(**NEVER, first_seen_at=ago(50), computer_name="A\nB")
    assert news([never]) == ["A B (Example Bakery) is known for 50 hours and never had a success"]


def test_the_first_backup_of_a_workstation_that_was_off_for_long_is_no_news_while_it_runs() -> None:
    back = state(**{**OFF, "color_bar": "5" * 25 + "001"}, running_since=NOW)
    assert changes([(back, False)]) == []
    assert news([back]) == []


def test_more_than_five_at_once_are_one_line_with_a_count_and_the_first_ten() -> None:
    five, many = [STALE] * 5, [STALE] * 12
    assert len(news(five)) == 5
    (line,) = news(many)
    assert line == (
        "12 devices have had no success for longer than they may: " + "SRV1 (Example Bakery), " * 9
        + "SRV1 (Example Bakery) and 2 more"
    )  # fmt: skip
    assert news([FINE] * 6)[0].startswith("6 devices are no longer stale: SRV1 (Example Bakery), ")


def make_device(account_id: int, name: str, kind: str = "server") -> FakeDevice:
    """A device that was backed up in the night."""
    night = TrueSession("D01", LAST - timedelta(minutes=10), LAST, 5)
    return FakeDevice(account_id, 1001, f"{name.lower()}_x", name, kind, ("D01",), sessions={"D01": [night]})


@pytest.fixture
def fleet() -> Fleet:
    """A server and a workstation of one customer."""
    partners = [Partner(1000, "Example MSP", None), Partner(1001, "Example Bakery", 1000)]
    return Fleet(partners, [make_device(1, "SRV1"), make_device(2, "PC1", "workstation")])


@pytest.fixture
def cove(fleet: Fleet) -> Iterator[FakeCove]:
    with serving(FakeCove(fleet, MORNING)) as cove:
        yield cove


def said(site: Site, exit_code: int = 0) -> list[str]:
    result = site.sync()
    assert result.exit_code == exit_code
    warnings = result.to_json()["logins"][0]["warnings"]
    assert isinstance(warnings, list)
    return warnings


def stale(site: Site) -> list[int]:
    query = "SELECT account_id FROM cove_devices WHERE stale_since IS NOT NULL ORDER BY account_id"
    return [row["account_id"] for row in site.rows(query)]


def succeed(device: FakeDevice, site: Site) -> None:
    end = site.cove.now - timedelta(minutes=5)
    device.sessions["D01"].append(TrueSession("D01", end - timedelta(minutes=5), end, 5))
    device.totals.clear()


def test_a_device_that_becomes_stale_and_recovers_is_said_once_each(site: Site, cove: FakeCove, fleet: Fleet) -> None:
    assert said(site) == []
    cove.now = LAST + timedelta(hours=48)
    assert said(site) == []
    cove.now = LAST + timedelta(hours=50)
    assert said(site) == ["SRV1 (Example Bakery) has had no success for 50 hours"]
    cove.now = LAST + timedelta(hours=80)  # the row is written again in between, since it was seen again
    assert (said(site), stale(site)) == ([], [1])
    site.backfill(BEGIN)
    assert (said(site), stale(site)) == ([], [1])
    succeed(fleet.devices[0], site)
    assert said(site) == ["SRV1 (Example Bakery) is no longer stale"]
    assert (said(site), stale(site)) == ([], [])


def test_a_workstation_that_is_merely_switched_off_is_never_named_nor_when_it_is_back(
    site: Site, cove: FakeCove, fleet: Fleet
) -> None:
    fleet.devices.pop(0)
    said(site)
    for days in (8, 30):
        cove.now = MORNING + timedelta(days=days)
        assert said(site) == []
    (pc,) = fleet.devices
    pc.sessions["D01"].append(TrueSession("D01", cove.now, cove.now + timedelta(minutes=30), 5))
    pc.totals.clear()
    cove.now += timedelta(minutes=10)
    assert said(site) == []
    assert site.rows("SELECT 1 FROM cove_devices WHERE running_since IS NOT NULL") != []
    cove.now += timedelta(minutes=30)
    assert (said(site), stale(site)) == ([], [])


def test_a_device_that_never_succeeded_is_stale_from_when_it_was_first_seen_by_the_shortest_hours_of_any_customer(
    site: Site, cove: FakeCove, fleet: Fleet
) -> None:
    fleet.devices[0] = FakeDevice(5, 1001, "new_x", "NEW", "server", ())
    assert said(site) == []
    cove.now = MORNING + timedelta(hours=5)
    assert said(site) == []
    site.settings = {"alerts": {"customers": {"example bakery": {"server_hours": 4}}}}
    assert said(site) == ["NEW (Example Bakery) is known for 5 hours and never had a success"]


def test_a_listing_that_breaks_off_says_nothing_of_staleness(site: Site, cove: FakeCove, fleet: Fleet) -> None:
    fleet.devices += [make_device(number, f"SRV{number}") for number in range(3, 7)]
    said(site)
    cove.now = LAST + timedelta(hours=50)
    site.settings = {"api": {"page_size": 2}}
    cove.faults.break_at_record = 3
    assert not any("no success" in one for one in said(site, exit_code=3))
    assert stale(site) == []


def test_a_stale_device_that_goes_and_comes_back_is_said_anew_and_an_ignored_one_not(
    site: Site, cove: FakeCove, fleet: Fleet
) -> None:
    cove.now = LAST + timedelta(hours=50)
    assert said(site) == ["SRV1 (Example Bakery) has had no success for 50 hours"]
    server = fleet.devices.pop(0)
    assert said(site) == ["Cove no longer lists 1 device: srv1_x"]
    assert stale(site) == []
    fleet.devices.insert(0, server)
    assert said(site) == ["SRV1 (Example Bakery) has had no success for 50 hours"]
    site.execute("UPDATE cove_devices SET ignored = true, stale_since = NULL")
    assert said(site) == []


def test_a_backfill_that_finds_a_success_leaves_it_to_the_next_sync_to_say_so(
    site: Site, cove: FakeCove, fleet: Fleet
) -> None:
    cove.now = LAST + timedelta(hours=50)
    said(site)
    succeed(fleet.devices[0], site)
    site.backfill(BEGIN)
    assert said(site) == ["SRV1 (Example Bakery) is no longer stale"]
    assert stale(site) == []

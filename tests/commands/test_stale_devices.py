"""Stale devices in the output of `sync`: said once, when it changes, and never of what is merely switched off."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from cove_poller.commands.outcome import About
from cove_poller.commands.overview import known_state
from cove_poller.commands.stale_devices import judged, news
from cove_poller.records.health.device_state import Condition, DeviceState
from cove_poller.records.statuses import Status
from tests.conftest import BEGIN, Site, on_sqlite
from tests.world.fake_cove import FakeCove, FakeDevice, Fleet, Partner, TrueSession, serving
from tests.world.states import NEVER, NOW, OFF, SILENT, ago, source, state

LAST = BEGIN + timedelta(hours=2, minutes=10)  # when the night's backups end
MORNING = BEGIN + timedelta(hours=8)
STALE = state(last_success_at=ago(50))
FINE = state(account_id=2)
OFFLINE = state(account_id=3, **OFF)
STALE_FILES = "Example Bakery, SRV1 (device 1): Files and Folders has had no session for 50 hours"
FILES, SQL = frozenset(["D01"]), frozenset(["D10"])
NONE: frozenset[str] = frozenset()


def told(*suspects: tuple[DeviceState, frozenset[str]]) -> list[str]:
    return [*news(one for one in (judged(*suspect) for suspect in suspects) if one.now != one.before)]


def test_a_device_is_news_when_it_becomes_stale_and_when_it_recovers_and_at_no_other_time() -> None:
    suspects = [(STALE, NONE), (STALE, FILES), (FINE, FILES), (FINE, NONE), (OFFLINE, NONE), (OFFLINE, FILES)]
    assert told(*suspects) == [
        "Example Bakery, SRV1 (device 1): Files and Folders has had no success for 50 hours",
        "Example Bakery, SRV1 (device 2) is no longer stale",
    ]  # fmt: skip


def test_a_source_that_becomes_stale_or_recovers_beside_another_is_named() -> None:
    both = state(sources=(source(last_success_at=ago(50)), source(**SILENT)))
    silent = "Example Bakery, SRV1 (device 1): SQL Server has had no session for 20 days"
    assert told((both, FILES)) == [silent]
    assert told((state(sources=(source(), source(**SILENT))), FILES | SQL)) == [
        "Example Bakery, SRV1 (device 1): Files and Folders no longer stale"
    ]


def test_one_that_never_succeeded_is_named_so_and_names_keep_to_one_line() -> None:
    never = state(**NEVER, first_seen_at=ago(50), computer_name="A\nB")
    assert told((never, NONE)) == ["Example Bakery, A B (device 1) has had no success yet in 50 hours"]


def test_the_first_backup_of_a_workstation_that_was_off_for_long_is_no_news_while_it_runs() -> None:
    back = state(**{**OFF, "color_bar": "5" * 25 + "001"}, running_since=NOW)
    assert told((back, NONE), (back, FILES)) == []


def test_more_than_five_at_once_are_one_line_with_a_count_and_the_first_ten() -> None:
    many = [(state(account_id=number, last_success_at=ago(50)), NONE) for number in range(1, 13)]
    assert len(told(*many[:5])) == 5
    (line,) = told(*many)
    names = "; ".join(f"Example Bakery, SRV1 (device {number})" for number in range(1, 11))
    assert line == f"12 devices have had no success for longer than they may: {names} and 2 more"
    (over,) = told(*[(state(account_id=number), FILES) for number in range(6)])
    assert over.startswith("6 devices are no longer stale: Example Bakery, SRV1 (device 0); ")


def test_a_line_is_about_the_moment_that_status_shows_and_the_devices_job() -> None:
    both = state(sources=(source(last_success_at=ago(50)), source(**SILENT)), job_id=7)
    (about,) = news([judged(both, NONE)]).values()
    assert about == About(job_id=7)
    (recovered,) = news([judged(FINE, FILES)]).values()
    assert recovered.since is None
    (several,) = news([judged(state(account_id=number, last_success_at=ago(50)), NONE) for number in range(6)]).values()
    assert several == About(is_of_several=True)


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
    assert said(site) == [STALE_FILES]
    cove.now = LAST + timedelta(hours=80)  # the row is written again in between, since it was seen again
    assert (said(site), stale(site)) == ([], [1])
    site.backfill(BEGIN)
    assert (said(site), stale(site)) == ([], [1])
    succeed(fleet.devices[0], site)
    assert said(site) == ["Example Bakery, SRV1 (device 1) is no longer stale"]
    assert (said(site), stale(site)) == ([], [])


def come_back(pc: FakeDevice, site: Site) -> None:
    """The workstation's first backup since it was off, which takes half an hour."""
    now = site.cove.now
    pc.sessions["D01"].append(TrueSession("D01", now, now + timedelta(minutes=30), 5))
    pc.totals.clear()


@on_sqlite
def test_a_workstation_that_is_merely_switched_off_is_never_named_nor_when_it_is_back(
    site: Site, cove: FakeCove, fleet: Fleet
) -> None:
    fleet.devices.pop(0)
    said(site)
    for days in (8, 27):
        cove.now = MORNING + timedelta(days=days)
        assert said(site) == []
    come_back(fleet.devices[0], site)
    cove.now += timedelta(minutes=10)
    assert said(site) == []
    assert site.rows("SELECT 1 FROM cove_devices WHERE running_since IS NOT NULL") != []
    cove.now += timedelta(minutes=30)
    assert (said(site), stale(site)) == ([], [])


@on_sqlite
def test_a_workstation_that_is_off_for_four_times_its_limit_is_stale_in_the_end_until_it_succeeds(
    site: Site, cove: FakeCove, fleet: Fleet
) -> None:
    fleet.devices.pop(0)
    said(site)
    cove.now = LAST + timedelta(days=30)
    assert said(site) == ["Example Bakery, PC1 (device 2): Files and Folders has had no session for 30 days"]
    assert (said(site), stale(site)) == ([], [2])
    come_back(fleet.devices[0], site)
    cove.now += timedelta(minutes=10)
    assert (said(site), stale(site)) == ([], [2])
    cove.now += timedelta(minutes=30)
    assert said(site) == ["Example Bakery, PC1 (device 2) is no longer stale"]


@on_sqlite
def test_a_laptop_that_cove_says_did_not_start_is_offline_and_nothing_is_said_or_written(
    site: Site, cove: FakeCove, fleet: Fleet
) -> None:
    fleet.devices.pop(0)
    said(site)
    runs = site.rows("SELECT * FROM job_runs")
    cove.now = LAST + timedelta(hours=30)
    cove.faults.edit_row = lambda row, device: {**row, "D01F00": "7", "D01F15": "", "D09F00": "7", "D09F15": ""}
    assert [said(site), said(site)] == [[], []]
    (pc,) = known_state(site.installation(), cove.now).devices
    assert (pc.condition, pc.status) == (Condition.OFFLINE, Status.SUCCESS)
    assert site.rows("SELECT * FROM job_runs") == runs


def test_a_source_that_stopped_is_said_by_name_shown_and_stands_until_it_runs_again(
    site: Site, cove: FakeCove, fleet: Fleet
) -> None:
    server = fleet.devices.pop(0)
    fleet.devices[:] = [server]
    server.active = ("D01", "D10")
    sql = TrueSession("D10", LAST - timedelta(days=20, minutes=10), LAST - timedelta(days=20), 5)
    server.sessions["D10"] = [sql]
    stopped = "Example Bakery, SRV1 (device 1): SQL Server has had no session for 20 days"
    assert said(site) == [stopped]
    (login,) = site.sync().to_json()["logins"]
    assert (login["warnings"], [one["what"] for one in login["standing"]]) == ([], [stopped])
    (found,) = known_state(site.installation(), cove.now).devices
    assert (found.condition, found.last_success_at, found.any_success_at) == (Condition.STALE, sql.end, LAST)
    end = cove.now - timedelta(minutes=5)
    server.sessions["D10"].append(TrueSession("D10", end - timedelta(minutes=5), end, 5))
    server.totals.clear()
    assert said(site) == ["Example Bakery, SRV1 (device 1) is no longer stale"]


@on_sqlite
def test_a_source_that_was_ticked_today_is_not_stale_because_its_device_is_old(
    site: Site, cove: FakeCove, fleet: Fleet
) -> None:
    server = fleet.devices[0]
    fleet.devices[:] = [server]
    said(site)
    cove.now = LAST + timedelta(days=9)
    succeed(server, site)
    server.active = ("D01", "D10")
    found = []
    for hours in (0, 47, 3):
        cove.now += timedelta(hours=hours)
        succeed(server, site)
        found.append([one for one in said(site) if "SQL Server" in one])
    assert found == [[], [], ["Example Bakery, SRV1 (device 1): SQL Server has had no session yet in 50 hours"]]


@on_sqlite
def test_a_device_that_never_succeeded_is_stale_from_when_it_was_first_seen_by_the_shortest_hours_of_any_customer(
    site: Site, cove: FakeCove, fleet: Fleet
) -> None:
    fleet.devices[0] = FakeDevice(5, 1001, "new_x", "NEW", "server", ())
    assert said(site) == []
    cove.now = MORNING + timedelta(hours=5)
    assert said(site) == []
    site.settings = {"alerts": {"customers": {"example bakery": {"server_hours": 4}}}}
    assert said(site) == ["Example Bakery, NEW (device 5) has had no success yet in 5 hours"]


@on_sqlite
def test_a_listing_that_breaks_off_says_nothing_of_staleness(site: Site, cove: FakeCove, fleet: Fleet) -> None:
    fleet.devices += [make_device(number, f"SRV{number}") for number in range(3, 7)]
    said(site)
    cove.now = LAST + timedelta(hours=50)
    site.settings = {"api": {"page_size": 2}}
    cove.faults.break_at_record = 3
    assert not any("no success" in one for one in said(site, exit_code=3))
    assert stale(site) == []


@on_sqlite
def test_a_stale_device_that_goes_and_comes_back_is_said_anew_and_an_ignored_one_not(
    site: Site, cove: FakeCove, fleet: Fleet
) -> None:
    cove.now = LAST + timedelta(hours=50)
    assert said(site) == [STALE_FILES]
    server = fleet.devices.pop(0)
    assert said(site) == ["Cove no longer lists 1 device: srv1_x"]
    assert stale(site) == []
    fleet.devices.insert(0, server)
    assert said(site) == [STALE_FILES]
    site.execute("UPDATE cove_devices SET ignored = true, stale_since = NULL")
    assert said(site) == []


@on_sqlite
def test_a_backfill_that_finds_a_success_leaves_it_to_the_next_sync_to_say_so(
    site: Site, cove: FakeCove, fleet: Fleet
) -> None:
    cove.now = LAST + timedelta(hours=50)
    said(site)
    succeed(fleet.devices[0], site)
    site.backfill(BEGIN)
    assert said(site) == ["Example Bakery, SRV1 (device 1) is no longer stale"]
    assert stale(site) == []

"""Sync closes its own gaps: after an outage the record is that of a poller that was never off."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import BEGIN, Site
from tests.world.fake_cove import FakeCove, FakeDevice, Fleet, Partner, TrueSession, make_fleet, serving
from tests.world.oracle import truth
from tests.world.recorded import facts, plain, utc

HALF_HOUR = timedelta(minutes=30)
HISTORY_METHODS = ("GetAccountInfoById", "QuerySessions", "EnumerateSessions", "EnumerateAccountRemoteAccessEndpoints")
RUNS = (
    "SELECT c.name, j.job_name, r.external_id, r.run_at, r.status, r.remark FROM job_runs r"
    " JOIN jobs j ON j.id = r.job_id JOIN customers c ON c.id = j.customer_id"
)


@pytest.fixture
def make_site(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Makes installations with a Cove of their own, on SQLite."""
    servers: list[AbstractContextManager[FakeCove]] = []

    def make(fleet: Fleet, now: datetime = BEGIN, **api: Any) -> Site:
        number = len(servers)
        server = serving(FakeCove(fleet, now))
        servers.append(server)
        site = Site(server.__enter__(), f"sqlite:///{tmp_path / f'cove{number}.db'}", tmp_path, {"api": api})
        site.migrate()
        return site

    yield make
    for server in servers:
        server.__exit__(None, None, None)


def one_device(*sessions: TrueSession, kind: str = "server", active: tuple[str, ...] = ("D01",)) -> Fleet:
    computer = None if kind == "m365" else "SRV1"
    device = FakeDevice(500_001, 1001, "srv1_abcde", computer, kind, active)
    for one in sessions:
        device.sessions.setdefault(one.source, []).append(one)
    return Fleet([Partner(1000, "Example MSP", None), Partner(1001, "Example Bakery", 1000)], [device])


def session(source: str, hour: float, status: int = 5, minutes: float = 10) -> TrueSession:
    start = BEGIN + timedelta(hours=hour)
    return TrueSession(source, start, start + timedelta(minutes=minutes), status, 0)


def polled(site: Site, *hours: float) -> dict[str, Any]:
    """Poll at these hours; return what the last poll says."""
    for hour in hours:
        site.cove.now = BEGIN + timedelta(hours=hour)
        (login,) = site.sync().to_json()["logins"]
    return login


def half_hours(first: float, last: float) -> list[float]:
    return [first + number / 2 for number in range(round((last - first) * 2) + 1)]


def histories_asked(site: Site) -> Counter[str]:
    """How often each method was asked that tells of histories."""
    found = Counter(request.method for request in site.cove.requests)
    return Counter({method: found[method] for method in HISTORY_METHODS if found[method]})


def runs(site: Site) -> Counter[tuple[Any, ...]]:
    return Counter(map(plain, site.rows(RUNS)))


@pytest.mark.long
@pytest.mark.parametrize("histories", ["gaps", "always"])
def test_a_poller_that_was_off_for_three_days_has_the_rows_of_one_that_was_never_off(
    histories: str, make_site: Callable[..., Site]
) -> None:
    def fleet() -> Fleet:
        return make_fleet(seed=2026, begin=BEGIN, days=5, devices=10)

    steady = make_site(fleet(), histories="always")
    polled(steady, *half_hours(8, 104))
    interrupted = make_site(fleet(), histories=histories)
    polled(interrupted, *half_hours(8, 20))
    login = polled(interrupted, *half_hours(20 + 72, 104))
    assert login["gaps"]["open"] == 0
    seen = BEGIN + timedelta(hours=20)
    assert {one for one in facts(interrupted) if one[3] > seen} == {one for one in facts(steady) if one[3] > seen}
    assert facts(steady) == {one for one in truth(steady.cove.fleet.devices, BEGIN, steady.cove.now) if one in facts(steady)}
    late, all_of_them = ([one for one in runs(site) if one[3] > seen + timedelta(hours=6)] for site in (interrupted, steady))
    assert sorted(late) == sorted(all_of_them)
    assert len(late) > 50

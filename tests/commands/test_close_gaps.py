"""Sync closes its own gaps: after an outage the record is that of a poller that was never off."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import BEGIN, Site
from tests.world.fake_cove import FakeCove, FakeDevice, Fleet, Partner, RpcError, TrueSession, make_fleet, serving
from tests.world.fake_cove.faults import HttpAnswer
from tests.world.oracle import true_status, truth, visible
from tests.world.recorded import facts, plain, utc

HALF_HOUR = timedelta(minutes=30)
HISTORY_METHODS = ("GetAccountInfoById", "QuerySessions", "EnumerateSessions", "EnumerateAccountRemoteAccessEndpoints")
RUNS = (
    "SELECT c.name, j.job_name, r.external_id, r.run_at, r.status, r.remark FROM job_runs r"
    " JOIN jobs j ON j.id = r.job_id JOIN customers c ON c.id = j.customer_id"
)


@pytest.fixture
def make_site(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Makes installations with a Cove of their own, on SQLite unless an empty PostgreSQL is given."""
    servers: list[AbstractContextManager[FakeCove]] = []

    def make(
        fleet: Fleet, now: datetime = BEGIN, alerts: Mapping[str, Any] | None = None, url: str = "", **api: Any
    ) -> Site:
        number = len(servers)
        server = serving(FakeCove(fleet, now))
        servers.append(server)
        database = url or f"sqlite:///{tmp_path / f'cove{number}.db'}"
        site = Site(server.__enter__(), database, tmp_path, {"api": api, "alerts": alerts or {}})
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
    login: dict[str, Any] = {}
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
def test_a_poller_that_was_off_for_three_days_has_the_rows_of_one_that_was_never_off(
    make_site: Callable[..., Site], soaks: bool
) -> None:
    def fleet() -> Fleet:
        return make_fleet(seed=2026, begin=BEGIN, days=5, devices=4)

    options: dict[str, Any] = {"gap_minutes": 130}
    steady = make_site(fleet(), histories="always", **options)
    polled(steady, *range(8, 101, 2))
    assert {*facts(steady)} <= truth(steady.cove.fleet.devices, BEGIN, steady.cove.now)
    seen = BEGIN + timedelta(hours=20)
    for histories in ("gaps", "always") if soaks else ("gaps",):
        interrupted = make_site(fleet(), histories=histories, **options)
        polled(interrupted, *range(8, 21, 2))
        gaps = polled(interrupted, 92)["gaps"]
        assert gaps["closed"] > 2
        assert gaps["open"] == 0
        assert polled(interrupted, *range(94, 101, 2))["gaps"]["open"] == 0
        missed, really = ({one for one in facts(site) if one[3] > seen} for site in (interrupted, steady))
        assert missed == really
        late, all_of_them = (
            sorted(one for one in runs(site) if one[3] > seen + timedelta(hours=6)) for site in (interrupted, steady)
        )
        assert late == all_of_them
        assert len(late) > 10


def every(source: str, hours: float, *spans: tuple[float, float], minutes: float = 10) -> list[TrueSession]:
    """Sessions of a source, so many hours apart, in some spans of time."""
    return [
        session(source, begin + number * hours, minutes=minutes)
        for begin, end in spans
        for number in range(round((end - begin) / hours))
    ]


def out_of_order(site: Site, *hours: float) -> None:
    """Poll at these hours while Cove answers everything with 503."""
    site.cove.faults.answers.extend([HttpAnswer(503)] * 100)
    for hour in hours:
        site.cove.now = BEGIN + timedelta(hours=hour)
        assert site.sync().exit_code == 13
    site.cove.faults.answers.clear()


BEFORE, OUT_OF_ORDER, AFTER = range(10, 16, 2), range(16, 41, 2), range(42, 49, 2)


def during_the_outage(site: Site) -> list[tuple[Any, ...]]:
    begin, end = (BEGIN + timedelta(hours=hour) for hour in (OUT_OF_ORDER[0], OUT_OF_ORDER[-1]))
    return [one for one in runs(site) if begin < one[3] < end]


@pytest.mark.long
def test_after_a_day_of_503_from_cove_the_rows_are_those_of_a_poller_that_was_never_off(
    database_url: str, make_site: Callable[..., Site], soaks: bool
) -> None:
    fleet = make_fleet(seed=2026, begin=BEGIN, days=2.1, devices=3 if soaks else 2)
    options: dict[str, Any] = {"histories": "always", "gap_minutes": 130, "max_attempts": 1}
    steady, interrupted = make_site(fleet, **options), make_site(fleet, url=database_url, **options)
    polled(steady, *BEFORE, *OUT_OF_ORDER, *AFTER)
    polled(interrupted, *BEFORE)
    out_of_order(interrupted, *OUT_OF_ORDER)
    assert polled(interrupted, *AFTER[:1])["gaps"]["open"] == 0
    polled(interrupted, *AFTER[1:])
    assert facts(interrupted) == facts(steady)
    assert runs(interrupted) == runs(steady)
    assert len(during_the_outage(steady)) > 10


@pytest.mark.long
def test_without_the_right_to_histories_all_that_polls_saw_is_there_after_a_day_of_503_and_the_gap_is_marked(
    make_site: Callable[..., Site],
) -> None:
    fleet = make_fleet(seed=2026, begin=BEGIN, days=2.1, devices=4)
    site = make_site(fleet, max_attempts=1, gap_minutes=130)
    site.cove.faults.forbidden_methods = frozenset({"GetAccountInfoById"})
    polled(site, *BEFORE)
    out_of_order(site, *OUT_OF_ORDER)
    last = polled(site, *AFTER)
    polls = [BEGIN + timedelta(hours=hour) for hour in (*BEFORE, *AFTER)]
    seen = {one.account_id: visible(one, polls, site.cove.reading) for one in fleet.devices}
    assert {one[:2] + one[3:4] for one in facts(site, with_context=True)} == {
        (account, code, one.end)
        for account, by_source in seen.items()
        for code, sessions in by_source.items()
        for one in sessions
        if code != "D09"
    }
    assert last["gaps"]["open"] == sum(bool(one.active) for one in fleet.devices)
    found = during_the_outage(site)
    devices = {str(one.account_id): one for one in fleet.devices}
    successes = [one for one in found if one[4] == "Success"]  # of the last sessions in it, behind which nothing is
    assert {true_status(devices[one[2]], one[3], by_start=False) for one in successes} <= {"success"}
    assert any("of that time are not known" in one[5] for one in found)


ALL_THE_TIME = [(1, 127)]


@pytest.mark.parametrize(
    ("kind", "files", "state", "is_silent"),
    [
        ("server", [(0, 18), (48, 72)], ALL_THE_TIME, True),  # in the outage alone
        ("server", [(0, 6), (42, 48), (72, 78)], ALL_THE_TIME, True),  # since before it, and once more in it
        ("workstation", [(0, 12), (72, 84)], [(1, 13), (73, 85)], False),  # switched off meanwhile
    ],
)
def test_a_source_that_was_silent_in_an_outage_makes_its_runs_a_warning_as_if_somebody_had_looked(
    kind: str,
    files: list[tuple[float, float]],
    state: list[tuple[float, float]],
    is_silent: bool,
    make_site: Callable[..., Site],
) -> None:
    sessions = [*every("D01", 6, *files), *every("D02", 6, *state)]
    fleet, alerts = (
        one_device(*sessions, kind=kind, active=("D01", "D02")),
        {"server_hours": 16, "workstation_hours": 40},
    )
    steady, interrupted = (make_site(fleet, alerts=alerts, gap_minutes=400) for _ in range(2))
    polled(steady, *range(2, 105, 6))
    polled(interrupted, *range(2, 21, 6), *range(92, 105, 6))
    begin, end = (BEGIN + timedelta(hours=hour) for hour in (20, 92))
    statuses = {one[4] for one in runs(steady) if begin < one[3] < end}
    assert ("Warning" in statuses) is is_silent
    assert runs(interrupted) == runs(steady)


def test_with_nothing_missed_sync_asks_exactly_what_it_asked_before(make_site: Callable[..., Site]) -> None:
    fleet = one_device(*(session("D01", 24 * day + 2) for day in range(3)))
    asked = []
    for histories in ("never", "gaps"):
        site = make_site(fleet, histories=histories)
        polled(site, *range(1, 55))
        asked.append(Counter(request.method for request in site.cove.requests))
    assert asked[0] == asked[1]


@pytest.mark.parametrize(("kind", "sources"), [("server", ("D01", "D02")), ("m365", ("D19", "D20"))])
def test_always_costs_two_requests_a_changed_device_and_none_for_others(
    kind: str, sources: tuple[str, ...], make_site: Callable[..., Site]
) -> None:
    sessions = [session(code, 24 * day + 2) for day in range(4) for code in sources]
    site = make_site(one_device(*sessions, kind=kind, active=sources), histories="always")
    polled(site, 49, 49.5)
    assert histories_asked(site) == {}
    polled(site, 50, 50.5)
    assert sum(histories_asked(site).values()) == 2
    polled(site, 51, 51.5, 52)
    assert sum(histories_asked(site).values()) == 2
    polled(site, *half_hours(52.5, 74.5))
    assert sum(histories_asked(site).values()) == 4


@pytest.mark.parametrize("histories", ["gaps", "always"])
def test_every_session_of_a_quarter_hourly_job_is_there_and_each_failure_stands_in_a_run(
    histories: str, make_site: Callable[..., Site]
) -> None:
    sessions = [session("D01", number / 4, status=2 if number % 6 == 2 else 5, minutes=3) for number in range(40)]
    site = make_site(one_device(*sessions), histories=histories)
    login = polled(site, *half_hours(0.2, 8.2))
    first, last = (BEGIN + timedelta(hours=hour) for hour in (0, 8))
    assert facts(site) == truth(site.cove.fleet.devices, first, last + timedelta(hours=0.2))
    failed = {utc(row["run_at"]) for row in site.rows("SELECT run_at FROM job_runs WHERE status = 'Failed'")}
    assert failed == {one.end for one in sessions if one.status == 2 and one.end <= site.cove.now}
    assert login["gaps"]["open"] == 0


def test_a_failure_that_a_poll_could_not_see_is_read_when_a_mark_of_the_colour_bar_tells_of_it(
    make_site: Callable[..., Site],
) -> None:
    fleet = one_device(*(session("D01", 24 * day + 2) for day in range(4)), session("D01", 50.25, status=2, minutes=1))
    fleet.devices[0].sessions["D01"].sort(key=lambda one: one.start)
    fleet.devices[0].sessions["D01"].insert(4, session("D01", 50.3, minutes=2))
    site = make_site(fleet)
    site.cove.faults.edit_row = lambda row, device: (
        row
        | (
            {"D01F08": row["D01F08"][:-2] + "2" + row["D01F08"][-1]}
            if site.cove.now >= BEGIN + timedelta(hours=72)
            else {}
        )
    )
    polled(site, 27, 49, *half_hours(49.5, 71.5))
    assert histories_asked(site) == {}
    assert not site.rows("SELECT * FROM job_runs WHERE status = 'Failed'")
    assert polled(site, 72, 72.5)["gaps"] == {"closed": 0, "open": 0}
    assert len(site.rows("SELECT * FROM job_runs WHERE status = 'Failed'")) == 1
    asked = histories_asked(site)
    polled(site, *half_hours(73, 75))
    assert histories_asked(site) == asked


def test_a_source_that_was_switched_on_since_the_last_look_is_read_from_then_on(make_site: Callable[..., Site]) -> None:
    fleet = one_device(session("D01", 2), session("D10", 5.1, status=2, minutes=3), session("D10", 5.3, minutes=3))
    fleet.devices[0].active = ("D01",)
    sql = fleet.devices[0].sessions.pop("D10")
    site = make_site(fleet)
    polled(site, *half_hours(3, 5))
    assert histories_asked(site) == {}
    fleet.devices[0].active, fleet.devices[0].sessions["D10"] = ("D01", "D10"), sql
    assert polled(site, 5.5)["gaps"] == {"closed": 1, "open": 0}
    assert {one[4] for one in facts(site) if one[1] == "D10"} == {2, 5}


def test_the_oldest_gap_is_closed_first_and_the_next_run_goes_on_where_the_time_was_over(
    make_site: Callable[..., Site],
) -> None:
    fleet = make_fleet(seed=7, begin=BEGIN, days=4, devices=12)
    site = make_site(fleet, backfill_workers=1, history_minutes=1e-6)
    polled(site, 8)
    first = polled(site, 60)["gaps"]
    assert 1 <= first["closed"] < first["open"]
    waiting = site.rows("SELECT * FROM job_runs WHERE remark LIKE '%of that time are not known%'")
    assert waiting == []  # what lies in a gap that is going to be closed is not written yet
    rest = [polled(site, 60 + number / 2)["gaps"] for number in range(1, 16)]
    assert rest[-1]["open"] == 0
    since, until = BEGIN + timedelta(hours=8, seconds=1), BEGIN + timedelta(hours=60)
    assert {one for one in facts(site) if since <= one[3] <= until} == truth(fleet.devices, since, until)


def test_a_user_who_may_not_read_histories_is_told_once_and_asked_again_a_day_later(
    make_site: Callable[..., Site],
) -> None:
    fleet = one_device(*(session("D01", 6 * number + 2) for number in range(20)))
    site = make_site(fleet)
    site.cove.faults.forbidden_methods = frozenset({"GetAccountInfoById"})
    polled(site, 3)
    login = polled(site, 27)
    assert [one for one in login["warnings"] if "does not let this user read histories" in one] == login["warnings"]
    assert login["gaps"] == {"closed": 0, "open": 1}
    assert len(site.rows("SELECT * FROM job_runs")) == 2  # all else as before
    asked = histories_asked(site)
    for hour in (27.5, 33, 40, 50):
        login = polled(site, hour)
        assert login["warnings"] == []
        assert [one["what"] for one in login["standing"] if one["account_id"] is None]
    assert histories_asked(site) == asked == {"GetAccountInfoById": 1}
    site.cove.faults.forbidden_methods = frozenset()
    login = polled(site, 52)
    assert login["gaps"] == {"closed": 1, "open": 0}
    assert [one.startswith("over: Cove does not let this user read") for one in login["warnings"]] == [True]
    assert {one[3] for one in facts(site)} == {one.end for one in fleet.devices[0].sessions["D01"][:9]}


def test_a_run_that_ends_before_its_first_page_leaves_nothing_that_breaks_a_later_one(
    make_site: Callable[..., Site],
) -> None:
    site = make_site(one_device(*(session("D01", 6 * number + 2) for number in range(20))))
    site.cove.faults.forbidden_methods = frozenset({"GetAccountInfoById"})
    polled(site, 3, 27)
    site.cove.faults.forbidden_methods = frozenset({"GetAccountInfoById", "EnumerateAccountStatistics"})
    assert polled(site, 27.5)["error"]["code"] == "permission_denied"
    site.cove.faults.forbidden_methods = frozenset({"GetAccountInfoById"})
    asked = histories_asked(site)
    assert polled(site, 28, 28.5)["error"] is None
    assert histories_asked(site) == asked


def test_where_cove_fails_to_tell_histories_the_runs_of_the_gap_are_written_as_warnings(
    make_site: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    statuses = (5, 5, 5, 5, 2)  # at the second poll the last success and, later, a failure are seen
    site = make_site(one_device(*(session("D01", 6 * number + 2, one) for number, one in enumerate(statuses))))
    polled(site, 3)
    answer = site.cove.answer_at

    def out_of_order(path: str, message: dict[str, Any], bearer: str | None = None) -> dict[str, Any]:
        if message["method"] != "GetAccountInfoById":
            return answer(path, message, bearer)
        return {"id": message["id"], "jsonrpc": "2.0", "error": RpcError(None, "bad visa").payload}

    monkeypatch.setattr(site.cove, "answer_at", out_of_order)
    login = polled(site, 27)
    assert login["gaps"] == {"closed": 0, "open": 1}
    assert any("histories could not be read" in one for one in login["warnings"])
    found = [row["status"] for row in site.rows("SELECT status FROM job_runs ORDER BY run_at")]
    assert found == ["Success", "Warning", "Failed"]


def test_a_device_whose_history_cannot_be_read_stays_marked_and_is_tried_again_an_hour_later(
    make_site: Callable[..., Site],
) -> None:
    site = make_site(one_device(*(session("D01", 6 * number + 2) for number in range(12))))
    polled(site, 3)
    site.cove.faults.lost_sessions = lambda one: one.start > BEGIN + timedelta(hours=20)
    login = polled(site, 27)
    assert len(login["warnings"]) == 1
    assert "its history lacks the session of Files and Folders" in login["warnings"][0]
    (device,) = site.rows("SELECT data_sources FROM cove_devices")
    assert "its history lacks" in str(device["data_sources"])
    asked = histories_asked(site)
    assert polled(site, 27.5)["warnings"] == []
    assert histories_asked(site) == asked
    site.cove.faults.lost_sessions = None
    login = polled(site, 28)
    assert login["gaps"] == {"closed": 1, "open": 0}
    assert [one.startswith("over: ") for one in login["warnings"]] == [True]


def test_never_asks_for_no_history_and_says_what_to_do(make_site: Callable[..., Site]) -> None:
    site = make_site(one_device(*(session("D01", 6 * number + 2) for number in range(12))), histories="never")
    login = polled(site, 3, 27)
    assert "read what is missing with: cove-poller backfill" in login["warnings"][0]
    assert (login["gaps"], histories_asked(site)) == ({"closed": 0, "open": 1}, {})


def test_a_dry_run_reads_no_history(make_site: Callable[..., Site]) -> None:
    site = make_site(one_device(*(session("D01", 6 * number + 2) for number in range(12))))
    polled(site, 3)
    site.cove.now = BEGIN + timedelta(hours=27)
    (login,) = site.sync(dry_run=True).to_json()["logins"]
    assert (login["gaps"], histories_asked(site)) == ({"closed": 0, "open": 1}, {})

"""`backfill` against what really happened: every session once, whatever else has been seen before."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from cove_poller.commands.record_page import Recorder
from cove_poller.records.session import Origin
from tests.conftest import BEGIN, Site, on_sqlite
from tests.world.fake_cove import FakeCove, FakeDevice, Fleet, Partner, Reading, TrueSession, make_fleet, serving
from tests.world.fake_cove.wire import columns
from tests.world.oracle import RANK, Score, all_runs, status_of, truth
from tests.world.recorded import facts, plain_rows, runs_by_device, utc


def warnings_of(result: Any) -> list[str]:
    (login,) = result.to_json()["logins"]
    return list(login["warnings"])


@pytest.fixture
def make_site(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Makes installations with a Cove of their own, on SQLite."""
    servers: list[AbstractContextManager[FakeCove]] = []

    def make(fleet: Fleet, now: datetime, database_url: str | None = None) -> Site:
        number = len(servers)
        server = serving(FakeCove(fleet, now))
        servers.append(server)
        site = Site(server.__enter__(), database_url or f"sqlite:///{tmp_path / f'cove{number}.db'}", tmp_path)
        site.migrate()
        return site

    yield make
    for server in servers:
        server.__exit__(None, None, None)


def one_device(*sessions: TrueSession, kind: str = "server", active: tuple[str, ...] = ("D01", "D02")) -> Fleet:
    computer = None if kind == "m365" else "SRV1"
    device = FakeDevice(500_001, 1001, "srv1_abcde", computer, kind, active)
    for session in sessions:
        device.sessions.setdefault(session.source, []).append(session)
    return Fleet([Partner(1000, "Example MSP", None), Partner(1001, "Example Bakery", 1000)], [device])


def session(source: str, hour: float, status: int = 5, minutes: float = 10, errors: int = 0) -> TrueSession:
    start = BEGIN + timedelta(hours=hour)
    return TrueSession(source, start, start + timedelta(minutes=minutes), status, errors)


def nights(source: str, statuses: list[int], hour: float = 2) -> list[TrueSession]:
    """A session a night."""
    return [session(source, 24 * day + hour, status) for day, status in enumerate(statuses)]


@pytest.mark.long
def test_28_days_of_a_fleet_are_recorded_as_they_happened_and_once(
    make_site: Callable[..., Site], measured: Callable[[str], None], soaks: bool
) -> None:
    now, devices = BEGIN + timedelta(days=28), 200 if soaks else 20
    site = make_site(make_fleet(seed=2026, begin=BEGIN, days=29, devices=devices), now)
    (login,) = site.backfill().to_json()["logins"]
    recorded, really = facts(site), truth(site.cove.fleet.devices, BEGIN, now)
    rows = site.rows("SELECT count(*) AS rows FROM cove_sessions WHERE data_source <> 'D09'")[0]["rows"]
    score = Score(len(really), rows, len(recorded & really))
    runs, found = Score(), runs_by_device(site)
    for device in site.cove.fleet.devices:
        wanted, has = all_runs(device, now), found.get(str(device.account_id), set())
        runs.add(len(wanted), len(has), len(wanted & has))
    measured(
        f"backfill of {devices} devices and 28 days: sessions {score}; job runs {runs}; {login['requests']} requests"
    )
    assert score.is_perfect
    assert runs.is_perfect
    assert login["ways"] == {"sessions": devices}
    assert login["warnings"] == []
    (again,) = site.backfill().to_json()["logins"]
    assert (again["sessions"]["new"], again["sessions"]["updated"]) == (0, 0)
    assert (again["job_runs"]["new"], again["job_runs"]["updated"]) == (0, 0)


@pytest.mark.long
@pytest.mark.parametrize("meaning", ["end", "start"])
def test_sync_and_backfill_in_any_order_give_the_same_rows(
    meaning: str, make_site: Callable[..., Site], soaks: bool
) -> None:
    hours, plays = (3, 4) if soaks else (6, 1)
    polls = [BEGIN + timedelta(hours=number + 1) for number in range(0, 72, hours)]

    def played(moments: set[datetime], *, backfill_first: bool = False) -> dict[str, Any]:
        site = make_site(make_fleet(seed=11, begin=BEGIN, days=3, devices=12 if soaks else 5), BEGIN)
        site.cove.reading = Reading(last_session_is=meaning, last_success_is=meaning)
        for now in polls:
            site.cove.now = now
            steps = [site.sync, site.backfill] if now in moments else [site.sync]
            for step in reversed(steps) if backfill_first else steps:
                assert step().exit_code == 0
        return plain_rows(site)

    late = played({polls[-1]})
    assert len(late["runs"]) > 40
    assert played({polls[-1]}, backfill_first=True) == late
    chance = random.Random(5)
    for _ in range(plays):
        some = {polls[-1], *chance.sample(polls, 4)}
        assert played(some, backfill_first=chance.random() < 0.5) == late


def test_a_session_that_a_poll_saw_is_the_same_record_with_better_facts(make_site: Callable[..., Site]) -> None:
    fleet = one_device(session("D01", 1, status=8, errors=3, minutes=30))
    site = make_site(fleet, BEGIN + timedelta(hours=3))
    site.cove.reading = Reading(
        last_session_is="start", last_success_is="start", overrides=dict.fromkeys(("D01F18", "D01F12", "D01F06"))
    )
    site.sync()
    before = site.rows("SELECT id, session_at, started_at FROM cove_sessions WHERE data_source = 'D01'")
    site.backfill()
    (after,) = site.rows("SELECT * FROM cove_sessions WHERE data_source = 'D01'")
    assert [row["id"] for row in before] == [after["id"]]
    assert utc(before[0]["session_at"]) == BEGIN + timedelta(hours=1)
    assert (utc(after["started_at"]), utc(after["session_at"])) == (
        BEGIN + timedelta(hours=1),
        BEGIN + timedelta(hours=1.5),
    )
    assert (after["origin"], after["errors_count"], after["status_code"]) == ("sessions", 3, 8)


def test_a_reviewed_run_stays_as_it_is_and_what_backfill_finds_stands_beside_it(make_site: Callable[..., Site]) -> None:
    site = make_site(one_device(session("D01", 1), session("D01", 1.2, status=2)), BEGIN + timedelta(hours=1.18))
    site.sync()
    site.execute("UPDATE job_runs SET reviewed_at = '2026-03-02 08:00:00'")
    before = site.rows("SELECT * FROM job_runs")
    site.cove.now = BEGIN + timedelta(hours=5)
    (login,) = site.backfill().to_json()["logins"]
    assert site.rows("SELECT * FROM job_runs WHERE reviewed_at IS NOT NULL") == before
    assert login["job_runs"]["new"] == 1
    assert [row["status"] for row in site.rows("SELECT status FROM job_runs WHERE reviewed_at IS NULL")] == ["Failed"]


def test_the_newest_round_is_left_to_sync_while_it_is_running(make_site: Callable[..., Site]) -> None:
    site = make_site(one_device(session("D01", 1), session("D01", 25), session("D02", 25.1, minutes=120)), BEGIN)
    site.cove.now = BEGIN + timedelta(hours=25.5)
    site.backfill()
    assert len(site.rows("SELECT * FROM job_runs")) == 1
    assert len(site.rows("SELECT * FROM cove_sessions WHERE data_source <> 'D09'")) == 2
    site.cove.now = BEGIN + timedelta(hours=28)
    site.sync()
    assert len(site.rows("SELECT * FROM job_runs")) == 2


@pytest.mark.parametrize("cap", [500, 100, 1])
def test_a_device_with_1700_sessions_loses_none_to_paging(cap: int, make_site: Callable[..., Site]) -> None:
    count = 1700 if cap > 1 else 40
    site = make_site(one_device(*[session("D01", number / 4, minutes=5) for number in range(count)]), BEGIN)
    site.cove.now = BEGIN + timedelta(days=20)
    site.cove.faults.session_page_cap = cap
    site.backfill()
    assert facts(site) == truth(site.cove.fleet.devices, BEGIN, site.cove.now)
    assert len(facts(site)) == count


@pytest.mark.parametrize("as_number", [False, True], ids=["words", "numbers"])
def test_every_status_and_plugin_is_read_as_a_word_and_as_a_number(
    as_number: bool, make_site: Callable[..., Site]
) -> None:
    sources = ("D01", "D02", "D04", "D06", "D08", "D10", "D11", "D14", "D15")
    codes = (5, 8, 2, 3, 6, 7, 10, 11, 0, 4, 13)
    sessions = [
        session(source, hour + 12 * number, code)
        for number, code in enumerate(codes)
        for hour, source in enumerate(sources)
    ]
    site = make_site(one_device(*sessions, active=sources), BEGIN + timedelta(days=9))
    site.cove.faults.session_status_as_number = as_number
    site.cove.faults.plugin_as_number = as_number
    assert site.backfill().exit_code == 0
    assert facts(site) == truth(site.cove.fleet.devices, BEGIN, site.cove.now)
    for row in site.rows("SELECT status, status_code FROM cove_sessions WHERE data_source <> 'D09'"):
        assert row["status"] == status_of(row["status_code"])


def test_only_what_ended_in_the_window_is_recorded_however_long_ago_it_began(make_site: Callable[..., Site]) -> None:
    sessions = [session("D01", 10), session("D08", 20, minutes=30 * 60), session("D01", 60), session("D01", 90)]
    site = make_site(one_device(*sessions, active=("D01", "D08")), BEGIN + timedelta(days=20))
    since, until = BEGIN + timedelta(hours=49), BEGIN + timedelta(hours=61)
    result = site.backfill(since, until)
    rows = site.rows("SELECT * FROM cove_sessions WHERE origin = 'sessions' ORDER BY session_at")
    assert [(row["data_source"], utc(row["started_at"])) for row in rows if not row["is_context"]] == [
        ("D08", BEGIN + timedelta(hours=20)),
        ("D01", BEGIN + timedelta(hours=60)),
    ]
    assert (result.to_json()["since"], result.to_json()["until"]) == ("2026-03-04T01:00:00Z", "2026-03-04T13:00:00Z")


def test_a_session_that_the_listing_shows_and_the_history_lacks_is_reported(make_site: Callable[..., Site]) -> None:
    site = make_site(one_device(session("D01", 1), session("D01", 25)), BEGIN + timedelta(days=2))
    site.cove.faults.lost_sessions = lambda one: one.start > BEGIN + timedelta(hours=24)
    result = site.backfill()
    assert result.exit_code == 3
    assert any(
        "its history lacks the session of Files and Folders at 2026-03-03 01:10Z" in w for w in warnings_of(result)
    )


def test_a_node_that_sends_the_same_sessions_again_and_again_is_not_believed(make_site: Callable[..., Site]) -> None:
    site = make_site(one_device(*nights("D01", [5] * 9)), BEGIN + timedelta(days=10))
    site.cove.faults.ignores_offset = True
    site.cove.faults.session_page_cap = 4
    result = site.backfill(way=None)
    assert result.exit_code == 3
    assert any("same page of sessions again and again" in warning for warning in warnings_of(result))


def test_an_unknown_data_source_and_an_unknown_status_are_named(make_site: Callable[..., Site]) -> None:
    site = make_site(one_device(*nights("D01", [5, 5, 5])), BEGIN + timedelta(days=3))

    def edit(row: dict[str, Any], one: TrueSession) -> dict[str, Any]:
        day = (one.start - BEGIN).days
        return row | ({"PluginId": "Tape"} if day == 0 else {"Status": "Sideways"} if day == 1 else {})

    site.cove.faults.edit_session = edit
    result = site.backfill()
    assert result.exit_code == 3
    assert any("1 sessions with an unknown data source 'Tape' were left out" in one for one in warnings_of(result))
    assert any("unknown status 'Sideways'" in one for one in warnings_of(result))
    statuses = [row["status"] for row in site.rows("SELECT status FROM cove_sessions WHERE origin = 'sessions'")]
    assert sorted(statuses) == ["success", "warning"]


def test_a_day_of_which_the_colour_bar_shows_more_than_the_history_is_reported(make_site: Callable[..., Site]) -> None:
    site = make_site(one_device(*nights("D01", [5, 2, 2, 5, 5, 5, 5]), active=("D01",)), BEGIN + timedelta(days=7))
    site.cove.faults.lost_sessions = lambda one: one.start < BEGIN + timedelta(days=4)
    result = site.backfill()
    assert result.exit_code == 3
    assert any("has nothing of Files and Folders on 3 days from 2026-03-02 on" in one for one in warnings_of(result))


def test_a_service_of_microsoft_365_that_is_switched_off_by_now_keeps_its_past(make_site: Callable[..., Site]) -> None:
    fleet = one_device(*nights("D19", [5] * 4), *nights("D20", [5, 2]), kind="m365", active=("D19",))
    site = make_site(fleet, BEGIN + timedelta(days=4))
    assert site.backfill().exit_code == 0
    assert facts(site) == truth(site.cove.fleet.devices, BEGIN, site.cove.now)


# what was interrupted


def interrupted(site: Site, since: datetime, **request: Any) -> None:
    """A backfill that came to its last device and ended by an error, as one that was killed would."""
    site.backfill(since, **request)
    site.execute("UPDATE cove_polls SET outcome = 'running', exit_code = NULL WHERE command = 'backfill'")


def test_a_run_that_goes_on_with_another_says_up_to_when_and_leaves_out_what_was_done(
    make_site: Callable[..., Site],
) -> None:
    site = make_site(one_device(*nights("D01", [5, 5, 5]), active=("D01",)), BEGIN + timedelta(days=2, hours=1))
    interrupted(site, BEGIN)
    asked = site.cove.count("QuerySessions")
    site.cove.now += timedelta(hours=3)
    (login,) = site.backfill(BEGIN + timedelta(hours=3)).to_json()["logins"]
    assert (login["resumed"], login["until"]) == (1, "2026-03-04T01:00:00Z")
    assert site.cove.count("QuerySessions") == asked
    assert len(facts(site)) == 3  # the night since then as by a poll


@pytest.mark.parametrize(
    ("days_later", "way", "until"),
    [(5, Origin.COLORBAR, None), (0, None, None), (0, Origin.COLORBAR, BEGIN + timedelta(days=2))],
    ids=["long-after", "another-way", "another-end"],
)
def test_a_run_that_asks_for_something_else_does_all_of_it(
    days_later: int, way: Origin | None, until: datetime | None, make_site: Callable[..., Site]
) -> None:
    site = make_site(one_device(*nights("D01", [5] * 9), active=("D01",)), BEGIN + timedelta(days=3))
    interrupted(site, BEGIN, way=Origin.COLORBAR)
    site.cove.now += timedelta(days=days_later)
    (login,) = site.backfill(BEGIN, until, way=way).to_json()["logins"]
    assert login["resumed"] == 0


def test_a_run_whose_listing_broke_off_is_gone_on_with(make_site: Callable[..., Site]) -> None:
    site = make_site(make_fleet(seed=3, begin=BEGIN, days=3, devices=20), BEGIN + timedelta(days=2))
    site.settings = {"api": {"page_size": 5}}
    site.cove.faults.break_at_record = 8
    assert site.backfill().exit_code == 3
    site.cove.faults.break_at_record = None
    (login,) = site.backfill().to_json()["logins"]
    assert login["resumed"] >= 5
    assert facts(site) == truth(site.cove.fleet.devices, BEGIN, site.cove.now)


def test_only_runs_in_the_window_are_written_as_reviewed(make_site: Callable[..., Site]) -> None:
    site = make_site(one_device(*nights("D01", [5, 5, 5, 2]), active=("D01",)), BEGIN + timedelta(days=4))
    site.backfill(until=BEGIN + timedelta(days=2), reviewed=True)
    runs = site.rows("SELECT status, reviewed_at FROM job_runs ORDER BY run_at")
    assert [(row["status"], row["reviewed_at"] is not None) for row in runs][:2] == [("Success", True)] * 2
    assert ("Failed", False) in [(row["status"], row["reviewed_at"] is not None) for row in runs]


def test_others_can_write_while_a_dry_run_reads(make_site: Callable[..., Site]) -> None:
    site = make_site(make_fleet(seed=3, begin=BEGIN, days=3, devices=12), BEGIN + timedelta(days=2))
    site.sync()
    written = 0
    original = site.cove.answer_at

    def answer_at(path: str, message: dict[str, Any], bearer: str | None = None) -> dict[str, Any]:
        nonlocal written
        if message["method"] == "QuerySessions":
            site.execute("UPDATE customers SET active = active")
            written += 1
        return original(path, message, bearer)

    site.cove.answer_at = answer_at  # type: ignore[method-assign]
    before = plain_rows(site)
    (login,) = site.backfill(dry_run=True).to_json()["logins"]
    assert written > 10
    assert login["sessions"]["new"] > 50
    assert plain_rows(site) == before


# the ways to read the past


def machines_refused(site: Site) -> None:
    site.cove.faults.history_refused = {device.account_id for device in site.cove.fleet.devices}


def test_where_sessions_are_refused_snapshots_tell_and_are_named(make_site: Callable[..., Site]) -> None:
    site = make_site(one_device(*nights("D01", [5, 2, 8, 5, 5])), BEGIN + timedelta(days=5))
    machines_refused(site)
    result = site.backfill()
    (login,) = result.to_json()["logins"]
    assert (login["ways"], result.exit_code) == ({"snapshot": 1}, 0)
    assert any("13501" in warning for warning in login["warnings"])
    assert facts(site) == truth(site.cove.fleet.devices, BEGIN, site.cove.now)
    assert {row["origin"] for row in site.rows("SELECT origin FROM cove_sessions WHERE data_source = 'D01'")} == {
        "snapshot"
    }


def test_sources_that_the_snapshots_reject_are_named_and_their_colour_bar_is_taken(
    make_site: Callable[..., Site],
) -> None:
    fleet = one_device(*nights("D01", [5] * 5), *nights("D10", [5, 2, 5, 5, 5]), active=("D01", "D10"))
    site = make_site(fleet, BEGIN + timedelta(days=5))
    machines_refused(site)
    site.cove.faults.history_forbidden = lambda code: code.startswith("D10")
    result = site.backfill()
    (login,) = result.to_json()["logins"]
    assert login["ways"] == {"snapshot": 1, "colorbar": 1}
    assert any("snapshots do not tell of SQL Server; the colour bar was taken" in one for one in login["warnings"])
    marks = site.rows("SELECT * FROM cove_sessions WHERE data_source = 'D10' AND origin = 'colorbar'")
    assert "failed" in {row["status"] for row in marks}
    remarks = [row["remark"] for row in site.rows("SELECT remark FROM job_runs")]
    assert any("from the colorbar" in remark for remark in remarks)


def test_a_source_that_the_snapshots_leave_out_without_a_word_is_read_by_its_colour_bar(
    make_site: Callable[..., Site],
) -> None:
    fleet = one_device(*nights("D01", [5] * 5), *nights("D10", [5, 2, 5, 5, 5]), active=("D01", "D10"))
    site = make_site(fleet, BEGIN + timedelta(days=5))
    machines_refused(site)
    original = site.cove.answer

    def answer(message: dict[str, Any]) -> dict[str, Any]:
        if message["method"] == "EnumerateAccountHistoryStatistics":
            query = message["params"]["query"]
            query["Columns"] = [code for code in query["Columns"] if not code.startswith("D10")]
        return original(message)

    site.cove.answer = answer  # type: ignore[method-assign]
    (login,) = site.backfill().to_json()["logins"]
    assert login["ways"] == {"snapshot": 1, "colorbar": 1}
    marks = site.rows("SELECT status FROM cove_sessions WHERE data_source = 'D10' AND origin = 'colorbar'")
    assert {"status": "failed"} in marks


def test_a_hole_in_the_snapshots_is_reported(make_site: Callable[..., Site]) -> None:
    site = make_site(one_device(*nights("D01", [5, 2, 2, 2, 5, 5])), BEGIN + timedelta(days=6))
    machines_refused(site)
    original = site.cove.answer

    def answer(message: dict[str, Any]) -> dict[str, Any]:
        at = message["params"].get("timeslice", 0) - BEGIN.timestamp()
        if message["method"] == "EnumerateAccountHistoryStatistics" and 86400 < at < 4 * 86400:
            return {"jsonrpc": "2.0", "id": 1, "result": {"result": []}}
        return original(message)

    site.cove.answer = answer  # type: ignore[method-assign]
    result = site.backfill()
    assert result.exit_code == 3
    assert any(
        "there are no snapshots from 2026-03-03 00:00Z to 2026-03-06 00:00Z" in one for one in warnings_of(result)
    )


def test_what_could_not_be_read_at_all_is_listed_and_never_looks_like_no_sessions(
    make_site: Callable[..., Site],
) -> None:
    site = make_site(one_device(*nights("D01", [5] * 5)), BEGIN + timedelta(days=5))
    site.cove.faults.forbidden_methods = frozenset({"QuerySessions", "EnumerateAccountHistoryStatistics"})
    site.cove.faults.forbidden_columns = lambda code: code.endswith("F08")
    result = site.backfill()
    assert result.exit_code == 3
    assert any(
        "Example Bakery, SRV1 (device 500001): could not be read: Files and Folders" in w for w in warnings_of(result)
    )


def test_a_user_who_may_read_no_sessions_asks_for_those_of_few_devices_only(make_site: Callable[..., Site]) -> None:
    site = make_site(make_fleet(seed=3, begin=BEGIN, days=3, devices=40), BEGIN + timedelta(days=2))
    site.cove.faults.forbidden_methods = frozenset({"GetAccountInfoById"})
    (login,) = site.backfill().to_json()["logins"]
    assert login["ways"]["snapshot"] == 40
    assert site.cove.count("GetAccountInfoById") <= 14  # some, and then every tenth, in case one may be read
    assert site.cove.count("EnumerateAccountHistoryStatistics") < 40


@pytest.mark.parametrize(
    "host", ["node.example.com:443", "evilcloudbackup.management", "cloudbackup.management.example.com:80"]
)
def test_a_node_outside_the_allowed_domains_gets_no_token_and_the_device_is_reported(
    host: str, make_site: Callable[..., Site]
) -> None:
    site = make_site(one_device(*nights("D01", [5, 5])), BEGIN + timedelta(days=2))
    site.cove.faults.node_host = lambda device: host
    site.cove.faults.endpoint_url = lambda device: f"https://{host}/rcg/abc"
    result = site.backfill()
    assert result.exit_code == 3
    assert site.cove.count("QuerySessions") == 0
    assert any("api.node_domains" in warning and "device 500001" in warning for warning in warnings_of(result))
    assert len(site.rows("SELECT * FROM cove_sessions WHERE origin = 'snapshot' AND data_source = 'D01'")) == 2


def test_a_node_that_cannot_be_reached_is_tried_for_one_device_and_costs_the_others_nothing(
    make_site: Callable[..., Site],
) -> None:
    site = make_site(make_fleet(seed=3, begin=BEGIN, days=2, devices=30), BEGIN + timedelta(days=1))
    site.cove.faults.node_host = lambda device: "127.0.0.1:1"
    site.settings = {"api": {"max_attempts": 1}}
    result = site.backfill()
    assert result.exit_code == 3
    assert any("cannot be reached" in warning for warning in warnings_of(result))
    (login,) = result.to_json()["logins"]
    machines = [one for one in site.cove.fleet.devices if one.kind != "m365"]
    assert login["ways"]["snapshot"] == len(machines)


def test_a_node_that_wants_the_visa_gets_it_after_it_asked(make_site: Callable[..., Site]) -> None:
    site = make_site(one_device(*nights("D01", [5, 2])), BEGIN + timedelta(days=2))
    site.cove.faults.node_needs_visa = True
    assert site.backfill().exit_code == 0
    assert facts(site) == truth(site.cove.fleet.devices, BEGIN, site.cove.now)
    asked = [request.visa for request in site.cove.requests if request.method == "QuerySessions"]
    assert asked[0] is None


def test_a_node_whose_host_the_account_does_not_tell_is_found_by_its_endpoint(make_site: Callable[..., Site]) -> None:
    site = make_site(one_device(*nights("D01", [5, 2])), BEGIN + timedelta(days=2))
    site.cove.faults.node_host = lambda device: None
    assert site.backfill().exit_code == 0
    assert facts(site) == truth(site.cove.fleet.devices, BEGIN, site.cove.now)


def test_all_workers_together_keep_the_one_pace(make_site: Callable[..., Site]) -> None:
    site = make_site(make_fleet(seed=3, begin=BEGIN, days=3, devices=20), BEGIN + timedelta(days=2))
    site.settings = {"api": {"requests_per_second": 40, "backfill_workers": 8}}
    began = time.monotonic()
    (login,) = site.backfill().to_json()["logins"]
    assert login["requests"] > 60
    assert time.monotonic() - began > (login["requests"] - 1) / 40


def test_a_visa_that_expires_in_the_middle_is_renewed_once_for_all_workers(make_site: Callable[..., Site]) -> None:
    site = make_site(make_fleet(seed=3, begin=BEGIN, days=3, devices=60), BEGIN + timedelta(days=2))
    site.cove.faults.expire_visa_before_request = {30}
    site.cove.faults.slow_seconds = 0.01
    (login,) = site.backfill().to_json()["logins"]
    assert (login["login_requests"], login["error"], login["warnings"]) == (2, None, [])
    assert facts(site) == truth(site.cove.fleet.devices, BEGIN, site.cove.now)


def test_a_login_that_is_rejected_in_the_middle_is_tried_by_one_worker_only(make_site: Callable[..., Site]) -> None:
    site = make_site(make_fleet(seed=3, begin=BEGIN, days=3, devices=60), BEGIN + timedelta(days=2))
    site.cove.faults.expire_visa_before_request = {30}
    site.cove.faults.slow_seconds = 0.01
    first = site.cove.password

    original = site.cove.answer

    def answer(message: dict[str, Any]) -> dict[str, Any]:
        if message["method"] != "Login":
            site.cove.password = "changed since"
        return original(message)

    site.cove.answer = answer  # type: ignore[method-assign]
    site.settings = {"login": {"password": first}}
    (login,) = site.backfill().to_json()["logins"]
    assert login["error"]["code"] == "login_rejected"
    assert site.cove.count("Login") == 2


# the colour bar


def bars_only(site: Site) -> None:
    site.cove.faults.forbidden_methods = frozenset(
        {"QuerySessions", "EnumerateSessions", "EnumerateAccountHistoryStatistics"}
    )


def run_words_by_day(site: Site, device: FakeDevice) -> dict[Any, set[str]]:
    """The statuses of the runs that tell of each day: a night's run may end on the next."""
    query = (
        "SELECT s.session_at, r.run_at, r.status FROM cove_sessions s JOIN job_runs r ON r.id = s.job_run_id"
        " WHERE s.account_id = :account"
    )
    found: dict[Any, set[str]] = {}
    for row in site.rows(query, account=device.account_id):
        for moment in (row["session_at"], row["run_at"]):
            found.setdefault(utc(moment).date(), set()).add(row["status"].lower())
    return found


def days_of(bar: str, now: datetime) -> dict[Any, int]:
    return {(now - timedelta(days=back)).date(): int(digit) for back, digit in enumerate(reversed(bar)) if back}


@pytest.mark.parametrize("total_is", ["newest", "worst"])
def test_28_days_of_colour_bars_never_show_a_day_healthier_than_the_bar(
    total_is: str, make_site: Callable[..., Site]
) -> None:
    now = BEGIN + timedelta(days=28, hours=9)
    site = make_site(make_fleet(seed=17, begin=BEGIN, days=29, devices=40), now)
    site.cove.reading = Reading(total_is=total_is)
    bars_only(site)
    site.backfill(since=now - timedelta(days=28))
    compared = 0
    for device in site.cove.fleet.devices:
        told = columns(device, "", now, site.cove.reading)
        days = run_words_by_day(site, device)
        for source in (*device.active, "D09"):
            for day, digit in days_of(told.get(f"{source}F08", "0"), now).items():
                # nobody knows when Cove's days begin, so a record of a day beside it may be what the digit is of
                beside = [day + timedelta(days=days_off) for days_off in (-1, 0, 1)]
                on_day = [RANK[word] for one in beside for word in days.get(one, ())]
                if digit in (0, 1, 9) or (source == "D09" and not on_day):
                    continue
                assert on_day, (device.account_id, source, day, digit)
                assert max(on_day) >= RANK[status_of(digit)], (device.account_id, source, day, digit)
                compared += 1
    assert compared > 1000


def test_a_mark_of_the_colour_bar_stands_at_the_usual_time_and_says_where_it_is_from(
    make_site: Callable[..., Site],
) -> None:
    site = make_site(one_device(*nights("D01", [5, 2, 5, 5], hour=21), active=("D01",)), BEGIN + timedelta(days=4))
    bars_only(site)
    site.backfill()
    rows = site.rows(
        "SELECT * FROM cove_sessions WHERE origin = 'colorbar' AND data_source = 'D01' ORDER BY session_at"
    )
    assert [utc(row["session_at"]) for row in rows[:2]] == [
        BEGIN + timedelta(days=day, hours=21, minutes=10) for day in (0, 1)
    ]
    (failed,) = site.rows("SELECT remark FROM job_runs WHERE status = 'Failed'")
    assert "from the colorbar, time of day not known" in failed["remark"]


def test_marks_of_the_colour_bar_give_way_when_the_sessions_can_be_read(make_site: Callable[..., Site]) -> None:
    statuses = [5, 2, 8, 5, 5, 3, 5]
    fleet = one_device(*nights("D01", statuses, hour=23.9), *nights("D02", [5] * 7, hour=1))
    site = make_site(fleet, BEGIN + timedelta(days=7, hours=12))
    bars_only(site)
    site.backfill()
    assert site.rows("SELECT * FROM cove_sessions WHERE origin = 'colorbar'")
    site.cove.faults.forbidden_methods = frozenset()
    site.backfill()
    clean = make_site(fleet, site.cove.now)
    clean.backfill()
    assert plain_rows(site) == plain_rows(clean)


def test_days_before_the_colour_bar_begins_are_reported(make_site: Callable[..., Site]) -> None:
    site = make_site(one_device(*nights("D01", [5] * 60), active=("D01",)), BEGIN + timedelta(days=60))
    bars_only(site)
    result = site.backfill()
    assert result.exit_code == 3
    assert any(
        "its colour bar begins on 2026-04-04; what was before could not be read" in w for w in warnings_of(result)
    )


@pytest.mark.parametrize("bar_first", [False, True])
def test_a_day_with_many_sessions_has_no_mark_beside_them_in_whatever_order(
    bar_first: bool, make_site: Callable[..., Site]
) -> None:
    sessions = [session("D01", 24 * day + hour, 2 if hour == 10 else 5) for day in range(4) for hour in (2, 6, 10, 14)]
    site = make_site(one_device(*sessions, active=("D01",)), BEGIN + timedelta(days=4))
    site.cove.reading = Reading(overrides={"D01F08": "52222"})
    ways = [Origin.COLORBAR, Origin.SESSIONS] if bar_first else [Origin.SESSIONS, Origin.COLORBAR]
    for way in ways:
        site.backfill(way=way)
    assert not site.rows("SELECT * FROM cove_sessions WHERE origin = 'colorbar' AND data_source = 'D01'")
    assert len(facts(site)) == len(sessions)


def test_a_history_that_is_not_to_be_trusted_removes_no_mark(make_site: Callable[..., Site]) -> None:
    site = make_site(one_device(*nights("D01", [5, 2, 5, 2, 5]), active=("D01",)), BEGIN + timedelta(days=5, hours=9))
    site.backfill(way=Origin.COLORBAR)
    failed = site.rows("SELECT * FROM job_runs WHERE status = 'Failed'")
    site.cove.faults.lost_sessions = lambda one: True
    assert site.backfill(way=Origin.SESSIONS).exit_code == 3
    assert site.rows("SELECT * FROM job_runs WHERE status = 'Failed'") == failed
    assert failed


def test_a_reviewed_run_of_the_colour_bar_stays_though_its_sessions_are_known_now(
    make_site: Callable[..., Site],
) -> None:
    site = make_site(one_device(*nights("D01", [5, 2, 5, 5]), active=("D01",)), BEGIN + timedelta(days=4, hours=6))
    bars_only(site)
    site.backfill()
    site.execute("UPDATE job_runs SET reviewed_at = '2026-03-09 08:00:00'")
    reviewed = site.rows("SELECT * FROM job_runs ORDER BY id")
    site.cove.faults.forbidden_methods = frozenset()
    (login,) = site.backfill().to_json()["logins"]
    assert site.rows("SELECT * FROM job_runs WHERE reviewed_at IS NOT NULL ORDER BY id") == reviewed
    assert login["job_runs"]["protected"] > 0
    assert not site.rows("SELECT * FROM cove_sessions WHERE origin = 'colorbar'")


@pytest.mark.parametrize("bar", ["55x5", "5" * 29, "5\u066555"])
def test_a_colour_bar_that_makes_no_sense_is_reported_and_not_read(bar: str, make_site: Callable[..., Site]) -> None:
    site = make_site(one_device(*nights("D01", [5] * 4), active=("D01",)), BEGIN + timedelta(days=4))
    site.cove.reading = Reading(overrides={"D01F08": bar, "D09F08": bar})
    bars_only(site)
    result = site.backfill()
    assert result.exit_code == 3
    assert any("its colour bar" in one and "cannot be read" in one for one in warnings_of(result))
    assert not site.rows("SELECT * FROM cove_sessions WHERE origin = 'colorbar'")


# what is asked for


def test_only_the_devices_that_are_named_are_read_and_one_that_is_not_there_is_reported(
    make_site: Callable[..., Site],
) -> None:
    site = make_site(make_fleet(seed=3, begin=BEGIN, days=3, devices=20), BEGIN + timedelta(days=2))
    account = site.cove.fleet.devices[0].account_id
    result = site.backfill(devices=frozenset({account, 42}))
    assert {row["account_id"] for row in site.rows("SELECT account_id FROM cove_sessions")} == {account}
    assert result.exit_code == 3
    assert "device 42: Cove does not list it" in warnings_of(result)


@pytest.mark.parametrize("way", ["sessions", "snapshot", "colorbar"])
def test_a_way_that_is_asked_for_is_the_only_one_that_is_gone(way: str, make_site: Callable[..., Site]) -> None:
    site = make_site(one_device(*nights("D01", [5, 2, 5, 5, 5]), active=("D01",)), BEGIN + timedelta(days=5))
    (login,) = site.backfill(way=Origin(way)).to_json()["logins"]
    assert login["ways"] == {way: 1}
    assert (site.cove.count("QuerySessions") > 0) == (way == "sessions")
    assert (site.cove.count("EnumerateAccountHistoryStatistics") > 0) == (way == "snapshot")


def test_a_restarted_session_of_a_history_is_no_success_whether_cleaned_or_not(make_site: Callable[..., Site]) -> None:
    site = make_site(one_device(*nights("D01", [5, 12, 5, 5, 12]), active=("D01",)), BEGIN + timedelta(days=5))
    site.backfill()
    assert sorted((at.day, status) for at, status in runs_by_device(site)["500001"]) == [
        (2, "Success"),
        (3, "Warning"),
        (4, "Success"),
        (5, "Success"),
        (6, "Warning"),
    ]


@pytest.mark.parametrize("hours_ahead", [-11, 0, 13])
def test_a_colour_bar_by_local_days_adds_nothing_to_what_polls_saw(
    hours_ahead: int, make_site: Callable[..., Site]
) -> None:
    fleet = one_device(*nights("D01", [5, 2, 5, 5, 8, 5], hour=22.5), active=("D01",))
    site = make_site(fleet, BEGIN)
    site.cove.reading = Reading(color_bar_zone=timedelta(hours=hours_ahead))
    for _ in range(6 * 4):
        site.cove.now += timedelta(hours=6)
        site.sync()
    before = plain_rows(site)
    assert sorted(status for _, status in runs_by_device(site)["500001"]) == ["Failed", *["Success"] * 4, "Warning"]
    assert site.backfill(since=BEGIN, way=Origin.COLORBAR).exit_code == 0
    assert plain_rows(site) == before


def test_on_both_databases_the_rows_are_the_same(
    make_postgres: Callable[[], str], make_site: Callable[..., Site]
) -> None:
    fleet = make_fleet(seed=8, begin=BEGIN, days=6, devices=20)
    found = []
    for url in (None, make_postgres()):
        site = make_site(fleet, BEGIN + timedelta(days=5), url)
        site.backfill(since=BEGIN + timedelta(days=1))
        found.append(plain_rows(site))
    assert found[0] == found[1]
    assert len(found[0]["sessions"]) > 200


@on_sqlite
def test_no_statement_looks_through_all_that_is_recorded_of_other_devices(site: Site) -> None:
    plans: dict[str, list[str]] = {}

    def explain(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith(("SELECT", "INSERT", "UPDATE", "DELETE")) and statement not in plans:
            raw = connection.connection.dbapi_connection.cursor()
            plans[statement] = [row[3] for row in raw.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]

    original = Recorder.save_page

    def save_page(self: Recorder, *args: Any) -> Any:
        sa.event.listen(sa.Engine, "before_cursor_execute", explain)
        try:
            return original(self, *args)
        finally:
            sa.event.remove(sa.Engine, "before_cursor_execute", explain)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Recorder, "save_page", save_page)
        for hours in (20, 30, 48):
            site.cove.now = BEGIN + timedelta(hours=hours)
            site.sync()
        site.backfill()
    slow = {
        statement: step
        for statement, steps in plans.items()
        for step in steps
        if step.startswith(("SCAN job_runs", "SCAN cove_sessions")) or step.endswith("(source_type=?)")
    }
    assert len(plans) > 25
    assert slow == {}

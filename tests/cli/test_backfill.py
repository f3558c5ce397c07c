"""`backfill` as the installed command: processes that are killed, asked, watched and misled, on real databases."""

import json
import random
import re
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from tests.conftest import Cli, TlsFiles, the_json, wait_for
from tests.world.fake_cove import (
    FakeCove,
    FakeDevice,
    Fleet,
    HttpAnswer,
    Partner,
    RpcError,
    TrueSession,
    make_fleet,
    serving,
    serving_tls,
)
from tests.world.fake_cove.cove import NODE
from tests.world.forked import Process
from tests.world.layouts import EMPTY, RENAMED, STRICT, Layout, LiveSite, run_script
from tests.world.oracle import Fact, RunFact, all_runs, truth
from tests.world.recorded import facts, plain_rows, utc
from tests.world.terminal import Terminal

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
KINDS = ("sqlite", "postgresql")
SOURCE_NAMES = {"D01": "Files and Folders", "D02": "System State", "D10": "SQL Server", "D19": "Microsoft 365 Exchange"}
ANNOUNCED = re.compile(r"(\d+) job runs? will be added")

Row = dict[str, Any]


def present() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


@dataclass(kw_only=True)
class Place(LiveSite):
    """An installation in a directory of its own, driven by the installed command. The fake's time stands still."""

    cli: Cli
    more: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # more settings, by table

    def content(self) -> Row:
        content = super().content()
        content["api"] |= {"max_attempts": 1}
        return content | {name: {**content.get(name, {}), **settings} for name, settings in self.more.items()}

    def run(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return self.cli(*arguments, **environ)

    def answer(self, *arguments: str) -> Row:
        """The one JSON object that a command prints, which has its exit code in it."""
        done = self.run(*arguments, "--json")
        content = the_json(done.stdout)
        assert content["exit_code"] == done.returncode
        return content

    def start(self, *arguments: str) -> Process:
        return self.cli.start(*arguments)

    def table(self, name: str) -> list[Row]:
        return self.rows(f"SELECT * FROM {self.named(name)} ORDER BY 1")

    def facts(self) -> set[Fact]:
        return facts(self, self.named("cove_sessions"))

    def found_runs(self) -> dict[str, set[RunFact]]:
        found: dict[str, set[RunFact]] = {}
        for row in self.runs():
            found.setdefault(row["external_id"], set()).add((utc(row["run_at"]), row["status"]))
        return found

    def expected_runs(self, *polls: datetime) -> dict[str, set[RunFact]]:
        """The runs that there have to be where the window holds all that the fleet ever did; `polls` were before."""
        devices = self.cove.fleet.devices
        runs = {str(device.account_id): all_runs(device, *polls, self.cove.now, clock=present()) for device in devices}
        return {account: of_device for account, of_device in runs.items() if of_device}


@contextmanager
def no_server(cove: FakeCove) -> Iterator[FakeCove]:
    yield cove


MakePlace = Callable[..., Place]


@pytest.fixture
def make_place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakePlace]:
    """Makes installations, each with a database of its own; with a Cove of its own unless one is given."""
    servers: list[AbstractContextManager[FakeCove]] = []
    places: list[Place] = []

    def make(
        fleet: Fleet | None = None,
        *,
        cove: FakeCove | None = None,
        kind: str = "sqlite",
        layout: Layout = EMPTY,
        migrated: bool = True,
        **more: Mapping[str, Any],
    ) -> Place:
        directory = tmp_path / f"home{len(places)}"
        directory.mkdir()
        server = no_server(cove) if cove and cove.url else serving(cove or FakeCove(fleet or nightly(), present()))
        served = server.__enter__()
        servers.append(server)
        url = f"sqlite:///{directory / 'cove.db'}"
        if kind == "postgresql":
            url = request.getfixturevalue("make_postgres")()
        run_script(url, layout.script(url))
        place = Place(served, url, directory, layout=layout, cli=Cli(directory), more=more)
        places.append(place)
        place.cli.write_config(place.toml())
        if migrated:
            place.prepare()
        return place

    yield make
    for place in places:
        place.cli.close()
    for server in reversed(servers):
        server.__exit__(None, None, None)


def the_login(content: Row) -> Row:
    (login,) = content["logins"]
    assert isinstance(login, dict)
    return login


def idle_fleet(days: int, devices: int, seed: int = 3) -> Fleet:
    """A fleet with that many days of history, that has been idle for some hours."""
    return make_fleet(seed=seed, begin=present() - days * DAY, days=days - 0.15, devices=devices)


def mixed_fleet(days: int = 2) -> Fleet:
    """Two machines that run daily, a tenant, and a device that never ran."""
    fleet = idle_fleet(days, devices=5)
    del fleet.devices[0]
    return fleet


def without_ends_near(fleet: Fleet, moment: datetime, distance: timedelta = 15 * MINUTE) -> Fleet:
    """The fleet without the sessions that ended about that moment."""
    for device in fleet.devices:
        for source, sessions in device.sessions.items():
            device.sessions[source] = [one for one in sessions if abs(one.end - moment) > distance]
    return fleet


def nightly(statuses: Mapping[str, Sequence[int]] | None = None, *, devices: int = 1, kind: str = "server") -> Fleet:
    """Devices that ran each source once a day at the same time, the last time two hours ago; statuses by source."""
    statuses = statuses or {"D01": (5, 2, 5), "D02": (5, 5, 8)}
    last = present() - 2 * HOUR
    made = []
    for number in range(devices):
        name = f"{kind}{number}"
        device = FakeDevice(500_001 + number, 1001, name, name.upper(), kind, tuple(statuses))
        for place, (source, codes) in enumerate(statuses.items()):
            ends = [last + place * MINUTE - back * DAY for back in reversed(range(len(codes)))]
            device.sessions[source] = [
                TrueSession(source, end - 10 * MINUTE, end, code) for end, code in zip(ends, codes, strict=True)
            ]
        made.append(device)
    return Fleet([Partner(1000, "Example MSP", None), Partner(1001, "Example Bakery", 1000)], made)


# interrupted and gone on with


SINCE_10_DAYS = ("backfill", "--since", "10d", "--yes", "--json")
SLOWLY = {"backfill_workers": 2}


def fleet_of_12_days(devices: int) -> Fleet:
    """A fleet in which at most one device runs hourly, and nothing ended near the beginning of the window."""
    fleet = without_ends_near(idle_fleet(12, devices), present() - 10 * DAY)
    hourly = [device for device in fleet.devices if len(device.sessions.get("D01", ())) > 100]
    fleet.devices = [device for device in fleet.devices if device not in hourly[1:]]
    return fleet


def killed_after(place: Place, devices: int, seconds: float) -> None:
    """Start the backfill; kill it some moments after it has begun and so many more devices were done."""
    runs, wanted = len(place.table("cove_polls")), devices_done(place) + devices
    process = place.start(*SINCE_10_DAYS)
    wait_for(lambda: len(place.table("cove_polls")) > runs)
    wait_for(lambda: devices_done(place) >= wanted or process.poll() is not None)
    time.sleep(seconds)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def devices_done(place: Place) -> int:
    """How many devices' pasts have been written: the command writes one after the other."""
    return len(place.rows("SELECT account_id FROM cove_devices WHERE history IS NOT NULL"))


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_a_backfill_that_is_killed_again_and_again_ends_with_the_rows_of_one_that_was_not(
    kind: str, make_place: MakePlace, measured: Callable[[str], None], soaks: bool
) -> None:
    kills, devices = (25, 44) if soaks else (3, 10)
    clean = make_place(fleet_of_12_days(devices), kind=kind)
    cove, now, chance = clean.cove, clean.cove.now, random.Random(20)
    assert clean.answer("backfill", "--since", "10d", "--yes")["outcome"] == "ok"
    asked_cleanly = cove.count("QuerySessions")
    expected = plain_rows(clean)

    place = make_place(cove=cove, kind=kind, api=SLOWLY)
    cove.faults.slow_seconds = 0.05
    done = [0]
    for _ in range(kills):
        killed_after(place, chance.choice([0, 1, 1, 2]), chance.uniform(0, 0.1))
        done.append(devices_done(place))
    cove.faults.slow_seconds = 0
    total = len(cove.fleet.devices)
    in_the_middle = sum(0 < one < total for one in done)
    measured(f"{kills} kills on {kind} left {done[1:]} of {total} devices done")
    assert done == sorted(done)
    assert in_the_middle >= 0.75 * kills

    before = cove.count("QuerySessions")
    content = the_json(place.run(*SINCE_10_DAYS).stdout)
    login = the_login(content)
    assert (content["outcome"], login["error"], login["warnings"]) == ("ok", None, [])
    assert login["resumed"] == done[-1] > 0
    assert sum(login["ways"].values()) == total - done[-1]
    assert 0 < cove.count("QuerySessions") - before < asked_cleanly
    assert plain_rows(place) == expected
    assert place.facts() == truth(cove.fleet.devices, now - 10 * DAY, now)
    outcomes = [row["outcome"] for row in place.table("cove_polls")]
    assert outcomes == ["running"] * kills + ["ok"]

    again = the_login(the_json(place.run(*SINCE_10_DAYS).stdout))
    assert (again["resumed"], again["devices"], again["sessions"]["new"], again["sessions"]["updated"]) == (
        0, total, 0, 0,
    )  # fmt: skip
    assert plain_rows(place) == expected


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_backfill_that_is_told_to_stop_says_so_and_is_gone_on_with(
    number: int, code: int, make_place: MakePlace
) -> None:
    place = make_place(fleet_of_12_days(devices=16), api=SLOWLY)
    now, total = place.cove.now, len(place.cove.fleet.devices)
    place.cove.faults.slow_seconds = 0.05
    process = place.start(*SINCE_10_DAYS)
    wait_for(lambda: devices_done(place) >= 3)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=20)
    place.cove.faults.slow_seconds = 0
    done = devices_done(place)
    assert process.returncode == code
    assert the_json(stdout)["exit_code"] == code
    assert "what was saved before is right and stays" in stderr
    assert "Traceback" not in stderr
    (poll,) = place.table("cove_polls")
    assert (poll["outcome"], poll["exit_code"]) == ("error", code)
    assert poll["devices"] in (done - 1, done)  # one may have been committed and not counted yet
    assert poll["finished_at"] is not None
    assert 3 <= done < total
    login = the_login(the_json(place.run(*SINCE_10_DAYS).stdout))
    assert (login["resumed"], login["ways"], login["error"]) == (done, {"sessions": total - done}, None)
    assert place.facts() == truth(place.cove.fleet.devices, now - 10 * DAY, now)


class HeldNodes(FakeCove):
    """A Cove whose storage nodes do not answer before they are let go."""

    def __init__(self, fleet: Fleet) -> None:
        super().__init__(fleet, present())
        self.go_on = threading.Event()

    def answer_at(self, path: str, message: Row, bearer: str | None = None) -> Row:
        if path == NODE:
            self.go_on.wait(60)
        return super().answer_at(path, message, bearer)


def test_a_signal_ends_a_backfill_that_waits_for_a_slow_answer_within_seconds(make_place: MakePlace) -> None:
    cove = HeldNodes(nightly(devices=6))
    process = make_place(cove=cove).start("backfill", "--since", "5d", "--yes")
    wait_for(lambda: NODE in cove.arrived)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 143
    cove.go_on.set()


STOPPED_MEANWHILE = """
import os, signal, weakref
from cove_poller.database.tables import UtcDateTime

calls, original = 0, UtcDateTime.process_bind_param

class Thing:
    pass

def stop(ref=None):
    os.kill(os.getpid(), signal.SIGTERM)
    for _ in range(100):
        pass  # the signal's handler is called in here

def process_bind_param(self, value, dialect):
    global calls
    calls += 1
    if calls == {call}:
        {how}
    return original(self, value, dialect)

UtcDateTime.process_bind_param = process_bind_param
"""
STOPPED_WHILE_A_CONNECTION_IS_GIVEN_BACK = """
import os, signal
from sqlalchemy.pool import base

reset = base._ConnectionFairy._reset

def reset_and_stop(self, *arguments, **options):
    if os.path.exists("half-way"):
        os.remove("half-way")
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(100):
            pass  # the signal's handler is called in here
    reset(self, *arguments, **options)

base._ConnectionFairy._reset = reset_and_stop
"""


@pytest.mark.parametrize(
    ("how", "call"),
    [("stop()", 1), ("stop()", 400), ("thing = Thing(); ref = weakref.ref(thing, stop); del thing", 400)],
    ids=["while a statement is made", "while rows are made", "while Python cleans up"],
)
def test_a_signal_ends_the_run_whatever_is_just_being_done(how: str, call: int, make_place: MakePlace) -> None:
    right = {"username": "api-poller", "password": "token-of-the-fake-cove"}
    place = make_place(nightly(devices=20), logins={"main": right, "other": right})
    place.cli.before = STOPPED_MEANWHILE.format(how=how, call=call)
    done = place.run("backfill", "--since", "5d", "--yes")
    assert done.returncode == 143, done.stderr
    assert "what was saved before is right and stays" in done.stderr
    assert devices_done(place) < 20
    assert place.cove.count("Login") <= 1
    assert "other" not in {row["login"] for row in place.table("cove_polls")}


def test_a_signal_ends_the_run_that_is_just_giving_a_connection_back(make_place: MakePlace) -> None:
    place = make_place(nightly(devices=20), api=SLOWLY)
    place.cove.faults.slow_seconds = 0.05
    place.cli.before = STOPPED_WHILE_A_CONNECTION_IS_GIVEN_BACK
    process = place.start("backfill", "--since", "5d", "--yes")
    wait_for(lambda: devices_done(place) >= 3)
    (place.cli.directory / "half-way").touch()
    assert process.wait(10) == 143
    assert devices_done(place) < 20


# secrets


class Echo(FakeCove):
    """A Cove whose errors repeat what they are about, secrets first."""

    echoed: frozenset[str] = frozenset()
    says_visa = False

    def answer_at(self, path: str, message: Row, bearer: str | None = None) -> Row:
        reply = super().answer_at(path, message, bearer)
        if message["method"] not in self.echoed:
            return reply
        params = message.get("params", {})
        secrets = [params.get("token"), params.get("accountToken"), message.get("visa"), bearer, params.get("password")]
        account = params.get("accountId")
        secrets += [self.token_of(device) for device in self.fleet.devices if device.account_id == account]
        words = " ".join(filter(None, ["bad visa" if self.says_visa else "bad", *secrets, str(params)]))
        return {"id": message["id"], "jsonrpc": "2.0", "error": RpcError(None, words).payload}


def hidden_pieces(cove: FakeCove) -> set[str]:
    """Every secret that there was, and each half of it, in case that a text was cut."""
    random_parts = {visa.rpartition("-")[2] for visa in cove.visas}
    secrets = {*cove.visas, *random_parts, *map(cove.token_of, cove.fleet.devices), cove.password}
    halves = {half for one in secrets - cove.visas for half in (one[: len(one) // 2], one[len(one) // 2 :])}
    return secrets | halves


def written_by(place: Place) -> bytes:
    """All that lies in the directory of the installation but its configuration."""
    files = [file for file in place.directory.rglob("*") if file.is_file() and file.name != "cove.toml"]
    assert any(file.name == "cove.db" for file in files)
    return b"".join(file.read_bytes() for file in files)


def assert_hidden(place: Place, outputs: Iterable[subprocess.CompletedProcess[str]]) -> None:
    everything = "".join(done.stdout + done.stderr for done in outputs)
    assert everything
    shown = [piece for piece in hidden_pieces(place.cove) if piece in everything]
    assert not shown, everything
    stored = written_by(place)
    assert not [piece for piece in hidden_pieces(place.cove) if piece.encode() in stored]


def run_in_both_formats(place: Place, *arguments: str) -> list[subprocess.CompletedProcess[str]]:
    return [place.run("-vv", "--log-format", name, *arguments) for name in ("text", "json")]


def all_is_well(cove: Echo) -> None:
    """Nothing fails."""


def every_device_in_its_own_way(cove: Echo) -> None:
    """One's node cannot be reached, one's is somewhere else, one's refuses."""
    unreachable, foreign, refused, *_ = cove.fleet.devices
    here = cove.node_host(refused)
    hosts = {unreachable.account_id: "127.0.0.1:1", foreign.account_id: "node.example.com:443"}
    cove.faults.node_host = lambda device: hosts.get(device.account_id, here)
    cove.faults.endpoint_url = lambda device: f"https://node.example.com/{cove.token_of(device)}"
    cove.faults.history_refused = {refused.account_id}


def echoing_services(cove: Echo) -> None:
    cove.echoed = frozenset({"QuerySessions", "EnumerateSessions"})


def echoing_services_that_say_visa(cove: Echo) -> None:
    echoing_services(cove)
    cove.says_visa = True


def echoing_accounts(cove: Echo) -> None:
    cove.echoed = frozenset({"GetAccountInfoById", "EnumerateAccountHistoryStatistics"})


def echoing_listing(cove: Echo) -> None:
    cove.echoed = frozenset({"EnumerateAccountStatistics"})


def echoing_login(cove: Echo) -> None:
    cove.faults.login_error = RpcError(2100, f"wrong: {cove.password}")


def nonsense_with_secrets(cove: Echo) -> None:
    token = cove.token_of(cove.fleet.devices[0])
    answer = Echo.answer_at

    def answer_at(path: str, message: Row, bearer: str | None = None) -> Row:
        if message["method"] == "GetAccountInfoById":
            told = {"result": {"result": {"Id": 1, "Name": [[{}]], "Token": [token]}}, "visa": message["visa"]}
            return {"id": 1, "jsonrpc": "2.0", **told}
        return answer(cove, path, message, bearer)

    cove.answer_at = answer_at  # type: ignore[method-assign]


FAILURES: Mapping[Callable[[Echo], None], tuple[int, tuple[str, ...]]] = {
    all_is_well: (0, ()),
    every_device_in_its_own_way: (3, ("cannot be reached", "api.node_domains", "13501")),
    echoing_services: (3, ("QuerySessions", "EnumerateSessions", "[redacted]")),
    echoing_services_that_say_visa: (13, ("refuses the visa that it gave", "[redacted]")),
    echoing_accounts: (3, ("GetAccountInfoById", "[redacted]")),
    echoing_listing: (13, ("EnumerateAccountStatistics", "[redacted]", "Traceback")),
    echoing_login: (11, ("[redacted]", "Traceback")),
    nonsense_with_secrets: (3, ("is not what Cove documents",)),
}


@pytest.mark.parametrize("failure", FAILURES, ids=lambda one: one.__name__)
def test_no_token_visa_or_password_is_shown_or_stored_whatever_fails(
    failure: Callable[[Echo], None], make_place: MakePlace
) -> None:
    cove = Echo(mixed_fleet(), present())
    place = make_place(cove=cove)
    assert {device.kind for device in cove.fleet.devices} == {"server", "workstation", "m365"}
    failure(cove)
    code, phrases = FAILURES[failure]
    outputs = run_in_both_formats(place, "backfill", "--since", "3d", "--yes")
    assert [done.returncode for done in outputs] == [code, code], outputs[0].stderr
    assert all("DEBUG" in done.stderr or '"debug"' in done.stderr for done in outputs)
    assert all(phrase in outputs[0].stderr for phrase in phrases), outputs[0].stderr
    if failure is echoing_login:
        assert cove.count("Login") == 1
    assert_hidden(place, outputs)


def test_where_a_node_redirects_to_is_told_without_the_token_in_it(make_place: MakePlace) -> None:
    cove = Echo(nightly(), present())
    place = make_place(cove=cove, api={"backfill_workers": 1})
    answer = cove.answer_at

    def answer_at(path: str, message: Row, bearer: str | None = None) -> Row:
        if message["method"] == "GetAccountInfoById":
            token = cove.token_of(cove.fleet.devices[0])
            cove.faults.answers.append(HttpAnswer(302, {"Location": f"https://127.0.0.1:1/?token={token}"}))
        return answer(path, message, bearer)

    cove.answer_at = answer_at  # type: ignore[method-assign]
    outputs = [place.run("-vv", "backfill", "--since", "5d", "--yes")]
    assert outputs[0].returncode == 3
    assert "redirects to https://127.0.0.1:1/" in outputs[0].stderr
    assert_hidden(place, outputs)


def test_a_visa_that_fits_into_no_header_is_not_shown(make_place: MakePlace) -> None:
    fleet = nightly({"D19": (5, 5)}, kind="m365")
    cove = Echo(fleet, present())
    new_visa = cove._new_visa

    def broken_visa() -> str:
        visa = new_visa()
        cove.visas.add(broken := f"{visa}\n{visa}")
        return broken

    cove._new_visa = broken_visa  # type: ignore[method-assign]
    place = make_place(cove=cove)
    outputs = run_in_both_formats(place, "backfill", "--since", "5d", "--yes")
    assert [done.returncode for done in outputs] == [3, 3]
    assert_hidden(place, outputs)


def test_no_secret_is_in_the_traceback_of_a_bug(make_place: MakePlace) -> None:
    place = make_place(cove=Echo(nightly(), present()))
    place.cli.before = (
        "import cove_poller.cove.session_services as module\n"
        "def broken(*arguments): raise ZeroDivisionError('a bug')\n"
        "module.node_url = broken\n"
    )
    outputs = run_in_both_formats(place, "backfill", "--since", "5d", "--yes")
    assert [done.returncode for done in outputs] == [1, 1]
    assert all("ZeroDivisionError" in done.stderr for done in outputs)
    assert_hidden(place, outputs)
    assert [row["outcome"] for row in place.table("cove_polls")] == ["error", "error"]


def test_a_node_whose_certificate_nobody_vouches_for_gets_no_token(make_place: MakePlace, tls_files: TlsFiles) -> None:
    place = make_place(cove=Echo(nightly({"D01": (5, 2, 8, 5), "D02": (5, 5, 3, 5)}, devices=3), present()))
    cove = place.cove
    chosen = cove.fleet.devices[1]
    here = cove.node_host(chosen)
    with serving_tls(cove, tls_files.certificate, tls_files.key) as address:
        cove.faults.node_host = lambda device: None if device is chosen else here
        cove.faults.endpoint_url = lambda device: f"https://{address}/rcg/abc"

        outputs = [place.run("-vv", "backfill", "--since", "5d", "--yes", "--json")]
        login = the_login(the_json(outputs[0].stdout))
        asked = {one.params["accountId"] for one in cove.requests if one.method == "QuerySessions"}
        assert asked == {one.account_id for one in cove.fleet.devices} - {chosen.account_id}
        assert outputs[0].returncode == 3
        assert [one for one in login["warnings"] if f"device {chosen.account_id})" in one and "certificate" in one], (
            login
        )
        assert login["ways"] == {"sessions": 2, "snapshot": 1}
        assert place.facts() == truth(cove.fleet.devices, cove.now - 5 * DAY, cove.now)
        origins = {(row["account_id"] == chosen.account_id, row["origin"]) for row in sources_of(place)}
        assert origins == {(True, "snapshot"), (False, "sessions")}
        assert_hidden(place, outputs)

        outputs = [
            place.run("backfill", "--since", "5d", "--yes", "--json", REQUESTS_CA_BUNDLE=str(tls_files.authority))
        ]
        login = the_login(the_json(outputs[0].stdout))
        assert (outputs[0].returncode, login["ways"], login["warnings"]) == (0, {"sessions": 3}, [])
        assert {row["origin"] for row in sources_of(place)} == {"sessions"}
        assert place.facts() == truth(cove.fleet.devices, cove.now - 5 * DAY, cove.now)
        assert_hidden(place, outputs)


def sources_of(place: Place) -> list[Row]:
    return place.rows("SELECT * FROM cove_sessions WHERE data_source <> 'D09'")


# reviewed


def rows_of_runs(place: Place, condition: str) -> list[Row]:
    return place.rows(f"SELECT * FROM {place.named('job_runs')} WHERE {condition} ORDER BY id")


@pytest.mark.parametrize(("kind", "reviewer"), [("sqlite", 1), ("postgresql", 1), ("sqlite", None)])
def test_runs_that_are_added_as_reviewed_have_the_reviewer_and_stay_as_they_are(
    kind: str, reviewer: int | None, make_place: MakePlace
) -> None:
    settings = {} if reviewer is None else {"reviewed_by": reviewer}
    place = make_place(idle_fleet(2, devices=8), kind=kind, layout=STRICT, backupchecks=settings)
    cove, now = place.cove, place.cove.now
    foreign = rows_of_runs(place, "source_type IS NULL")
    assert len(foreign) == 3
    cove.now = now - DAY
    assert place.run("sync").returncode == 0
    before = {row["id"] for row in rows_of_runs(place, "source_type = 'api'")}
    members = f"SELECT id FROM {place.named('cove_sessions')} WHERE job_run_id IN (SELECT id FROM {{}} WHERE {{}})"
    api_runs = place.named("job_runs"), "source_type = 'api' AND reviewed_at IS NULL"
    known = {row["id"] for row in place.rows(members.format(*api_runs))}
    assert before
    assert known

    cove.now = now - 8 * HOUR
    began = present()
    content = place.answer("backfill", "--since", "4d", "--reviewed")
    login = the_login(content)
    assert (content["outcome"], login["warnings"]) == ("ok", [])
    assert place.found_runs() == place.expected_runs(now - DAY)
    reviewed = rows_of_runs(place, "source_type = 'api' AND reviewed_at IS NOT NULL")
    unreviewed = rows_of_runs(place, "source_type = 'api' AND reviewed_at IS NULL")
    assert len(reviewed) == login["job_runs"]["new"] > 50
    assert {row["id"] for row in unreviewed} <= before
    assert known <= {row["id"] for row in place.rows(members.format(*api_runs))}
    assert {row["reviewed_by"] for row in reviewed} == {reviewer}
    assert {row["reviewed_by"] for row in unreviewed} == {None}
    assert all(began <= utc(row["reviewed_at"]) <= datetime.now(UTC) for row in reviewed)

    cove.now = now
    content = place.answer("sync")
    assert the_login(content)["job_runs"]["new"] > 0
    assert rows_of_runs(place, "source_type = 'api' AND reviewed_at IS NOT NULL") == reviewed
    assert rows_of_runs(place, "source_type IS NULL") == foreign


@pytest.mark.parametrize("kind", KINDS)
def test_where_there_is_no_place_for_a_review_nothing_is_asked_and_written(kind: str, make_place: MakePlace) -> None:
    place = make_place(nightly(), kind=kind, layout=RENAMED)
    before = place.snapshot()
    done = place.run("backfill", "--since", "5d", "--reviewed", "--json")
    content = the_json(done.stdout)
    assert (done.returncode, content["exit_code"], content["error"]["code"]) == (14, 14, "database")
    assert "job_runs has no column reviewed_at" in content["error"]["message"]
    assert "job_runs has no column reviewed_at" in done.stderr
    assert place.cove.requests == []
    assert place.snapshot() == before
    assert place.run("backfill", "--since", "5d", "--yes").returncode == 0
    assert len(place.runs()) == 3


def test_a_reviewer_whom_the_database_does_not_know_ends_with_14_and_writes_no_run(make_place: MakePlace) -> None:
    place = make_place(nightly(), kind="postgresql", layout=STRICT, backupchecks={"reviewed_by": 99})
    done = place.run("backfill", "--since", "5d", "--reviewed")
    assert done.returncode == 14
    assert "foreign key" in done.stderr
    assert place.runs() == []
    assert place.table("cove_sessions") == []


# asked beforehand


def announced(text: str) -> int:
    (count,) = ANNOUNCED.findall(text)
    return int(count)


def expected_run_count(place: Place) -> int:
    return sum(map(len, place.expected_runs().values()))


def test_off_a_terminal_it_does_nothing_where_it_would_ask(make_place: MakePlace) -> None:
    place = make_place(idle_fleet(2, devices=6))
    done = place.run("backfill", "--since", "4d", "--json")
    assert (done.returncode, the_json(done.stdout)["exit_code"]) == (2, 2)
    assert "--reviewed" in done.stderr
    assert place.cove.requests == []
    assert place.run("backfill", "--since", "4d", "--yes").returncode == 0
    assert place.found_runs() == place.expected_runs()


def test_yes_and_reviewed_ask_nothing_and_read_nothing_twice(make_place: MakePlace) -> None:
    asked = []
    fleet = mixed_fleet()
    for flags in (("--yes",), ("--reviewed",), ("--dry-run",)):
        place = make_place(fleet)
        assert place.run("backfill", "--since", "4d", *flags).returncode == 0
        asked.append([place.cove.count(name) for name in ("QuerySessions", "EnumerateSessions", "Login")])
    assert all(asked[0])
    assert asked == [asked[0]] * 3


def test_on_a_terminal_no_means_that_nothing_is_written(make_place: MakePlace) -> None:
    place = make_place(nightly(devices=3))
    before = place.snapshot()
    terminal = Terminal(place.cli, "backfill", "--since", "5d")
    terminal.read_until("Go on?")
    asked = place.cove.count("QuerySessions")
    assert announced(terminal.text) == expected_run_count(place)
    terminal.type("n\n")
    assert terminal.finish() == 0
    assert "Nothing was written." in terminal.text
    assert place.snapshot() == before
    assert place.cove.count("QuerySessions") == asked


def test_on_a_terminal_yes_means_that_all_is_written(make_place: MakePlace) -> None:
    place = make_place(nightly(devices=3))
    terminal = Terminal(place.cli, "backfill", "--since", "5d")
    terminal.read_until("Go on?")
    assert place.table("cove_sessions") == []
    terminal.type("y\n")
    assert terminal.finish() == 0
    assert announced(terminal.text) == len(place.table("job_runs")) == expected_run_count(place)
    assert place.facts() == truth(place.cove.fleet.devices, place.cove.now - 5 * DAY, place.cove.now)


@pytest.mark.parametrize("flag", ["--yes", "--reviewed", "--dry-run"])
def test_on_a_terminal_it_does_not_ask_who_has_said_what_he_wants(flag: str, make_place: MakePlace) -> None:
    place = make_place(nightly())
    terminal = Terminal(place.cli, "backfill", "--since", "5d", flag)
    assert terminal.finish() == 0
    assert "Go on?" not in terminal.text
    assert not ANNOUNCED.search(terminal.text)


@pytest.mark.parametrize("how", ["Ctrl-C", "Ctrl-D"])
def test_who_leaves_the_question_leaves_the_database_as_it_was(how: str, make_place: MakePlace) -> None:
    place = make_place(nightly())
    before = place.snapshot()
    terminal = Terminal(place.cli, "backfill", "--since", "5d")
    terminal.read_until("Go on?")
    if how == "Ctrl-C":
        time.sleep(0.3)  # as it takes a person to read
        terminal.process.send_signal(signal.SIGINT)
    else:
        terminal.type("\x04")
    assert terminal.finish() == (130 if how == "Ctrl-C" else 1)
    assert "Traceback" not in terminal.text
    assert place.snapshot() == before


def test_json_is_printed_too_when_the_answer_is_no(make_place: MakePlace) -> None:
    place = make_place(nightly())
    terminal = Terminal(place.cli, "backfill", "--since", "5d", "--json", streams=["stdin", "stderr"])
    terminal.read_until("Go on?")
    terminal.type("n\n")
    assert terminal.finish() == 0
    assert the_json(terminal.elsewhere)["exit_code"] == 0
    assert place.table("cove_sessions") == []


def test_without_any_stdin_it_asks_nobody(make_place: MakePlace) -> None:
    place = make_place(nightly())
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" <&-', "sh", *place.cli.command("backfill", "--since", "5d")],
        cwd=place.directory, env=place.cli.environment(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, place.table("job_runs")) == (2, [])
    assert "nobody can be asked" in done.stderr


# a dry run


@pytest.mark.parametrize("kind", KINDS)
def test_a_dry_run_says_what_would_be_added_by_source_and_origin_and_writes_nothing(
    kind: str, make_place: MakePlace
) -> None:
    fleet = nightly({"D01": (5, 2, 5, 5), "D10": (5, 5, 5, 3)}, devices=4)
    tenant = nightly({"D19": (5, 8, 5, 5)}, kind="m365").devices[0]
    tenant.account_id = 600_000
    fleet.devices.append(tenant)
    place = make_place(fleet, kind=kind)
    cove, now = place.cove, place.cove.now
    cove.now = now - 2 * DAY
    assert place.run("sync").returncode == 0
    cove.now = now
    cove.faults.history_refused = {fleet.devices[0].account_id}
    seen_by_sync = Counter(row["data_source"] for row in sources_of(place))
    before = place.snapshot()

    text = place.run("backfill", "--since", "6d", "--dry-run")
    content = place.answer("backfill", "--since", "6d", "--dry-run")
    assert place.snapshot() == before
    assert (text.returncode, content["exit_code"]) == (0, 0)
    assert text.stdout.startswith("Nothing was written: this is what would be.\nmain: 5 devices (")
    sources = the_login(content)["sources"]
    really = Counter(one[1] for one in truth(fleet.devices, now - 6 * DAY, now))
    added = {source: sum(origins.values()) for source, origins in sources.items() if source != "D09"}
    assert added == really - seen_by_sync
    assert {source: set(origins) for source, origins in sources.items() if source != "D09"} == {
        "D01": {"sessions", "snapshot"}, "D10": {"sessions", "snapshot"}, "D19": {"sessions"},
    }  # fmt: skip
    for source, origins in sources.items():
        said = ", ".join(f"{count} from {origin}" for origin, count in origins.items())
        assert f"    {SOURCE_NAMES.get(source, 'Total')}: {said}\n" in text.stdout

    real = place.answer("backfill", "--since", "6d", "--yes")
    assert the_login(real)["sources"] == sources
    assert the_login(real)["job_runs"] == the_login(content)["job_runs"]
    found = facts(place, with_context=True)  # a success of which the first poll did not know all around it
    assert found == truth(fleet.devices, now - 6 * DAY, now)


# JSON


def test_json_is_one_object_with_window_and_per_login_sources_and_ways(make_place: MakePlace) -> None:
    fleet = mixed_fleet(days=3)
    other = {"username": "api-poller", "password": "wrong"}
    place = make_place(fleet, logins={"main": {"username": "api-poller", "password": "token-of-the-fake-cove"}})
    now = place.cove.now
    since, until = now - 30 * DAY, now - HOUR
    content = place.answer("backfill", "--since", since.isoformat(), "--until", until.isoformat(), "--yes")
    assert list(content) == [
        "command", "outcome", "exit_code", "started_at", "duration_seconds", "since", "until", "logins",
    ]  # fmt: skip
    assert (content["command"], content["outcome"], content["exit_code"]) == ("backfill", "ok", 0)
    login = the_login(content)
    for said in (content, login):
        assert (said["since"], said["until"]) == tuple(f"{one:%Y-%m-%dT%H:%M:%SZ}" for one in (since, until))
    assert list(login) == [
        "login", "partner_id", "devices", "requests", "login_requests", "sessions", "job_runs", "running", "unlinked",
        "gaps", "spooled", "warnings", "standing", "error", "since", "until", "sources", "ways", "resumed",
    ]  # fmt: skip
    assert (login["devices"], login["ways"], login["resumed"]) == (4, {"sessions": 4}, 0)
    really = Counter(one[1] for one in truth(fleet.devices, since, until))
    sources = dict(login["sources"])
    sources.pop("D09")
    assert sources == {source: {"sessions": count} for source, count in really.items()}

    config = place.content()
    place.cli.write_config(tomli_w.dumps({**config, "logins": {**config["logins"], "other": other}}))
    content = place.answer("backfill", "--since", "4d", "--yes")
    assert (content["outcome"], content["exit_code"]) == ("partial", 3)
    good, bad = content["logins"]
    assert (good["login"], good["error"], good["ways"]) == ("main", None, {"sessions": 4})
    assert (bad["login"], bad["error"]["code"], bad["sources"], bad["ways"]) == ("other", "login_rejected", {}, {})
    assert place.cove.count("Login") == 3  # one before, one of the good one, and one rejected


def test_json_of_a_rejected_login_has_11_and_cove_is_asked_once(make_place: MakePlace) -> None:
    place = make_place()
    place.cove.password = "another"
    content = place.answer("backfill", "--since", "5d", "--yes")
    assert (content["exit_code"], the_login(content)["error"]["code"]) == (11, "login_rejected")
    assert {"since", "until"} <= content.keys()
    assert place.cove.count("Login") == 1
    assert place.answer("backfill", "--since", "5d", "--yes")["exit_code"] == 11
    assert place.answer("backfill", "--since", "5d", "--dry-run")["exit_code"] == 11
    assert place.cove.count("Login") == 1


def test_json_of_a_listing_that_is_refused_has_12(make_place: MakePlace) -> None:
    place = make_place()
    place.cove.faults.forbidden_methods = frozenset({"EnumerateAccountStatistics"})
    content = place.answer("backfill", "--since", "5d", "--yes")
    assert (content["exit_code"], the_login(content)["error"]["code"]) == (12, "permission_denied")
    assert (the_login(content)["sources"], the_login(content)["ways"]) == ({}, {})


def test_json_of_a_database_that_is_not_prepared_has_14_and_cove_is_not_asked(make_place: MakePlace) -> None:
    place = make_place(kind="postgresql", migrated=False)
    for flags in (("--reviewed",), ("--yes",)):
        content = place.answer("backfill", "--since", "5d", *flags)
        assert (content["exit_code"], content["logins"], content["error"]["code"]) == (14, [], "database")
        assert "run: cove-poller migrate" in content["error"]["message"]
    assert place.cove.requests == []


@pytest.mark.parametrize("kind", KINDS)
def test_while_a_backfill_runs_another_one_ends_with_15_and_a_sync_does_its_work(
    kind: str, make_place: MakePlace
) -> None:
    cove = HeldNodes(nightly(devices=6))
    place = make_place(cove=cove, kind=kind)
    busy = place.start("backfill", "--since", "5d", "--yes", "--json")
    wait_for(lambda: NODE in cove.arrived)
    contents = [place.answer(*command) for command in (("backfill", "--since", "5d", "--yes"), ("sync",), ("sync",))]
    assert busy.poll() is None
    cove.go_on.set()
    stdout, _ = busy.communicate()
    assert [one["exit_code"] for one in contents] == [15, 0, 0]
    assert "another backfill is busy with login main" in the_login(contents[0])["error"]["message"]
    assert the_login(contents[1])["sessions"]["new"] > 0
    assert the_login(the_json(stdout))["devices"] == 6
    assert place.facts() == truth(cove.fleet.devices, cove.now - 5 * DAY, cove.now)
    assert place.found_runs() == place.expected_runs()


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_sync_saw_while_a_backfill_ran_is_not_overwritten_by_what_that_had_been_told_before(
    kind: str, make_place: MakePlace
) -> None:
    cove = HeldNodes(nightly({"D01": (5, 5, 5, 2)}, devices=3))
    now, gone = cove.now, cove.fleet.devices[2]
    place = make_place(cove=cove, kind=kind)
    cove.now = now - 5 * HOUR  # before the sessions that failed
    backfill = place.start("backfill", "--since", "5d", "--yes", "--json")
    wait_for(lambda: NODE in cove.arrived)
    cove.now = now
    cove.fleet.devices.remove(gone)
    assert place.answer("sync")["exit_code"] == 0
    listed = cove.count("EnumerateAccountStatistics")
    cove.go_on.set()
    stdout, _ = backfill.communicate()
    login = the_login(the_json(stdout))
    assert [row["status"] for row in place.table("cove_devices")] == ["failed", "failed"]
    assert cove.count("EnumerateAccountStatistics") > listed
    who = f"Example Bakery, {gone.computer_name} (device {gone.account_id})"
    assert f"{who}: Cove no longer lists it, so nothing of it was written" in login["warnings"]
    assert place.facts() == truth(cove.fleet.devices, now - 5 * DAY, now)
    assert place.found_runs() == place.expected_runs()


# when


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--since", "yesterday"), "'yesterday' is no time; say 2026-01-31"),
        (("--since", ""), "is no time; say 2026-01-31"),
        (("--since", "2026-13-01"), "'2026-13-01' is no time; say 2026-01-31"),
        (("--since", "5d", "--until", ""), "is no time; say 2026-01-31"),
        (("--since", "2999-01-01"), "2999-01-01 is 2999-01-01 00:00Z, which lies in the future"),
        (("--since", "2d", "--until", "3d"), "Z, not before --until, 20"),
    ],
)
def test_a_time_that_makes_no_sense_is_wrong_usage_and_says_how_to_write_it(
    arguments: tuple[str, ...], said: str, make_place: MakePlace
) -> None:
    place = make_place()
    done = place.run("backfill", *arguments, "--yes")
    assert (done.returncode, done.stdout) == (2, "")
    assert said in " ".join(done.stderr.split())
    assert place.cove.requests == []


def test_every_right_way_to_write_a_time_is_understood(make_place: MakePlace) -> None:
    place = make_place()
    now = present()
    day, moment = now - 20 * DAY, now - 3 * DAY
    in_tokyo = f"{moment + 9 * HOUR:%Y-%m-%dT%H:%M}+09:00"
    pairs = {
        (f"{day:%Y-%m-%d}", "12h"): (day.replace(hour=0, minute=0, second=0), now - 12 * HOUR),
        (f"{day:%Y-%m-%dT%H:%M:%S}", in_tokyo): (day, moment.replace(second=0)),
        ("28d", f"{moment:%Y-%m-%dT%H:%M:%SZ}"): (now - 28 * DAY, moment),
        ("50d", "2999-01-01"): (now - 50 * DAY, now),
    }
    for (since, until), wanted in pairs.items():
        content = place.answer("backfill", "--since", since, "--until", until, "--dry-run")
        assert content["exit_code"] == 0
        for name, text, moment in zip(("since", "until"), (since, until), wanted, strict=True):
            slack = MINUTE if text[-1] in "dh" or text.startswith("2999") else timedelta()
            assert timedelta() <= utc(content[name]) - moment <= slack, (text, content[name])
            assert content[name].endswith("Z")


# how far it is


# one device


def three_devices() -> Fleet:
    """SERVER0, and two machines that are both called TWIN, as restored ones are; in Cove their names differ."""
    fleet = nightly(devices=3)
    fleet.devices[1:] = [replace(one, computer_name="TWIN") for one in fleet.devices[1:]]
    return fleet


@pytest.mark.parametrize("name", ["500001", "SERVER0", "server0", "server1"])
def test_a_device_that_is_named_by_id_computer_or_name_in_cove_is_the_only_one_whose_past_is_written(
    name: str, make_place: MakePlace
) -> None:
    place = make_place(three_devices())
    assert place.run("sync").returncode == 0
    before, wanted = place.found_runs(), {"500001": "500001", "server1": "500002"}.get(name, "500001")
    login = the_login(place.answer("backfill", "--since", "5d", "--yes", "--device", name))
    assert (login["devices"], login["error"]) == (1, None)
    found, whole = place.found_runs(), place.expected_runs(place.cove.now)
    assert found == {**before, wanted: whole[wanted]}
    assert len(found[wanted]) > len(before[wanted])


def test_a_name_that_no_device_or_more_than_one_has_is_wrong_usage_and_says_which_may_be_meant(
    make_place: MakePlace,
) -> None:
    place = make_place(three_devices())
    assert place.run("sync").returncode == 0
    before, asked = place.snapshot(), len(place.cove.requests)
    both = "Example Bakery, TWIN (device 500002); Example Bakery, TWIN (device 500003)"
    for name, said in {
        "twin": f"2 devices are called 'twin': {both}; say which by its id",
        "SERVER00": "no device is called 'SERVER00'; near are: Example Bakery, SERVER0 (device 500001)",
        "printer": "no device is called 'printer'; `cove-poller devices list` shows all",
    }.items():
        content = place.answer("backfill", "--since", "5d", "--yes", "--device", "SERVER0", "--device", name)
        assert (content["exit_code"], content["error"]["code"]) == (2, "usage")
        assert content["error"]["message"].startswith(f"Invalid value for --device: {said}")
    assert (place.snapshot(), len(place.cove.requests)) == (before, asked)


def test_on_a_terminal_a_bar_shows_how_many_devices_are_done(make_place: MakePlace) -> None:
    place = make_place(nightly(devices=30))
    place.cove.faults.slow_seconds = 0.1
    terminal = Terminal(place.cli, "backfill", "--since", "5d", "--yes", columns=80)
    assert terminal.finish() == 0
    shown = [int(count) for count in re.findall(r"(\d+)/30", terminal.text)]
    assert shown[-1] == 30
    assert shown == sorted(shown)
    assert len(set(shown)) > 2
    assert re.findall(r"(\d+) new sess", terminal.text)[-1] == str(len(place.table("cove_sessions")))
    assert "30 devices (30 by sessions)" in terminal.text


def test_ctrl_c_gives_the_terminal_back_as_it_was(make_place: MakePlace) -> None:
    place = make_place(nightly(devices=80))
    place.cove.faults.slow_seconds = 0.1
    terminal = Terminal(place.cli, "backfill", "--since", "5d", "--yes")
    terminal.read_until("0/80")  # the bar is redrawn so seldom that it may leave out any other number
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.finish() == 130
    assert "what was saved before is right and stays" in terminal.text
    assert "Traceback" not in terminal.text
    assert terminal.raw.rfind(b"\x1b[?25h") > terminal.raw.rfind(b"\x1b[?25l") >= 0  # the cursor is shown again


def run_that_logs_all_progress(place: Place, *flags: str) -> str:
    """Run a backfill as if 30 seconds went by between any two devices. Return its stderr."""
    place.cli.before = "import cove_poller.cli.logs as logs\nlogs.PROGRESS_SECONDS = 0\n"
    done = place.run(*flags, "backfill", "--since", "5d", "--yes")
    assert done.returncode == 0
    return done.stderr


def test_off_a_terminal_the_log_says_how_far_it_is_and_nothing_when_quiet(make_place: MakePlace) -> None:
    loud, quiet, as_json = (make_place(nightly(devices=4)) for _ in range(3))
    lines = run_that_logs_all_progress(loud).splitlines()
    assert re.search(r" INFO login main: 4 of 4 devices, \d+ new sessions$", lines[-1])
    assert "\x1b" not in "".join(lines)
    assert run_that_logs_all_progress(quiet, "-q") == ""
    entries = map(json.loads, run_that_logs_all_progress(as_json, "--log-format", "json").splitlines())
    assert any(entry["message"].startswith("login main: 4 of 4 devices, ") for entry in entries)


# the audit trail


def test_every_run_leaves_a_row_for_each_login_in_the_audit_trail(make_place: MakePlace) -> None:
    right = {"username": "api-poller", "password": "token-of-the-fake-cove"}
    place = make_place(nightly(devices=3), logins={"main": right, "other": {**right, "password": "wrong"}})
    assert place.run("backfill", "--since", "5d", "--yes", "--login", "main").returncode == 0
    assert place.run("backfill", "--since", "5d", "--dry-run", "--login", "main").returncode == 0
    assert place.run("backfill", "--since", "5d", "--yes").returncode == 3
    rows = place.table("cove_polls")
    assert [(row["command"], row["login"], row["outcome"], row["exit_code"]) for row in rows if row["exit_code"]] == [
        ("backfill", "other", "error", 11)
    ]
    ok = [row for row in rows if row["login"] == "main"]
    assert [(row["command"], row["outcome"], row["exit_code"], row["devices"]) for row in ok] == [
        ("backfill", "ok", 0, 3)
    ] * 2
    sessions, runs = len(place.table("cove_sessions")), len(place.table("job_runs"))
    assert [(row["sessions_new"], row["job_runs_new"]) for row in ok] == [(sessions, runs), (0, 0)]
    assert all(row["finished_at"] and row["requests"] for row in ok)

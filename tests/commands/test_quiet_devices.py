"""Polls pass over a device of which nothing can be new, and write what they would have written otherwise."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from cove_poller.commands.quiet_devices import each_once
from cove_poller.commands.record_page import Recorder
from cove_poller.cove.listing import Listed
from cove_poller.database.devices import Devices
from cove_poller.database.engine import Mode
from cove_poller.records.device import StatisticsRow
from cove_poller.records.due import MARK_COLUMNS
from tests.conftest import BEGIN, Site
from tests.world.counted import changes_by_table
from tests.world.fake_cove import FakeCove, Fleet, make_fleet, serving
from tests.world.made_up import dear
from tests.world.small_fleet import MORNING, add_session, make_device, make_small_fleet

TABLES = ("customers", "jobs", "job_runs", "cove_devices", "cove_sessions")
HOUR = timedelta(hours=1)


@pytest.fixture
def statements() -> Iterator[list[str]]:
    """All statements that are run."""
    seen: list[str] = []

    def note(*args: Any) -> None:
        seen.append(args[2])

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    yield seen
    sa.event.remove(sa.Engine, "before_cursor_execute", note)


def quiet_site(database_url: str, tmp_path: Path, devices: int = 3) -> Iterator[Site]:
    fleet = make_small_fleet(*(make_device(number, f"srv{number}_x") for number in range(1, devices + 1)))
    with serving(FakeCove(fleet, MORNING)) as cove:
        site = Site(cove, database_url, tmp_path)
        site.migrate()
        site.sync()
        yield site


def marks(site: Site) -> list[bool]:
    return [bool(row["row_digest"]) for row in site.rows("SELECT row_digest FROM cove_devices ORDER BY account_id")]


def test_where_nothing_is_new_only_the_audit_trail_is_written_and_a_page_costs_one_statement(
    make_postgres: Callable[[], str], tmp_path: Path, statements: list[str]
) -> None:
    counts = []
    for devices in (3, 200):
        for site in quiet_site(make_postgres(), tmp_path, devices):
            before = changes_by_table(site)
            statements.clear()
            site.cove.now += timedelta(minutes=30)
            (login,) = site.sync().to_json()["logins"]
            counts.append(len([one for one in statements if "cove_devices" in one and "row_digest" in one]))
            after = changes_by_table(site)
            assert {name: after[name] - before[name] for name in TABLES} == dict.fromkeys(TABLES, 0)
            assert (login["devices"], login["sessions"]["unchanged"]) == (devices, 3 * devices)
    assert counts[0] == counts[1]


def graver_behind() -> Callable[[dict[str, Any], dict[str, Any]], Any]:
    """Lets the first device stand at the end of the list once more, and have failed there."""
    first: list[dict[str, Any]] = []

    def failed(pair: dict[str, str]) -> dict[str, str]:
        return {code: "2" if code.endswith("F00") else value for code, value in pair.items()}

    def edit(query: dict[str, Any], result: dict[str, Any]) -> Any:
        rows = result["result"]
        first.extend(rows[:1] if not first else [])
        graver = [{**row, "Settings": [*map(failed, row["Settings"])]} for row in first]
        is_last = query["StartRecordNumber"] >= 8 and len(rows) > 1
        return {**result, "result": [*rows, *graver] if is_last else rows}

    return edit


def test_a_device_that_a_later_page_told_something_graver_of_is_looked_at_again(
    database_url: str, tmp_path: Path
) -> None:
    for site in quiet_site(database_url, tmp_path, devices=12):
        site.settings["api"] = {"page_size": 5}
        site.sync()
        assert marks(site) == [True] * 12
        site.cove.faults.edit_listing = graver_behind()
        site.sync()
        assert site.rows("SELECT status FROM cove_devices WHERE account_id = 1") == [{"status": "failed"}]
        assert marks(site) == [False] + [True] * 11


def test_after_an_hour_it_is_written_that_quiet_devices_were_seen_and_nothing_else(
    database_url: str, tmp_path: Path
) -> None:
    for site in quiet_site(database_url, tmp_path):
        before = site.rows("SELECT * FROM cove_devices ORDER BY account_id")
        site.cove.now += HOUR
        site.sync()
        after = site.rows("SELECT * FROM cove_devices ORDER BY account_id")
        assert [row.pop("last_seen_at") for row in before] != [row.pop("last_seen_at") for row in after]
        assert before == after


def test_a_device_with_a_new_session_is_looked_at_and_the_others_are_passed_over(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[int] = []
    original = Recorder.save_page

    def save_page(self: Recorder, *args: Any) -> Any:
        looked_at.extend(device.account_id for device in args[1])
        return original(self, *args)

    for site in quiet_site(database_url, tmp_path):
        monkeypatch.setattr(Recorder, "save_page", save_page)
        add_session(site.cove.fleet.devices[1], "D01", 6.5)
        site.cove.now += HOUR
        (login,) = site.sync().to_json()["logins"]
        assert {*looked_at} == {2}
        assert (login["devices"], login["sessions"]["new"]) == (3, 2)


def test_where_the_clocks_move_apart_every_device_is_looked_at(database_url: str, tmp_path: Path) -> None:
    for site in quiet_site(database_url, tmp_path):
        site.cove.faults.clock_ahead_seconds = -40_000
        site.cove.now += timedelta(minutes=30)
        found = site.sync()
        assert found.exit_code == 3
        assert "which has not come yet" in str(found.to_json()["logins"][0]["warnings"])


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE jobs SET cove_account_id = NULL WHERE cove_account_id = 2",
        "INSERT INTO jobs (customer_id, backup_software, backup_type, job_name, cove_account_id)"
        " SELECT customer_id, backup_software, backup_type, 'another', 2 FROM jobs WHERE cove_account_id = 2",
        "UPDATE cove_devices SET ignored = true WHERE account_id = 2",
        "UPDATE cove_devices SET gone_at = last_seen_at WHERE account_id = 2",
        "UPDATE cove_devices SET missing_since = last_seen_at WHERE account_id = 2",
        "UPDATE cove_devices SET replan_since = last_seen_at WHERE account_id = 2",
        "UPDATE cove_devices SET login = 'other' WHERE account_id = 2",
        "UPDATE cove_devices SET due_at = first_seen_at WHERE account_id = 2",
        "UPDATE cove_devices SET row_digest = NULL WHERE account_id = 2",
        "UPDATE cove_devices SET row_digest = 'another' WHERE account_id = 2",
    ],
)
def test_what_changes_on_record_makes_a_device_due_and_no_other(change: str, database_url: str, tmp_path: Path) -> None:
    for site in quiet_site(database_url, tmp_path):
        digests = {row["account_id"]: row["row_digest"] for row in site.rows("SELECT * FROM cove_devices")}
        site.execute(change)
        now = site.cove.now + timedelta(minutes=30)
        with site.installation().open_prepared(Mode.DRY) as database, database.store() as store:
            assert {row["account_id"] for row in store.devices.quiet("main", digests, now)} == {1, 3}


def as_json(content: Any) -> dict[str, Any]:
    """What a column of JSON has, on each database."""
    return dict(json.loads(content) if isinstance(content, str) else content or {})


def recorded(site: Site) -> dict[str, list[dict[str, Any]]]:
    """All rows of what is written of devices, but for the marks, and for ids, which go by who was written first."""
    found = {table: site.rows(f"SELECT * FROM {table}") for table in TABLES}
    run_at = {row["id"]: row["run_at"] for row in found["job_runs"]}
    for row in found["cove_sessions"]:
        row["job_run_id"] = run_at.get(row["job_run_id"])
    for row in (*found["cove_sessions"], *found["job_runs"]):
        del row["id"]
    for row in found["cove_devices"]:
        for name in MARK_COLUMNS:
            del row[name]
        row["history"] = {**as_json(row["history"]), "known": None}  # digests of ids and of the server's address
    return {table: sorted(rows, key=repr) for table, rows in found.items()}


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.sampled_from([1, 10, 29, 30, 31, 60, 90, 240, 1440, 4000])),
        st.tuples(st.just("same"), st.sampled_from([1, 30, 60, 2900, 10_100])),
        st.tuples(st.just("backfill"), st.sampled_from([1, 30])),
        st.tuples(st.just("ignore"), st.integers(0, 7)),
        st.tuples(st.just("unlink"), st.integers(0, 7)),
        st.tuples(st.just("replan"), st.integers(0, 7)),
        st.tuples(st.just("hide"), st.integers(0, 7)),
        st.tuples(st.just("alerts"), st.sampled_from([6, 24, 48, 200])),
        st.tuples(st.just("garble"), st.integers(0, 7)),
        st.tuples(st.just("clock"), st.sampled_from([0, 100, -100, 400, 4000, -40_000])),
        st.tuples(st.just("histories"), st.sampled_from(["always", "gaps", "never"])),
        st.tuples(st.just("refuse"), st.sampled_from(["D01F15", "D02F12", ""])),
    ),
    min_size=3,
    max_size=10,
)


class World:
    """One site, which lives through the same as another."""

    def __init__(self, site: Site, everybody: Fleet) -> None:
        self.site = site
        self.devices = list(everybody.devices)
        self.hidden: set[int] = set()
        self.garbled: set[int] = set()
        self.frozen_at = site.cove.now
        site.cove.faults.edit_row = self._row

    def _row(self, known: dict[str, str], device: Any) -> dict[str, str]:
        return {**known, "D01F15": "soon"} if device.account_id in self.garbled else known

    def live(self, what: str, value: Any) -> None:  # noqa: C901
        site, accounts = self.site, [one.account_id for one in self.devices]
        account = accounts[value] if what in ("ignore", "unlink", "replan", "hide", "garble") else 0
        if what == "wait" or what == "same":
            site.cove.now += timedelta(minutes=value)
        elif what == "backfill":
            site.cove.now += timedelta(minutes=value)
            site.backfill()
        elif what == "ignore":
            with site.installation().open_prepared(Mode.WRITE) as database, database.store() as store:
                if found := store.devices.find(account):
                    store.devices.ignore(account, ignored=not found.ignored)
        elif what == "unlink":
            site.execute(f"UPDATE jobs SET cove_account_id = NULL WHERE cove_account_id = {account}")
        elif what == "replan":
            site.execute(f"UPDATE cove_devices SET replan_since = first_seen_at WHERE account_id = {account}")
        elif what == "hide":
            self.hidden ^= {account}
            site.cove.fleet.devices = [one for one in self.devices if one.account_id not in self.hidden]
        elif what == "alerts":
            site.settings["alerts"] = {"server_hours": value, "workstation_hours": value, "m365_hours": value}
        elif what == "clock":
            site.cove.faults.clock_ahead_seconds = value
        elif what == "histories":
            site.settings["api"] = {"histories": value}
        elif what == "garble":
            self.garbled ^= {account}
        elif what == "refuse":
            site.cove.faults.forbidden_columns = (lambda code: code == value) if value else None


def lived(directory: Path, seed: int, steps: list[tuple[str, Any]], pause: int) -> list[tuple[Any, ...]]:
    """What polls say and leave behind after each of the steps in a made-up world."""
    fleet = make_fleet(seed, BEGIN, 3, devices=8)
    with serving(FakeCove(fleet, BEGIN + timedelta(days=1))) as cove:
        site = Site(cove, f"sqlite:///{directory / 'cove.db'}", directory)
        site.migrate()
        world, found = World(site, fleet), []
        site.sync()
        for what, value in steps:
            world.live(what, value)
            for _ in range(pause):
                result = site.sync().to_json()
                for name in ("started_at", "duration_seconds"):
                    del result[name]
                found.append((what, value, result, recorded(site)))
        return found


@pytest.mark.long
@dear(4)
@given(seed=st.integers(0, 10_000), steps=STEPS, pause=st.integers(1, 3))
def test_polls_that_pass_over_quiet_devices_write_the_same_rows_as_those_that_look_at_all(
    tmp_path_factory: pytest.TempPathFactory, seed: int, steps: list[tuple[str, Any]], pause: int
) -> None:
    told = []
    for passes_over in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            if not passes_over:
                patch.setattr(Devices, "quiet", lambda *_: [])
            told.append(lived(tmp_path_factory.mktemp("world"), seed, steps, pause))
    for one, other in zip(*told, strict=True):
        assert one == other


def test_each_word_of_a_device_that_is_listed_twice_is_written_after_the_other() -> None:
    told = [(1, "a"), (2, "b"), (1, "c")]
    words = [Listed(account, (StatisticsRow(account, None, [{"I1": name}]),)) for account, name in told]
    assert each_once(words) == [words[:2], words[2:]]

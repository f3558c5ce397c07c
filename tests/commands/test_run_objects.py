"""A run's data sources as objects in a table of Backupchecks': written with the run, and only with it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import ValidationError

from cove_poller.config.settings import BackupchecksSettings
from cove_poller.errors import DatabaseError
from cove_poller.records.columns import label
from tests.conftest import BEGIN, Site
from tests.world.counted import changes_by_table
from tests.world.fake_cove import FakeCove, FakeDevice, Fleet, Reading, TrueSession, make_fleet, serving
from tests.world.layouts import GRANTS, run_script
from tests.world.oracle import RANK, as_told, rounds, running_at_first, status_of, totals_of, visible
from tests.world.recorded import utc
from tests.world.small_fleet import MORNING, NIGHT, add_session, make_device, make_small_fleet

WORDS = {"success": "Success", "warning": "Warning", "failed": "Failed"}
LABELS = {
    "D01": "Files and Folders", "D02": "System State", "D04": "Exchange", "D05": "Microsoft 365 SharePoint",
    "D06": "Network Shares", "D08": "VMware", "D09": "Total", "D10": "SQL Server", "D11": "SharePoint",
    "D14": "Hyper-V", "D15": "MySQL", "D19": "Microsoft 365 Exchange", "D20": "Microsoft 365 OneDrive",
    "D23": "Microsoft 365 Teams",
}  # fmt: skip

Object = tuple[str, str, str, str]


@dataclass(frozen=True)
class ObjectTable:
    """A table for objects as somebody laid it out, and how the poller is told about it."""

    id: str
    sqlite: tuple[str, ...]
    postgresql: tuple[str, ...]
    query: str
    table: str
    settings: dict[str, Any] = field(default_factory=dict)
    message_limit: int | None = None


SIMPLE = ObjectTable(
    "simple",
    sqlite=(
        "CREATE TABLE run_object_links (id INTEGER NOT NULL, run_id INTEGER, object_name TEXT, object_type TEXT,"
        " status TEXT, error_message TEXT, PRIMARY KEY (id))",
    ),
    postgresql=(
        "CREATE TABLE run_object_links (id serial PRIMARY KEY, run_id bigint, object_name text, object_type text,"
        " status varchar(20), error_message text)",
    ),
    query="SELECT run_id, object_name AS name, object_type AS type, status, error_message AS message, id AS place"
    " FROM run_object_links",
    table="run_object_links",
)
OTHER = ObjectTable(
    "other",
    sqlite=(
        'CREATE TABLE "Run Items" (item INTEGER NOT NULL PRIMARY KEY, run INTEGER NOT NULL, title VARCHAR(80) NOT NULL,'
        " outcome VARCHAR(20) NOT NULL, details VARCHAR(15), restored BOOLEAN NOT NULL,"
        " FOREIGN KEY (run) REFERENCES job_runs (id) ON DELETE RESTRICT)",
        # SQLite checks no foreign keys unless it is told to; a trigger does
        "CREATE TRIGGER in_use BEFORE DELETE ON job_runs WHEN EXISTS"
        ' (SELECT 1 FROM "Run Items" WHERE run = OLD.id)'
        " BEGIN SELECT RAISE(ABORT, 'FOREIGN KEY constraint failed'); END",
    ),
    postgresql=(
        "CREATE TYPE outcome AS ENUM ('Success', 'Warning', 'Failed')",
        'CREATE TABLE "Run Items" (item bigserial PRIMARY KEY, run integer NOT NULL REFERENCES job_runs (id)'
        " ON DELETE RESTRICT, title varchar(80) NOT NULL, outcome outcome NOT NULL, details char(15),"
        " restored boolean NOT NULL)",
    ),
    query="SELECT run AS run_id, title AS name, '' AS type, outcome AS status, details AS message, item AS place"
    ' FROM "Run Items" WHERE NOT restored',
    table='"Run Items"',
    settings={
        "table": "Run Items",
        "columns": {"run_id": "run", "name": "title", "type": "", "status": "outcome", "message": "details"},
        "defaults": {"restored": False},
    },
    message_limit=15,
)


@dataclass
class ObjectSite(Site):
    """A prepared installation whose database has a table for objects."""

    layout: ObjectTable = SIMPLE

    def prepare(self) -> None:
        """Migrate, and make the table as somebody else would have; then name it."""
        self.migrate()
        self.execute(*(self.layout.sqlite if self.is_sqlite else self.layout.postgresql))
        self.name_table()

    def name_table(self) -> None:
        named = {"table": self.layout.table, **self.layout.settings}
        self.settings = {"backupchecks": {**self.settings.get("backupchecks", {}), "objects": named}}

    @property
    def is_sqlite(self) -> bool:
        return self.database_url.startswith("sqlite")

    def stored(self) -> list[dict[str, Any]]:
        """The objects with their places, so that one that is written anew differs."""
        return sorted(self.rows(self.layout.query), key=lambda row: row["place"])

    def objects(self) -> dict[tuple[str, datetime], list[Object]]:
        """The objects of each run by its device and time, runs without any included."""
        runs = {
            row["id"]: (row["external_id"], utc(row["run_at"]))
            for row in self.rows("SELECT id, external_id, run_at FROM job_runs")
        }
        found: dict[tuple[str, datetime], list[Object]] = {key: [] for key in runs.values()}
        for row in self.stored():
            found[runs[row["run_id"]]].append((row["name"], row["type"], row["status"], row["message"].rstrip()))
        return found

    def said(self, *objects: tuple[str, str, str]) -> list[Object]:
        """Objects as (name, status, message), as this layout keeps them."""
        limit = self.layout.message_limit
        kind = "" if self.layout is OTHER else "Cove data source"
        return [
            (name, kind, status, text if not limit or len(text) <= limit else (text[: limit - 1] + "…").rstrip())
            for name, status, text in objects
        ]


@pytest.fixture
def fleet() -> Fleet:
    """One server of one customer."""
    return make_small_fleet(make_device())


@pytest.fixture
def cove(fleet: Fleet) -> Iterator[FakeCove]:
    with serving(FakeCove(fleet, MORNING)) as cove:
        yield cove


@pytest.fixture(params=[SIMPLE, OTHER], ids=lambda layout: layout.id)
def site(request: pytest.FixtureRequest, cove: FakeCove, database_url: str, tmp_path: Path) -> ObjectSite:
    """An installation with each layout in turn, on both databases."""
    site = ObjectSite(cove, database_url, tmp_path, layout=request.param)
    site.prepare()
    return site


@pytest.fixture
def simple(cove: FakeCove, database_url: str, tmp_path: Path) -> ObjectSite:
    site = ObjectSite(cove, database_url, tmp_path)
    site.prepare()
    return site


FIRST = ("1", NIGHT + timedelta(minutes=10))


def test_each_run_has_its_sources_as_objects_the_worst_first(site: ObjectSite, fleet: Fleet) -> None:
    fleet.devices[0].active = ("D01", "D02", "D10")  # of which D02 has never run
    start = NIGHT + timedelta(days=2)
    fleet.devices[0].sessions["D10"].append(TrueSession("D10", start, start + timedelta(minutes=10), 2, errors=3))
    fleet.devices[0].totals.clear()
    site.sync()
    site.cove.now = start + timedelta(hours=1)
    site.sync()
    assert site.objects() == {
        FIRST: site.said(("Files and Folders", "Success", "Completed"), ("SQL Server", "Success", "Completed")),
        ("1", start + timedelta(minutes=10)): site.said(
            ("SQL Server", "Failed", "Failed, 3 errors (last success 2 days ago)"),
            ("Files and Folders", "Success", "Completed (2 days ago)"),
        ),
    }


@dataclass(frozen=True)
class Expected:
    name: str
    status: str


def expected_objects(device: FakeDevice, told: dict[str, list[TrueSession]], run_at: datetime) -> set[Expected]:
    """A run's objects, from the truth alone; none of these sources is ever inactive."""
    found = {}
    for source in device.active:
        if before := [one for one in told.get(source, ()) if one.end <= run_at]:
            found[source] = status_of(before[-1].status)
    (members,) = (one for one in rounds(told) if one[-1].end == run_at)
    totals = [status_of(one.status) for one in totals_of(members, told)]
    if totals and RANK[totals[-1]] > max(RANK[status] for status in found.values()):
        found["D09"] = totals[-1]
    return {Expected(LABELS[source], WORDS[status]) for source, status in found.items()}


def test_the_objects_of_a_whole_fleet_are_what_happened(
    site: ObjectSite, tmp_path: Path, measured: Callable[[str], None]
) -> None:
    fleet = make_fleet(seed=11, begin=BEGIN, days=1, devices=6)
    with serving(FakeCove(fleet, BEGIN)) as cove:
        site.cove, site.settings = cove, {**site.settings, "api": {"gap_minutes": 600, "histories": "never"}}
        polls = [BEGIN + timedelta(hours=5 * number) for number in range(1, 6)]
        for cove.now in polls:
            assert site.sync().exit_code == 0
    statuses = {
        (row["external_id"], utc(row["run_at"])): row["status"]
        for row in site.rows("SELECT external_id, run_at, status FROM job_runs")
    }
    objects = site.objects()
    assert objects.keys() == statuses.keys()
    assert len(objects) > 15
    for (external_id, run_at), found in objects.items():
        device = fleet.device(int(external_id))
        told = as_told(visible(device, polls, Reading()), Reading())
        hidden = {
            label(code)  # it was running at the first poll, so the session before may have been another
            for code, (since, until) in running_at_first(device, polls).items()
            if run_at <= until and not any(since < one.end <= run_at for one in told.get(code, ()))
        }
        wanted = {
            Expected(one.name, "Warning") if one.name in hidden and one.status == "Success" else one
            for one in expected_objects(device, told, run_at)
        }
        assert {Expected(name, status) for name, _, status, _ in found} == wanted, (external_id, run_at)
        assert len(found) == len(wanted)
        worst = max((status for _, _, status, _ in found), key=lambda word: RANK[word.lower()])
        assert worst == statuses[external_id, run_at]
    measured(f"objects of {len(objects)} runs, {site.layout.id}: {sum(map(len, objects.values()))}, all as they were")


def test_a_session_that_joins_later_replaces_the_objects_of_its_run(site: ObjectSite, fleet: Fleet) -> None:
    fleet.devices.append(make_device(2, "srv2_abcde"))
    fleet.devices[0].sessions["D10"].clear()
    site.sync()
    before = {row["place"] for row in site.stored()}
    add_session(fleet.devices[0], "D10", 0.3, status=2)
    (login,) = site.sync().to_json()["logins"]
    assert login["job_runs"]["updated"] == 1
    assert site.objects() == {
        ("1", NIGHT + timedelta(minutes=28)): site.said(
            ("SQL Server", "Failed", "Failed (no success known)"), ("Files and Folders", "Success", "Completed")
        ),
        ("2", FIRST[1]): site.said(
            ("Files and Folders", "Success", "Completed"), ("SQL Server", "Success", "Completed")
        ),
    }
    assert len(before & {row["place"] for row in site.stored()}) >= 2  # the other run's were not written anew


def test_the_second_sync_changes_no_row(site: ObjectSite) -> None:
    site.sync()
    before = site.stored(), site.rows("SELECT * FROM job_runs")
    counted = None if site.is_sqlite else changes_by_table(site)
    site.sync()
    assert (site.stored(), site.rows("SELECT * FROM job_runs")) == before
    if counted:
        after = changes_by_table(site)
        table = site.layout.table.strip('"')
        assert (after[table], after["job_runs"]) == (counted[table], counted["job_runs"])


def superseding(site: ObjectSite, device: FakeDevice) -> TrueSession:
    """Let a night make two runs; return the session that joins them."""
    device.sessions["D10"].clear()
    site.sync()
    add_session(device, "D10", 40 / 60)
    site.sync()
    assert len(site.objects()) == 2
    start = NIGHT + timedelta(minutes=20)
    return TrueSession("D02", start, start + timedelta(minutes=10), 2)


def test_a_superseded_run_goes_with_its_objects(site: ObjectSite, fleet: Fleet) -> None:
    device = fleet.devices[0]
    device.active = ("D01", "D02", "D10")
    device.sessions["D02"] = [superseding(site, device)]
    device.totals.clear()
    site.sync()
    assert site.objects() == {
        ("1", NIGHT + timedelta(minutes=50)): site.said(
            ("System State", "Failed", "Failed (no success known)"),
            ("Files and Folders", "Success", "Completed"),
            ("SQL Server", "Success", "Completed"),
        )
    }


def test_a_superseded_run_that_other_rows_refer_to_keeps_its_objects(site: ObjectSite, fleet: Fleet) -> None:
    device = fleet.devices[0]
    device.active = ("D01", "D02", "D10")
    device.sessions["D02"] = [superseding(site, device)]
    device.totals.clear()
    site.execute(
        "CREATE TABLE tickets (run_id INTEGER NOT NULL REFERENCES job_runs (id))",
        "INSERT INTO tickets SELECT id FROM job_runs",
        *(
            ["CREATE TRIGGER held BEFORE DELETE ON job_runs WHEN EXISTS (SELECT 1 FROM tickets WHERE run_id = OLD.id)"
             " BEGIN SELECT RAISE(ABORT, 'FOREIGN KEY constraint failed'); END"]
            if site.is_sqlite
            else []
        ),
    )  # fmt: skip
    assert site.sync().exit_code == 0
    assert all(site.objects().values())


def test_the_objects_of_a_reviewed_run_stay_to_the_byte(site: ObjectSite, fleet: Fleet) -> None:
    site.sync()
    site.execute("UPDATE job_runs SET reviewed_at = run_at")
    reviewed = site.stored()
    device = fleet.devices[0]
    device.sessions["D01"][0] = TrueSession("D01", NIGHT, NIGHT + timedelta(minutes=10), 2)
    add_session(device, "D10", 0.3, status=2)
    (login,) = site.sync().to_json()["logins"]
    assert login["job_runs"] == {"new": 1, "updated": 0, "unchanged": 0, "protected": 1}
    assert [row for row in site.stored() if row["run_id"] == reviewed[0]["run_id"]] == reviewed
    assert {name: status for name, _, status, _ in site.objects()["1", NIGHT + timedelta(minutes=28)]} == {
        "SQL Server": "Failed", "Files and Folders": "Failed",
    }  # fmt: skip


def test_rows_of_other_programs_runs_are_never_touched(simple: ObjectSite, fleet: Fleet) -> None:
    simple.sync()
    simple.execute(
        "INSERT INTO job_runs (job_id, run_at, status, source_type) VALUES (1, '2026-03-01', 'Success', 'mail')",
        "INSERT INTO run_object_links (run_id, object_name) SELECT id, 'theirs' FROM job_runs"
        " WHERE source_type = 'mail'",
        "INSERT INTO run_object_links (run_id, object_name) VALUES (4711, 'nobody''s')",
    )
    add_session(fleet.devices[0], "D10", 0.3, status=2)
    simple.sync()
    names = {row["name"] for row in simple.stored()}
    assert names == {"theirs", "nobody's", "SQL Server", "Files and Folders"}


def test_a_status_that_differs_though_the_run_says_the_same_reaches_the_objects(
    simple: ObjectSite, fleet: Fleet
) -> None:
    fleet.devices[0].sessions = {}
    add_session(fleet.devices[0], "D01", 0, status=2)
    add_session(fleet.devices[0], "D10", 0, status=6)
    simple.sync()
    before = simple.rows("SELECT run_at, status, remark FROM job_runs")
    assert {name: status for name, _, status, _ in simple.objects()[FIRST]} == {
        "Files and Folders": "Failed", "SQL Server": "Warning",
    }  # fmt: skip
    simple.settings = {**simple.settings, "status": {"6": "failed"}}
    assert simple.sync().to_json()["logins"][0]["job_runs"]["updated"] == 1
    assert {status for _, _, status, _ in simple.objects()[FIRST]} == {"Failed"}
    assert simple.rows("SELECT run_at, status, remark FROM job_runs") == before


class TestBlindness:
    def test_a_source_that_cannot_be_read_counts_with_its_floor(self, site: ObjectSite, cove: FakeCove) -> None:
        cove.faults.forbidden_columns = lambda code: code.startswith("D10")
        site.sync()
        assert site.objects()[FIRST] == site.said(
            ("SQL Server", "Warning", "could not be read"),
            ("Files and Folders", "Success", "Completed"),
        )

    def test_a_total_that_is_worse_than_all_sources_is_an_object(self, simple: ObjectSite, cove: FakeCove) -> None:
        cove.faults.edit_row = lambda row, device: {**row, "D09F00": "2", "D09F17": "2", "D09F09": "", "D09F16": ""}
        simple.sync()
        assert [(name, status) for name, _, status, _ in simple.objects()[FIRST]] == [
            ("Total", "Failed"), ("Files and Folders", "Success"), ("SQL Server", "Success"),
        ]  # fmt: skip

    def test_where_the_total_alone_decides_it_is_there_to_explain_the_run(
        self, simple: ObjectSite, fleet: Fleet
    ) -> None:
        simple.settings["backupchecks"]["overall"] = "total"
        start = NIGHT + timedelta(minutes=3)
        fleet.devices[0].sessions["D10"] = [TrueSession("D10", start, start + timedelta(minutes=2), 2)]
        fleet.devices[0].totals.clear()
        simple.sync()
        assert {name: status for name, _, status, _ in simple.objects()[FIRST]} == {
            "SQL Server": "Failed", "Files and Folders": "Success", "Total": "Success",
        }  # fmt: skip
        assert simple.rows("SELECT status FROM job_runs") == [{"status": "Success"}]


def test_runs_from_before_the_table_was_named_get_objects_when_they_next_change(
    simple: ObjectSite, fleet: Fleet
) -> None:
    named, simple.settings = simple.settings, {}
    simple.sync()
    simple.settings = named
    add_session(fleet.devices[0], "D01", 2)
    simple.sync()
    assert [len(objects) for _, objects in sorted(simple.objects().items())] == [0, 2]
    add_session(fleet.devices[0], "D10", 2)
    simple.sync()
    assert [len(objects) for _, objects in sorted(simple.objects().items())] == [0, 2]


def test_a_page_whose_runs_change_costs_at_most_four_statements_more_whatever_it_holds(
    database_url: str, tmp_path: Path, statement_counts: list[int], measured: Callable[[str], None]
) -> None:
    for devices in (0, 1, 10):
        fleet = make_small_fleet(*(make_device(number, f"srv{number}_x") for number in range(1, max(devices, 1) + 1)))
        with serving(FakeCove(fleet, MORNING)) as cove:
            site = ObjectSite(cove, database_url, tmp_path)
            if devices == 0:
                site.migrate()
            elif devices == 1:
                site.prepare()
            else:
                site.name_table()
            site.sync()
            site.sync()
    kind = database_url.partition(":")[0]
    measured(f"SQL statements of a page without objects, with them, of 10, on {kind}: {statement_counts}")
    without, set_anew, with_objects = statement_counts  # where nothing is new no page is written
    assert with_objects <= without + 4  # the first page also makes the customer
    assert set_anew <= 16  # another configuration makes every device due, though nothing of it is new


def test_backfill_writes_objects_too_also_of_runs_that_it_marks_as_reviewed(simple: ObjectSite, fleet: Fleet) -> None:
    add_session(fleet.devices[0], "D01", 2)
    simple.backfill(reviewed=True)
    assert [len(objects) for _, objects in sorted(simple.objects().items())] == [2, 2]


class TestContract:
    def failing(self, site: ObjectSite, **settings: Any) -> str:
        objects = {**site.settings["backupchecks"]["objects"], **settings}
        site.settings = {"backupchecks": {"objects": objects}}
        before = site.rows("SELECT * FROM job_runs")
        said = []
        for command in (site.migrate, site.sync):
            with pytest.raises(DatabaseError) as raised:
                command()
            said.append(str(raised.value))
            assert raised.value.exit_code == 14
        assert site.rows("SELECT * FROM job_runs") == before
        problems = {text.split("\n", 1)[1] for text in said}
        assert len(problems) == 1
        return problems.pop()

    def test_a_table_that_is_missing_is_named_with_its_key(self, simple: ObjectSite) -> None:
        problem = self.failing(simple, table="objects_of_runs")
        assert (
            'table objects_of_runs is missing; name the right one with [backupchecks.objects] table = "..."' in problem
        )

    def test_all_columns_that_are_wrong_are_named_at_once_with_the_keys(self, simple: ObjectSite) -> None:
        simple.execute("ALTER TABLE run_object_links ADD COLUMN weight INTEGER NOT NULL DEFAULT 1")
        if not simple.is_sqlite:
            simple.execute("ALTER TABLE run_object_links ALTER COLUMN weight DROP DEFAULT")
        problems = self.failing(
            simple, columns={"run_id": "object_type", "type": "", "message": "text"}, defaults={"colour": "red"}
        )
        kind = "TEXT"
        assert f"run_object_links.object_type is {kind}, but run_id must be an integer" in problems
        assert '[backupchecks.objects.columns] run_id = "..."' in problems
        assert "run_object_links.text is missing (there are: id, run_id, " in problems
        assert '[backupchecks.objects.columns] message = "..."' in problems
        assert "run_object_links.colour is missing, but [backupchecks.objects.defaults] names it" in problems
        if not simple.is_sqlite:
            assert (
                "run_object_links.weight is NOT NULL without a default; say what to write there with"
                " [backupchecks.objects.defaults] weight = ..." in problems
            )

    def test_on_an_empty_database_it_is_missing_too_and_not_made(self, cove: FakeCove, tmp_path: Path) -> None:
        empty = ObjectSite(cove, f"sqlite:///{tmp_path / 'empty.db'}", tmp_path)
        empty.name_table()
        for command in (empty.sync, empty.migrate):
            with pytest.raises(DatabaseError, match="table run_object_links is missing"):
                command()
        assert cove.requests == []


def test_dry_run_writes_no_object(simple: ObjectSite) -> None:
    simple.sync(dry_run=True)
    assert simple.stored() == []
    simple.sync()
    assert len(simple.stored()) == 2


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_the_granted_rights_are_enough(role: str, simple: ObjectSite, fleet: Fleet) -> None:
    url = sa.make_url(simple.database_url)
    grants = GRANTS.format(role=role, database=url.database, schema="public").replace("-- GRANT", "GRANT")
    run_script(simple.database_url, grants)
    simple.database_url = url.set(username=role, password="example").render_as_string(hide_password=False)
    fleet.devices[0].sessions["D10"].clear()
    assert simple.sync().exit_code == 0
    add_session(fleet.devices[0], "D10", 0.3, status=2)
    assert simple.sync().exit_code == 0
    assert len(simple.stored()) == 2


@pytest.mark.parametrize("table", ["job_runs", "cove_sessions"])
def test_a_table_that_holds_anything_else_is_refused(table: str) -> None:
    objects = {"table": table, "columns": {"name": "status"}}
    with pytest.raises(ValidationError) as raised:
        BackupchecksSettings.model_validate({"objects": objects})
    assert "must be a table for nothing but the objects of runs" in str(raised.value)
    assert "status is named more than once" in str(raised.value)

"""`sync` against a real Cove over HTTP and real databases: what it writes, and what it leaves alone."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from cove_poller.commands.record_page import Recorder
from cove_poller.database.engine import Mode, open_database
from cove_poller.records.columns import canonical_code, label
from tests.conftest import BEGIN, Site, on_sqlite
from tests.world.counted import changes_by_table
from tests.world.fake_cove import FakeCove, Fleet, Partner, Reading, RpcError, TrueSession, make_fleet, serving
from tests.world.small_fleet import MORNING, NIGHT, add_session, make_device, make_small_fleet

TABLES = ("customers", "jobs", "job_runs", "cove_devices", "cove_sessions", "cove_polls")


@pytest.fixture
def fleet() -> Fleet:
    """One server of one customer."""
    return make_small_fleet(make_device())


@pytest.fixture
def cove(fleet: Fleet) -> Iterator[FakeCove]:
    with serving(FakeCove(fleet, MORNING)) as cove:
        yield cove


def snapshot(site: Site, *tables: str) -> dict[str, list[dict[str, Any]]]:
    return {table: sorted(site.rows(f"SELECT * FROM {table}"), key=str) for table in tables or TABLES}


def runs(site: Site) -> list[tuple[str, str]]:
    query = "SELECT r.status, j.job_name FROM job_runs r JOIN jobs j ON j.id = r.job_id ORDER BY r.run_at, j.job_name"
    return [(row["status"], row["job_name"]) for row in site.rows(query)]


def test_a_first_sync_makes_customer_job_and_run_and_links_them(site: Site) -> None:
    (login,) = site.sync().to_json()["logins"]
    assert login["job_runs"] == {"new": 1, "updated": 0, "unchanged": 0, "protected": 0}
    assert login["sessions"] == {"new": 3, "updated": 0, "unchanged": 0}
    (row,) = site.rows(
        "SELECT c.name, c.active, j.job_name, j.backup_type, j.backup_software, j.cove_account_id, r.status, r.remark,"
        " r.source_type, r.external_id, r.mail_message_id, r.reviewed_at"
        " FROM job_runs r JOIN jobs j ON j.id = r.job_id JOIN customers c ON c.id = j.customer_id"
    )
    assert row == {
        "name": "Example Bakery", "active": True, "job_name": "SRV1", "backup_type": "Server",
        "backup_software": "Cove Data Protection", "cove_account_id": 1, "status": "Success",
        "remark": "Files and Folders, SQL Server: Completed.", "source_type": "api", "external_id": "1",
        "mail_message_id": None, "reviewed_at": None,
    }  # fmt: skip


def test_the_same_poll_twice_changes_no_row(make_postgres: Callable[[], str], tmp_path: Path) -> None:
    with serving(FakeCove(make_fleet(3, BEGIN, 2, devices=30), BEGIN + timedelta(days=1))) as cove:
        site = Site(cove, make_postgres(), tmp_path)
        site.migrate()
        site.sync()
        before = changes_by_table(site)
        (login,) = site.sync().to_json()["logins"]
        after = changes_by_table(site)
    assert before["job_runs"] > 0
    assert login["sessions"]["unchanged"] > 30
    audit_rows = {table: after[table] - before[table] for table in TABLES}
    assert audit_rows == {**dict.fromkeys(TABLES, 0), "cove_polls": 2}  # the audit trail: one insert, one update


def test_a_page_costs_a_number_of_statements_that_does_not_grow_with_its_devices(
    database_url: str, tmp_path: Path, statement_counts: list[int], measured: Callable[[str], None]
) -> None:
    for devices in (1, 250):
        fleet = make_small_fleet(*(make_device(number, f"srv{number}_x") for number in range(1, devices + 1)))
        with serving(FakeCove(fleet, MORNING)) as cove:
            site = Site(cove, database_url, tmp_path)
            site.migrate()
            site.sync()
            site.sync()
    kind = database_url.partition(":")[0]
    measured(f"SQL statements of a page with 1 new device, and with 250, on {kind}: {statement_counts}")
    one, many = statement_counts  # where nothing is new no page is written
    assert many <= one <= 29  # the first page also makes the customer


def test_nothing_is_asked_of_the_database_about_nothing(site: Site) -> None:
    sent: list[Any] = []

    def note(*args: Any) -> None:
        sent.append(args[3])

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        for _ in range(3):
            site.sync()
            site.cove.now += timedelta(hours=6)
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)
    texts = [one for values in sent for one in (values.values() if isinstance(values, dict) else values)]
    assert any(one for one in texts if str(one).startswith("[{"))
    assert [one for one in texts if one == "[]"] == []


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_sync_of_many_pages_makes_as_few_connections_as_one_of_a_single_page(site: Site) -> None:
    made: list[int] = []
    connected: list[Any] = []

    def note(*args: Any) -> None:
        connected.append(args[0])

    sa.event.listen(sa.Engine, "connect", note)
    try:
        for page_size in (250, 5):
            site.settings["api"] = {"page_size": page_size}
            connected.clear()
            site.sync()
            made.append(len(connected))
    finally:
        sa.event.remove(sa.Engine, "connect", note)
    assert made == [2, 2]  # the lock has one of its own


def test_what_is_due_of_several_pages_is_written_as_one(
    database_url: str, tmp_path: Path, statement_counts: list[int]
) -> None:
    fleet = make_small_fleet(*(make_device(number, f"srv{number}_x") for number in range(1, 42)))
    with serving(FakeCove(fleet, MORNING)) as cove:
        site = Site(cove, database_url, tmp_path, {"api": {"page_size": 10}})
        site.migrate()
        site.sync()
        assert len(statement_counts) == 5  # pages overlap by a device
        for device in fleet.devices[::8]:
            add_session(device, "D10", 0.3, status=2)
        (login,) = site.sync().to_json()["logins"]
    assert (login["devices"], login["sessions"]["new"], len(statement_counts)) == (41, 12, 6)  # and the total's


def test_a_reviewed_run_stays_as_it_is_to_the_byte_whatever_cove_says_later(site: Site, fleet: Fleet) -> None:
    site.sync()
    site.execute("UPDATE job_runs SET reviewed_at = run_at")
    reviewed = snapshot(site, "job_runs")["job_runs"]
    device = fleet.devices[0]
    device.sessions["D01"][0] = TrueSession("D01", NIGHT, NIGHT + timedelta(minutes=10), 2)
    add_session(device, "D10", 0.3, status=2)
    (login,) = site.sync().to_json()["logins"]
    assert login["job_runs"] == {"new": 1, "updated": 0, "unchanged": 0, "protected": 1}
    assert [row for row in snapshot(site, "job_runs")["job_runs"] if row["id"] == reviewed[0]["id"]] == reviewed
    assert runs(site) == [("Success", "SRV1"), ("Failed", "SRV1")]


def test_a_run_is_updated_in_place_and_counted_when_a_session_joins_it(site: Site, fleet: Fleet) -> None:
    fleet.devices[0].sessions["D10"].clear()
    site.sync()
    (before,) = snapshot(site, "job_runs")["job_runs"]
    add_session(fleet.devices[0], "D10", 0.3, status=2)
    (login,) = site.sync().to_json()["logins"]
    assert login["job_runs"] == {"new": 0, "updated": 1, "unchanged": 0, "protected": 0}
    (after,) = snapshot(site, "job_runs")["job_runs"]
    assert (before["id"], before["status"], after["status"]) == (after["id"], "Success", "Failed")
    assert after["run_at"] > before["run_at"]


def test_a_running_session_is_counted_and_its_round_waits(site: Site, cove: FakeCove) -> None:
    cove.now = NIGHT + timedelta(minutes=5)
    assert site.sync().to_json()["logins"][0]["running"] == 1
    assert runs(site) == []
    assert site.rows("SELECT running_since FROM cove_devices")[0]["running_since"] is not None
    cove.now = MORNING
    site.sync()
    assert runs(site) == [("Success", "SRV1")]
    assert site.rows("SELECT running_since FROM cove_devices")[0]["running_since"] is None


@on_sqlite
def test_a_round_does_not_wait_for_a_running_session_where_no_poll_is_due_before_it_has_settled(
    site: Site, fleet: Fleet, cove: FakeCove
) -> None:
    add_session(fleet.devices[0], "D10", 10.25)
    add_session(fleet.devices[0], "D01", 10.5, status=2, minutes=100)
    for hours in (0, 2, 4.5):
        cove.now = MORNING + timedelta(hours=hours)
        site.sync()
    assert runs(site) == [("Success", "SRV1"), ("Success", "SRV1")]
    cove.now = MORNING + timedelta(hours=6.5)
    site.sync()
    assert runs(site) == [("Success", "SRV1"), ("Failed", "SRV1")]


@on_sqlite
def test_configured_words_and_statuses_are_used(site: Site, fleet: Fleet) -> None:
    site.settings = {"backupchecks": {"status": {"failed": "Error"}}, "status": {"6": "failed"}}
    add_session(fleet.devices[0], "D01", 1, status=6)
    site.sync()
    assert runs(site)[-1] == ("Error", "SRV1")


class TestLinking:
    def test_a_job_that_is_there_is_claimed_whatever_its_case(self, site: Site) -> None:
        site.execute(
            "INSERT INTO customers (name) VALUES ('example  BAKERY')",
            "INSERT INTO jobs (customer_id, backup_software, backup_type, job_name)"
            " VALUES (1, 'Cove Data Protection', 'Server', 'srv1'), (1, 'Other', 'Server', 'SRV1')",
        )
        site.sync()
        assert [row["cove_account_id"] for row in snapshot(site, "jobs")["jobs"]] == [1, None]
        assert len(snapshot(site, "customers")["customers"]) == 1

    @on_sqlite
    def test_a_configured_customer_wins_over_a_name_that_fits(self, site: Site) -> None:
        site.execute("INSERT INTO customers (name) VALUES ('Example Bakery'), ('Bakery Ltd')")
        site.settings = {"backupchecks": {"customers": {"Example Bakery": "Bakery Ltd"}}}
        site.sync()
        assert site.rows("SELECT c.name FROM jobs j JOIN customers c ON c.id = j.customer_id") == [
            {"name": "Bakery Ltd"}
        ]

    def test_an_ambiguous_customer_leaves_the_device_unlinked_with_a_warning_once(self, site: Site) -> None:
        site.execute("INSERT INTO customers (name) VALUES ('EXAMPLE BAKERY'), ('ExampleBakery')")
        first, second = (site.sync().to_json()["logins"][0] for _ in range(2))
        assert (first["unlinked"], second["unlinked"]) == (1, 1)
        assert "belongs to no job" in first["warnings"][0]
        assert second["warnings"] == []
        assert runs(site) == []
        assert len(snapshot(site, "cove_sessions")["cove_sessions"]) == 3

    def test_the_runs_of_a_device_are_written_as_soon_as_it_is_linked(self, site: Site, fleet: Fleet) -> None:
        site.settings = {"backupchecks": {"create_customers": False}}
        site.sync()
        add_session(fleet.devices[0], "D01", 3, status=2)
        site.sync()
        assert runs(site) == []
        site.execute("INSERT INTO customers (name) VALUES ('Example Bakery')")
        site.sync()
        assert runs(site) == [("Success", "SRV1"), ("Failed", "SRV1")]

    def test_a_created_customer_loses_the_mail_address_and_its_next_device_finds_it(
        self, site: Site, fleet: Fleet
    ) -> None:
        fleet.partners[1] = Partner(1001, "Example Bakery (it@example.com)", 1000)
        site.sync()
        fleet.devices.append(make_device(2, "srv2_abcde"))
        site.sync()
        assert site.rows("SELECT name FROM customers") == [{"name": "Example Bakery"}]
        assert len(runs(site)) == 2

    def test_two_cove_customers_that_differ_in_the_mail_address_only_are_not_mixed(
        self, site: Site, fleet: Fleet
    ) -> None:
        fleet.partners[1:] = [Partner(1001, "Acme (a@example.com)", 1000), Partner(1002, "Acme (b@example.com)", 1000)]
        fleet.devices.append(make_device(2, "srv2_abcde", partner_id=1002))
        (login,) = site.sync().to_json()["logins"]
        assert login["unlinked"] == 1
        assert "devices of another Cove customer" in login["warnings"][0]

    @on_sqlite
    def test_two_devices_with_one_computer_name_get_a_job_each(self, site: Site, fleet: Fleet) -> None:
        fleet.devices.append(make_device(2, "srv1_new", computer_name="SRV1"))
        site.sync()
        assert {row["job_name"] for row in snapshot(site, "jobs")["jobs"]} == {"SRV1", "srv1_new"}

    def test_a_renamed_device_and_customer_keep_their_job(self, site: Site, fleet: Fleet) -> None:
        site.sync()
        fleet.partners[1] = Partner(1001, "Example Bakery Group", 1000)
        fleet.devices[0].computer_name = "SRV1-OLD"
        site.sync()
        assert len(snapshot(site, "jobs")["jobs"]) == len(snapshot(site, "customers")["customers"]) == 1
        assert site.rows("SELECT computer_name FROM cove_devices") == [{"computer_name": "SRV1-OLD"}]

    def test_an_ignored_device_makes_no_run(self, site: Site) -> None:
        site.settings = {"backupchecks": {"create_customers": False}}
        site.sync()
        site.execute("UPDATE cove_devices SET ignored = true")
        site.settings = {}
        assert site.sync().to_json()["logins"][0]["unlinked"] == 0
        assert runs(site) == []

    @on_sqlite
    def test_a_microsoft_365_tenant_is_called_by_its_device_name(self, site: Site, fleet: Fleet) -> None:
        fleet.devices[:] = [make_device(9, "example.com", kind="m365", computer_name=None, active=("D19", "D20"))]
        site.sync()
        (job,) = snapshot(site, "jobs")["jobs"]
        assert (job["job_name"], job["backup_type"]) == ("example.com", "Microsoft 365")


def test_dry_run_writes_nothing_and_tells_what_it_would_create(site: Site) -> None:
    before = snapshot(site)
    result = site.sync(dry_run=True)
    assert result.to_json()["logins"][0]["job_runs"]["new"] == 1
    outcome = result.logins[0].outcome  # type: ignore[union-attr]
    assert ([one.name for one in outcome.new_customers], outcome.new_jobs) == (
        ["Example Bakery"],
        ["SRV1 (Example Bakery)"],
    )
    assert snapshot(site) == before


def test_a_device_that_is_no_longer_listed_is_marked_once_and_unmarked_when_it_comes_back(
    site: Site, fleet: Fleet
) -> None:
    fleet.devices.append(make_device(2, "srv2_abcde"))
    site.sync()
    gone = fleet.devices.pop()
    first, second = (site.sync().to_json()["logins"][0]["warnings"] for _ in range(2))
    assert (first, second) == (["Cove no longer lists 1 device: srv2_abcde"], [])
    assert len(site.rows("SELECT 1 FROM cove_devices WHERE gone_at IS NOT NULL")) == 1
    fleet.devices.append(gone)
    site.sync()
    assert site.rows("SELECT 1 FROM cove_devices WHERE gone_at IS NOT NULL") == []


def test_a_failure_that_waits_for_a_running_source_is_written_when_cove_no_longer_lists_its_device(
    site: Site, fleet: Fleet, cove: FakeCove
) -> None:
    fleet.devices.append(make_device(2, "srv2_abcde"))
    site.sync()
    device = fleet.devices[0]
    add_session(device, "D01", 6.1, status=2)
    add_session(device, "D10", 6.1, minutes=300)
    cove.now = MORNING + timedelta(minutes=20)
    site.sync()
    assert [status for status, _ in runs(site)] == ["Success", "Success"]
    fleet.devices.remove(device)
    (login,) = site.sync().to_json()["logins"]
    assert login["job_runs"]["new"] == 1
    assert runs(site)[-1] == ("Failed", "SRV1")


@on_sqlite
def test_a_listing_without_any_device_is_an_error_where_there_were_some(site: Site, fleet: Fleet) -> None:
    site.sync()
    fleet.devices.clear()
    result = site.sync()
    assert result.exit_code == 13
    assert "lists no device at all" in str(result.logins[0].error)
    assert site.rows("SELECT 1 FROM cove_devices WHERE gone_at IS NOT NULL") == []


def polled(site: Site) -> tuple[int, list[str]]:
    """Poll. Return with which code that ends, and what is said."""
    result = site.sync()
    return result.exit_code, result.to_json()["logins"][0]["warnings"]


@pytest.mark.parametrize(
    ("wrong", "said", "status"),
    [
        pytest.param(
            lambda row: {code: value for code, value in row.items() if code[0] == "I"},
            "Cove no longer says anything of it",
            "warning",
            id="no backup column at all",
        ),
        pytest.param(
            lambda row: {code: value for code, value in row.items() if code[:3] != "D10"},
            "SQL Server: Cove no longer says anything of it",
            "warning",
            id="nothing of a source",
        ),
        pytest.param(
            lambda row: {**row, "D10F00": "2", "D10F15": ""},
            "SQL Server: Failed, at a time that Cove does not tell",
            "failed",
            id="a failure without a time",
        ),
    ],
)
@on_sqlite
def test_a_source_that_can_no_longer_be_read_is_said_once_until_it_is_over_and_changes_no_run_of_the_past(
    wrong: Callable[[dict[str, str]], dict[str, str]],
    said: str,
    status: str,
    site: Site,
    fleet: Fleet,
    cove: FakeCove,
) -> None:
    fleet.devices.append(make_device(2, "srv2_abcde"))
    site.sync()
    before = snapshot(site, "job_runs", "cove_sessions")
    cove.faults.edit_row = lambda row, device: wrong(row) if device.account_id == 1 else row
    code, lines = polled(site)
    assert (code, said in " ".join(lines)) == (3, True)
    assert polled(site) == (0, [])
    assert site.rows("SELECT status FROM cove_devices ORDER BY account_id") == [
        {"status": status},
        {"status": "success"},
    ]
    cove.faults.edit_row = None
    code, over = polled(site)
    assert (code, over) == (0, [f"over: {line}" for line in lines])
    assert polled(site) == (0, [])
    assert snapshot(site, "job_runs", "cove_sessions") == before


@on_sqlite
def test_a_source_of_which_cove_says_nothing_any_more_makes_the_device_a_warning_and_only_the_first_sync_partial(
    site: Site, cove: FakeCove
) -> None:
    site.sync()
    cove.faults.edit_row = lambda row, device: {code: value for code, value in row.items() if code[:3] != "D10"}
    lost = "Example Bakery, SRV1 (device 1): SQL Server: Cove no longer says anything of it"
    said = []
    for _ in range(2):
        result = site.sync()
        (login,) = result.to_json()["logins"]
        assert [one["what"] for one in login["standing"]] == [lost]
        said.append((result.exit_code, login["warnings"]))
    assert said == [(3, [lost]), (0, [])]
    assert site.rows("SELECT status FROM cove_devices") == [{"status": "warning"}]
    cove.faults.edit_row = None
    result = site.sync()
    assert (result.exit_code, result.to_json()["logins"][0]["warnings"]) == (0, [f"over: {lost}"])
    assert runs(site) == [("Success", "SRV1")]


@on_sqlite
def test_a_failed_total_that_no_source_explains_is_told(site: Site, cove: FakeCove) -> None:
    late = str(int((NIGHT + timedelta(hours=3)).timestamp()))
    cove.faults.edit_row = lambda row, device: {**row, "D09F00": "2", "D09F15": late, "D09F17": "2", "D09F18": late}
    (warning,) = site.sync().to_json()["logins"][0]["warnings"]
    assert warning.endswith("Cove's total says what none of its data sources explains, Failed at 2026-03-02 05:00Z")


@on_sqlite
def test_a_source_that_this_program_does_not_know_is_told_of_once_and_its_runs_are_warnings(
    site: Site, cove: FakeCove
) -> None:
    cove.faults.edit_row = lambda row, device: {**row, "I78": row["I78"] + "D99"}
    first, second = (site.sync().to_json()["logins"][0]["warnings"] for _ in range(2))
    assert (len(first), second) == (1, [])
    assert "D99: could not be read" in first[0]
    assert runs(site) == [("Warning", "SRV1")]


@pytest.mark.parametrize(
    ("ahead", "words"),
    [(7200, "behind Cove's by more than 60 minutes"), (-700, "ahead of Cove's by more than 10 minutes")],
)
@on_sqlite
def test_a_clock_that_differs_from_coves_is_named(site: Site, cove: FakeCove, ahead: int, words: str) -> None:
    cove.faults.clock_ahead_seconds = ahead
    result = site.sync()
    assert result.exit_code == 0
    (warning,) = result.to_json()["logins"][0]["warnings"]
    assert words in warning


@pytest.mark.parametrize(("ahead", "is_believed"), [(0, False), (3600, True)])
@on_sqlite
def test_times_are_compared_with_coves_clock(site: Site, cove: FakeCove, ahead: int, *, is_believed: bool) -> None:
    at = str(int((cove.now + timedelta(minutes=50)).timestamp()))
    cove.faults.clock_ahead_seconds = ahead
    cove.faults.edit_row = lambda row, device: {**row, "D01F15": at, "D01F18": at, "D01F09": at}
    site.sync()
    (row,) = site.rows("SELECT status FROM cove_devices")
    assert row["status"] == ("success" if is_believed else "warning")


@pytest.mark.parametrize("ahead", [0, 9 * 60, -9 * 60])
@on_sqlite
def test_clocks_that_differ_by_minutes_only_are_nothing_to_name(site: Site, cove: FakeCove, ahead: int) -> None:
    cove.faults.clock_ahead_seconds = ahead
    assert site.sync().to_json()["logins"][0]["warnings"] == []


@pytest.mark.parametrize("source", ["D03", "D07", "D12", "D18"])
@on_sqlite
def test_an_old_or_rare_source_is_asked_for_read_and_named(site: Site, cove: FakeCove, source: str) -> None:
    at = str(int(NIGHT.timestamp()))
    cove.faults.edit_row = lambda row, device: {
        **row, "I78": row["I78"] + source, f"{source}F00": "2", f"{source}F15": at, f"{source}F18": at
    }  # fmt: skip
    assert site.sync().exit_code == 0
    assert runs(site)[-1] == ("Failed", "SRV1")
    (row,) = site.rows("SELECT remark FROM job_runs ORDER BY run_at DESC LIMIT 1")
    assert f"{label(source)}: Failed" in row["remark"]


@pytest.mark.parametrize("column", ["I1", "I8"])
def test_a_device_without_a_name_or_a_customer_is_recorded_unlinked_and_named(
    site: Site, fleet: Fleet, cove: FakeCove, column: str
) -> None:
    fleet.devices.append(make_device(2, "srv2_abcde"))
    cove.faults.edit_row = lambda row, device: row if device.account_id == 1 else {**row, column: "", "D01F00": "2"}
    result = site.sync()
    assert result.exit_code == 3
    assert len(result.to_json()["logins"][0]["warnings"]) == 1
    assert site.rows("SELECT status, job_id FROM cove_devices WHERE account_id = 2") == [
        {"status": "failed", "job_id": None}
    ]
    assert runs(site) == [("Success", "SRV1")]
    assert site.sync().exit_code == 0


def test_a_row_that_cannot_be_read_costs_no_other_device_and_is_said_once_of_a_device_that_is_recorded(
    site: Site, fleet: Fleet, cove: FakeCove
) -> None:
    fleet.devices.append(make_device(2, "srv2_abcde"))
    site.sync()
    before = site.rows("SELECT status, job_id, gone_at FROM cove_devices WHERE account_id = 2")
    cove.faults.edit_listing = lambda query, result: {
        **result,
        "result": [{**row, "Settings": None} if row["AccountId"] == 2 else row for row in result["result"]],
    }
    first, second = site.sync(), site.sync()
    assert (first.exit_code, second.exit_code) == (3, 0)
    assert first.to_json()["logins"][0]["devices"] == 1
    assert first.to_json()["logins"][0]["warnings"] == [
        "Example Bakery, SRV2 (device 2): Settings of its row cannot be read, so nothing is known of it;"
        " it was left out"
    ]
    assert second.to_json()["logins"][0]["warnings"] == []
    assert site.rows("SELECT status, job_id, gone_at FROM cove_devices WHERE account_id = 2") == before
    cove.faults.edit_listing = None
    third = site.sync()
    assert third.exit_code == 0
    assert third.to_json()["logins"][0]["warnings"][0].startswith("over: Example Bakery, SRV2 (device 2): Settings")


@pytest.mark.parametrize("row", [None, {"AccountId": "x", "Settings": []}])
@on_sqlite
def test_where_a_row_does_not_tell_whose_it_is_nobody_is_marked_gone(
    site: Site, fleet: Fleet, cove: FakeCove, row: object
) -> None:
    fleet.devices.append(make_device(2, "srv2_abcde"))
    site.sync()
    cove.faults.edit_listing = lambda query, result: {
        **result,
        "result": [row if one["AccountId"] == 2 else one for one in result["result"]],
    }
    assert site.sync().to_json()["logins"][0]["devices"] == 1
    assert site.rows("SELECT 1 FROM cove_devices WHERE gone_at IS NOT NULL") == []


@pytest.mark.parametrize("result", [{"result": None}, {"result": []}], ids=["null", "empty"])
@on_sqlite
def test_a_second_page_that_is_no_list_makes_the_run_partial_and_marks_nobody_gone(
    site: Site, fleet: Fleet, cove: FakeCove, result: object
) -> None:
    fleet.devices += [make_device(number, f"srv{number}_abcde") for number in range(2, 7)]
    site.sync()
    site.settings = {"api": {"page_size": 4}}
    cove.faults.edit_listing = lambda query, whole: result if query["StartRecordNumber"] else whole
    assert site.sync().exit_code == 3
    assert site.rows("SELECT 1 FROM cove_devices WHERE gone_at IS NOT NULL") == []


@on_sqlite
def test_a_listing_that_breaks_off_keeps_what_was_saved_and_marks_nobody_gone(site: Site, fleet: Fleet) -> None:
    fleet.devices += [make_device(number, f"srv{number}_abcde") for number in range(2, 7)]
    site.sync()
    site.settings = {"api": {"page_size": 2}}
    site.cove.faults.break_at_record = 3
    add_session(fleet.devices[0], "D01", 1)
    result = site.sync()
    assert (result.exit_code, result.logins[0].error is not None) == (3, True)
    assert len(runs(site)) == 7
    assert site.rows("SELECT 1 FROM cove_devices WHERE gone_at IS NOT NULL") == []


@on_sqlite
def test_a_refused_optional_column_is_named_and_everything_else_works(site: Site, cove: FakeCove, fleet: Fleet) -> None:
    fleet.devices.append(make_device(2, "srv2_abcde", active=("D01",)))
    cove.faults.forbidden_columns = lambda code: code.startswith("D10")
    code, lines = polled(site)
    assert code == 0
    (line,) = lines
    assert line.startswith("Cove refuses 9 columns to this user: SQL Server (D10F00, ")
    assert runs(site) == [("Warning", "SRV1"), ("Success", "SRV2")]
    (row,) = site.rows("SELECT remark FROM job_runs WHERE external_id = '1'")
    assert row["remark"] == "SQL Server: could not be read. Files and Folders: Completed."


@on_sqlite
def test_what_was_learnt_of_the_columns_costs_no_request_until_a_day_has_gone(site: Site, cove: FakeCove) -> None:
    def asked() -> int:
        before = len(cove.listing_requests())
        assert site.sync().logins[0].error is None
        return len(cove.listing_requests()) - before

    cove.reading = Reading(spelling="unpadded")
    cove.faults.forbidden_columns = lambda code: canonical_code(code) in ("D02F12", "D14F06")
    first = asked()
    cove.now += timedelta(hours=23)
    again = asked()
    cove.now += timedelta(hours=1)
    assert first > again + 10
    assert asked() == first
    cove.faults.forbidden_columns, cove.reading = None, Reading()
    cove.now += timedelta(hours=25)
    assert asked() == again


@pytest.mark.parametrize("column", ["I1", "I8", "I78", "D09F00", "D09F15"])
@on_sqlite
def test_a_refused_required_column_ends_with_12_and_nothing_is_written(site: Site, cove: FakeCove, column: str) -> None:
    cove.faults.forbidden_columns = lambda code: code == column
    before = snapshot(site, *TABLES[:-1])
    assert site.sync().exit_code == 12
    assert snapshot(site, *TABLES[:-1]) == before


class TestRejectedLogin:
    def test_it_is_asked_once_and_not_by_the_next_run_until_the_configuration_changes(
        self, site: Site, cove: FakeCove
    ) -> None:
        right = cove.password
        site.settings = {"login": {"password": "wrong"}}
        assert site.sync().exit_code == 11
        assert cove.count("Login") == 1
        first = cove.now
        for _ in range(2):
            cove.now += timedelta(minutes=30)
            result = site.sync()
            assert result.exit_code == 11
            assert f"(not tried again since {first:%Y-%m-%d %H:%M}Z" in str(result.logins[0].error)
        assert len(cove.requests) == 1
        site.settings = {"login": {"password": right}}
        assert site.sync().exit_code == 0

    @on_sqlite
    def test_a_visa_renewal_that_is_rejected_is_remembered_too(self, site: Site, cove: FakeCove) -> None:
        site.settings = {"login": {"password": cove.password}}
        site.sync()
        cove.faults.every_visa_is_refused = True
        original = cove.answer

        def reject_the_second(message: dict[str, Any]) -> dict[str, Any]:
            if message["method"] == "Login" and cove.count("Login") == 2:
                cove.password = "changed"
            return original(message)

        cove.answer = reject_the_second  # type: ignore[method-assign]
        assert site.sync().exit_code == 11
        count = len(cove.requests)
        assert site.sync().exit_code == 11
        assert len(cove.requests) == count

    @on_sqlite
    def test_a_run_that_never_came_to_log_in_does_not_make_it_be_forgotten(self, site: Site, cove: FakeCove) -> None:
        site.settings = {"login": {"password": "wrong"}}
        assert site.sync().exit_code == 11
        site.settings = {"login": {"password": None, "password_file": "missing"}}
        assert site.sync().exit_code == 10
        site.settings = {"login": {"password": "wrong"}}
        assert site.sync().exit_code == 11
        assert cove.count("Login") == 1

    def test_a_user_who_is_locked_is_asked_again_after_one_two_four_hours_and_at_least_once_a_day(
        self, site: Site, cove: FakeCove
    ) -> None:
        cove.faults.login_error = RpcError(None, "The account is temporarily locked")
        begin, asked = cove.now, []
        for hours in (0, 0.5, 1, 2.5, 3, 6.5, 7, 15, 31, 54.5, 55, 78.5, 79):
            cove.now = begin + timedelta(hours=hours)
            count = cove.count("Login")
            assert site.sync().exit_code == 11
            asked += [hours] if cove.count("Login") > count else []
        assert asked == [0, 1, 3, 7, 15, 31, 55, 79]
        cove.faults.login_error = None
        cove.now = begin + timedelta(hours=103)
        assert site.sync().exit_code == 0
        cove.faults.login_error = RpcError(None, "The account is temporarily locked")
        assert site.sync().exit_code == 11
        cove.faults.login_error = None
        cove.now += timedelta(hours=1)
        assert site.sync().exit_code == 0

    @pytest.mark.parametrize(
        "error",
        [RpcError(500, "x"), RpcError(9999, "x"), RpcError(-1, "x"), RpcError(None, "deadlock detected")],
        ids=str,
    )
    @on_sqlite
    def test_any_other_error_of_the_login_is_the_moments_and_the_next_run_goes_on(
        self, site: Site, cove: FakeCove, error: RpcError
    ) -> None:
        cove.faults.login_error = error
        assert site.sync().exit_code == 13
        assert cove.count("Login") == 1
        cove.faults.login_error = None
        assert site.sync().exit_code == 0

    def test_a_dry_run_remembers_it_too(self, site: Site, cove: FakeCove) -> None:
        site.settings = {"login": {"password": "wrong"}}
        for _ in range(2):
            assert site.sync(dry_run=True).exit_code == 11
        assert cove.count("Login") == 1

    @on_sqlite
    def test_neither_password_nor_its_hash_can_be_found_in_the_database(self, site: Site) -> None:
        site.settings = {"login": {"password": "wrong-token-value"}}
        site.sync()
        content = str(snapshot(site))
        assert "wrong-token-value" not in content
        (row,) = site.rows("SELECT login_fingerprint FROM cove_polls")
        assert len(row["login_fingerprint"]) == 33


@on_sqlite
def test_a_visa_that_is_always_refused_ends_the_run_without_a_login_loop(site: Site, cove: FakeCove) -> None:
    cove.faults.every_visa_is_refused = True
    assert site.sync().exit_code == 13
    assert cove.count("Login") == 2


def test_the_audit_trail_has_a_row_a_run_with_its_end_and_counts(site: Site) -> None:
    site.sync()
    (row,) = site.rows("SELECT * FROM cove_polls")
    expected = {
        "command": "sync", "login": "main", "outcome": "ok", "exit_code": 0, "devices": 1, "sessions_new": 3,
        "job_runs_new": 1, "job_runs_updated": 0, "requests": 3, "error": None,
    }  # fmt: skip
    assert {key: row[key] for key in expected} == expected
    assert row["finished_at"] is not None


def test_a_run_that_another_one_is_busy_with_ends_with_15_and_no_row_differs(site: Site) -> None:
    site.sync()
    before, asked = snapshot(site), len(site.cove.requests)
    with open_database(site.config(), None, Mode.WRITE) as database, database.lock("main"):
        assert site.sync().exit_code == 15
    assert (snapshot(site), len(site.cove.requests)) == (before, asked)
    assert site.sync().exit_code == 0


def test_a_run_that_dies_within_a_page_leaves_a_state_that_the_next_one_completes(
    site: Site, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.devices += [make_device(number, f"srv{number}_abcde") for number in range(2, 6)]
    site.settings = {"api": {"page_size": 2}}
    pages: list[int] = []
    original = Recorder.save_page

    def die_at_the_end_of_the_second(self: Recorder, *args: Any) -> Any:
        outcome = original(self, *args)
        pages.append(1)
        if len(pages) == 2:
            raise MemoryError
        return outcome

    monkeypatch.setattr(Recorder, "save_page", die_at_the_end_of_the_second)
    with pytest.raises(MemoryError):
        site.sync()
    assert len(runs(site)) == 2
    (poll,) = site.rows("SELECT outcome, exit_code FROM cove_polls")
    assert (poll["outcome"], poll["exit_code"]) == ("error", 1)
    monkeypatch.undo()
    site.sync()
    assert len(runs(site)) == 5


def test_a_superseded_run_that_other_rows_refer_to_stays_and_the_sync_goes_on(site: Site, fleet: Fleet) -> None:
    device = fleet.devices[0]
    site.sync()
    add_session(device, "D01", 1)
    site.sync()
    assert len(runs(site)) == 2
    kind = "INTEGER" if site.database_url.startswith("sqlite") else "BIGINT"
    site.execute(f"CREATE TABLE tickets (run_id {kind} NOT NULL REFERENCES job_runs (id))")
    site.execute("INSERT INTO tickets SELECT id FROM job_runs")
    start = NIGHT + timedelta(minutes=20)
    device.sessions["D10"].append(TrueSession("D10", start, start + timedelta(minutes=35), 2))
    device.totals.clear()
    assert site.sync().exit_code == 0
    assert ("Failed", "SRV1") in runs(site)


def test_the_sessions_of_a_superseded_run_go_with_it(site: Site, fleet: Fleet) -> None:
    device = fleet.devices[0]
    device.active = ("D01", "D02", "D10")
    site.sync()
    add_session(device, "D01", 1)
    add_session(device, "D10", 1 + 40 / 60)
    site.sync()
    assert len(runs(site)) == 3
    add_session(device, "D02", 1 + 20 / 60)
    site.sync()
    assert len(runs(site)) == 2
    orphans = "SELECT 1 FROM cove_sessions WHERE job_run_id IS NULL OR job_run_id NOT IN (SELECT id FROM job_runs)"
    assert site.rows(f"{orphans} AND data_source <> 'D09'") == []


def test_counts_tell_only_of_what_was_committed(site: Site, fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet.devices += [make_device(number, f"srv{number}_abcde") for number in range(2, 6)]
    site.settings = {"api": {"page_size": 3}}
    original = Recorder.save_page

    def break_the_second(self: Recorder, store: Any, devices: Any, *args: Any) -> Any:
        outcome = original(self, store, devices, *args)
        if devices[0].account_id > 1:
            store.sessions._connection.exec_driver_sql("INSERT INTO no_such_table VALUES (1)")
        return outcome

    monkeypatch.setattr(Recorder, "save_page", break_the_second)
    result = site.sync()
    assert result.exit_code == 14
    assert result.to_json()["logins"][0]["job_runs"]["new"] == len(runs(site)) == 3

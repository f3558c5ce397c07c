"""`prune` as a process, on both databases: what it removes, what it must never remove, and the sync after it."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cove_poller.cli.prune import parse_keep
from cove_poller.errors import WrongUsage
from tests.conftest import Cli, Site
from tests.world.fake_cove import FakeCove, FakeDevice, Fleet, Partner, TrueSession, make_fleet, serving

NOW = datetime.now(UTC).replace(microsecond=0)
TABLES = ("customers", "jobs", "job_runs", "cove_devices", "cove_sessions")
KEY = ("account_id", "data_source", "status", "status_code")
CONFIG = """\
[database]
url = "{database_url}"
[api]
url = "{url}"
requests_per_second = 1000
[logins.main]
username = "api-poller"
password = "{password}"
"""


@pytest.fixture
def fleet() -> Fleet:
    """Devices that were backed up from five days before the cut-off to three days after it."""
    return make_fleet(seed=11, begin=NOW - timedelta(days=65), days=8, devices=4)


@pytest.fixture
def cove(fleet: Fleet) -> Iterator[FakeCove]:
    with serving(FakeCove(fleet, NOW)) as cove:
        yield cove


@pytest.fixture
def cli(cli: Cli, cove: FakeCove, site: Site) -> Cli:
    """The command, configured for the prepared installation."""
    cli.write_config(CONFIG.format(database_url=site.database_url, url=cove.url, password=cove.password))
    return cli


def answer(cli: Cli, *arguments: str) -> dict[str, Any]:
    done = cli(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    content: dict[str, Any] = json.loads(done.stdout)
    return content


def rows(site: Site, *tables: str) -> dict[str, dict[Any, dict[str, Any]]]:
    """All rows of the tables, by their keys."""
    found = {}
    for table in tables:
        key = "account_id" if table == "cove_devices" else "id"
        found[table] = {row[key]: row for row in site.rows(f"SELECT * FROM {table}")}
    return found


def moment(value: Any) -> datetime:
    at = datetime.fromisoformat(value) if isinstance(value, str) else value
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def lone_device(*sessions: tuple[float, int]) -> Fleet:
    """A device with one data source, whose sessions are told as (days ago, status)."""
    device = FakeDevice(1, 1001, "srv1_abcde", "SRV1", "server", ("D01",))
    device.sessions["D01"] = [
        TrueSession("D01", end - timedelta(minutes=10), end, status)
        for days, status in sessions
        for end in [NOW - timedelta(days=days)]
    ]
    return Fleet([Partner(1000, "Example MSP", None), Partner(1001, "Example Bakery", 1000)], [device])


def add_poll(site: Site, days: float, *, login: str = "main", **values: Any) -> None:
    """A row of the audit trail."""
    at = f"{NOW - timedelta(days=days):%Y-%m-%d %H:%M:%S}"
    row = {"command": "sync", "login": login, "started_at": at, "outcome": "ok", **values}
    texts = ", ".join("NULL" if value is None else f"'{value}'" for value in row.values())
    site.execute(f"INSERT INTO cove_polls ({', '.join(row)}) VALUES ({texts})")


def kept_polls(site: Site) -> list[int]:
    return [row["id"] for row in site.rows("SELECT id FROM cove_polls ORDER BY id")]


def test_the_newest_of_each_kind_before_the_cut_off_and_all_after_it_stay_and_everything_else_goes(
    cli: Cli, site: Site
) -> None:
    site.backfill(NOW - timedelta(days=66))
    before = rows(site, *TABLES)
    cut_off = datetime.now(UTC) - timedelta(days=60)
    removed = answer(cli, "prune", "--keep", "60d")["removed"]
    after = rows(site, *TABLES)
    old = sorted(
        (row for row in before["cove_sessions"].values() if moment(row["session_at"]) < cut_off),
        key=lambda row: moment(row["session_at"]),
    )
    newest = {tuple(row[name] for name in KEY): row["id"] for row in old}  # the last one of each kind wins
    gone = {row["id"] for row in old} - set(newest.values())
    assert len(gone) > 20
    assert removed["sessions"] == len(gone)
    assert after["cove_sessions"].keys() == before["cove_sessions"].keys() - gone
    for table in TABLES[:-1]:
        assert after[table] == before[table]


def test_a_sync_after_it_changes_nothing_that_was_there(cli: Cli, site: Site) -> None:
    site.backfill(NOW - timedelta(days=66))
    answer(cli, "sync")
    answer(cli, "prune", "--keep", "60d")
    before = rows(site, *TABLES)
    (login,) = answer(cli, "sync")["logins"]
    assert login["sessions"]["unchanged"] > 0
    for counts in (login["sessions"], login["job_runs"]):
        assert (counts["new"], counts["updated"]) == (0, 0)
    assert rows(site, *TABLES) == before


class TestADeviceThatHasNotRunForLong:
    @pytest.fixture
    def fleet(self) -> Fleet:
        """Completed once, then with errors twice, then interrupted, all long ago; Cove tells of the last of each."""
        return lone_device((300, 5), (250, 8), (200, 8), (150, 6))

    def test_what_cove_still_tells_of_it_is_not_taken_for_news(self, cli: Cli, cove: FakeCove, site: Site) -> None:
        cove.reading.completed_is = "finished"
        site.backfill(NOW - timedelta(days=310))
        answer(cli, "sync")
        assert answer(cli, "prune", "--keep", "100d")["removed"]["sessions"] == 1  # the older with errors
        before = rows(site, *TABLES)
        (login,) = answer(cli, "sync")["logins"]
        assert login["sessions"]["new"] == login["job_runs"]["new"] == 0
        assert rows(site, *TABLES) == before


class TestADeviceThatFails:
    @pytest.fixture
    def fleet(self) -> Fleet:
        """It succeeded last long ago and has failed ever since."""
        return lone_device((300, 5), (299, 5), *((days, 2) for days in range(298, 0, -30)), (0.5, 2))

    def test_its_remark_still_tells_of_the_last_success(
        self, cli: Cli, cove: FakeCove, site: Site, fleet: Fleet
    ) -> None:
        site.backfill(NOW - timedelta(days=310))
        answer(cli, "prune", "--keep", "9w")
        cove.now += timedelta(hours=1)
        end = NOW + timedelta(minutes=30)
        fleet.devices[0].sessions["D01"].append(TrueSession("D01", end - timedelta(minutes=5), end, 2))
        fleet.devices[0].totals.clear()
        answer(cli, "sync")
        newest = site.rows("SELECT status, remark FROM job_runs ORDER BY run_at DESC")[0]
        assert newest == {"status": "Failed", "remark": "Files and Folders: Failed (last success 299 days ago)."}


def test_a_dry_run_counts_what_would_go_and_removes_nothing(cli: Cli, site: Site) -> None:
    site.backfill(NOW - timedelta(days=66))
    add_poll(site, 90)
    add_poll(site, 80)
    before = rows(site, *TABLES, "cove_polls")
    told = answer(cli, "prune", "--keep", "60d", "--dry-run")
    assert rows(site, *TABLES, "cove_polls") == before
    assert told["dry_run"] is True
    assert told["removed"] == answer(cli, "prune", "--keep", "60d")["removed"]
    assert told["removed"]["polls"] == 1


def test_a_second_prune_finds_nothing_and_says_so(cli: Cli, site: Site) -> None:
    site.backfill(NOW - timedelta(days=66))
    cli("prune", "--keep", "60d")
    done = cli("prune", "--keep", "60d")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Removed 0 rows of cove_sessions and 0 rows of cove_polls from before 20")


def test_of_the_audit_trail_the_newest_and_the_newest_successful_row_of_each_login_and_command_stay(
    cli: Cli, site: Site
) -> None:
    add_poll(site, 200)
    add_poll(site, 190)  # 2: the newest successful one
    add_poll(site, 180, outcome="error", exit_code=13)
    add_poll(site, 170, outcome="error", exit_code=13)  # 4: the newest
    add_poll(site, 160, command="backfill")  # 5: of another command
    add_poll(site, 150, login="gone")  # 6: of another login
    assert answer(cli, "prune", "--keep", "60d")["removed"] == {"sessions": 0, "polls": 2}
    assert kept_polls(site) == [2, 4, 5, 6]


def test_a_remembered_rejection_stays_with_its_first_words_and_is_still_not_tried_again(
    cli: Cli, site: Site, cove: FakeCove
) -> None:
    cove.password = "another"
    assert [cli("sync").returncode for _ in range(2)] == [11, 11]
    site.execute(f"UPDATE cove_polls SET started_at = '{NOW - timedelta(days=300):%Y-%m-%d %H:%M:%S}'")
    for days in (250, 240):
        add_poll(site, days, outcome="error")
    assert answer(cli, "prune", "--keep", "60d")["removed"]["polls"] == 1
    assert kept_polls(site) == [1, 2, 4]
    before = len(cove.requests)
    done = cli("sync")
    assert (done.returncode, len(cove.requests)) == (11, before)
    assert done.stderr.count("not tried again since") == 1


@pytest.mark.parametrize("keep", ["59d", "8w", "0d", "400", ""])
def test_a_span_that_is_none_or_too_short_is_refused(keep: str) -> None:
    with pytest.raises(WrongUsage, match="--keep"):
        parse_keep(keep)


def test_what_is_long_enough_is_kept() -> None:
    assert [parse_keep(text).days for text in ("60d", "400d", "9w", "52w", "1440h")] == [60, 400, 63, 364, 60]


def test_a_span_that_is_too_short_is_wrong_usage_and_nothing_goes(cli: Cli, site: Site) -> None:
    add_poll(site, 900)
    add_poll(site, 800)
    done = cli("prune", "--keep", "59d", "--json")
    content = json.loads(done.stdout)
    assert (done.returncode, content["exit_code"], content["error"]["code"]) == (2, 2, "usage")
    assert "at least 60d are kept" in done.stderr
    assert kept_polls(site) == [1, 2]


def test_a_large_table_is_gone_through_in_batches_and_none_is_left_out(cli: Cli, site: Site) -> None:
    begin = NOW - timedelta(days=300)
    values = ", ".join(
        f"(7, 'D01', '{begin + timedelta(minutes=number):%Y-%m-%d %H:%M:%S}', 'success', 5, 'poll')"
        for number in range(12_001)
    )
    site.execute(
        f"INSERT INTO cove_sessions (account_id, data_source, session_at, status, status_code, origin) VALUES {values}"
    )
    assert answer(cli, "prune", "--keep", "60d")["removed"]["sessions"] == 12_000
    (left,) = site.rows("SELECT session_at FROM cove_sessions")
    assert moment(left["session_at"]) == begin + timedelta(minutes=12_000)

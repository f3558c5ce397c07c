"""`prune` and the sync after it: what Cove still tells of is not taken for news. Its SQL is tried where it lives."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cove_poller.cli.prune import parse_keep
from cove_poller.commands.prune import Pruned, prune
from cove_poller.errors import WrongUsage
from tests.conftest import Cli, Site, on_sqlite
from tests.world.fake_cove import FakeCove, FakeDevice, Fleet, Partner, TrueSession, make_fleet, serving

NOW = datetime.now(UTC).replace(microsecond=0)
TABLES = ("customers", "jobs", "job_runs", "cove_devices", "cove_sessions")
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


def rows(site: Site, *tables: str) -> dict[str, list[dict[str, Any]]]:
    return {table: sorted(site.rows(f"SELECT * FROM {table}"), key=str) for table in tables or TABLES}


def pruned(site: Site, days: int) -> Pruned:
    return prune(site.installation(), timedelta(days=days))


def lone_device(*sessions: tuple[float, int]) -> Fleet:
    """A device with one data source, whose sessions are told as (days ago, status)."""
    device = FakeDevice(1, 1001, "srv1_abcde", "SRV1", "server", ("D01",))
    device.sessions["D01"] = [
        TrueSession("D01", end - timedelta(minutes=10), end, status)
        for days, status in sessions
        for end in [NOW - timedelta(days=days)]
    ]
    return Fleet([Partner(1000, "Example MSP", None), Partner(1001, "Example Bakery", 1000)], [device])


def test_a_sync_after_it_changes_nothing_that_was_there(site: Site) -> None:
    site.backfill(NOW - timedelta(days=66))
    site.sync()
    before = rows(site)
    assert pruned(site, 60).sessions > 20
    after = rows(site)
    assert {name for name in TABLES if after[name] != before[name]} == {"cove_sessions"}
    (login,) = site.sync().to_json()["logins"]
    assert login["sessions"]["unchanged"] > 0
    for counts in (login["sessions"], login["job_runs"]):
        assert (counts["new"], counts["updated"]) == (0, 0)
    assert rows(site) == after


class TestADeviceThatHasNotRunForLong:
    @pytest.fixture
    def fleet(self) -> Fleet:
        """Completed once, then with errors twice, then interrupted, all long ago; Cove tells of the last of each."""
        return lone_device((300, 5), (250, 8), (200, 8), (150, 6))

    def test_what_cove_still_tells_of_it_is_not_taken_for_news(self, cove: FakeCove, site: Site) -> None:
        cove.reading.completed_is = "finished"
        site.backfill(NOW - timedelta(days=310))
        site.sync()
        assert pruned(site, 100).sessions == 1  # the older with errors
        before = rows(site)
        (login,) = site.sync().to_json()["logins"]
        assert login["sessions"]["new"] == login["job_runs"]["new"] == 0
        assert rows(site) == before


class TestADeviceThatFails:
    @pytest.fixture
    def fleet(self) -> Fleet:
        """It succeeded last long ago and has failed ever since."""
        return lone_device((300, 5), (299, 5), *((days, 2) for days in range(298, 0, -30)), (0.5, 2))

    def test_its_remark_still_tells_of_the_last_success(self, cove: FakeCove, site: Site, fleet: Fleet) -> None:
        site.backfill(NOW - timedelta(days=310))
        pruned(site, 63)
        cove.now += timedelta(hours=1)
        end = NOW + timedelta(minutes=30)
        fleet.devices[0].sessions["D01"].append(TrueSession("D01", end - timedelta(minutes=5), end, 2))
        fleet.devices[0].totals.clear()
        site.sync()
        newest = site.rows("SELECT status, remark FROM job_runs ORDER BY run_at DESC")[0]
        assert newest == {"status": "Failed", "remark": "Files and Folders: Failed (last success 299 days ago)."}


@on_sqlite
class TestTheCommand:
    @pytest.fixture
    def cli(self, cli: Cli, cove: FakeCove, site: Site) -> Cli:
        cli.write_config(CONFIG.format(database_url=site.database_url, url=cove.url, password=cove.password))
        return cli

    def test_it_says_what_would_go_then_removes_that_and_finds_nothing_the_next_time(
        self, cli: Cli, site: Site
    ) -> None:
        site.backfill(NOW - timedelta(days=66))
        before = rows(site, *TABLES, "cove_polls")
        told = [json.loads(cli("prune", "--keep", "60d", *more, "--json").stdout) for more in (("--dry-run",), ())]
        assert [one["dry_run"] for one in told] == [True, False]
        assert told[0]["removed"] == told[1]["removed"]
        gone = len(before["cove_sessions"]) - len(rows(site)["cove_sessions"])
        assert told[1]["removed"] == {"sessions": gone, "polls": 0}
        assert gone > 20
        done = cli("prune", "--keep", "60d")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("Removed 0 rows of cove_sessions and 0 rows of cove_polls from before 20")

    def test_a_dry_run_removes_nothing(self, cli: Cli, site: Site) -> None:
        site.backfill(NOW - timedelta(days=66))
        before = rows(site, *TABLES, "cove_polls")
        assert cli("prune", "--keep", "60d", "--dry-run").returncode == 0
        assert rows(site, *TABLES, "cove_polls") == before

    def test_a_login_that_was_rejected_is_still_not_tried_again(self, cli: Cli, site: Site, cove: FakeCove) -> None:
        cove.password = "another"
        assert [cli("sync").returncode for _ in range(3)] == [11, 11, 11]
        site.execute(f"UPDATE cove_polls SET started_at = '{NOW - timedelta(days=300):%Y-%m-%d %H:%M:%S}'")
        assert pruned(site, 60).polls == 1
        before = len(cove.requests)
        done = cli("sync", "--json")
        assert (done.returncode, done.stderr, len(cove.requests)) == (11, "", before)
        assert done.stdout.count("not tried again since") == 1

    def test_a_span_that_is_too_short_is_wrong_usage_and_nothing_goes(self, cli: Cli, site: Site) -> None:
        site.backfill(NOW - timedelta(days=66))
        before = rows(site)
        done = cli("prune", "--keep", "59d", "--json")
        content = json.loads(done.stdout)
        assert (done.returncode, content["exit_code"], content["error"]["code"]) == (2, 2, "usage")
        assert "at least 60d are kept" in done.stderr
        assert rows(site) == before


@pytest.mark.parametrize("keep", ["59d", "8w", "0d", "400", ""])
def test_a_span_that_is_none_or_too_short_is_refused(keep: str) -> None:
    with pytest.raises(WrongUsage, match="--keep"):
        parse_keep(keep)


def test_what_is_long_enough_is_kept() -> None:
    assert [parse_keep(text).days for text in ("60d", "400d", "9w", "52w", "1440h")] == [60, 400, 63, 364, 60]

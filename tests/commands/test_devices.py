"""`devices`: what is linked to what, linking and ignoring by hand, and the sync after it; and the command itself."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from cove_poller.commands.devices import Change, link_device, list_devices
from cove_poller.commands.ignored_devices import ignore_device, ignore_source
from cove_poller.database.engine import Mode, open_database
from cove_poller.errors import LockHeld, WrongUsage
from cove_poller.views.devices import devices_table
from tests.conftest import Cli, Site
from tests.world.fake_cove import FakeCove, Fleet, serving
from tests.world.layouts import RENAMED, LiveSite, run_script
from tests.world.small_fleet import MORNING, add_session, make_device, make_small_fleet
from tests.world.terminal import Terminal

OURS = "Cove Data Protection"
RUNS = "SELECT job_id, external_id, run_at, status, remark FROM job_runs ORDER BY run_at, external_id"


@pytest.fixture
def fleet() -> Fleet:
    """Two servers of one customer; the first has run twice."""
    fleet = make_small_fleet(make_device(1), make_device(2, "srv2_abcde"))
    add_session(fleet.devices[0], "D01", 3, status=2)
    return fleet


@pytest.fixture
def cove(fleet: Fleet) -> Iterator[FakeCove]:
    with serving(FakeCove(fleet, MORNING)) as cove:
        yield cove


@pytest.fixture
def site(site: Site) -> Site:
    """An installation that makes no jobs by itself; of those that are there the first is another software's."""
    site.settings = {"backupchecks": {"create_jobs": False}}
    site.execute(
        "INSERT INTO customers (name) VALUES ('Example Bakery')",
        "INSERT INTO jobs (customer_id, backup_software, backup_type, job_name)"
        f" VALUES (1, 'Other', 'Server', 'SRV1'), (1, '{OURS}', 'Server', 'Old name'), (1, '{OURS}', 'Server', 'SRV2')",
    )
    site.sync()
    return site


@pytest.fixture
def cli(cli: Cli, site: Site) -> Cli:
    write_config(cli, site)
    return cli


def write_config(cli: Cli, site: Site) -> None:
    content = {
        "database": {"url": site.database_url},
        "api": {"url": site.cove.url, "requests_per_second": 1000},
        "logins": {"main": {"username": site.cove.username, "password": site.cove.password}},
        "backupchecks": site.settings["backupchecks"],
    }
    cli.write_config(tomli_w.dumps(content))


def answer(cli: Cli, *arguments: str, code: int = 0) -> dict[str, Any]:
    done = cli(*arguments, "--json")
    assert done.returncode == code, done.stderr
    content: dict[str, Any] = json.loads(done.stdout)
    assert content["exit_code"] == code
    return content


def links(site: Site) -> dict[int, int | None]:
    """The device of each job."""
    return {row["id"]: row["cove_account_id"] for row in site.rows("SELECT id, cove_account_id FROM jobs ORDER BY id")}


def written(site: Site) -> list[dict[str, Any]]:
    """The job runs as text, whichever database they are in."""
    return [{**row, "run_at": str(row["run_at"])[:19]} for row in site.rows(RUNS)]


def outcomes(site: Site) -> list[tuple[str, str]]:
    query = "SELECT j.job_name, r.status FROM job_runs r JOIN jobs j ON j.id = r.job_id ORDER BY r.run_at, j.job_name"
    return [(row["job_name"], row["status"]) for row in site.rows(query)]


def on_terminal(cli: Cli, *arguments: str, said: str) -> str:
    """What the command prints on a terminal where somebody says something."""
    terminal = Terminal(cli, *arguments)
    terminal.type(said)
    assert terminal.finish() == 0
    return terminal.text


def link(site: Site, account_id: int, job_id: int) -> Change:
    return link_device(site.installation(), account_id, job_id, lambda plan: True)


def ignore(site: Site, account_id: int, *, undo: bool = False) -> Change:
    return ignore_device(site.installation(), account_id, lambda plan: True, undo=undo)


class TestOnBothDatabases:
    def test_the_runs_of_a_linked_device_are_those_that_it_would_have_had_from_the_start(
        self, site: Site, tmp_path: Path
    ) -> None:
        assert outcomes(site) == [("SRV2", "Success")]
        told = link(site, 1, 2)
        assert (told.sessions, told.job_runs) == (1, 1)  # what was before the first poll's newest round is not known
        assert (str(told.job), told.previous_job, told.is_done) == ("Old name (id 2) of Example Bakery", None, True)
        assert links(site) == {1: None, 2: 1, 3: 2}
        site.sync()
        twin = Site(site.cove, f"sqlite:///{tmp_path / 'twin.db'}", tmp_path, settings=site.settings)
        twin.migrate()
        twin.execute(
            "INSERT INTO customers (name) VALUES ('Example Bakery')",
            "INSERT INTO jobs (customer_id, backup_software, backup_type, job_name, cove_account_id)"
            f" VALUES (1, 'Other', 'Server', 'SRV1', NULL), (1, '{OURS}', 'Server', 'Old name', 1),"
            f" (1, '{OURS}', 'Server', 'SRV2', 2)",
        )
        twin.sync()
        assert written(site) == written(twin)
        assert outcomes(site) == [("SRV2", "Success"), ("Old name", "Failed")]

    def test_a_device_that_moves_to_another_job_leaves_its_runs_where_they_are(self, site: Site, fleet: Fleet) -> None:
        before = site.rows(RUNS)
        told = link(site, 2, 2)
        assert "So far it is linked to job SRV2 (id 3) of Example Bakery: runs that are there stay" in told.plan[1]
        assert links(site) == {1: None, 2: 2, 3: None}
        assert site.rows("SELECT job_id FROM cove_devices WHERE account_id = 2") == [{"job_id": 2}]
        add_session(fleet.devices[1], "D01", 3)
        site.sync()
        assert site.rows(RUNS)[:1] == before
        assert outcomes(site) == [("SRV2", "Success"), ("Old name", "Success")]

    def test_an_ignored_device_makes_no_run_until_that_is_undone(self, site: Site, fleet: Fleet) -> None:
        assert ignore(site, 2).is_done
        add_session(fleet.devices[1], "D01", 3, status=2)
        site.sync()
        assert outcomes(site) == [("SRV2", "Success")]
        told = ignore(site, 2, undo=True)
        assert (told.sessions, told.job_runs) == (1, 1)
        site.sync()
        assert outcomes(site) == [("SRV2", "Success"), ("SRV2", "Failed")]

    @pytest.mark.parametrize("command", ["sync", "backfill"])
    def test_while_another_run_is_busy_with_the_login_nothing_is_changed(self, site: Site, command: str) -> None:
        with open_database(site.config(), None, Mode.WRITE) as database, database.lock("main", command):
            with pytest.raises(LockHeld):
                link(site, 1, 2)
            with pytest.raises(LockHeld):
                ignore(site, 1)
        assert links(site)[2] is None
        assert [one.state for one in list_devices(site.installation())] == ["unlinked", "linked"]

    def test_what_is_changed_by_hand_is_not_undone_by_the_page_of_another_login(self, site: Site) -> None:
        by_hand = threading.Thread(target=ignore, args=(site, 2))
        with open_database(site.config(), None, Mode.WRITE) as database, database.recording() as page:
            (known,) = page.devices.rows([2]).values()
            by_hand.start()
            by_hand.join(1)
            page.devices.save([], [{**known, "color_bar": "5"}])
        by_hand.join()
        found = site.rows("SELECT ignored, color_bar FROM cove_devices WHERE account_id = 2")
        assert [(bool(one["ignored"]), one["color_bar"]) for one in found] == [(True, "5")]

    def test_the_list_tells_the_job_of_each_device_or_why_it_has_none(self, site: Site, fleet: Fleet) -> None:
        fleet.devices += [make_device(3, "srv3_abcde"), make_device(4, "srv4_abcde")]
        site.sync()
        del fleet.devices[3]
        site.sync()
        ignore(site, 3)
        asked = len(site.cove.requests)
        found = list_devices(site.installation())
        assert len(site.cove.requests) == asked
        assert [(one.device.account_id, one.state, one.job and one.job.id) for one in found] == [
            (1, "unlinked", None), (2, "linked", 3), (3, "ignored", None), (4, "gone", None),
        ]  # fmt: skip
        assert found[0].to_json() == {
            "account_id": 1, "login": "main", "device": "srv1_abcde", "computer": "SRV1", "customer": "Example Bakery",
            "type": "Server", "ignored": False, "gone_at": None, "state": "unlinked", "job": None,
            "reason": "there is no job 'SRV1'",
        }  # fmt: skip
        lines = devices_table(found, only_unlinked=False).splitlines()
        assert lines[0].split("  ")[0] == "account id"
        assert lines[1].endswith("Server  unlinked: there is no job 'SRV1'")
        assert lines[2].endswith("Server  SRV2 (id 3)")
        assert lines[3].endswith("Server  ignored: no job")
        assert "  gone since 20" in lines[4]
        assert len({line.find("Example Bakery") for line in lines[1:]}) == 1


class TestOnTheCommandLine:
    @pytest.fixture
    def database_url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path / 'cove.db'}"

    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            (("link", "99", "--job", "2"), "there is no device 99; `cove-poller devices list` shows"),
            (("ignore", "99"), "there is no device 99; `cove-poller devices list` shows"),
            (("link", "1", "--job", "99"), "there is no job 99; free are: Old name (id 2) of Example Bakery"),
            (("link", "1", "--job", "1"), "job SRV1 (id 1) of Example Bakery is one of the backup software 'Other'"),
            (("link", "srv9", "--job", "2"), "no device is called 'srv9'; near are: Example Bakery, SRV"),
            (("link", "1", "--job", "Old nam"), "no job is called 'Old nam'; near are: Old name (id 2) of Example"),
            (("ignore", "99999999999999999999"), "is too great for an id"),
            (("link", "1", "--job", "3"), "is linked to Example Bakery, SRV2 (device 2); link that one"),
        ],
    )  # fmt: skip
    def test_what_cannot_be_is_wrong_usage_with_the_reason_and_changes_nothing(
        self, site: Site, cli: Cli, arguments: tuple[str, ...], reason: str
    ) -> None:
        before = links(site)
        done = cli("devices", *arguments, "--json")
        content = json.loads(done.stdout)
        assert (done.returncode, content["exit_code"], content["error"]["code"]) == (2, 2, "usage")
        assert reason in done.stderr
        assert links(site) == before

    def test_a_device_and_a_job_are_found_by_their_names_too(self, cli: Cli) -> None:
        done = cli("devices", "link", "srv1", "--job", "OLD NAME", "--yes")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("Example Bakery, SRV1 (device 1) is linked to job Old name (id 2)")
        ignored = cli("devices", "ignore", "srv2_abcde", "--yes").stdout
        assert ignored.startswith("Example Bakery, SRV2 (device 2) is now ignored.")
        unknown = cli("backfill", "--since", "2d", "--device", "srv9", "--yes")
        assert (unknown.returncode, unknown.stdout) == (2, "")
        assert "Invalid value for --device: no device is called 'srv9'; near are: " in unknown.stderr

    def test_an_ignored_device_is_not_linked_before_that_is_undone(self, cli: Cli) -> None:
        cli("devices", "ignore", "1", "--yes")
        done = cli("devices", "link", "1", "--job", "2")
        assert done.returncode == 2
        assert "take that back first: cove-poller devices ignore --undo 1" in done.stderr

    def test_on_a_terminal_it_says_what_it_will_do_and_asks(self, site: Site, cli: Cli) -> None:
        printed = on_terminal(cli, "devices", "link", "1", "--job", "2", said="n\n")
        assert "Example Bakery, SRV1 (device 1), in Cove srv1_abcde, will be linked to job Old name (id 2)" in printed
        assert "The next sync writes what waits: 1 job run from 1 recorded session." in printed
        assert "Nothing was changed." in printed
        assert links(site)[2] is None
        assert "is linked to job Old name" in on_terminal(cli, "devices", "link", "1", "--job", "2", said="y\n")
        assert links(site)[2] == 1

    def test_yes_asks_nobody_on_a_terminal(self, site: Site, cli: Cli) -> None:
        printed = on_terminal(cli, "devices", "ignore", "1", "--yes", said="n\n")
        assert "Go on?" not in printed
        assert site.rows("SELECT ignored FROM cove_devices WHERE account_id = 1") == [{"ignored": True}]

    def test_the_story_of_a_device_that_is_linked_by_hand(self, site: Site, cli: Cli) -> None:
        unlinked = answer(cli, "devices", "list", "--unlinked")["devices"]
        assert [(one["account_id"], one["reason"]) for one in unlinked] == [(1, "there is no job 'SRV1'")]
        assert cli("devices", "list").stdout.splitlines()[2].endswith("Server  SRV2 (id 3)")
        refused = cli("devices", "link", "1", "--job", "2")
        assert (refused.returncode, links(site)[2]) == (2, None)
        assert "nobody can be asked here, so nothing was done" in refused.stderr
        told = answer(cli, "devices", "link", "1", "--job", "2", "--yes")
        assert (told["waiting"], told["changed"]) == ({"sessions": 1, "job_runs": 1}, True)
        assert (told["job"]["name"], told["previous_job"]) == ("Old name", None)
        assert answer(cli, "devices", "list", "--unlinked")["devices"] == []
        with open_database(site.config(), None, Mode.WRITE) as database, database.lock("main"):
            assert answer(cli, "devices", "ignore", "1", code=15)["error"]["code"] == "locked"

    def test_what_is_so_already_is_said_and_is_no_failure(self, cli: Cli) -> None:
        linked = cli("devices", "link", "2", "--job", "3")
        assert (linked.returncode, linked.stderr) == (0, "")
        assert linked.stdout.endswith("is linked to job SRV2 (id 3) of Example Bakery already.\n")
        assert cli("devices", "ignore", "2", "--undo").stdout.endswith("is not ignored.\n")
        assert answer(cli, "devices", "ignore", "2", "--undo")["changed"] is False

    def test_of_a_device_that_cove_no_longer_lists_no_runs_are_promised(
        self, site: Site, cli: Cli, fleet: Fleet
    ) -> None:
        del fleet.devices[0]
        site.sync()
        assert "Cove no longer lists it, so no runs" in cli("devices", "link", "1", "--job", "2", "--yes").stdout

    def test_the_shell_completes_the_ids_of_devices_and_of_free_jobs(self, cli: Cli) -> None:
        def completed(*words: str) -> list[str]:
            line = {"COMP_WORDS": " ".join(["cove-poller", *words[:-1]]), "COMP_CWORD": str(len(words))}
            if words[-1]:
                line["COMP_WORDS"] += f" {words[-1]}"
            done = cli.fresh(**line, _COVE_POLLER_COMPLETE="zsh_complete")
            assert done.stderr == ""
            return done.stdout.split()

        first = ["plain", "1", "srv1_abcde", "(Example", "Bakery)"]
        second = ["plain", "2", "srv2_abcde", "(Example", "Bakery)"]
        assert completed("devices", "link", "") == [*first, *second]
        assert completed("devices", "ignore", "2") == second
        assert completed("devices", "link", "1", "--job", "") == ["plain", "2", "Old", "name", "(Example", "Bakery)"]
        cli.write_config("[database]\n")
        assert completed("devices", "link", "") == []

    def test_a_database_that_is_not_there_ends_with_14_and_is_not_made(self, cli: Cli, site: Site) -> None:
        site.database_url = f"sqlite:///{cli.directory / 'other.db'}"
        write_config(cli, site)
        for arguments in (("list",), ("link", "1", "--job", "2")):
            assert cli("devices", *arguments).returncode == 14
        assert not (cli.directory / "other.db").exists()


def test_a_database_that_others_laid_out_can_be_linked_too(cove: FakeCove, database_url: str, tmp_path: Path) -> None:
    run_script(database_url, RENAMED.script(database_url))
    site = LiveSite(cove, database_url, tmp_path, layout=RENAMED)
    site.prepare()
    site.execute(
        "INSERT INTO jobs (customer, software, kind, title, is_active)"
        f" VALUES (2, '{OURS}', 'server', 'By hand', false)"
    )
    site.sync()
    plan = "\n".join(link(site, 1, 3).plan)
    assert "So far it is linked to job SRV1 " in plan
    assert "That job is not active in Backupchecks." in plan
    assert site.rows("SELECT cove_account_id FROM jobs WHERE id = 3") == [{"cove_account_id": 1}]
    assert "By hand (id 3)" in devices_table(list_devices(site.installation()), only_unlinked=False)
    with pytest.raises(WrongUsage):
        link(site, 1, 2)


def test_one_data_source_of_a_device_is_ignored_and_wanted_again(site: Site) -> None:
    def change(undo: bool = False) -> Change:
        return ignore_source(site.installation(), 1, "d10", lambda plan: True, undo=undo)

    assert change().outcome.startswith("SQL Server (D10) of Example Bakery, SRV1 (device 1)")
    assert change().is_needed is False
    site.sync()
    (row,) = site.rows("SELECT data_sources FROM cove_devices WHERE account_id = 1")
    sources = row["data_sources"] if isinstance(row["data_sources"], dict) else json.loads(row["data_sources"])
    assert "D10" not in sources
    assert change(undo=True).is_done
    with pytest.raises(WrongUsage, match="has no data source D44; it has D01"):
        ignore_source(site.installation(), 1, "D44", lambda plan: True)

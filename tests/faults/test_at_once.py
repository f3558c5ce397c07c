"""Many processes on one database at once, and some of them killed: nothing is doubled or lost."""

import random
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cove_poller.database.engine import migrate_database
from tests.conftest import NEVER_STALE, Cli, Site, wait_for
from tests.world.fake_cove import FakeCove, make_fleet, serving
from tests.world.prepared import make_config
from tests.world.recorded import plain_rows

NOW = datetime.now(UTC).replace(microsecond=0)
UNLOCKED = """
import contextlib
from cove_poller.database.engine import Database
Database.lock = lambda self, login, command="sync": contextlib.nullcontext()
"""
DOUBLES = {
    "job_runs": "SELECT 1 FROM job_runs GROUP BY source_type, external_id, run_at HAVING count(*) > 1",
    "sessions": "SELECT 1 FROM cove_sessions GROUP BY account_id, data_source, session_at HAVING count(*) > 1",
    "jobs": "SELECT 1 FROM jobs GROUP BY cove_account_id HAVING count(*) > 1",
    "customers": "SELECT 1 FROM customers GROUP BY name HAVING count(*) > 1",
}


@pytest.fixture
def cove(soaks: bool) -> Iterator[FakeCove]:
    fleet = make_fleet(seed=11, begin=NOW - timedelta(days=3), days=2.8, devices=16 if soaks else 6)
    with serving(FakeCove(fleet, NOW)) as cove:
        yield cove


def configure(cli: Cli, cove: FakeCove, url: str, logins: int) -> None:
    """Write a configuration with so many logins, each below its own customer where there are several."""
    partners = [one.id for one in cove.fleet.partners[1:]]
    more = [
        f'[logins.more{number}]\nusername = "{cove.username}"\npassword = "{cove.password}"\npartner_id = {partner}\n'
        for number, partner in enumerate((partners * logins)[1:logins], start=1)
    ]
    cli.configure(cove, "".join(more) + NEVER_STALE)
    own = f"partner_id = {partners[0]}\n[logins.more1]" if logins > 1 else ""
    text = (cli.directory / "cove.toml").read_text().replace("sqlite:///cove.db", url)
    cli.write_config(text.replace("[logins.more1]", own, 1) if own else text)


@pytest.mark.long
@pytest.mark.parametrize("logins", [1, 4])
@pytest.mark.parametrize("locks", [True, False], ids=["locked", "unlocked"])
def test_eight_processes_at_once_double_nothing(
    locks: bool,
    logins: int,
    cli: Cli,
    cove: FakeCove,
    make_postgres: Callable[[], str],
    measured: Callable[[str], None],
) -> None:
    urls = make_postgres(), make_postgres()
    for url in urls:
        migrate_database(make_config(url), None, dry_run=False)
    commands = [["sync"], ["backfill", "--since", "4d", "--yes"]]
    configure(cli, cove, urls[0], logins)
    for command in [*commands, commands[0]]:
        assert cli(*command).returncode == 0
    configure(cli, cove, urls[1], logins)
    cli.before = "" if locks else UNLOCKED
    processes = [cli.start(*commands[number % 2]) for number in range(8)]
    codes = [process.wait() for process in processes]
    said = [process.communicate() for process in processes]
    assert set(codes) <= {0, 3, 15}, said
    assert not any("Traceback" in stderr for _, stderr in said)
    cli.before = ""
    for command in [*commands, commands[0]]:
        assert cli(*command).returncode == 0
    clean, crowded = (Site(cove, url, cli.directory) for url in urls)
    doubles = {name: len(crowded.rows(query)) for name, query in DOUBLES.items()}
    assert doubles == dict.fromkeys(DOUBLES, 0)
    assert plain_rows(crowded)["runs"] == plain_rows(clean)["runs"]
    how = "with" if locks else "without"
    measured(f"8 processes, {logins} logins, {how} locks: exit codes {sorted(codes)}, {sum(doubles.values())} doubles")


SLOW = """
import pathlib, time
from cove_poller.commands import record_page
look_up = record_page.recorded_sessions
def and_wait(*args):
    found = look_up(*args)
    pathlib.Path("looked-up").touch()
    time.sleep(2)
    return found
record_page.recorded_sessions = and_wait
"""


@pytest.mark.long
def test_two_logins_that_list_the_same_devices_lose_no_run_whatever_is_written_in_between(
    cli: Cli, cove: FakeCove, make_postgres: Callable[[], str]
) -> None:
    urls = make_postgres(), make_postgres()
    other = f'[logins.other]\nusername = "{cove.username}"\npassword = "{cove.password}"\n'
    cli.configure(cove, other + NEVER_STALE)
    text = (cli.directory / "cove.toml").read_text()
    past = ["backfill", "--since", "4d", "--yes"]
    for url in urls:
        migrate_database(make_config(url), None, dry_run=False)
        cli.write_config(text.replace("sqlite:///cove.db", url))
        if url == urls[1]:
            cli.before = SLOW
            backfill = cli.start(*past, "--login", "main")
            wait_for((cli.directory / "looked-up").exists)
            cli.before = ""
            assert cli("sync", "--login", "other").returncode == 0
            assert backfill.wait() == 0
        for command in (["sync"], past, ["sync"]):
            assert cli(*command).returncode == 0
    alone, crowded = (Site(cove, url, cli.directory) for url in urls)
    assert plain_rows(crowded)["runs"] == plain_rows(alone)["runs"]


def was_killed(cli: Cli, cove: FakeCove, seconds: float) -> bool:
    """Start a sync and kill it so long after its first request. Return whether it had not ended by itself."""
    before = len(cove.arrived)
    process = cli.start("sync")
    wait_for(lambda: len(cove.arrived) > before or process.poll() is not None)
    time.sleep(seconds)
    process.kill()
    return process.wait() < 0


@pytest.mark.long
def test_a_sync_that_is_killed_again_and_again_leaves_what_the_next_completes(
    cli: Cli, cove: FakeCove, soaks: bool, measured: Callable[[str], None]
) -> None:
    kills, chance = (200 if soaks else 7), random.Random(3)
    configure(cli, cove, "sqlite:///clean.db", 1)
    assert cli("sync").returncode == 0
    clean = Site(cove, f"sqlite:///{cli.directory / 'clean.db'}", cli.directory)
    expected, begun, differences = plain_rows(clean), 0, 0
    configure(cli, cove, "sqlite:///killed.db", 1)
    text = (cli.directory / "cove.toml").read_text().replace("[api]", "[api]\npage_size = 3")
    cli.write_config(text)
    database = cli.directory / "killed.db"
    killed = Site(cove, f"sqlite:///{database}", cli.directory)
    cove.faults.slow_seconds = 0.02
    for number in range(kills):
        begun += was_killed(cli, cove, chance.uniform(0, 0.4))
        if number % 10 == 9 or number == kills - 1:  # the next one completes it; then from the beginning
            done = cli("sync")
            assert done.returncode == 0, done.stderr
            differences += plain_rows(killed) != expected
            for file in Path(cli.directory).glob("killed.db*"):
                file.unlink()
    measured(f"{kills} kills of a sync, {begun} before its end: {differences} differences")
    assert differences == 0
    assert begun >= kills / 4

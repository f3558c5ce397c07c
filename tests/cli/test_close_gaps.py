"""`sync` as a process that is killed while it closes gaps: what was not written yet, the next run reads."""

import json
import random
import shutil
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.conftest import BEGIN, Cli, Site, wait_for
from tests.world.fake_cove import FakeCove, Fleet, make_fleet
from tests.world.recorded import plain_rows

CLOCK = """
from datetime import datetime
from cove_poller.commands.installation import Installation
Installation.__init__.__defaults__ = (lambda: datetime.fromisoformat({now!r}),)
"""
API = "backfill_workers = 2\nrequests_per_second = {rate}\n"
DEVICES = "SELECT account_id, status, last_session_at, data_sources, source_history FROM cove_devices ORDER BY 1"
KILLS_A_LIFE, DEVICES_WITH_GAPS = 5, 8  # the ninth device never ran


@pytest.fixture
def fleet() -> Fleet:
    return make_fleet(seed=11, begin=BEGIN, days=3, devices=9)


def everything(site: Site) -> dict[str, Any]:
    return {**plain_rows(site), "devices": site.rows(DEVICES)}


def open_gaps(site: Site) -> int:
    """How many devices have gaps."""
    kept = [json.loads(row["data_sources"]) for row in site.rows("SELECT data_sources FROM cove_devices")]
    return sum(any(source["gap_since"] for source in sources.values()) for sources in kept)


def killed_at(cli: Cli, site: Site, chance: random.Random) -> int:
    """Start a sync; kill it some moments after it has closed a gap or two. Return how many are open then."""
    before = open_gaps(site) or DEVICES_WITH_GAPS
    process, wanted = cli.start("sync"), before - chance.choice([0, 1, 2])
    wait_for(lambda: 0 < open_gaps(site) <= wanted or process.poll() is not None)
    time.sleep(chance.uniform(0, 0.1))
    process.kill()
    process.communicate()
    return open_gaps(site)


@pytest.mark.long
def test_killed_again_and_again_while_it_closes_gaps_the_rows_are_the_same(
    cli: Cli, cove: FakeCove, soaks: bool, measured: Callable[[str], None]
) -> None:
    lives, chance = (10 if soaks else 1), random.Random(7)
    polled, clean, killed = (
        Site(cove, f"sqlite:///{cli.directory / name}.db", cli.directory) for name in ("polled", "clean", "killed")
    )
    polled.migrate()
    for hour in (8, 9, 10):
        cove.now = BEGIN + timedelta(hours=hour)
        assert polled.sync().exit_code == 0
    cove.now = BEGIN + timedelta(hours=58)
    cli.before = CLOCK.format(now=cove.now.isoformat())

    def begin_anew(name: str, rate: int) -> None:
        shutil.copy(cli.directory / "polled.db", cli.directory / f"{name}.db")
        cli.configure(cove)
        text = (cli.directory / "cove.toml").read_text().replace("cove.db", f"{name}.db")
        cli.write_config(text.replace("requests_per_second = 1000\n", API.format(rate=rate)))

    begin_anew("clean", 1000)
    assert cli("sync").returncode == 0
    wanted = everything(clean)
    assert open_gaps(clean) == 0
    left: list[int] = []
    for _ in range(lives):
        begin_anew("killed", 25)
        left += [killed_at(cli, killed, chance) for _ in range(KILLS_A_LIFE)]
        assert cli("sync").returncode == 0
        assert everything(killed) == wanted
    measured(f"{lives * KILLS_A_LIFE} kills left gaps of {left} of {DEVICES_WITH_GAPS} devices to be closed")
    assert sum(0 < one < DEVICES_WITH_GAPS for one in left) >= 2 * lives

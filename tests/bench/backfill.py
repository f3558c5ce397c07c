"""Measure what a backfill costs its own process: `python -m tests.bench.backfill --devices 1000`.

The fake Cove runs in this process, the command in one of its own, on SQLite, first with nothing known, then again.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.bench.process_cost import Cost, cost_of
from tests.world.fake_cove import FakeCove, make_fleet, serving


def backfills(devices: int, days: int) -> Iterator[tuple[str, Cost, int]]:
    """Run the same backfill three times. Yield of each what it is called, its cost, and its requests."""
    now = datetime.now(UTC).replace(microsecond=0)
    fleet = make_fleet(1, now - timedelta(days=days), days - 0.15, devices)
    with serving(FakeCove(fleet, now)) as cove, tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "cove.toml").write_text(
            f'[database]\nurl = "sqlite:///cove.db"\n[api]\nurl = "{cove.url}"\nrequests_per_second = 1000\n'
            f'[logins.main]\nusername = "{cove.username}"\npassword = "{cove.password}"\n'
        )
        (directory / "cove.toml").chmod(0o600)
        command = [sys.executable, "-m", "cove_poller", "-q", "backfill", "--since", f"{days}d", "--yes"]
        for which in ("first", "again", "once more"):
            asked = len(cove.requests)
            cost = cost_of(command, directory)
            yield which, cost, len(cove.requests) - asked


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.backfill", description=__doc__)
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--days", type=int, default=28)
    options = parser.parse_args()
    for which, cost, requests in backfills(options.devices, options.days):
        print(f"{which}: {cost}, {requests} requests", flush=True)


if __name__ == "__main__":
    main()

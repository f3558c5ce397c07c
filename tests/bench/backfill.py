"""Measure what a backfill costs its own process: `python -m tests.bench.backfill --devices 1000`.

The fake Cove runs in this process, the command in one of its own, on SQLite, first with nothing known, then again.
"""

import argparse
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.bench.process_cost import cost_of
from tests.world.fake_cove import FakeCove, make_fleet, serving


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.backfill", description=__doc__)
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--days", type=int, default=28)
    options = parser.parse_args()
    now = datetime.now(UTC).replace(microsecond=0)
    fleet = make_fleet(1, now - timedelta(days=options.days), options.days - 0.15, options.devices)
    with serving(FakeCove(fleet, now)) as cove, tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "cove.toml").write_text(
            f'[database]\nurl = "sqlite:///cove.db"\n[api]\nurl = "{cove.url}"\nrequests_per_second = 1000\n'
            f'[logins.main]\nusername = "{cove.username}"\npassword = "{cove.password}"\n'
        )
        (directory / "cove.toml").chmod(0o600)
        command = [sys.executable, "-m", "cove_poller", "-q", "backfill", "--since", f"{options.days}d", "--yes"]
        for which in ("first", "again", "once more"):
            print(f"{which}: {cost_of(command, directory)}", flush=True)


if __name__ == "__main__":
    main()

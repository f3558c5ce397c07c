"""Measure what a backfill costs its own process: `python -m tests.world.backfill_cost --devices 1000`.

The fake Cove runs in this process, the command in one of its own, on SQLite, first with nothing known, then again.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.world.fake_cove import FakeCove, make_fleet, serving


def measured(directory: Path, *arguments: str) -> str:
    """Run the command. Return what it cost, in words."""
    began = time.monotonic()
    command = [sys.executable, "-m", "cove_poller", *arguments]
    process = subprocess.Popen(command, cwd=directory, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    cpu = f"{usage.ru_utime:.1f} s user and {usage.ru_stime:.1f} s system CPU"
    return f"{cpu}, {time.monotonic() - began:.0f} s in all, {usage.ru_maxrss // 1024} MiB, exit {process.returncode}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.world.backfill_cost", description=__doc__)
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
        for which in ("first", "again", "once more"):
            print(
                f"{which}: {measured(directory, '-q', 'backfill', '--since', f'{options.days}d', '--yes')}", flush=True
            )


main()

"""`python -m tests.pages.screenshot OUT.png`: a picture of the report, of a fleet with four weeks behind it."""

import argparse
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.pages.browser import chromium, opened
from tests.pages.demo import CONFIG
from tests.world.fake_cove import FakeCove, make_fleet, serving

WIDTH, HEIGHT = 1280, 1000
LONG_OFF = timedelta(days=9)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.pages.screenshot", description=__doc__)
    parser.add_argument("out", type=Path, metavar="OUT.png")
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--devices", type=int, default=36)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        page = demo_report(Path(directory), options.devices)
        take(page, options.out, dark=options.dark)


def demo_report(directory: Path, devices: int) -> Path:
    """The report of a demo fleet after 28 days, polled and backfilled by the real command."""
    now = datetime.now(UTC).replace(microsecond=0)
    fleet = make_fleet(seed=12, begin=now - timedelta(days=29), days=29, devices=devices)
    for device in fleet.devices[2::9]:  # some have not run for a while
        for sessions in device.sessions.values():
            sessions[:] = [one for one in sessions if one.end < now - LONG_OFF]
    with serving(FakeCove(fleet, now)) as cove:
        text = CONFIG.format(url=cove.url, username=cove.username, password=cove.password)
        (directory / "cove.toml").write_text(text.replace("[logins", "requests_per_second = 1000\n[logins"))
        (directory / "cove.toml").chmod(0o600)
        for arguments in ("migrate", "sync", "backfill --since 28d --yes", "report --output report.html"):
            command = [str(Path(sys.executable).parent / "cove-poller"), *arguments.split()]
            subprocess.run(command, cwd=directory, check=True, stdout=subprocess.DEVNULL)
    return directory / "report.html"


def take(page: Path, out: Path, *, dark: bool = False, name: str = "SRV") -> None:
    """A picture of the page with the first device unfolded that has this in its name."""
    window = {"width": WIDTH, "height": HEIGHT}
    options: dict[str, Any] = {
        "viewport": window,
        "device_scale_factor": 2,
        "color_scheme": "dark" if dark else "light",
    }
    with chromium() as browser, opened(browser, page, **options) as there:
        there.page.locator("#devices > tr", has_text=name).first.locator("button").click()
        there.page.mouse.move(0, 0)
        there.page.screenshot(path=out)


if __name__ == "__main__":
    main()

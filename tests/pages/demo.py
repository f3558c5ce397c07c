"""`make demo`: the real command against a fake Cove, on SQLite, with half a day passing between two syncs.

`python -m tests.pages.demo --pictures` also takes the pictures of the README anew.
"""

import fcntl
import io
import os
import pty
import re
import sqlite3
import struct
import subprocess
import sys
import tempfile
import termios
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tests.world.fake_cove import FakeCove, make_fleet, serving

PICTURES = Path(__file__).parent / "pictures"
WIDTH = 150

CONFIG = """\
[database]
url = "sqlite:///cove.db"
[api]
url = "{url}"
[logins.main]
username = "{username}"
password = "{password}"
"""

NEWEST_RUNS = """
SELECT c.name AS customer, j.job_name AS job, j.backup_type AS type, r.run_at, r.status, r.remark
FROM job_runs r JOIN jobs j ON j.id = r.job_id JOIN customers c ON c.id = j.customer_id
WHERE r.run_at = (SELECT max(run_at) FROM job_runs WHERE job_id = j.id)
ORDER BY CASE r.status WHEN 'Failed' THEN 0 WHEN 'Warning' THEN 1 ELSE 2 END, customer, job
"""


def main() -> None:
    console = Console(width=160)
    now = datetime.now(UTC).replace(microsecond=0)
    fleet = make_fleet(seed=5, begin=now - timedelta(days=28), days=28, devices=16)
    with serving(FakeCove(fleet, now - timedelta(hours=12))) as cove, tempfile.TemporaryDirectory() as directory:
        config = Path(directory) / "cove.toml"
        config.write_text(CONFIG.format(url=cove.url, username=cove.username, password=cove.password))
        config.chmod(0o600)
        say(console, f"A fake Cove with {len(fleet.devices)} devices runs at {cove.url}. First, is the login right?")
        run(directory, "test-login")
        say(console, "Prepare the database, here SQLite; and poll, as cron does every half hour.")
        run(directory, "migrate")
        run(directory, "sync")
        say(console, "Half a day goes by in Cove. Poll again; and once more, when nothing is new.")
        cove.now = now
        run(directory, "sync")
        run(directory, "sync")
        say(console, "And in the four weeks before? Read them session by session; nobody has to review that any more.")
        run(directory, "backfill", "--since", "28d", "--reviewed")
        show_runs(console, Path(directory) / "cove.db")
        say(console, "How is every device now? As a table, and as a page.")
        status = run(directory, "status", width=WIDTH)
        run(directory, "report", "--output", "report.html")
        if "--pictures" in sys.argv:  # they belong to the repository: a look at the demo is to leave a clone clean
            take_status(status)
            where = PICTURES.relative_to(PICTURES.parents[2])
            say(console, f"Pictures of both are in {where}{take_report(Path(directory))}.")


def say(console: Console, text: str) -> None:
    console.print(f"\n{text}", style="bold", highlight=False)


def run(directory: str, *arguments: str, width: int = 120) -> str:
    """Run the installed command as on a terminal, so that it says what it did; return that."""
    command = [str(Path(sys.executable).parent / "cove-poller"), *arguments]
    print(f"$ cove-poller {' '.join(arguments)}", flush=True)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    with subprocess.Popen(command, cwd=directory, stdout=theirs) as done:
        os.close(theirs)
        said = read_all(ours).replace("\r\n", "\n")
    print(said, end="", flush=True)
    if done.returncode:
        sys.exit(f"the demo failed: cove-poller exited with code {done.returncode}")
    return said


def take_status(said: str) -> None:
    """A picture of what `status` printed."""
    console = Console(width=WIDTH, record=True, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(said))
    PICTURES.mkdir(exist_ok=True)
    svg = re.sub(r"@font-face \{.*?\}", "", console.export_svg(title="cove-poller status"), flags=re.DOTALL)
    (PICTURES / "status.svg").write_text(svg, encoding="utf-8")  # with the reader's own fonts, none from elsewhere


def take_report(directory: Path) -> str:
    """A picture of the report, where there is a browser to take it with; else what to do."""
    from tests.pages.browser import CHROMIUM
    from tests.pages.screenshot import take

    if not CHROMIUM:
        return " (that of the report is the old one: there is no chromium here)"
    take(directory / "report.html", PICTURES / "report.png", name="SRV10")
    return ""


def read_all(descriptor: int) -> str:
    pieces: list[bytes] = []
    while True:
        try:
            piece = os.read(descriptor, 65536)
        except OSError:  # Linux says so when the other side of a terminal is closed
            piece = b""
        if not piece:
            os.close(descriptor)
            return b"".join(pieces).decode()
        pieces.append(piece)


def show_runs(console: Console, database: Path) -> None:
    connection = sqlite3.connect(database)
    rows = connection.execute(NEWEST_RUNS).fetchall()
    (count,) = connection.execute("SELECT count(*) FROM job_runs").fetchone()
    connection.close()
    say(console, f"Backupchecks now has {count} job runs. The newest of each job, the worst first:")
    table = Table("customer", "job", "type", "run at (UTC)", "status", "remark")
    for customer, job, kind, run_at, status, remark in rows:
        table.add_row(customer, job, kind, run_at[:16], status, remark)
    console.print(table)


if __name__ == "__main__":
    main()

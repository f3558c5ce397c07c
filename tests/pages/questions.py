"""The four questions that the README answers, each with one command, asked of a fleet in which something is wrong."""

import re
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.pages.demo import CONFIG
from tests.world.fake_cove import FakeCove, Fleet, make_fleet, serving

QUESTIONS = {
    "Which customers had a failed backup last night?": "status --only failed",
    "Which server has had no success for two days?": "status --only stale",
    "Is the poller itself running?": "check --format checkmk",
    "Why did cron send this mail?": "doctor",
}
SHOWN_LINES = {"check --format checkmk": 1}


def make_troubled_fleet(now: datetime) -> Fleet:
    """A small fleet in which one server has not run for three days."""
    fleet = make_fleet(seed=5, begin=now - timedelta(days=28), days=28, devices=16)
    for sessions in fleet.devices[9].sessions.values():
        sessions[:] = [one for one in sessions if one.end < now - timedelta(days=3)]
    return fleet


def answers() -> str:
    """The questions with their commands and what those print, as Markdown."""
    now = datetime.now(UTC).replace(microsecond=0)
    with serving(FakeCove(make_troubled_fleet(now), now)) as cove, tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "cove.toml"
        file.write_text(CONFIG.format(url=cove.url, username=cove.username, password=cove.password))
        file.chmod(0o600)
        printed(directory, "sync")
        blocks = []
        for question, command in QUESTIONS.items():
            before = ""
            if command == "doctor":
                cove.password = "another one since"
                before = f"$ cove-poller sync\n{printed(directory, 'sync')}\n"
            lines = printed(directory, command).splitlines()
            if (limit := SHOWN_LINES.get(command)) and len(lines) > limit:
                lines[limit:] = ["..."]
            shown = "\n".join([f"$ cove-poller {command}", *lines])
            blocks.append(f"**{question}**\n\n```\n{before}{shown}\n```\n")
        return (
            "\n".join(blocks).replace(directory, "/etc/cove-poller").replace(cove.url.split("/")[2], "127.0.0.1:8077")
        )


def printed(directory: str, command: str) -> str:
    """What the real command prints off a terminal, as cron would mail it."""
    words = [str(Path(sys.executable).parent / "cove-poller"), *command.split()]
    done = subprocess.run(
        words, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    return done.stdout.rstrip()


def masked(text: str) -> str:
    """The text without what time changes: numbers, ages, bars, and the order that follows from them."""
    text = re.sub(r"[-+!X>]{5,}", "BAR", text)
    text = re.sub(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?Z?", "TIME", text)
    return re.sub(r"\b\d+(\.\d+)* ?(second|minute|hour|day)?s?\b", "N", text)

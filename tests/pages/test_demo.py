"""The demonstration runs to its end, and leaves the folder that it is run in as it was."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
OURS = ("cove_poller", "tests")


def files() -> dict[Path, int]:
    """When each file that belongs to the project was written."""
    found = [path for path in ROOT.iterdir() if path.is_file() and not path.name.startswith(".coverage")]
    for name in OURS:
        found += [path for path in (ROOT / name).rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return {path.relative_to(ROOT): path.stat().st_mtime_ns for path in found}


def test_the_demonstration_shows_a_report_and_leaves_a_clone_clean() -> None:
    before = files()
    done = subprocess.run(
        [sys.executable, "-m", "tests.pages.demo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "Traceback" in done.stdout + done.stderr) == (0, False), done.stderr
    for said in ("Condition: ", "report.html", "Success", "Failed"):
        assert said in done.stdout
    assert files() == before

"""Streams that are closed, full or read by nobody, and signals while the process still begins."""

import os
import signal
import subprocess
import time

import pytest

from tests.conftest import Cli
from tests.world.fake_cove import FakeCove


@pytest.fixture
def cli(cli: Cli, cove: FakeCove) -> Cli:
    cli.configure(cove)
    return cli


def run(cli: Cli, redirected: str) -> subprocess.CompletedProcess[str]:
    """Run the installed command by a shell that redirects its streams."""
    script = f"set -o pipefail; {cli.command()[0]} {redirected}"
    return subprocess.run(
        ["bash", "-c", script], cwd=cli.directory, env=cli.environment(PYTHONPATH=os.environ.get("PYTHONPATH", "")),
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


STREAMS = [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-", ">/dev/full", "2>/dev/full", ">/dev/full 2>/dev/full", "| true"]


@pytest.mark.parametrize("stream", STREAMS)
def test_a_sync_is_done_and_its_exit_code_kept_whatever_becomes_of_its_output(
    cli: Cli, cove: FakeCove, stream: str
) -> None:
    done = run(cli, f"-vv sync --json {stream}")
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert cove.count("Login") == 1
    assert (cli.directory / "cove.db").read_bytes().startswith(b"SQLite format 3")


@pytest.mark.parametrize("stream", STREAMS)
def test_trouble_keeps_its_exit_code_and_is_told_where_it_can_be(cli: Cli, cove: FakeCove, stream: str) -> None:
    cove.password = "another"
    done = run(cli, f"sync --json {stream}")
    assert done.returncode == 11
    assert ("Cove rejects user" in done.stderr) is ("2>" not in stream)


@pytest.mark.parametrize("stream", [">&-", ">/dev/full", "2>&-"])
def test_a_check_never_ends_with_1_for_its_output(cli: Cli, stream: str) -> None:
    assert run(cli, f"check {stream}").returncode in {2, 3}


def test_a_result_that_could_not_be_printed_is_said(cli: Cli) -> None:
    assert "the result could not be printed: No space left on device" in run(cli, "sync --json >/dev/full").stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("what", ["click", "pydantic", "sqlalchemy"])
def test_a_signal_while_modules_are_imported_ends_with_its_code_and_no_traceback(
    cli: Cli, number: int, code: int, what: str
) -> None:
    (cli.directory / f"{what}.py").write_text(f"import os, time\nos.kill(os.getpid(), {int(number)})\ntime.sleep(30)\n")
    path = f"{cli.directory}:{os.environ.get('PYTHONPATH', '')}"
    began = time.monotonic()
    done = cli.fresh("sync", PYTHONPATH=path)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert time.monotonic() - began < 20

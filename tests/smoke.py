"""Tries an installed `cove-poller`: each command's --help, and one sync with a fake Cove. Run by `make smoke`."""

import json
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cove_poller.cli.program import program
from tests.pages.readme import commands
from tests.world.fake_cove import FakeCove, make_fleet, serving


def run(command: Path, *arguments: str, cwd: str) -> str:
    """Return what the installed command prints. Raise CalledProcessError unless it ends with 0."""
    return subprocess.run([command, *arguments], cwd=cwd, check=True, stdout=subprocess.PIPE, text=True).stdout


def main() -> None:
    command, now = Path(sys.argv[1]).absolute(), datetime.now(UTC).replace(microsecond=0)
    fleet = make_fleet(4, now - timedelta(days=2), 2, 8)
    with tempfile.TemporaryDirectory() as folder, serving(FakeCove(fleet, now)) as cove:
        paths = commands(program)
        for path in paths:
            assert run(command, *path, "--help", cwd=folder).startswith("Usage: cove-poller"), path
        config = Path(folder, "cove.toml")
        config.touch(0o600)
        config.write_text(
            f'[database]\nurl = "sqlite:///cove.db"\n[api]\nurl = "{cove.url}"\n'
            f'[logins.main]\nusername = "{cove.username}"\npassword = "{cove.password}"\n'
        )
        (login,) = json.loads(run(command, "sync", "--json", cwd=folder))["logins"]
        assert (login["devices"], login["error"]) == (8, None), login
        assert json.loads(run(command, "status", "--json", cwd=folder))["devices"]
        print(f"{len(paths)} times --help and a sync of {login['devices']} devices: the wheel works")


if __name__ == "__main__":
    main()

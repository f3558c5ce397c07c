"""What a process imports before it does anything: a fresh interpreter each, since it is about what is loaded."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Cli

LIBRARIES = {
    "asyncio", "filelock", "jinja2", "prometheus_client", "psycopg2", "pydantic", "requests", "rich", "sqlalchemy",
    "tenacity", "tomli_w",
}  # fmt: skip
RUN = """\
import atexit, sys
atexit.register(lambda: print(*sys.modules, file=open("modules", "w")))
from cove_poller.cli.main import main
main()
"""


def loaded(cli: Cli, *arguments: str, **environ: str) -> set[str]:
    """The packages that have been imported when the command ends, whose output is of no interest."""
    environment = {**cli.environment(**environ), "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", RUN, *arguments]
    subprocess.run(command, cwd=cli.directory, env=environment, capture_output=True, timeout=60, check=False)
    return set((cli.directory / "modules").read_text(encoding="utf-8").split())


@pytest.mark.parametrize(
    ("arguments", "environ"),
    [
        (["--version"], {}),
        (["--help"], {}),
        (["sync", "--help"], {}),
        ([], {"_COVE_POLLER_COMPLETE": "zsh_complete", "COMP_WORDS": "cove-poller ", "COMP_CWORD": "1"}),
    ],
)
def test_version_help_and_completion_load_no_library_but_click(
    cli: Cli, arguments: list[str], environ: dict[str, str]
) -> None:
    modules = loaded(cli, *arguments, **environ)
    assert modules & LIBRARIES == set()
    assert "click" in modules


def test_sync_loads_neither_what_draws_nor_what_other_commands_do_nor_the_other_database(cli: Cli) -> None:
    cli.write_config(
        '[database]\nurl = "sqlite:///cove.db"\n[api]\nurl = "http://127.0.0.1:9/"\nmax_attempts = 1\n'
        '[logins.main]\nusername = "api"\npassword = "an-invented-one"\n'
    )
    modules = loaded(cli, "sync")
    assert {"requests", "sqlalchemy.dialects.sqlite"} <= modules
    others = {"jinja2", "prometheus_client", "psycopg2", "rich", "sqlalchemy.dialects.postgresql", "tomli_w"}
    others |= {"cove_poller.commands.doctor", "cove_poller.cli.devices"}
    assert modules & others == set()

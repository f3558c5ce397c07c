"""What the shell completes: in a real bash, and as zsh and fish ask for it."""

import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Cli
from tests.pages.readme import README
from tests.world.configs import config_text

TWO_LOGINS = config_text(more='[logins.museum]\nusername = "api"\npassword = "an-invented-one"')
BROKEN = "[logins.main"
IN_BASH = """\
{setup}
COMP_WORDS=({words}) COMP_CWORD={last}
_cove_poller_completion cove-poller {word} {before}
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def in_bash(cli: Cli, line: str) -> list[str]:
    """What bash offers at the end of a line."""
    *_, before, word = words = line.split(" ")
    quoted = " ".join(map(shlex.quote, words))
    script = IN_BASH.format(
        setup=readme_line("bash"), words=quoted, last=len(words) - 1, word=shlex.quote(word), before=before
    )
    return answer(cli, ["bash", "--norc", "-c", script]).split()


def in_zsh(cli: Cli, line: str) -> list[str]:
    """What zsh is told: a type, a value and a help text, a line each."""
    words = line.split(" ")
    lines = answer(
        cli, cli.command(), _COVE_POLLER_COMPLETE="zsh_complete", COMP_WORDS=line, COMP_CWORD=str(len(words) - 1)
    ).splitlines()
    return lines[1::3]


def in_fish(cli: Cli, line: str) -> list[str]:
    """What fish is told: `type,value`, and a help text behind a tab."""
    word = line.split(" ")[-1]
    lines = answer(cli, cli.command(), _COVE_POLLER_COMPLETE="fish_complete", COMP_WORDS=line, COMP_CWORD=word)
    return [one.partition(",")[2].partition("\t")[0] for one in lines.splitlines() if one]


def answer(cli: Cli, command: list[str], **environ: str) -> str:
    """What a command prints, with ours on the path; it must go well and say nothing else."""
    path = f"{Path(cli.command()[0]).parent}:/usr/bin:/bin"
    environment = cli.environment(**environ) | {"PATH": path}
    done = subprocess.run(
        command, cwd=cli.directory, env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr == ""
    return done.stdout


def readme_line(shell: str) -> str:
    """The line that the README gives for a shell."""
    (line,) = re.findall(rf"^- {shell}, in `[^`]+`: `([^`]+)`$", README.read_text(encoding="utf-8"), re.MULTILINE)
    return str(line)


Complete = Callable[[Cli, str], list[str]]
SHELLS = [in_bash, in_zsh, in_fish]


@pytest.mark.parametrize("complete", SHELLS)
def test_commands_and_options_are_completed(cli: Cli, complete: Complete) -> None:
    assert complete(cli, "cove-poller ba") == ["backfill"]
    assert complete(cli, "cove-poller config s") == ["show"]
    assert complete(cli, "cove-poller sync --dr") == ["--dry-run"]


@pytest.mark.parametrize("complete", SHELLS)
def test_the_names_of_the_configured_logins_are_completed(cli: Cli, complete: Complete) -> None:
    cli.write_config(TWO_LOGINS)
    assert complete(cli, "cove-poller sync --login ") == ["main", "museum"]
    assert complete(cli, "cove-poller test-login --login mu") == ["museum"]


def test_they_come_from_the_configuration_that_the_line_names(cli: Cli) -> None:
    (cli.directory / "other.toml").write_text(TWO_LOGINS.replace("museum", "brewery"))
    line = "sync --login b"
    assert in_zsh(cli, f"cove-poller --config other.toml {line}") == ["brewery"]
    assert in_zsh(cli, f"cove-poller --config ~/other.toml {line}") == ["brewery"]
    assert in_zsh(cli, f"cove-poller {line}") == []


@pytest.mark.parametrize("complete", SHELLS)
@pytest.mark.parametrize("text", [None, BROKEN, "[database]\nurl = 3\n"])
def test_a_configuration_that_cannot_be_read_completes_nothing_and_says_nothing(
    cli: Cli, complete: Complete, text: str | None
) -> None:
    if text:
        cli.write_config(text)
    assert complete(cli, "cove-poller sync --login ") == []


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_line_in_the_readme_begins_with_what_gives_the_shells_script(cli: Cli, shell: str) -> None:
    (variable,) = re.findall(r"_COVE_POLLER_COMPLETE=(\w+) cove-poller", readme_line(shell))
    assert variable == f"{shell}_source"
    assert "_cove_poller_completion" in answer(cli, cli.command(), _COVE_POLLER_COMPLETE=variable)

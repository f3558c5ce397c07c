"""The README says what is so."""

import re
import shlex

from cove_poller.cli import main
from tests.conftest import Cli
from tests.readme import README, commands, rendered


def test_the_generated_parts_of_the_readme_are_up_to_date() -> None:
    text = README.read_text(encoding="utf-8")
    assert rendered(text) == text, "run: python -m tests.readme"


def test_every_command_is_documented_with_what_its_help_really_prints(cli: Cli) -> None:
    text = README.read_text(encoding="utf-8")
    for path in commands(main):
        printed = cli(*path, "--help").stdout
        assert f"$ {' '.join(['cove-poller', *path, '--help'])}\n{printed}```\n" in text


def test_every_command_line_in_the_readme_is_one_that_exists(cli: Cli) -> None:
    text = README.read_text(encoding="utf-8")
    lines = re.findall(r"`cove-poller ([^`]+)`", text)
    assert len(lines) > 8
    for line in lines:
        assert cli(*shlex.split(line), "--help").returncode == 0, line


def test_the_make_targets_that_the_readme_names_are_there() -> None:
    text = README.read_text(encoding="utf-8")
    makefile = (README.parent / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"^\s*make (\w+)|`make (\w+)", text, re.MULTILINE)):
        assert re.search(rf"^{''.join(target)}:", makefile, re.MULTILINE)

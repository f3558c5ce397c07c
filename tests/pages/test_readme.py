"""The README says what is so."""

import re
import shlex

from cove_poller.cli.program import program
from tests.conftest import Cli
from tests.pages.questions import masked
from tests.pages.readme import README, answered, commands, rendered


def test_the_generated_parts_of_the_readme_are_up_to_date() -> None:
    text = README.read_text(encoding="utf-8")
    assert rendered(text) == text, "run: python -m tests.pages.readme"


def test_every_command_is_documented_with_what_its_help_really_prints(cli: Cli) -> None:
    text = README.read_text(encoding="utf-8")
    for path in commands(program):
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


def test_the_four_questions_are_answered_as_the_readme_shows_but_for_times_and_numbers() -> None:
    text = README.read_text(encoding="utf-8")
    assert masked(answered(text)).split() == masked(text).split(), "run: python -m tests.pages.readme"


def test_the_pictures_that_the_readme_shows_are_there() -> None:
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", README.read_text(encoding="utf-8"))
    assert len(pictures) == 2
    for picture in pictures:
        assert (README.parent / picture).stat().st_size > 1000

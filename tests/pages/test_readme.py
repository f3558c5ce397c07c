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


def test_every_command_is_named_and_its_help_says_what_it_does(cli: Cli) -> None:
    text = README.read_text(encoding="utf-8")
    for path in commands(program)[1:]:
        assert re.search(rf"\b{' '.join(path)}\b", text), path
        assert cli(*path, "--help").stdout.startswith(f"Usage: cove-poller {' '.join(path)} ")


def test_the_readme_is_short_and_its_first_screen_has_a_picture_and_how_to_try_it() -> None:
    lines = README.read_text(encoding="utf-8").splitlines()
    assert len(lines) < 350
    first = "\n".join(lines[:20])
    assert "![" in first
    assert "make demo" in first


def test_every_file_that_the_readme_links_is_there() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README.read_text(encoding="utf-8"))
    assert len(links) >= 8
    assert [link for link in links if not (README.parent / link).exists()] == []


def test_every_block_of_the_readme_is_run_or_compared_by_a_test() -> None:
    """Shell is read by the test of the set-up, what follows a question and the table of codes are made anew."""
    text = README.read_text(encoding="utf-8")
    rest = re.sub(r"<!-- (shown|block): .*?<!-- end( shown)? -->", "", text, flags=re.DOTALL)
    assert set(re.findall(r"^```(\w*)\n.*?^```$", rest, re.DOTALL | re.MULTILINE)) == {"sh"}
    (before, after) = rest.split("\n## Set-up\n")
    assert "```" not in before + after.partition("\n## ")[2]


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

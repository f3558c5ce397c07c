"""The man page says what the commands say, and groff understands it."""

import re
import shutil
import subprocess

import pytest

from cove_poller.cli.program import program
from tests.conftest import Cli
from tests.pages.manual import MANUAL, manual
from tests.pages.readme import README, commands


def shown() -> str:
    """The page as `man` shows it, in lines as long as one likes."""
    if shutil.which("groff") is None:
        pytest.skip("groff is not installed (Debian package groff)")
    command = ["groff", "-man", "-Tascii", "-P-cbou", "-ww", "-rLL=400n", str(MANUAL)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout


def test_the_man_page_is_up_to_date() -> None:
    assert MANUAL.read_text(encoding="utf-8") == manual(), "run: python -m tests.pages.manual"


def test_the_man_page_has_each_command_with_each_of_its_options_and_examples(cli: Cli) -> None:
    page = " ".join(shown().split())
    leaves = [path for path in commands(program)[1:] if path not in (("config",), ("devices",))]
    assert len(leaves) > 10
    for path in leaves:
        said = cli(*path, "--help").stdout
        assert f" cove-poller {' '.join(path)} [OPTIONS]" in page
        for option in re.findall(r"^  (--[a-z-]+)", said, re.MULTILINE):
            assert f" {option} " in page, (path, option)
        for example in re.findall(r"^    (cove-poller .*)", said, re.MULTILINE):
            assert " ".join(example.split()) in page


def test_the_man_page_has_every_exit_code_of_the_readme() -> None:
    text = shown()
    begin = text.index("EXIT STATUS")
    codes = re.findall(r"^ {7}(\d+) ", text[begin:text.index("ENVIRONMENT")], re.MULTILINE)  # fmt: skip
    assert codes == re.findall(r"^\| (\d+) \|", README.read_text(encoding="utf-8").partition("## Exit codes")[2], re.M)

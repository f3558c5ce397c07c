"""`status` of two thousand devices on a terminal, as somebody meets it in the morning."""

import re
from collections.abc import Iterator

import pytest
from rich.cells import cell_len
from rich.text import Text

from tests.conftest import Cli
from tests.world.morning import DEVICES, TROUBLED, morning
from tests.world.terminal import Terminal


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    cli = morning(tmp_path_factory.mktemp("morning"))
    yield cli
    cli.close()


def shown(cli: Cli, columns: int) -> list[Text]:
    """The lines of the terminal, with their colours."""
    terminal = Terminal(cli, "status", columns=columns, streams=["stdout"], TZ="CET-1")
    assert terminal.finish() == 0
    return [Text.from_ansi(line) for line in terminal.raw.decode().replace("\r", "").splitlines()]


@pytest.mark.parametrize(("columns", "days"), [(80, 5), (100, 7), (120, 14), (200, 28)])
def test_sixty_that_need_attention_are_a_line_each_below_a_head(cli: Cli, columns: int, days: int) -> None:
    lines = shown(cli, columns)
    plain = [line.plain for line in lines]
    assert plain[0].startswith(f"{DEVICES} devices, {TROUBLED} need attention (")
    assert plain[5].split()[:5] == ["CUSTOMER", "DEVICE", "WHAT", "SINCE", "(CET)"]
    assert len(lines) == 6 + TROUBLED
    assert max(map(cell_len, plain)) <= columns
    place = cell_len(plain[5].partition("SINCE")[0])
    for line in plain[6:]:
        before, since, bar = re.split(r"((?:\d{4}-)?\d\d-\d\d \d\d:\d\d)  ", line)
        assert cell_len(before) == place
        assert ("2" in since[:1]) is (columns >= 100)
        assert len(bar) >= days


@pytest.mark.parametrize("columns", [80, 200])
def test_each_line_names_one_device_and_colours_what_is_wrong_with_it_and_nothing_else(cli: Cli, columns: int) -> None:
    head, *lines = shown(cli, columns)[5:]
    begin, end = (cell_len(head.plain.partition(word)[0]) for word in ("WHAT", "SINCE"))
    assert len({cut(line.plain, 0, begin) for line in lines}) == TROUBLED
    for line in lines:
        coloured = next(line.plain[span.start : span.end] for span in line.spans if span.start)
        assert coloured.rstrip() == cut(line.plain, begin, end).rstrip()
        assert re.match("Files and Folders: |System State: |Hyper-V: ", coloured)


def cut(text: str, begin: int, end: int) -> str:
    """What stands in these columns of a terminal."""
    found, column = "", 0
    for letter in text:
        found += letter if begin <= column < end else ""
        column += cell_len(letter)
    return found

"""How much memory a sync takes where Cove's answers are far too large: the sample's pod has 256 MiB."""

import json
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.bench.process_cost import cost_of
from tests.conftest import Cli
from tests.faults.meddling import meddle, sends
from tests.faults.scene import new_cove
from tests.world.fake_cove import serving

MIB = 1 << 20
MOST_MIB = 256
ROWS = 250
"""A page, so an answer may be of almost 7 MiB."""


def page(size: int, settings: Callable[[int], list[Any]]) -> bytes:
    """A listing's answer of about so many bytes."""
    rows = [{"AccountId": number, "PartnerId": 1, "Settings": settings(size // ROWS)} for number in range(1, ROWS + 1)]
    return json.dumps({"visa": "v", "result": {"result": rows}}).encode()


def long_texts(size: int) -> list[Any]:
    return [{"I1": "x" * size}, {"I78": "D01"}, {"D01F00": "5"}]


def many_columns(size: int) -> list[Any]:
    return [{f"D{number % 99:02}F{number // 99:04}": "1772409600"} for number in range(size // 27)]


@pytest.mark.parametrize(("size", "shape"), [(6, many_columns), (64, long_texts)])
def test_an_answer_that_is_far_too_large_does_not_fill_the_memory(
    cli: Cli, size: int, shape: Callable[[int], list[Any]], measured: Callable[[str], None]
) -> None:
    cove = new_cove()
    answer = page(size * MIB, shape)
    with serving(cove):
        cli.configure(cove)
        assert cli("sync").returncode == 0
        meddle(cove, 2, sends(answer), once=False)
        cost = cost_of([sys.executable, "-m", "cove_poller", "-q", "sync"], cli.directory)
    measured(f"{len(answer) >> 20} MiB of {shape.__name__}: {cost}")
    assert cost.exit_code == 13
    assert cost.memory < MOST_MIB

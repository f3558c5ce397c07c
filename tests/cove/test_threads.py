"""Work in threads: ahead, several at once, and ended without waiting for it."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from cove_poller.cove.threads import as_completed, fetched_ahead

WAITS_FOR_LONG = """
from cove_poller.cove.threads import as_completed
import time
for _ in as_completed(time.sleep, [0, 60, 60], 2):
    raise SystemExit(7)
"""


def test_every_item_comes_once_with_its_result() -> None:
    assert sorted(as_completed(lambda number: number * number, range(50), 4)) == [(n, n * n) for n in range(50)]


def test_so_many_are_worked_on_at_once_and_no_more() -> None:
    busy: list[int] = []
    most = 0
    lock = threading.Lock()

    def work(number: int) -> None:
        nonlocal most
        with lock:
            busy.append(number)
            most = max(most, len(busy))
        time.sleep(0.02)
        with lock:
            busy.remove(number)

    list(as_completed(work, range(20), 3))
    assert most == 3


def test_items_are_taken_only_as_they_are_needed() -> None:
    taken = []

    def items() -> Iterator[int]:
        for number in range(1000):
            taken.append(number)
            yield number

    found = as_completed(lambda number: number, items(), 2)
    next(found)
    assert len(taken) <= 6
    found.close()


def test_an_error_is_raised_where_the_results_are_used() -> None:
    with pytest.raises(ZeroDivisionError):
        list(as_completed(lambda number: 1 // number, [3, 2, 1, 0], 2))


def test_the_next_item_is_fetched_while_one_is_worked_on() -> None:
    fetched = []

    def items() -> Iterator[int]:
        for number in range(3):
            fetched.append(number)
            yield number

    seen = []
    for number in fetched_ahead(items()):
        time.sleep(0.05)
        seen.append((number, len(fetched)))
    assert seen == [(0, 2), (1, 3), (2, 3)]


def test_a_process_that_ends_does_not_wait_for_what_is_under_way() -> None:
    began = time.monotonic()
    assert subprocess.run([sys.executable, "-c", WAITS_FOR_LONG], timeout=30, check=False).returncode == 7
    assert time.monotonic() - began < 20


def test_what_is_left_to_do_is_done_while_the_next_item_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cove_poller.cove.threads.PATIENCE_SECONDS", 0.01)
    done, may_come = threading.Event(), threading.Event()

    def items() -> Iterator[int]:
        yield 1
        assert may_come.wait(10)
        yield 2

    def meanwhile() -> None:
        if done.is_set():
            may_come.set()
        done.set()

    assert [*fetched_ahead(items(), meanwhile)] == [1, 2]
    assert done.is_set()

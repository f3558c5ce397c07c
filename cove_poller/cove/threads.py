"""Work that waits for the network, done ahead or several at once while the results are used.

The threads are daemons: a process that is told to stop does not wait for an answer that is still under way.
"""

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from itertools import count, islice
from queue import Empty, SimpleQueue
from typing import TypeVar, cast

PATIENCE_SECONDS = 1.0

S = TypeVar("S")
T = TypeVar("T")


def fetched_ahead(items: Iterator[T], meanwhile: Callable[[], None] = lambda: None) -> Generator[T, None, None]:
    """Yield the items, the next one always being fetched while one is worked on.

    `meanwhile` is called where one is waited for: what is left to do need not wait with it.
    """
    end = object()
    with closing(as_completed(lambda _: next(items, end), count(), 1, ahead=1, meanwhile=meanwhile)) as found:
        for _, item in found:
            if item is end:
                return
            yield cast(T, item)


def as_completed(
    work: Callable[[S], T],
    items: Iterable[S],
    workers: int,
    *,
    ahead: int | None = None,
    meanwhile: Callable[[], None] = lambda: None,
) -> Generator[tuple[S, T], None, None]:
    """Yield each item with what `work` makes of it, in the order in which that is done; `workers` items at once.

    At most `ahead` items, twice the workers if not given, are taken before their results are. `meanwhile` is called
    once nothing has come for a second. Raise what `work` does.
    """
    jobs: SimpleQueue[tuple[S] | None] = SimpleQueue()
    results: SimpleQueue[tuple[S, T | None, BaseException | None]] = SimpleQueue()
    left, under_way = iter(items), 0
    for _ in range(workers):
        threading.Thread(target=_work_off, args=(work, jobs, results), daemon=True).start()

    def refill() -> int:
        fresh = [*islice(left, (ahead or 2 * workers) - under_way)]
        for item in fresh:
            jobs.put((item,))
        return under_way + len(fresh)

    try:
        while under_way := refill():
            try:
                item, result, error = results.get(timeout=PATIENCE_SECONDS)
            except Empty:
                meanwhile()
                continue
            under_way -= 1
            if error:
                raise error
            under_way = refill()
            yield item, cast(T, result)
    finally:
        _stop(jobs, workers)


def _work_off(
    work: Callable[[S], T],
    jobs: "SimpleQueue[tuple[S] | None]",
    results: "SimpleQueue[tuple[S, T | None, BaseException | None]]",
) -> None:
    while job := jobs.get():
        (item,) = job
        try:
            results.put((item, work(item), None))
        except BaseException as error:  # noqa: BLE001 - it is raised where the results are used
            results.put((item, None, error))


def _stop(jobs: "SimpleQueue[tuple[S] | None]", workers: int) -> None:
    """Let nothing be begun any more; what is under way is left alone."""
    try:
        while True:
            jobs.get_nowait()
    except Empty:
        pass
    for _ in range(workers):
        jobs.put(None)

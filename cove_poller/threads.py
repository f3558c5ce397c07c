"""Work that waits for the network, done ahead or several at once while the results are used."""

from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import TypeVar, cast

S = TypeVar("S")
T = TypeVar("T")


def fetched_ahead(items: Iterator[T]) -> Generator[T, None, None]:
    """The items, the next one always being fetched while one is worked on."""
    end = object()
    pool = ThreadPoolExecutor(1, thread_name_prefix="fetch")
    try:
        upcoming = pool.submit(next, items, end)
        while (item := upcoming.result()) is not end:
            upcoming = pool.submit(next, items, end)
            yield cast(T, item)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # close() of the client ends what is still under way


def as_completed(work: Callable[[S], T], items: Iterable[S], workers: int) -> Generator[tuple[S, T], None, None]:
    """Each item with what `work` makes of it, in the order in which that is done; `workers` items at once."""
    left = iter(items)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="work")
    pending: dict[Future[T], S] = {}
    try:
        while True:
            pending |= {pool.submit(work, item): item for item in islice(left, 2 * workers - len(pending))}
            if not pending:
                return
            done, _ = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                yield pending.pop(future), future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)

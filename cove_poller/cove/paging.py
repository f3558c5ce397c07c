"""Lists that come page by page from somebody who documents neither a largest page nor a stable order.

So pages overlap by a row, which proves that none was skipped, and the end is a page with nothing behind that row,
not a short one.
"""

from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Sequence, Set
from typing import TypeVar

from cove_poller.errors import ApiError, CovePollerError, Terminated

MAX_REWINDS = 8  # each twice as far as the one before

T = TypeVar("T")


def iter_pages(
    fetch: Callable[[int], Sequence[T]], key: Callable[[T], Hashable], page_size: int, what: str, *, full: int = 0
) -> Iterator[list[T]]:
    """Yield the rows that each page adds; `fetch` gives those from a number on, `what` names them in errors.

    A page of at least `full` rows (a whole page, if not given) that comes again and again is not believed to be
    all. Raise ApiError for that, and where the list changes again and again while it is read; also, once all is
    read that is to be had, where a page was empty in which the last row of the one before should have been.
    """
    start, rewinds, repeats = 0, 0, 0
    was_cut = False
    seen: set[Hashable] = set()
    previous: Set[Hashable] = frozenset()
    while True:
        rows = fetch(start)
        found = {key(row): row for row in rows}
        keys = found.keys()
        fresh = [row for one, row in found.items() if one not in seen]
        seen |= keys
        if fresh:
            yield fresh
        if start and previous and not keys & previous:
            # Rows before this page have gone, so others may have slipped past: look again further up.
            was_cut = was_cut or not rows
            if rewinds == MAX_REWINDS:
                raise ApiError(f"the list of {what} changed again and again while it was read")
            start = max(0, start - page_size * 2**rewinds)
            rewinds += 1
            continue
        repeats += not fresh and keys == previous and len(rows) > 1
        if repeats > 1 and len(rows) >= (full or page_size):
            raise ApiError(f"Cove sends the same page of {what} again and again")
        if not fresh and (len(rows) <= 1 or repeats > 1):
            if was_cut:
                raise ApiError(f"a page of {what} was empty after one that was not: the list changed while it was read")
            return
        start += max(len(rows) - 1, 1)
        previous = keys if len(rows) > 1 else frozenset()


def all_of(pages: Iterable[T]) -> Generator[T, None, None]:
    """Return what yields the pages once all are there, and then raises what kept further ones from being read.

    So no transaction is open while Cove is waited for where one is to span all pages.
    """
    found = list[T]()
    error: CovePollerError | None = None
    try:
        for page in pages:
            found.append(page)
    except Terminated:
        raise
    except CovePollerError as kept:
        error = kept

    def give() -> Generator[T, None, None]:
        yield from found
        if error:
            raise error

    return give()

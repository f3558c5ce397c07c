"""Lists that come page by page: nothing that stays is missing or comes twice, whatever goes on meanwhile."""

import contextlib
import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cove_poller.cove.paging import iter_pages
from cove_poller.errors import ApiError


@dataclass
class PagedList:
    """A list of numbers whose owner gives out pages as he likes. `gone_before` is what goes before which page."""

    rows: list[int]
    cap: int = 250
    chance: random.Random | None = None
    ignores_start: bool = False
    gone_before: dict[int, int] = field(default_factory=dict)
    asked: list[int] = field(default_factory=list)

    def read(self, page_size: int, *, full: int = 0) -> list[int]:
        return [*self.each(page_size, full=full)]

    def each(self, page_size: int, *, full: int = 0) -> Iterator[int]:
        def fetch(start: int) -> list[int]:
            self.asked.append(start)
            if (gone := self.gone_before.get(len(self.asked))) in self.rows:
                self.rows.remove(gone)
            start = 0 if self.ignores_start else start
            page = self.rows[start : start + min(page_size, self.cap)]
            if self.chance:  # some of the page before again, in any order
                page = [*self.rows[max(0, start - 3) : start], *page]
                self.chance.shuffle(page)
            return page

        for page in iter_pages(fetch, int, page_size, "numbers", full=full):
            yield from page


@pytest.mark.parametrize("count", [0, 1, 2, 20, 250])
@pytest.mark.parametrize("page_size", [2, 7, 250])
@pytest.mark.parametrize("cap", [2, 5, 250])
def test_every_row_comes_once_with_pages_of_any_size(count: int, page_size: int, cap: int) -> None:
    paged = PagedList([*range(count)], cap)
    assert paged.read(page_size) == [*range(count)]
    assert len(paged.asked) <= count / (min(page_size, cap) - 1) + 2


def test_pages_overlap_by_a_row_and_the_end_is_a_page_with_nothing_behind_it() -> None:
    paged = PagedList([*range(20)])
    paged.read(7)
    assert paged.asked == [0, 6, 12, 18, 19]


def test_pages_of_a_single_row_are_read_to_their_end_too() -> None:
    assert PagedList([*range(5)], cap=1).read(7) == [*range(5)]


@pytest.mark.parametrize("page_size", [2, 7, 20])
def test_the_same_full_page_again_and_again_is_an_error(page_size: int) -> None:
    paged = PagedList([*range(20)], ignores_start=True)
    with pytest.raises(ApiError, match="sends the same page of numbers again and again"):
        paged.read(page_size)
    assert len(paged.asked) == 3


def test_the_same_short_page_again_and_again_is_all_unless_that_is_full_already() -> None:
    assert PagedList([*range(20)], ignores_start=True).read(21) == [*range(20)]
    with pytest.raises(ApiError, match="same page"):
        PagedList([*range(20)], ignores_start=True).read(21, full=2)


@pytest.mark.parametrize("page_size", [2, 7, 20, 250])
def test_rows_that_come_again_or_in_another_order_neither_double_nor_hide_one(page_size: int) -> None:
    paged = PagedList([*range(20)], chance=random.Random(7))
    assert sorted(paged.read(page_size)) == [*range(20)]


def first_pages_only(rows: list[int], page_size: int) -> Callable[[int], list[int]]:
    """Gives rows from the beginning on, and an empty page behind it."""
    return lambda start: [] if start else rows[:page_size]


def empty_once(rows: list[int], page_size: int, at: int) -> Callable[[int], list[int]]:
    """Gives all rows, but for one page that is empty, the `at`th."""
    asked = itertools.count(1)
    return lambda start: [] if next(asked) == at else rows[start : start + page_size]


@pytest.mark.parametrize("page_size", [40, 250])
def test_an_empty_page_in_the_place_of_rows_is_no_end(page_size: int) -> None:
    with pytest.raises(ApiError, match=r"same page of numbers|was empty after one that was not"):
        [*iter_pages(first_pages_only([*range(60)], 40), int, page_size, "numbers")]


@pytest.mark.parametrize("at", [2, 3])
def test_what_comes_after_an_empty_page_is_read_and_the_list_is_not_believed_to_be_all(at: int) -> None:
    pages = iter_pages(empty_once([*range(60)], 25, at), int, 25, "numbers")
    assert [row for _ in range(3) for row in next(pages)] == [*range(60)]
    with pytest.raises(ApiError, match="was empty after one that was not: the list changed"):
        next(pages)


def test_a_list_that_is_empty_from_the_first_is_empty() -> None:
    assert [*iter_pages(lambda start: [], int, 7, "numbers")] == []


@pytest.mark.parametrize("cap", [5, 250])
def test_many_rows_that_go_between_two_pages_hide_no_other(cap: int) -> None:
    paged = PagedList([*range(60)], cap)
    pages = iter_pages(lambda start: paged.rows[start : start + min(7, cap)], int, 7, "numbers")
    found = [row for _ in range(3) for row in next(pages)]
    paged.rows = paged.rows[12:]
    found += [row for page in pages for row in page]
    assert set(found) >= set(range(12, 60))
    assert len(found) == len(set(found))


def test_a_list_that_never_stops_changing_is_an_error() -> None:
    paged = PagedList([*range(40)], gone_before={page: page - 2 for page in range(2, 40)})
    with pytest.raises(ApiError, match="the list of numbers changed again and again"):
        paged.read(7)
    assert len(paged.asked) < 20


@given(
    st.sampled_from([2, 5, 8, 250]),
    st.sampled_from([3, 6, 250]),
    st.dictionaries(st.integers(2, 12), st.integers(0, 39), max_size=4),
    st.one_of(st.none(), st.integers(0, 99)),
)
def test_whatever_goes_while_the_list_is_read_nothing_that_stays_is_missing(
    page_size: int, cap: int, gone_before: dict[int, int], seed: int | None
) -> None:
    chance = None if seed is None else random.Random(seed)
    paged, found = PagedList([*range(40)], cap, chance, gone_before=gone_before), list[int]()
    with contextlib.suppress(ApiError):  # its last rows went, which is said when the others have been read
        found.extend(paged.each(page_size))
    assert set(found) >= set(paged.rows)
    assert len(found) == len(set(found))


@given(st.integers(0, 60), st.integers(2, 20), st.randoms(use_true_random=False))
def test_rows_that_are_added_at_the_front_meanwhile_hide_no_other(count: int, cap: int, chance: random.Random) -> None:
    rows = list(range(count))

    def fetch(start: int) -> list[int]:
        page = rows[start : start + cap]
        if len(rows) == count and chance.random() < 0.3:
            rows.insert(0, -1)  # newest first, so what is new moves all others on
        return page

    found = [row for page in iter_pages(fetch, int, 20, "rows", full=2) for row in page]
    assert set(range(count)) <= set(found)
    assert len(found) == len(set(found))

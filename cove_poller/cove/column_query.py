"""Rows of columns from Cove, which ignores columns that it does not know and refuses some to some users.

So what is refused is found out once, by halving, and left out from then on; and the spelling of the columns is
the one that was seen to bring something.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cove_poller.cove.client import CoveClient
from cove_poller.errors import ApiError, PermissionDenied
from cove_poller.records.columns import unpadded_spellings
from cove_poller.records.device import (
    ALL_COLUMNS,
    OPTIONAL_COLUMNS,
    REQUIRED_COLUMNS,
    StatisticsRow,
    UnreadableRow,
    describe_columns,
    row_from_reply,
)

COUNT = "COUNT(1)"
TOTAL = re.compile(r"[0-9]{1,9}")
Row = StatisticsRow | UnreadableRow

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Learnt:
    """What is known of a user's columns: which are refused, and whether it is `D9F00` that brings something."""

    refused: tuple[str, ...] = ()
    unpadded: bool = False


NOTHING_LEARNT = Learnt()


class ColumnQuery:
    """A method that answers with rows of columns. `refused` are the columns that it refuses, once one was asked.

    With `any_error_refuses` it is not known with which number it refuses them. If it `counts`, Cove is asked beside
    each page how many rows there are in all: `total` is its last answer, None if it has not told.
    """

    def __init__(
        self,
        client: CoveClient,
        method: str,
        partner_id: int,
        learnt: Learnt = NOTHING_LEARNT,
        *,
        any_error_refuses: bool = False,
        counts: bool = False,
    ) -> None:
        self.total: int | None = None
        self.refused, self.unpadded = learnt.refused, learnt.unpadded
        self._is_negotiated = False
        self._any_error_refuses = any_error_refuses
        self._counts = counts
        self._client = client
        self._method = method
        self._partner_id = partner_id

    def rows(self, start: int, count: int, *, filter: str = "", extra: Mapping[str, Any] | None = None) -> list[Row]:
        """Return rows from number `start` on. Raise PermissionDenied if required columns, or the method, are refused.

        Raise ApiError if Cove sends no list. `filter` is in Cove's language; `extra` are parameters beside the query.
        """
        more: dict[str, Any] = {"filter": filter, "extra": extra}
        try:
            return self._fetch(self._permitted(), start, count, **more)
        except (PermissionDenied, ApiError) as error:
            if self._counts and start == 0 and type(error) is ApiError:  # it may not like to be asked for the count
                self._counts = False
                return self.rows(start, count, **more)
            if self._is_negotiated or not self._is_refusal(error):
                raise
            self.refused = self._find_refused(more)
            self._is_negotiated = True
            return self._fetch_uncounted(start, count, more)

    def _fetch_uncounted(self, start: int, count: int, more: Mapping[str, Any]) -> list[Row]:
        """Return the rows; where that is refused still, the count may be what is, and no column."""
        try:
            return self._fetch(self._permitted(), start, count, **more)
        except PermissionDenied:
            if not self._counts:
                raise
            self._counts, self.refused = False, ()
            return self._fetch(self._permitted(), start, count, **more)

    def _permitted(self) -> list[str]:
        return [code for code in ALL_COLUMNS if code not in self.refused]

    def _find_refused(self, more: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the optional columns that Cove refuses. Raise PermissionDenied if it refuses required ones."""
        log.info("Cove refuses some column of %s, finding out which", self._method)
        self._fetch(REQUIRED_COLUMNS, 0, 1, **more)
        refused = tuple(self._culprits(OPTIONAL_COLUMNS, more))
        log.info("refused: %s", describe_columns(refused))
        return refused

    def _culprits(self, columns: Sequence[str], more: Mapping[str, Any]) -> list[str]:
        """Return the refused ones of `columns`, at least one of which is, by halving."""
        if len(columns) == 1:
            return list(columns)
        half = len(columns) // 2
        left, right = columns[:half], columns[half:]
        found = self._culprits(left, more) if self._is_refused(left, more) else []
        if not found or self._is_refused(right, more):
            found += self._culprits(right, more)
        return found

    def _is_refused(self, columns: Sequence[str], more: Mapping[str, Any]) -> bool:
        try:
            self._fetch([*REQUIRED_COLUMNS, *columns], 0, 1, **more)
        except (PermissionDenied, ApiError) as error:
            if self._is_refusal(error):
                return True
            raise
        return False

    def _is_refusal(self, error: Exception) -> bool:
        """Tell whether this may be about a column, not about the moment."""
        return isinstance(error, PermissionDenied) or (self._any_error_refuses and type(error) is ApiError)

    def _fetch(
        self, columns: Sequence[str], start: int, count: int, filter: str, extra: Mapping[str, Any] | None
    ) -> list[Row]:
        codes = [code for column in columns for code in unpadded_spellings(column)] if self.unpadded else [*columns]
        query: dict[str, Any] = {
            "PartnerId": self._partner_id,
            "SelectionMode": "Merged",
            "StartRecordNumber": start,
            "RecordsCount": count,
            "OrderBy": "I0 ASC",
            "Columns": codes,
        }
        if filter:
            query["Filter"] = filter
        params = {"query": query, **(extra or {})}
        if self._counts and count > 1:
            query["Totals"] = [COUNT]
        result = self._client.call_whole(self._method, params, list[Any])
        found = result.result if result else None
        if result is None or found is None:
            raise ApiError(f"Cove answers {self._method} without a list, so nothing is known of what it would have")
        self.total = told_total(result.totals) if self._counts else None
        return [row_from_reply(one) for one in found]


def told_total(content: object) -> int | None:
    """Return the count in what Cove tells of totals, in whatever shape: `[{"COUNT(1)": "60"}]`; None if there is none.

    A single value in a list of its own is the count too.
    """
    if isinstance(content, dict):
        inside = content.values() if COUNT not in content else [[content[COUNT]]]
        return next((total for one in inside if (total := told_total(one)) is not None), None)
    if isinstance(content, list) and len(content) == 1 and TOTAL.fullmatch(str(content[0])):
        return int(content[0])
    items = content if isinstance(content, list) else []
    return next((total for one in items if (total := told_total(one)) is not None), None)

"""Rows of columns from Cove, which ignores columns that it does not know and refuses some to some users.

So what is refused is found out once, by halving, and left out from then on; and the spelling of the columns is
the one that was seen to bring something.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from cove_poller.cove.client import CoveClient
from cove_poller.errors import ApiError, PermissionDenied
from cove_poller.records.columns import unpadded_spellings
from cove_poller.records.device import ALL_COLUMNS, OPTIONAL_COLUMNS, REQUIRED_COLUMNS, StatisticsRow, describe_columns

log = logging.getLogger(__name__)


class ColumnQuery:
    """A method that answers with rows of columns. `refused` are the columns that it refuses, once one was asked.

    With `any_error_refuses` it is not known with which number it refuses them.
    """

    def __init__(
        self,
        client: CoveClient,
        method: str,
        partner_id: int,
        refused: Sequence[str] = (),
        *,
        unpadded: bool = False,
        any_error_refuses: bool = False,
    ) -> None:
        self.refused = tuple(refused)
        self.unpadded = unpadded
        self._is_negotiated = False
        self._any_error_refuses = any_error_refuses
        self._client = client
        self._method = method
        self._partner_id = partner_id

    def rows(
        self, start: int, count: int, *, filter: str = "", extra: Mapping[str, Any] | None = None
    ) -> list[StatisticsRow]:
        """Return rows from number `start` on. Raise PermissionDenied if required columns, or the method, are refused.

        `filter` is in Cove's language; `extra` are parameters beside the query.
        """
        more: dict[str, Any] = {"filter": filter, "extra": extra}
        try:
            return self._fetch(self._permitted(), start, count, **more)
        except (PermissionDenied, ApiError) as error:
            if self._is_negotiated or not self._is_refusal(error):
                raise
            self.refused = self._find_refused(more)
            self._is_negotiated = True
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
    ) -> list[StatisticsRow]:
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
        return self._client.call(self._method, params, list[StatisticsRow]) or []

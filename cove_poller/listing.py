"""The listing of a login's devices: page by page, believed only where it is plausible.

Cove ignores columns that it does not know, refuses some to some users, and documents neither a largest page
nor a stable order. So pages overlap by a row, which proves that none was skipped; the end is a page with
nothing behind that row, not a short one; and a page without any source column is an error, not "never ran".
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cove_poller.client import CoveClient
from cove_poller.columns import SOURCE_FIELD, unpadded_spellings
from cove_poller.errors import ApiError, PermissionDenied
from cove_poller.models import (
    ALL_COLUMNS,
    OPTIONAL_COLUMNS,
    REQUIRED_COLUMNS,
    Device,
    StatisticsRow,
    describe_columns,
    iter_devices,
)

METHOD = "EnumerateAccountStatistics"
MAX_REWINDS = 8  # each twice as far as the one before

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Page:
    """Devices not seen before, and the ids of rows that came without a name and so cannot be trusted."""

    devices: tuple[Device, ...]
    nameless_ids: tuple[int, ...] = ()


class Listing:
    """The devices below a partner. `refused` and `is_complete` are final when the pages are through."""

    def __init__(self, client: CoveClient, partner_id: int) -> None:
        self.refused: tuple[str, ...] = ()
        self.is_complete = False
        self.seen_ids: set[int] = set()
        self._client = client
        self._partner_id = partner_id
        self._page_size = client.api.page_size
        self._unpadded = False
        self._is_proven = False
        self._has_names = False

    def iter_pages(self) -> Iterator[Page]:
        """The pages in order. Raise ApiError if Cove does not come to an end or talks nonsense."""
        start, rewinds, repeats = 0, 0, 0
        previous: set[int] = set()
        while True:
            rows = self._rows(start)
            ids = {row.account_id for row in rows}
            fresh = [row for row in rows if row.account_id not in self.seen_ids]
            self.seen_ids |= ids
            if fresh:
                yield self._page(fresh)
            if start and previous and not ids & previous:
                # Devices before this page have gone, so others may have slipped past: look again further up.
                if rewinds == MAX_REWINDS:
                    raise ApiError("the list of devices changed again and again while it was read")
                start = max(0, start - self._page_size * 2**rewinds)
                rewinds += 1
                continue
            repeats += not fresh and ids == previous and len(rows) > 1
            if repeats > 1 and len(rows) >= self._page_size:
                raise ApiError("Cove sends the same page of devices again and again")
            if not fresh and (len(rows) <= 1 or repeats > 1):
                self.is_complete = True
                return
            start += max(len(rows) - 1, 1)
            previous = ids if len(rows) > 1 else set()

    def _page(self, rows: Sequence[StatisticsRow]) -> Page:
        devices = tuple(iter_devices(rows))
        named = tuple(device for device in devices if device.fields.name and device.fields.customer_name)
        self._has_names = self._has_names or bool(named)
        if not self._has_names:
            raise ApiError(f"none of {len(rows)} devices has a name and a customer; Cove ignores these columns")
        nameless = {device.account_id for device in devices} - {device.account_id for device in named}
        return Page(named, tuple(sorted(nameless)))

    def _rows(self, start: int) -> list[StatisticsRow]:
        """A page's rows, with the spelling of columns that brings something."""
        rows = self._permitted_rows(start)
        if self._is_proven or not rows:
            return rows
        if not _has_source_fields(rows) and not self._unpadded:
            log.info("columns like D09F00 bring nothing, trying D9F0")
            self._unpadded = True
            rows = self._permitted_rows(start)
        if not _has_source_fields(rows):
            raise ApiError(
                f"none of {len(rows)} devices has any backup column (D09F00 and so on): either none of them has"
                " ever run a backup, or Cove ignores these columns; nothing is concluded from that"
            )
        self._is_proven = True
        return rows

    def _permitted_rows(self, start: int) -> list[StatisticsRow]:
        """A page's rows; the columns that are refused are found out the first time and left out from then on."""
        columns = [code for code in ALL_COLUMNS if code not in self.refused]
        try:
            return self._fetch(columns, start, self._page_size)
        except PermissionDenied:
            if self.refused:
                raise
            self.refused = self._find_refused()
            return self._fetch([code for code in columns if code not in self.refused], start, self._page_size)

    def _find_refused(self) -> tuple[str, ...]:
        """The optional columns that Cove refuses. Raise PermissionDenied if it refuses required ones."""
        log.info("Cove refuses some column, finding out which")
        try:
            self._fetch(REQUIRED_COLUMNS, 0, 1)
        except PermissionDenied as error:
            raise PermissionDenied(
                f"{error}. Without the list of devices and its columns {', '.join(REQUIRED_COLUMNS)} nothing can"
                " be said of any backup; give the API user a role that may see them"
            ) from error
        refused = tuple(self._culprits(OPTIONAL_COLUMNS))
        log.info("refused: %s", describe_columns(refused))
        return refused

    def _culprits(self, columns: Sequence[str]) -> list[str]:
        """The refused ones of `columns`, at least one of which is, by halving."""
        if len(columns) == 1:
            return list(columns)
        half = len(columns) // 2
        left, right = columns[:half], columns[half:]
        found = self._culprits(left) if self._is_refused(left) else []
        if not found or self._is_refused(right):
            found += self._culprits(right)
        return found

    def _is_refused(self, columns: Sequence[str]) -> bool:
        try:
            self._fetch([*REQUIRED_COLUMNS, *columns], 0, 1)
        except PermissionDenied:
            return True
        return False

    def _fetch(self, columns: Sequence[str], start: int, count: int) -> list[StatisticsRow]:
        codes = [code for column in columns for code in unpadded_spellings(column)] if self._unpadded else [*columns]
        query: dict[str, Any] = {
            "PartnerId": self._partner_id,
            "SelectionMode": "Merged",
            "StartRecordNumber": start,
            "RecordsCount": count,
            "OrderBy": "I0 ASC",
            "Columns": codes,
        }
        return self._client.call(METHOD, {"query": query}, list[StatisticsRow]) or []


def _has_source_fields(rows: Sequence[StatisticsRow]) -> bool:
    """Whether any row has a column of D01 to D09, be it the total's.

    `D10F15` has no zero to be padded with, so a Cove that ignores padded codes sends it all the same.
    """
    return any(SOURCE_FIELD.fullmatch(code) and code[1] == "0" for row in rows for code in row.values())

"""The listing of a login's devices: page by page, believed only where it is plausible.

A page without any source column is an error, not "never ran"; so are devices without names.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cove_poller.cove.client import CoveClient
from cove_poller.cove.column_query import ColumnQuery
from cove_poller.cove.paging import iter_pages
from cove_poller.errors import ApiError, PermissionDenied
from cove_poller.records.columns import SOURCE_FIELD
from cove_poller.records.device import REQUIRED_COLUMNS, Device, StatisticsRow, iter_devices

METHOD = "EnumerateAccountStatistics"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Page:
    """Devices not seen before, and the ids of rows that came without a name and so cannot be trusted."""

    devices: tuple[Device, ...]
    nameless_ids: tuple[int, ...] = ()


class Listing:
    """The devices below a partner. `refused` and `is_complete` are final when the pages are through."""

    def __init__(self, client: CoveClient, partner_id: int) -> None:
        self.partner_id = partner_id
        self.is_complete = False
        self.seen_ids: set[int] = set()
        self._query = ColumnQuery(client, METHOD, partner_id)
        self._page_size = client.api.page_size
        self._is_proven = False
        self._has_names = False

    @property
    def refused(self) -> tuple[str, ...]:
        """Return the columns that Cove refuses to this user."""
        return self._query.refused

    @property
    def unpadded(self) -> bool:
        """Tell whether it is `D9F00` that brings something, not `D09F00`."""
        return self._query.unpadded

    def iter_pages(self) -> Iterator[Page]:
        """Yield the pages in order. Raise ApiError if Cove does not come to an end or talks nonsense."""
        for rows in iter_pages(self._rows, lambda row: row.account_id, self._page_size, "devices"):
            self.seen_ids |= {row.account_id for row in rows}
            yield self._page(rows)
        self.is_complete = True

    def _page(self, rows: Sequence[StatisticsRow]) -> Page:
        devices = tuple(iter_devices(rows))
        named = tuple(device for device in devices if device.fields.name and device.fields.customer_name)
        self._has_names = self._has_names or bool(named)
        if not self._has_names:
            raise ApiError(f"none of {len(rows)} devices has a name and a customer; Cove ignores these columns")
        nameless = {device.account_id for device in devices} - {device.account_id for device in named}
        return Page(named, tuple(sorted(nameless)))

    def _rows(self, start: int) -> list[StatisticsRow]:
        """Return a page's rows, with the spelling of columns that brings something."""
        rows = self._permitted_rows(start)
        if self._is_proven or not rows:
            return rows
        if not _has_source_fields(rows) and not self._query.unpadded:
            log.info("columns like D09F00 bring nothing, trying D9F0")
            self._query.unpadded = True
            rows = self._permitted_rows(start)
        if not _has_source_fields(rows):
            raise ApiError(
                f"none of {len(rows)} devices has any backup column (D09F00 and so on): either none of them has"
                " ever run a backup, or Cove ignores these columns; nothing is concluded from that"
            )
        self._is_proven = True
        return rows

    def _permitted_rows(self, start: int) -> list[StatisticsRow]:
        try:
            return self._query.rows(start, self._page_size)
        except PermissionDenied as error:
            raise PermissionDenied(
                f"{error}. Without the list of devices and its columns {', '.join(REQUIRED_COLUMNS)} nothing can"
                " be said of any backup; give the API user a role that may see them"
            ) from error


def _has_source_fields(rows: Sequence[StatisticsRow]) -> bool:
    """Tell whether any row has a column of D01 to D09, be it the total's.

    `D10F15` has no zero to be padded with, so a Cove that ignores padded codes sends it all the same.
    """
    return any(SOURCE_FIELD.fullmatch(code) and code[1] == "0" for row in rows for code in row.values())

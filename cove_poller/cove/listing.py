"""The listing of a login's devices: page by page, believed only where it is plausible.

One odd row costs that row, not the page. A page without any source column is an error, not "never ran"; so are
devices none of which has a name, and a list that is shorter than Cove's own count.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from cove_poller.cove.client import CoveClient
from cove_poller.cove.column_query import NOTHING_LEARNT, ColumnQuery, Learnt, Row
from cove_poller.cove.paging import iter_pages
from cove_poller.errors import ApiError, PermissionDenied
from cove_poller.records.columns import SOURCE_FIELD
from cove_poller.records.contradictions import LISTED_TWICE, Gravity, listed_devices, rows_gravity
from cove_poller.records.device import REQUIRED_COLUMNS, Device, StatisticsRow, UnreadableRow
from cove_poller.text import counted

METHOD = "EnumerateAccountStatistics"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Listed:
    """A device that is listed, with what its rows on a page say; it is read when that is asked for."""

    account_id: int
    rows: tuple[StatisticsRow, ...]

    @cached_property
    def device(self) -> Device:
        return listed_devices(self.rows)[0]

    @cached_property
    def content(self) -> bytes:
        """Return what its row says, as it was sent; nothing where there is more than one."""
        return self.rows[0].content if len(self.rows) == 1 else b""


@dataclass(frozen=True)
class Graver(Listed):
    """A device that an earlier page told something less grave of."""

    @cached_property
    def device(self) -> Device:
        return super().device.model_copy(update={"contradictions": ()})

    @cached_property
    def content(self) -> bytes:
        return b""


@dataclass(frozen=True)
class Page:
    """Devices not seen before, and rows that cannot be read.

    `twice` says, by account id, that an earlier page told something else; a device that is graver than it was then is
    among the devices again.
    """

    listed: tuple[Listed, ...] = ()
    unreadable: tuple[UnreadableRow, ...] = ()
    twice: Mapping[int, str] = field(default_factory=dict)

    @property
    def devices(self) -> tuple[Device, ...]:
        """Return all of its devices, read."""
        return tuple(one.device for one in self.listed)


Entry = Listed | UnreadableRow


@dataclass(frozen=True)
class Told:
    """What is kept of a device that was listed: how many rows it had, what tells them from others, and how grave."""

    rows: int
    digest: int
    gravity: Gravity


class Listing:
    """The devices below a partner. `refused` and `is_complete` are final when the pages are through.

    `unnamed` counts the rows that do not tell whose they are, so that nobody knows which devices are listed there.
    """

    def __init__(self, client: CoveClient, partner_id: int, learnt: Learnt = NOTHING_LEARNT) -> None:
        self.partner_id = partner_id
        self.is_complete = False
        self.seen_ids: set[int] = set()
        self.unnamed = 0
        self._client = client
        self._query = ColumnQuery(client, METHOD, partner_id, learnt, counts=True)
        self._page_size = client.api.page_size
        self._is_proven = False
        self._has_names = False
        self._furthest = -1
        self._told: dict[int, Told] = {}
        self._graver: dict[int, Graver] = {}
        self._twice: dict[int, str] = {}

    @property
    def refused(self) -> tuple[str, ...]:
        """Return the columns that Cove refuses to this user."""
        return self._query.refused

    @property
    def learnt(self) -> Learnt:
        """Return what was found out about the columns."""
        return Learnt(self._query.refused, self._query.unpadded)

    def iter_pages(self) -> Iterator[Page]:
        """Yield the pages in order. Raise ApiError if Cove does not come to an end or talks nonsense."""
        for entries in iter_pages(self._entries, lambda one: one.account_id or one, self._page_size, "devices"):
            yield self._page(entries)
        if self._twice:
            yield self._page([])
        self._compare_with_total()
        self.is_complete = True

    def again(self, account_ids: Iterable[int]) -> dict[int, Device]:
        """Return some of the devices as Cove lists them by now, by account; without those that it does not list."""
        wanted = sorted(account_ids)
        query = ColumnQuery(self._client, METHOD, self.partner_id, self.learnt)
        rows = query.rows(0, max(self._page_size, len(wanted)), filter=accounts_filter(wanted)) if wanted else []
        devices = listed_devices(row for row in rows if isinstance(row, StatisticsRow))
        return {one.account_id: one for one in devices if one.account_id in wanted}

    def _page(self, entries: Sequence[Entry]) -> Page:
        devices = [one for one in entries if isinstance(one, Listed)]
        unreadable = [one for one in entries if isinstance(one, UnreadableRow)]
        self.seen_ids |= {one.account_id for one in devices}
        self.seen_ids |= {row.account_id for row in unreadable if row.account_id}
        self.unnamed += sum(row.account_id is None for row in unreadable)
        page = Page((*devices, *self._graver.values()), tuple(unreadable), self._twice)
        self._graver, self._twice = {}, {}
        return page

    def _entries(self, start: int) -> list[Entry]:
        """Return what stands on a page, by device; keep in mind what contradicts an earlier page."""
        rows = self._rows(start)
        entries = _by_device(rows)
        devices = [one for one in entries if isinstance(one, Listed)]
        if not devices and (len(rows) > 1 or (rows and start == 0)):
            raise ApiError(f"none of {counted(len(rows), 'row')} of the list of devices can be read: {rows[0]}")
        self._has_names = self._has_names or any(map(_is_named, devices))
        if devices and not self._has_names:
            raise ApiError(f"none of {len(devices)} devices has a name and a customer; Cove ignores these columns")
        for one in devices:
            # pages overlap by a row, and what is read again further up may have changed meanwhile
            self._note(one, is_again=start <= self._furthest or one.rows[0] is rows[0])
        self._furthest = max(self._furthest, start)
        return entries

    def _note(self, listed: Listed, *, is_again: bool) -> None:
        account, rows = listed.account_id, listed.rows
        digest = hash(listed.content or tuple(one.content for one in rows))
        before, gravity = self._told.get(account), rows_gravity(rows)
        if before is None:
            self._told[account] = Told(len(rows), digest, gravity)
            return
        if before.digest == digest or (is_again and len(rows) == 1):
            return
        self._twice[account] = LISTED_TWICE
        if gravity > before.gravity:
            self._graver[account] = Graver(account, rows)
        self._told[account] = Told(max(len(rows), before.rows), digest, max(gravity, before.gravity))

    def _compare_with_total(self) -> None:
        """Raise ApiError if Cove counts more devices than it has listed; rows of nobody may be any."""
        listed = sum(one.rows for one in self._told.values()) + len(self.seen_ids - self._told.keys())
        total = self._query.total
        if total is not None and total > listed and not self.unnamed:
            raise ApiError(f"Cove counts {counted(total, 'device')} and lists {listed}, so its list is not complete")

    def _rows(self, start: int) -> list[Row]:
        """Return a page's rows, with the spelling of columns that brings something."""
        rows = self._permitted_rows(start)
        if self._is_proven or not rows:
            return rows
        if not _has_source_fields(rows):
            log.info("columns bring nothing as they are spelt, trying the other spelling")
            self._query.unpadded = not self._query.unpadded
            rows = self._permitted_rows(start)
        if not _has_source_fields(rows):
            raise ApiError(
                f"none of {len(rows)} devices has any backup column (D09F00 and so on): either none of them has"
                " ever run a backup, or Cove ignores these columns; nothing is concluded from that"
            )
        self._is_proven = True
        return rows

    def _permitted_rows(self, start: int) -> list[Row]:
        try:
            return self._query.rows(start, self._page_size)
        except PermissionDenied as error:
            raise PermissionDenied(
                f"{error}. Without the list of devices and its columns {', '.join(REQUIRED_COLUMNS)} nothing can"
                " be said of any backup; give the API user a role that may see them"
            ) from error


def accounts_filter(account_ids: Iterable[int]) -> str:
    """Return what in Cove's language chooses some devices."""
    return " or ".join(f"AU == {account}" for account in account_ids)


def _by_device(rows: Sequence[Row]) -> list[Entry]:
    """Return the rows that cannot be read, then the devices, each once."""
    readable: dict[int, list[StatisticsRow]] = defaultdict(list)
    for row in rows:
        if isinstance(row, StatisticsRow):
            readable[row.account_id].append(row)
    unreadable = [row for row in rows if isinstance(row, UnreadableRow)]
    return [*unreadable, *(Listed(account, tuple(found)) for account, found in readable.items())]


def _is_named(listed: Listed) -> bool:
    return bool(listed.device.fields.name and listed.device.fields.customer_name)


def _has_source_fields(rows: Sequence[Row]) -> bool:
    """Tell whether any row has a column of D01 to D09, be it the total's.

    `D10F15` has no zero to be padded with, so a Cove that ignores padded codes sends it all the same.
    """
    codes = (code for row in rows if isinstance(row, StatisticsRow) for code in row.readings()[0])
    return any(SOURCE_FIELD.fullmatch(code) and code[1] == "0" for code in codes)

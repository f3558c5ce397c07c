"""Devices as they were at past moments: Cove's history of statistics, a snapshot a call, for many devices at once.

N-able's page "Schema" shows `EnumerateAccountHistoryStatistics` with its `timeslice`. Public clients have seen that
it rejects some data sources, and all of them to some users; how far back it goes is not documented.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta

from cove_poller.cove.client import CoveClient
from cove_poller.cove.column_query import ColumnQuery
from cove_poller.cove.listing import Listing, accounts_filter
from cove_poller.cove.paging import iter_pages
from cove_poller.cove.snapshot_sessions import sessions_from_snapshots
from cove_poller.cove.threads import as_completed
from cove_poller.records.contradictions import listed_devices
from cove_poller.records.device import Device, StatisticsRow, UnreadableRow
from cove_poller.records.device_reading import DeviceReading, read_device
from cove_poller.records.reading import Circumstances
from cove_poller.records.session import Session
from cove_poller.records.statuses import Statuses
from cove_poller.records.window import Window

METHOD = "EnumerateAccountHistoryStatistics"
STEP = timedelta(hours=6)
DEVICES_AT_ONCE = 100


@dataclass(frozen=True)
class Snapshot:
    """A device at a moment, and of which data sources the row told."""

    at: datetime
    reading: DeviceReading
    sources: frozenset[str]


@dataclass(frozen=True)
class Replay:
    """What the snapshots of a device show: its sessions, when they were taken, and which sources they tell of."""

    sessions: tuple[Session, ...] = ()
    moments: tuple[datetime, ...] = ()
    sources: frozenset[str] = frozenset()


class Snapshots:
    """Reads what the history of statistics shows in a window, with what the `listing` found out about the columns."""

    def __init__(self, client: CoveClient, listing: Listing, window: Window, statuses: Statuses) -> None:
        self._page_size = client.api.page_size
        self._workers = client.api.backfill_workers
        self._window = window
        self._statuses = statuses
        self._query = ColumnQuery(client, METHOD, listing.partner_id, listing.learnt, any_error_refuses=True)

    @property
    def refused(self) -> frozenset[str]:
        """Return the columns that it rejects, once something was read."""
        return frozenset(self._query.refused)

    def read(self, devices: Sequence[Device], tick: Callable[[], None]) -> dict[int, Replay]:
        """Return what became of each of the devices, by account id; `tick` is called for each snapshot.

        Raise ApiError or PermissionDenied if it cannot be read.
        """
        wanted = {device.account_id for device in devices}
        filter = accounts_filter(sorted(wanted))
        found: dict[int, list[Snapshot]] = defaultdict(list)
        last, *moments = reversed([*self._window.moments(STEP)])
        newest = self._at(last, filter)  # by itself: it finds out what is refused
        self._keep(found, wanted, last, newest)
        believed = {one.account_id for one in newest if one.sources}
        with closing(as_completed(lambda at: self._at(at, filter), moments, self._workers)) as slices:
            for at, past_devices in slices:
                self._keep(found, wanted, at, past_devices)
                tick()
        # Cove ignores columns that it does not know, so silence where the listing speaks is no snapshot.
        believed |= {device.account_id for device in devices if not device.sources}
        return {account: self._replayed(found[account]) for account in wanted & believed & found.keys()}

    def _at(self, moment: datetime, filter: str) -> list[Device]:
        """Return the devices as they were; of one whose row cannot be read there is no snapshot."""
        extra = {"timeslice": int(moment.timestamp()), "totalStatistics": "*"}
        pages = iter_pages(
            lambda start: self._query.rows(start, self._page_size, filter=filter, extra=extra),
            lambda row: row if isinstance(row, UnreadableRow) else row.account_id,
            self._page_size,
            "past devices",
        )
        return listed_devices(row for page in pages for row in page if isinstance(row, StatisticsRow))

    def _keep(
        self,
        found: dict[int, list[Snapshot]],
        wanted: set[int],
        moment: datetime,
        devices: Sequence[Device],
    ) -> None:
        for device in devices:
            if device.account_id in wanted:
                reading = read_device(device, self._query.refused, Circumstances(moment, self._statuses))
                found[device.account_id].append(Snapshot(moment, reading, frozenset(device.sources)))

    def _replayed(self, snapshots: list[Snapshot]) -> Replay:
        snapshots.sort(key=lambda one: one.at)
        readings = [(one.at, one.reading) for one in snapshots]
        return Replay(
            sessions_from_snapshots(readings, self._window),
            tuple(one.at for one in snapshots),
            frozenset().union(*(one.sources for one in snapshots)),
        )

"""Devices' pasts from Cove, each by the best way that it allows: sessions, else snapshots, else the colour bar.

What could not be read is said so, and never looks like "had no sessions".
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import datetime
from itertools import pairwise

from cove_poller.cove.client import CoveClient
from cove_poller.cove.listing import Listing
from cove_poller.cove.session_rows import ReadRows
from cove_poller.cove.session_services import SessionHistory
from cove_poller.cove.snapshots import DEVICES_AT_ONCE, STEP, Replay, Snapshots
from cove_poller.cove.threads import as_completed
from cove_poller.errors import ApiError, ApiUnavailable, PermissionDenied, VisaRefused
from cove_poller.records.colorbar import read_bars, silent_days
from cove_poller.records.columns import LABELS, M365_SOURCES, DataSource, label
from cove_poller.records.device import DECISIVE_FIELDS, Device, column_code
from cove_poller.records.matching import unexplained
from cove_poller.records.past import Past, Request
from cove_poller.records.reading import UNREADABLE, Circumstances, Problem, read_device
from cove_poller.records.session import Origin, Session
from cove_poller.records.statuses import Status, Statuses
from cove_poller.text import counted

Refusal = ApiError | PermissionDenied


class PastReader:
    """Reads pasts, several at once, of devices from a `listing` whose first page has been read."""

    def __init__(
        self,
        client: CoveClient,
        listing: Listing,
        request: Request,
        statuses: Statuses,
        now: Callable[[], datetime],
    ) -> None:
        self._workers = client.api.backfill_workers
        self._request = request
        self._statuses = statuses
        self._now = now
        self._refused = listing.refused
        self._history = SessionHistory(client, request.window, statuses)
        self._snapshots = Snapshots(client, listing, request.window, statuses)

    def read(self, devices: Sequence[Device], tick: Callable[[], None]) -> Iterator[tuple[Device, Past]]:
        """Each device with its past, as soon as it is known; `tick` is called where that takes a while."""
        left: list[tuple[Device, Refusal | None]] = []
        if self._request.allows(Origin.SESSIONS):
            with closing(as_completed(self._by_sessions, devices, self._workers)) as found:
                for device, past in found:
                    if isinstance(past, Past):
                        yield device, past
                    else:
                        left.append((device, past))
        else:
            left = [(device, None) for device in devices]
        for first in range(0, len(left), DEVICES_AT_ONCE):
            yield from self._otherwise(left[first : first + DEVICES_AT_ONCE], tick)

    def _by_sessions(self, device: Device) -> Past | Refusal:
        try:
            rows = self._history.read(device)
        except (ApiUnavailable, VisaRefused):
            raise  # Cove itself is down, or out of order: no other way would do better
        except (ApiError, PermissionDenied) as error:
            return error
        is_tenant = device.device_type == "Microsoft 365"
        of_kind = M365_SOURCES if is_tenant else LABELS.keys() - M365_SOURCES
        doubts = {source: [*found] for source in device.sources if (found := self._doubts(device, source, rows))}
        complete = of_kind - doubts.keys() if not rows.failures else set()
        return Past(
            self._request.window,
            self._now(),
            rows.sessions,
            complete_sources=frozenset(complete | {DataSource.TOTAL} if complete == of_kind else complete),
            ways=(Origin.SESSIONS,),
            failures=(*rows.failures, *(text for texts in doubts.values() for text in texts)),
            warnings=rows.warnings,
            context=rows.context,
            problems=self._problems(device, rows, doubts),
        )

    @staticmethod
    def _problems(device: Device, rows: ReadRows, doubts: Mapping[str, Sequence[str]]) -> dict[str, Problem]:
        """Which sources' past is not known whole: those whose history lacks something, or all where a row was odd."""
        codes = {*doubts, *({*device.active_sources, *device.sources} if rows.failures else ())}
        return {code: Problem(Status.WARNING, UNREADABLE) for code in codes - {DataSource.TOTAL.value}}

    def _doubts(self, device: Device, source: str, rows: ReadRows) -> list[str]:
        """Why a source's history is not to be trusted: it lacks what the listing shows, or what the colour bar does."""
        if source == DataSource.TOTAL:
            return []
        reading = read_device(device, self._refused, Circumstances(self._now(), self._statuses)).sources[source]
        told = [session for session in reading.sessions if self._is_in_window(session)]
        read = [session for session in rows.sessions if session.data_source == source]
        lacking = [
            f"its history lacks the session of {label(source)} at {session.session_at:%Y-%m-%d %H:%M}Z"
            for session in unexplained(told, read)
        ]
        if days := silent_days(device.sources[source].color_bar, read, self._request.window, self._now()):
            lacking.append(
                f"its history has nothing of {label(source)} on {counted(len(days), 'day')} from {days[0]} on,"
                " on which the colour bar shows a backup"
            )
        return lacking

    def _is_in_window(self, session: Session) -> bool:
        """Whether the session ended in the window for certain; its only known time may be its start."""
        window = self._request.window
        return session.session_at in window and (self._request.reaches_now or session.started_at is not None)

    def _otherwise(
        self, devices: Sequence[tuple[Device, Refusal | None]], tick: Callable[[], None]
    ) -> Iterator[tuple[Device, Past]]:
        """The pasts of devices whose sessions are not to be had."""
        replays: Mapping[int, Replay] = {}
        refusal: Refusal | None = None
        if self._request.allows(Origin.SNAPSHOT):
            try:
                replays = self._snapshots.read([device for device, _ in devices], tick)
            except (ApiUnavailable, VisaRefused):
                raise
            except (ApiError, PermissionDenied) as error:
                refusal = error
        for device, reason in devices:
            replay = replays.get(device.account_id, Replay())
            yield device, self._pieced_together(device, replay, [one for one in (reason, refusal) if one])

    def _pieced_together(self, device: Device, replay: Replay, refusals: Sequence[Refusal]) -> Past:
        """A past from snapshots, and from the colour bar for the sources that they do not tell of."""
        window, now = self._request.window, self._now()
        sources = {*device.active_sources, *device.sources, DataSource.TOTAL.value}
        by_snapshot = self._told_by_snapshots(device, replay, sources)
        asked = sources - by_snapshot if self._request.allows(Origin.COLORBAR) else set()
        reading = read_device(device, self._refused, Circumstances(self._now(), self._statuses))
        bars = read_bars(device, reading, asked, window, now, self._statuses)
        ways = {Origin.SNAPSHOT: by_snapshot, Origin.COLORBAR: bars.sources}
        failures = [str(one) for one in refusals if isinstance(one, ApiError)]
        warnings = [str(one) for one in refusals if isinstance(one, PermissionDenied)]
        if unread := sources - by_snapshot - bars.sources - {DataSource.TOTAL}:
            failures.append(f"could not be read: {', '.join(label(one) for one in sorted(unread))}")
        elif device.sources and not by_snapshot and not bars.sources:
            failures.append("its history could not be read")
        if by_snapshot and (named := sorted(bars.sources - {DataSource.TOTAL})):
            names = ", ".join(label(one) for one in named)
            warnings.append(f"snapshots do not tell of {names}; the colour bar was taken")
        if by_snapshot:
            failures += self._gaps(device, replay.moments)
        return Past(
            window,
            now,
            (*replay.sessions, *bars.sessions),
            ways=tuple(way for way, read in ways.items() if read),
            failures=(*failures, *bars.failures),
            warnings=tuple(warnings),
        )

    def _told_by_snapshots(self, device: Device, replay: Replay, sources: set[str]) -> set[str]:
        """The sources that the snapshots tell of: Cove may reject some, and ignore others without a word."""
        if not replay.moments:
            return set()
        refused = self._snapshots.refused
        codes = {source: {column_code(source, field) for field in DECISIVE_FIELDS} for source in DataSource}
        return {
            source
            for source in sources
            if source in set(DataSource)
            and not codes[DataSource(source)] & refused
            and (source in replay.sources or source not in device.sources)
        }

    def _gaps(self, device: Device, moments: Sequence[datetime]) -> Iterator[str]:
        """In words, that there are no snapshots from some part of the window in which there was the device."""
        first = next(self._request.window.moments(STEP))
        begin = max(first, device.fields.created_at or first) - STEP
        for before, after in pairwise([begin, *moments]):
            if after - before > 2 * STEP:
                yield f"there are no snapshots from {before:%Y-%m-%d %H:%M}Z to {after:%Y-%m-%d %H:%M}Z"

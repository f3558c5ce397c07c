"""The ways to devices' pasts, the best first: session services, snapshots, the colour bar. Each has one method, `read`.

A way passes on what the ways before it have found, with what it can add for the sources that are still unread.
What a way cannot read is said so, and never looks like "had no sessions".
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from typing import Protocol

from cove_poller.cove.client import CoveClient
from cove_poller.cove.listing import Listing
from cove_poller.cove.session_rows import ReadRows
from cove_poller.cove.session_services import SessionHistory
from cove_poller.cove.snapshots import DEVICES_AT_ONCE, STEP, Replay, Snapshots
from cove_poller.cove.threads import as_completed
from cove_poller.errors import ApiError, ApiUnavailable, PermissionDenied, VisaRefused
from cove_poller.records.colorbar import read_bars, silent_days
from cove_poller.records.columns import LABELS, M365_SOURCES, DataSource, label
from cove_poller.records.device import DECISIVE_COLUMNS, Device
from cove_poller.records.device_reading import DeviceReading, read_device
from cove_poller.records.past import NO_PAST, Past, Request
from cove_poller.records.reading import UNREADABLE, Circumstances, Problem
from cove_poller.records.same_session import unexplained
from cove_poller.records.session import Origin, Session
from cove_poller.records.statuses import Status, Statuses
from cove_poller.text import counted

OUT_OF_ORDER = (ApiUnavailable, VisaRefused)
"""Cove itself is: no other way would do better."""


@dataclass(frozen=True)
class Terms:
    """What is asked for, and by what the listing's rows are read."""

    request: Request
    refused: Sequence[str]
    statuses: Statuses
    now: Callable[[], datetime]

    def reading(self, device: Device) -> DeviceReading:
        return read_device(device, self.refused, Circumstances(self.now(), self.statuses))


@dataclass(frozen=True)
class Attempt:
    """A device, its past as far as it was found, and the sources that no way has reported yet."""

    device: Device
    unread: frozenset[str]
    past: Past = NO_PAST
    known: str = ""
    """A digest of what its services told before."""

    @classmethod
    def begun(cls, device: Device, known: str = "") -> "Attempt":
        unread = frozenset({*device.active_sources, *device.sources, DataSource.TOTAL.value})
        return cls(device, unread, known=known)

    def refused(self, error: ApiError | PermissionDenied) -> "Attempt":
        """Return the attempt with what a way said instead of the past: what a user may not see is a warning only."""
        past, text = self.past, (str(error),)
        if isinstance(error, PermissionDenied):
            return replace(self, past=replace(past, warnings=past.warnings + text, is_refused=True))
        return replace(self, past=replace(past, failures=past.failures + text))

    def reported(
        self,
        sources: Iterable[str],
        way: Origin,
        sessions: Iterable[Session],
        failures: Iterable[str] = (),
        warnings: Iterable[str] = (),
    ) -> "Attempt":
        """Return the attempt with what a way reports of some sources."""
        sources, past = frozenset(sources), self.past
        more = replace(
            past,
            sessions=(*past.sessions, *sessions),
            ways=(*past.ways, way) if sources else past.ways,
            failures=(*past.failures, *failures),
            warnings=(*past.warnings, *warnings),
        )
        return replace(self, unread=self.unread - sources, past=more)


class Way(Protocol):
    """One way to the past. `tick` is called where reading takes a while."""

    def read(self, attempts: Iterable[Attempt], tick: Callable[[], None]) -> Iterator[Attempt]: ...


class BySessions:
    """Asks the services that list sessions one by one, for several devices at once."""

    def __init__(self, client: CoveClient, terms: Terms) -> None:
        self._workers = client.api.backfill_workers
        self._terms = terms
        self._history = SessionHistory(client, terms.request, terms.statuses)

    def read(self, attempts: Iterable[Attempt], tick: Callable[[], None]) -> Iterator[Attempt]:
        """Yield each attempt as soon as it is known. Of a device that a service lists, no source is left unread."""
        del tick  # whoever takes the devices sees them come
        with closing(as_completed(self._read, attempts, self._workers)) as found:
            for _, attempt in found:
                yield attempt

    def _read(self, attempt: Attempt) -> Attempt:
        device = attempt.device
        try:
            rows = self._history.read(device, attempt.known)
        except OUT_OF_ORDER:
            raise
        except (ApiError, PermissionDenied) as error:
            return attempt.refused(error)
        if rows.is_known:
            return Attempt(device, frozenset(), Past(ways=(Origin.SESSIONS,), digest=rows.digest, is_known=True))
        of_machine = LABELS.keys() - M365_SOURCES - {DataSource.TOTAL.value}
        of_kind = M365_SOURCES if device.device_type == "Microsoft 365" else of_machine
        lacking = {source: [*found] for source in device.sources if (found := self._lacks(device, source, rows))}
        complete = of_kind - lacking.keys() - rows.unreadable if rows.is_whole else set()
        past = Past(
            sessions=rows.sessions,
            complete_sources=frozenset(complete | {DataSource.TOTAL} if complete == of_kind else complete),
            ways=(Origin.SESSIONS,),
            failures=(*rows.failures, *(text for texts in lacking.values() for text in texts)),
            warnings=rows.warnings,
            context=rows.context,
            problems=_problems(device, rows, lacking),
            digest="" if lacking or rows.failures or rows.warnings or not rows.is_whole else rows.digest,
        )
        return Attempt(device, frozenset(), past)

    def _lacks(self, device: Device, source: str, rows: ReadRows) -> list[str]:
        """Return why a source's history is not to be trusted: it lacks what the listing or the colour bar shows."""
        if source == DataSource.TOTAL:
            return []
        reported = [
            one for one in self._terms.reading(device).sources[source].sessions if self._is_in_window(one, device)
        ]
        read = [session for session in rows.sessions if session.data_source == source]
        lacking = [
            f"its history lacks the session of {label(source)} at {session.session_at:%Y-%m-%d %H:%M}Z"
            for session in unexplained(reported, read)
        ]
        bar, window = device.sources[source].color_bar, self._terms.request.window_of(device.account_id)
        if days := silent_days(bar, read, window, self._terms.now()):
            lacking.append(
                f"its history has nothing of {label(source)} on {counted(len(days), 'day')} from {days[0]} on,"
                " on which the colour bar shows a backup"
            )
        return lacking

    def _is_in_window(self, session: Session, device: Device) -> bool:
        """Tell whether the session ended in the window for certain; its only known time may be its start."""
        request = self._terms.request
        window = request.window_of(device.account_id)
        return session.session_at in window and (request.reaches_now or session.started_at is not None)


def _problems(device: Device, rows: ReadRows, lacking: Iterable[str]) -> dict[str, Problem]:
    """Return the sources whose past is not known whole: those that lack something, or all where a row may be theirs."""
    codes = {*lacking, *rows.unreadable, *(() if rows.is_whole else (*device.active_sources, *device.sources))}
    return {code: Problem(Status.WARNING, UNREADABLE) for code in codes - {DataSource.TOTAL.value}}


class BySnapshots:
    """Asks for the listing as it was at past moments, for many devices at once."""

    def __init__(self, client: CoveClient, listing: Listing, terms: Terms) -> None:
        self._window = terms.request.window
        self._snapshots = Snapshots(client, listing, self._window, terms.statuses)

    def read(self, attempts: Iterable[Attempt], tick: Callable[[], None]) -> Iterator[Attempt]:
        """Yield what is read already, then the others with what the snapshots show of them."""
        left = []
        for attempt in attempts:
            if attempt.unread:
                left.append(attempt)
            else:
                yield attempt
        for first in range(0, len(left), DEVICES_AT_ONCE):
            yield from self._read(left[first : first + DEVICES_AT_ONCE], tick)

    def _read(self, attempts: Sequence[Attempt], tick: Callable[[], None]) -> list[Attempt]:
        try:
            replays = self._snapshots.read([one.device for one in attempts], tick)
        except OUT_OF_ORDER:
            raise
        except (ApiError, PermissionDenied) as error:
            return [one.refused(error) for one in attempts]
        return [self._reported(one, replays.get(one.device.account_id, Replay())) for one in attempts]

    def _reported(self, attempt: Attempt, replay: Replay) -> Attempt:
        sources = self._sources_reported(attempt, replay)
        gaps = self._gaps(attempt.device, replay.moments) if sources else ()
        return attempt.reported(sources, Origin.SNAPSHOT, replay.sessions, gaps)

    def _sources_reported(self, attempt: Attempt, replay: Replay) -> set[str]:
        """Return the sources that the snapshots show: Cove may reject some, and ignore others without a word."""
        if not replay.moments:
            return set()
        refused = self._snapshots.refused
        readable = {source.value for source, needed in DECISIVE_COLUMNS.items() if not needed & refused}
        silent = attempt.device.sources.keys() - replay.sources
        return {*attempt.unread & readable} - silent

    def _gaps(self, device: Device, moments: Sequence[datetime]) -> Iterator[str]:
        """Yield, in words, that there are no snapshots of some part of the window in which there was the device."""
        first = next(self._window.moments(STEP))
        begin = max(first, device.fields.created_at or first) - STEP
        for before, after in pairwise([begin, *moments]):
            if after - before > 2 * STEP:
                yield f"there are no snapshots from {before:%Y-%m-%d %H:%M}Z to {after:%Y-%m-%d %H:%M}Z"


class ByColorBar:
    """Takes the colour bar of the listing's row, which is there already: a mark a day."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms

    def read(self, attempts: Iterable[Attempt], tick: Callable[[], None]) -> Iterator[Attempt]:
        """Yield the attempts, each with the marks of the sources that were still unread."""
        del tick  # it takes no time
        for attempt in attempts:
            yield self._read(attempt) if attempt.unread else attempt

    def _read(self, attempt: Attempt) -> Attempt:
        device, terms = attempt.device, self._terms
        bars = read_bars(
            device, terms.reading(device), attempt.unread, terms.request.window, terms.now(), terms.statuses
        )
        named = ", ".join(label(one) for one in sorted(bars.sources - {DataSource.TOTAL}))
        beside = [f"snapshots do not tell of {named}; the colour bar was taken"] if attempt.past.ways and named else []
        return attempt.reported(bars.sources, Origin.COLORBAR, bars.sessions, bars.failures, beside)

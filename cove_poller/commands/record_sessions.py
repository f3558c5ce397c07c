"""The recorded sessions next to what a page shows; and what is new of them, written."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta

from cove_poller.database.sessions import Span
from cove_poller.database.store import Store
from cove_poller.records.device_changes import DeviceChanges
from cove_poller.records.device_reading import DeviceReading
from cove_poller.records.past import Past
from cove_poller.records.session import MINUTE, RecordedSession, Session

MIDNIGHT = time(tzinfo=UTC)
DAY = timedelta(days=1)

Recorded = dict[str, list[RecordedSession]]
"""The recorded sessions of a device by data source."""


@dataclass(frozen=True)
class Seen:
    """What a page shows of a device, by which its records are found."""

    account_id: int
    reading: DeviceReading
    past: Past
    at: datetime
    grave_days: Mapping[str, Collection[date]] = field(default_factory=dict)

    @property
    def sources(self) -> set[str]:
        return {*self.reading.sources, *self.past.read_sources}


def recorded_sessions(store: Store, page: Iterable[Seen]) -> dict[int, Recorded]:
    """Return, by account and source, the newest records, those next to what is seen, and all that a past covers."""
    page = list(page)
    times = (moment for seen in page for moment in _times(seen))
    spans = (span for seen in page for span in _spans(seen))
    found = (*store.sessions.near(times), *store.sessions.within(spans))
    recorded: dict[int, Recorded] = defaultdict(dict)
    for record in {record.id: record for record in found}.values():
        recorded[record.account_id].setdefault(record.data_source, []).append(record)
    return recorded


def _times(seen: Seen) -> Iterator[tuple[int, str, datetime]]:
    """The moments next to which a record may be of what is seen."""
    for source in seen.sources:
        times = {seen.at}
        for session in (*_polled(seen, source), *_context(seen.past, source)):
            for moment in (session.session_at, session.begins_at):
                times |= {moment, moment - MINUTE}
        if coverage := seen.past.coverage(source):
            times.add(coverage.window.until)
        yield from ((seen.account_id, source, moment) for moment in times)


def _polled(seen: Seen, source: str) -> Sequence[Session]:
    reading = seen.reading.sources.get(source)
    return reading.sessions if reading else ()


def _context(past: Past, source: str) -> Sequence[Session]:
    return (past.context[source],) if source in past.context else ()


def _spans(seen: Seen) -> Iterator[Span]:
    """The days about a session, where a mark of the colour bar may stand, and all that a past covers."""
    account, past = seen.account_id, seen.past
    for source in seen.sources:
        for day in seen.grave_days.get(source, ()):
            begin = datetime.combine(day, MIDNIGHT)
            yield Span(account, source, begin - DAY, begin + 2 * DAY)
        for day in {one.session_at.date() for one in _polled(seen, source)}:
            begin = datetime.combine(day, MIDNIGHT)
            yield Span(account, source, begin - DAY, begin + 2 * DAY, only_if_marked=True)
        times = [at for one in past.sessions_of(source) for at in (one.session_at, one.begins_at)]
        if coverage := past.coverage(source):
            times += [coverage.window.since, coverage.window.until]
        if times:
            yield Span(account, source, _midnight(min(times)) - DAY, _midnight(max(times)) + 2 * DAY)


def _midnight(moment: datetime) -> datetime:
    return datetime.combine(moment.date(), MIDNIGHT)


@dataclass(frozen=True)
class SavedSessions:
    """What became of a page's sessions: the ids of those written, by account, and how many were new and changed."""

    ids: Mapping[int, frozenset[int]]
    new: int
    updated: int
    new_by_source: Counter[tuple[str, str]]


def save_sessions(store: Store, changes: Mapping[int, DeviceChanges]) -> SavedSessions:
    """Write the changed sessions, by account."""
    store.sessions.remove(session.id for one in changes.values() for session in one.removed)
    new = store.sessions.insert((account, session) for account, one in changes.items() for session in one.new)
    changed = store.sessions.update(session for one in changes.values() for session in one.changed)
    written: dict[int, set[int]] = defaultdict(set)
    for row in (*new, *changed):
        written[row["account_id"]].add(row["id"])
    by_source = Counter((row["data_source"], row["origin"]) for row in new)
    return SavedSessions(
        {account: frozenset(ids) for account, ids in written.items()}, len(new), len(changed), by_source
    )

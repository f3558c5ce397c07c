"""What a page shows, compared with what is recorded of its devices."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from types import MappingProxyType

from cove_poller.database.sessions import Span
from cove_poller.database.store import Store
from cove_poller.records.matching import compare, merged
from cove_poller.records.past import NO_PAST, Past
from cove_poller.records.reading import DeviceReading, SourceKey, SourceReading, settle_doubts
from cove_poller.records.session import RecordedSession, Session

MIDNIGHT = time(tzinfo=UTC)
DAY = timedelta(days=1)
NO_PASTS: Mapping[int, Past] = MappingProxyType({})


@dataclass
class DeviceChanges:
    """What a page adds to the record of a device; `newest` has each source's newest session then."""

    new: list[Session] = field(default_factory=list)
    changed: list[RecordedSession] = field(default_factory=list)
    removed: list[RecordedSession] = field(default_factory=list)
    unchanged_count: int = 0
    newest: dict[str, Session] = field(default_factory=dict)
    moments: list[datetime] = field(default_factory=list)


def compare_with_record(
    store: Store, readings: Mapping[int, DeviceReading], pasts: Mapping[int, Past], now: datetime
) -> dict[int, DeviceChanges]:
    """What the readings and pasts (by account id) add to the recorded sessions."""
    by_source = {
        (account, source): reading.sources.get(source, SourceReading())
        for account, reading in readings.items()
        for source in {*reading.sources, *pasts.get(account, NO_PAST).sources}
    }
    found_records = (*store.sessions.near(_times(by_source, now)), *store.sessions.within(_spans(by_source, pasts)))
    recorded: dict[SourceKey, list[RecordedSession]] = {}
    for record in {record.id: record for record in found_records}.values():
        recorded.setdefault((record.account_id, record.data_source), []).append(record)
    changes = {account: DeviceChanges() for account in readings}
    known = {key: (*recorded.get(key, ()), *pasts.get(key[0], NO_PAST).sessions_of(key[1])) for key in by_source}
    for (account, source), told in settle_doubts(by_source, known, now).items():
        past = pasts.get(account, NO_PAST)
        records, change = recorded.get((account, source), []), changes[account]
        covered = past.covered(source)
        seen = merged(told, past.sessions_of(source), is_complete=covered is not None)
        found = compare(seen, records, covered)
        old = {record.id: record for record in records}
        change.new += found.new
        change.changed += found.changed
        change.removed += found.removed
        change.unchanged_count += found.unchanged_count
        change.moments += [one.session_at for one in (*found.new, *found.changed, *found.removed)]
        change.moments += [old[one.id].session_at for one in found.changed]
        gone = {one.id for one in found.removed}
        better = (old | {one.id: one for one in found.changed}).values()
        left = [*(one for one in better if one.id not in gone), *found.new]
        if left:
            change.newest[source] = max(left, key=lambda session: session.session_at)
    return changes


def _times(by_source: Mapping[SourceKey, SourceReading], now: datetime) -> Iterator[tuple[int, str, datetime]]:
    """The moments next to which a record may be of what the readings show."""
    for (account, source), reading in by_source.items():
        times = {now, *(at for one in reading.sessions for at in (one.session_at, one.started_at) if at)}
        yield from ((account, source, moment) for moment in times)


def _spans(by_source: Mapping[SourceKey, SourceReading], pasts: Mapping[int, Past]) -> Iterator[Span]:
    """The days of which a session, or a mark of the colour bar, tells, and all that a past does."""
    for (account, source), reading in by_source.items():
        past = pasts.get(account, NO_PAST)
        days = {at.date() for one in reading.sessions for at in (one.session_at, one.started_at) if at}
        for day in days:
            begin = datetime.combine(day, MIDNIGHT)
            yield Span(account, source, begin, begin + DAY, only_if_marked=True)
        if sessions := past.sessions_of(source):
            times = [at for one in sessions for at in (one.session_at, one.begins_at)]
            yield Span(account, source, _midnight(min(times)), _midnight(max(times)) + DAY)
        if covered := past.covered(source):
            yield Span(account, source, covered.since, covered.until)


def _midnight(moment: datetime) -> datetime:
    return datetime.combine(moment.date(), MIDNIGHT)

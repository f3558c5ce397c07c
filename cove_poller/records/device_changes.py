"""What a look at a device, and its past where that was read, add to the record of its sessions and sources. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cove_poller.records.device_reading import DeviceReading
from cove_poller.records.matching import SessionChanges, compare
from cove_poller.records.open_gaps import OpenGap
from cove_poller.records.past import Past
from cove_poller.records.reading import SourceReading
from cove_poller.records.same_session import merged
from cove_poller.records.session import NEVER, Origin, RecordedSession, Session
from cove_poller.records.source_history import (
    NOTHING,
    Look,
    SourceHistory,
    after_look,
    unreadable_since,
    with_gaps,
    with_read,
    with_sessions,
)
from cove_poller.records.statuses import SEVERITY

NO_READING = SourceReading()


@dataclass(frozen=True)
class DeviceChanges:
    """What is new, changed and wrong in the record of a device; `newest` has each source's newest session then.

    `worse_ids` are the recorded sessions that have become worse, `moments` the times at which anything changed,
    `gaps` the sources of which sessions may be missing.
    """

    sessions: Mapping[str, SessionChanges] = field(default_factory=dict)
    newest: Mapping[str, Session] = field(default_factory=dict)
    sources: Mapping[str, SourceHistory] = field(default_factory=dict)
    worse_ids: frozenset[int] = frozenset()
    moments: tuple[datetime, ...] = ()
    gaps: Mapping[str, OpenGap] = field(default_factory=dict)

    @property
    def new(self) -> list[Session]:
        return [session for one in self.sessions.values() for session in one.new]

    @property
    def changed(self) -> list[RecordedSession]:
        return [session for one in self.sessions.values() for session in one.changed]

    @property
    def removed(self) -> list[RecordedSession]:
        return [session for one in self.sessions.values() for session in one.removed]

    @property
    def unchanged_count(self) -> int:
        return sum(one.unchanged_count for one in self.sessions.values())


def device_changes(
    reading: DeviceReading,
    past: Past,
    recorded: Mapping[str, Sequence[RecordedSession]],
    histories: Mapping[str, SourceHistory],
    look: Look,
    gap: timedelta,
) -> DeviceChanges:
    """Return what a reading and a past add to what is `recorded` of each source of a device.

    Looks further apart than `gap` leave a time between them of which not all is known.
    """
    found: dict[str, SessionChanges] = {}
    newest: dict[str, Session] = {}
    sources = after_look(histories, reading, look)
    worse: set[int] = set()
    moments: list[datetime] = []
    for code in sorted({*reading.sources, *past.sources, *past.read_sources}):
        records = recorded.get(code, ())
        read = reading.sources.get(code, NO_READING)
        changes = compare(
            merged(read.sessions, past.sessions_of(code)),
            records,
            past.coverage(code),
            unknown_since=_unknown_since(histories.get(code, NOTHING), look, gap),
        )
        found[code] = changes
        old = {record.id: record for record in records}
        moments += [one.session_at for one in (*changes.new, *changes.changed, *changes.removed)]
        moments += [old[one.id].session_at for one in changes.changed]
        worse |= {one.id for one in changes.changed if SEVERITY[one.status] > SEVERITY[old[one.id].status]}
        left = left_after(records, changes)
        if left:
            newest[code] = max(left, key=lambda session: session.session_at)
        history = with_sessions(sources.get(code, NOTHING), (one.session_at for one in left if _is_timed(one)))
        history = with_gaps(history, changes.new)
        if past.window and code in past.read_sources:
            history = with_read(history, past.window, past.problem_of(code))
        sources[code] = history
    return DeviceChanges(found, newest, sources, frozenset(worse), tuple(moments))


def _is_timed(session: Session) -> bool:
    return session.origin is not Origin.COLORBAR


def left_after(records: Sequence[RecordedSession], changes: SessionChanges) -> list[Session]:
    """Return the sessions of a source that are on record after changes."""
    gone = {one.id for one in changes.removed}
    better = {record.id: record for record in records} | {one.id: one for one in changes.changed}
    return [*(one for one in better.values() if one.id not in gone), *changes.new]


def _unknown_since(history: SourceHistory, look: Look, gap: timedelta) -> datetime | None:
    """From when on nobody had looked at a source before this look."""
    if look.before is None:
        return NEVER
    since = unreadable_since(history) or look.before
    return since if since == NEVER or look.at - since > gap else None

"""Snapshots of a device, taken one after the other, as the sessions that they show. Pure.

A snapshot is a row as it was at some moment, so a series of them is read like a series of polls.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from itertools import count

from cove_poller.records.device_reading import DeviceReading
from cove_poller.records.matching import compare
from cove_poller.records.same_session import as_session
from cove_poller.records.session import NEVER, Origin, RecordedSession, Session
from cove_poller.records.window import Window


def sessions_from_snapshots(snapshots: Iterable[tuple[datetime, DeviceReading]], window: Window) -> tuple[Session, ...]:
    """Return the sessions that ended in the window, of one device whose `snapshots` come in the order of their times.

    Between two snapshots there may have been others than those that they show.
    """
    numbers = count(1)
    recorded: dict[str, dict[int, RecordedSession]] = {}
    before: datetime | None = None
    for at, reading in snapshots:
        for source, read in reading.sources.items():
            records = recorded.setdefault(source, {})
            changes = compare(read.sessions, tuple(records.values()), unknown_since=before or NEVER)
            records |= {session.id: session for session in changes.changed}
            records |= {one.id: one for session in changes.new for one in [_recorded(session, next(numbers))]}
        before = at
    found = (session for records in recorded.values() for session in records.values())
    return tuple(replace(as_session(one), origin=Origin.SNAPSHOT) for one in found if one.session_at in window)


def _recorded(session: Session, number: int) -> RecordedSession:
    values = {name: getattr(session, name) for name in Session.__dataclass_fields__}
    return RecordedSession(**values, id=number, account_id=0, job_run_id=None)

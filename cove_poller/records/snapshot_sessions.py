"""Snapshots of a device, taken one after the other, as the sessions that they show. Pure.

A snapshot is a row as it was at some moment, so a series of them is read like a series of polls.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from itertools import count

from cove_poller.records.matching import as_session, compare
from cove_poller.records.reading import DeviceReading, SourceKey, settle_doubts
from cove_poller.records.session import Origin, RecordedSession, Session
from cove_poller.records.window import Window


def sessions_from_snapshots(
    account_id: int, snapshots: Iterable[tuple[datetime, DeviceReading]], window: Window
) -> tuple[Session, ...]:
    """The sessions that ended in the window, of one device whose `snapshots` come in the order of their times."""
    numbers = count(1)
    recorded: dict[SourceKey, dict[int, RecordedSession]] = {}
    for at, reading in snapshots:
        by_source = {(account_id, source): one for source, one in reading.sources.items()}
        known = {key: tuple(recorded.get(key, {}).values()) for key in by_source}
        for key, told in settle_doubts(by_source, known, at).items():
            changes, records = compare(told, known[key]), recorded.setdefault(key, {})
            records |= {session.id: session for session in changes.changed}
            new = (_recorded(session, account_id, next(numbers)) for session in changes.new)
            records |= {session.id: session for session in new}
    found = (session for records in recorded.values() for session in records.values())
    return tuple(
        replace(as_session(one), origin=Origin.SNAPSHOT, is_last=False) for one in found if one.session_at in window
    )


def _recorded(session: Session, account: int, number: int) -> RecordedSession:
    values = {name: getattr(session, name) for name in Session.__dataclass_fields__}
    return RecordedSession(**values, id=number, account_id=account, job_run_id=None)

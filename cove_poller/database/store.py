"""The statements of a page of devices: one for all its rows each, so that a page costs what it costs.

Uses our column names only. A `Store` lives as long as one transaction.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from cove_poller.database.devices import DeviceStore
from cove_poller.database.runs import RunStore
from cove_poller.database.sessions import SessionStore
from cove_poller.records.run_plan import RecordedRun
from cove_poller.records.session import RecordedSession


@dataclass(frozen=True)
class History:
    """What is recorded of one device from some moment on."""

    sessions: tuple[RecordedSession, ...]
    earlier: tuple[RecordedSession, ...]
    runs: tuple[RecordedRun, ...]


class Store(DeviceStore, SessionStore, RunStore):
    """Reads and writes on one connection."""

    def histories(self, since: Mapping[int, datetime]) -> dict[int, History]:
        """What is recorded of each account from its moment on, and what came last before that."""
        sessions, before = self.sessions_since(since)
        later, earlier = by_account(sessions), by_account(before)
        runs = self.runs_since(since, {session.job_run_id for session in sessions if session.job_run_id is not None})
        return {
            account: History(
                tuple(later.get(account, ())), tuple(earlier.get(account, ())), tuple(runs.get(account, ()))
            )
            for account in since
        }


def by_account(sessions: Iterable[RecordedSession]) -> dict[int, list[RecordedSession]]:
    """The sessions of each account, in their order."""
    found: dict[int, list[RecordedSession]] = {}
    for session in sessions:
        found.setdefault(session.account_id, []).append(session)
    return found

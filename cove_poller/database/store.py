"""The statements of a page of devices: one for all its rows each, so that a page costs what it costs.

Uses our column names only. A `Store` lives as long as one transaction.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from cove_poller.config.settings import BackupchecksSettings
from cove_poller.database.devices import Devices
from cove_poller.database.jobs import Jobs
from cove_poller.database.runs import Runs
from cove_poller.database.sessions import Sessions
from cove_poller.database.tables import Tables
from cove_poller.records.runs.device_history import RecordedRun
from cove_poller.records.session import RecordedSession


@dataclass(frozen=True)
class History:
    """What is recorded of one device from some moment on."""

    sessions: tuple[RecordedSession, ...]
    earlier: tuple[RecordedSession, ...]
    runs: tuple[RecordedRun, ...]


class Store:
    """The statements of a page, by what they are about."""

    def __init__(self, connection: Connection, tables: Tables, settings: BackupchecksSettings) -> None:
        self.connection = connection
        self.sessions = Sessions(connection, tables, settings)
        self.runs = Runs(connection, tables, settings)
        self.devices = Devices(connection, tables, settings)
        self.jobs = Jobs(connection, tables, settings)

    def histories(self, since: Mapping[int, datetime]) -> dict[int, History]:
        """Return what is recorded of each account from its moment on, and what came last before that."""
        sessions, before = self.sessions.since(since)
        later, earlier = by_account(sessions), by_account(before)
        runs = self.runs.since(since, {session.job_run_id for session in sessions if session.job_run_id is not None})
        return {
            account: History(
                tuple(later.get(account, ())), tuple(earlier.get(account, ())), tuple(runs.get(account, ()))
            )
            for account in since
        }


def by_account(sessions: Iterable[RecordedSession]) -> dict[int, list[RecordedSession]]:
    """Return the sessions of each account, in their order."""
    found: dict[int, list[RecordedSession]] = {}
    for session in sessions:
        found.setdefault(session.account_id, []).append(session)
    return found

"""Sessions as Cove's two session services list them, read. Knows Cove's words only: no clock, network or database.

`QuerySessions` is the storage nodes', for servers and workstations; `EnumerateSessions` the reporting service's,
for Microsoft 365. Neither is documented by N-able: shapes and words are those that public clients have seen, and
every one of them is read in each spelling that was seen.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from pydantic import AliasChoices, Field

from cove_poller.models import CoveModel, Moment, Number, Text
from cove_poller.sessions import Origin, Session
from cove_poller.status import SEVERITY, Status, code_of_word, status_of
from cove_poller.window import Window

COMPLETED, COMPLETED_WITH_ERRORS = 5, 8
BACKUP_BIT = 1


class SessionRow(CoveModel):
    """A session in either service's list. `ended_at` is empty while it runs."""

    id: Text = Field(None, alias="Id")
    source: Text = Field(None, validation_alias=AliasChoices("PluginId", "Plugin", "DataSourceType"))
    started_at: Moment = Field(None, validation_alias=AliasChoices("BackupStartTime", "StartTime"))
    ended_at: Moment = Field(None, validation_alias=AliasChoices("BackupEndTime", "EndTime"))
    status: Text = Field(None, alias="Status")
    kind: Text = Field(None, alias="Type")
    errors_count: Number = Field(None, alias="ErrorsCount")

    @property
    def key(self) -> object:
        """What tells a row from all others, also where it has no id."""
        return self.id or (self.source, self.started_at, self.ended_at)

    @property
    def is_backup(self) -> bool:
        """Whether it is a backup as far as it says; `Type` is a word, or a number whose lowest bit says so."""
        if self.kind is None:
            return True
        if self.kind.isdigit():
            return bool(int(self.kind) & BACKUP_BIT)
        return "restore" not in self.kind.lower()

    @property
    def is_running(self) -> bool:
        """Whether it has no end yet: what has completed has one, whatever it is called."""
        return self.ended_at is None and self.code in (COMPLETED, COMPLETED_WITH_ERRORS)

    @property
    def code(self) -> int | None:
        """The status code; `Completed` with errors is CompletedWithErrors."""
        code = code_of_word(self.status)
        return COMPLETED_WITH_ERRORS if code == COMPLETED and self.errors_count else code


@dataclass(frozen=True)
class ReadRows:
    """The ended sessions of a list, and in words what of it could not be read, or is not known."""

    sessions: tuple[Session, ...]
    failures: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def read_rows(
    rows: Iterable[SessionRow],
    window: Window,
    overrides: Mapping[int, Status],
    source_of: Callable[[str], str | None],
) -> ReadRows:
    """The backup sessions that ended in the window; `source_of` knows the service's names of data sources."""
    sessions: dict[tuple[str, datetime], Session] = {}
    failures: Counter[str] = Counter()
    unknown: set[str] = set()
    for row in rows:
        status = status_of(row.code, overrides)
        if not row.is_backup or row.is_running or status in (Status.RUNNING, Status.NONE):
            continue
        source = source_of(row.source or "")
        at = row.ended_at or row.started_at
        if source is None or at is None:
            failures["an unknown data source " + repr(row.source) if source is None else "no time"] += 1
        elif at in window:
            session = _session(row, source, at, status)
            other = sessions.get((source, at), session)
            # two sessions of one source that ended in the same second are one record: the graver one
            sessions[source, at] = max(other, session, key=lambda one: SEVERITY[one.status])
            unknown |= {str(row.status)} if row.code is None else set()
    return ReadRows(
        tuple(sessions.values()),
        tuple(f"{count} sessions with {what} were left out" for what, count in failures.items()),
        tuple(f"its sessions have the unknown status {word!r}, which counts as a warning" for word in sorted(unknown)),
    )


def _session(row: SessionRow, source: str, at: datetime, status: Status) -> Session:
    start = row.started_at if row.ended_at and row.started_at and row.started_at <= row.ended_at else None
    return Session(source, at, start, status, row.code, row.errors_count, Origin.SESSIONS)

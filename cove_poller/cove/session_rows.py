"""Sessions as Cove's two session services list them, read. Knows Cove's words only: no clock, network or database.

`QuerySessions` is the storage nodes', for servers and workstations; `EnumerateSessions` the reporting service's,
for Microsoft 365. Neither is documented by N-able: shapes and words are those that public clients have seen, and
every one of them is read in each spelling that was seen.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pydantic import AliasChoices, Field

from cove_poller.records.session import Origin, Session, TimeIs
from cove_poller.records.statuses import (
    COMPLETED,
    COMPLETED_WITH_ERRORS,
    SEVERITY,
    SUCCESSFUL_CODES,
    Status,
    Statuses,
    code_of_word,
    tells_an_end,
)
from cove_poller.records.values import CoveModel, Duration, Moment, Number, Text
from cove_poller.records.window import Window

BACKUP_BIT = 1


class SessionRow(CoveModel):
    """A session in either service's list."""

    id: Text = Field(None, alias="Id")
    source: Text = Field(None, validation_alias=AliasChoices("PluginId", "Plugin", "DataSourceType"))
    backup_start: Moment = Field(None, alias="BackupStartTime")
    start: Moment = Field(None, alias="StartTime")
    end: Moment = Field(None, alias="EndTime")
    seconds: Duration = Field(None, alias="Duration")
    status: Text = Field(None, alias="Status")
    kind: Text = Field(None, alias="Type")
    errors_count: Number = Field(None, alias="ErrorsCount")

    @property
    def key(self) -> object:
        """Return what tells a row from all others, also where it has no id."""
        return self.id, self.source, self.started_at

    @property
    def started_at(self) -> datetime | None:
        return self.backup_start or self.start

    @property
    def ended_at(self) -> datetime | None:
        """Return its end; where that is not told its start and duration, which the reporting service tells too."""
        if self.end is None and self.started_at and self.seconds and self.code in SUCCESSFUL_CODES:
            return self.started_at + timedelta(seconds=self.seconds)
        return self.end

    @property
    def is_backup(self) -> bool:
        """Tell whether it is a backup as far as it says; `Type` is a word, or a number whose lowest bit says so."""
        if self.kind is None:
            return True
        if self.kind.isdigit():
            return bool(int(self.kind) & BACKUP_BIT)
        return "restore" not in self.kind.lower()

    @property
    def has_ended(self) -> bool:
        """Tell whether it has an end, or a status that it can only have got by one."""
        return self.ended_at is not None or tells_an_end(self.code)

    @property
    def code(self) -> int | None:
        """Return the status code; `Completed` with errors is CompletedWithErrors."""
        code = code_of_word(self.status)
        return COMPLETED_WITH_ERRORS if code == COMPLETED and self.errors_count else code


@dataclass(frozen=True)
class ReadRows:
    """The ended sessions of a list, and in words what of it could not be read, or is not known."""

    sessions: tuple[Session, ...]
    context: Mapping[str, Session] = field(default_factory=dict)
    failures: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def read_rows(
    rows: Iterable[SessionRow],
    window: Window,
    statuses: Statuses,
    source_of: Callable[[str], str | None],
) -> ReadRows:
    """Return the backup sessions that ended in the window; `source_of` knows the service's names of data sources."""
    sessions: dict[tuple[str, datetime], Session] = {}
    failures: Counter[str] = Counter()
    unknown: set[str] = set()
    context: dict[str, Session] = {}
    for row in rows:
        status = statuses.meaning(row.code)
        if not row.is_backup or status is Status.NONE:
            continue
        if not row.has_ended:
            if row.code is None and row.status:
                failures[f"the unknown status {row.status!r} and no end"] += 1
            continue
        if status is Status.RUNNING:
            status = Status.WARNING  # it has ended, and nobody says how
        source = source_of(row.source or "")
        at = row.ended_at or row.started_at
        if source is None or at is None:
            failures["an unknown data source " + repr(row.source) if source is None else "no time"] += 1
        elif at < window.since:
            session = _session(row, source, at, status)
            context[source] = max(context.get(source, session), session, key=lambda one: one.session_at)
        elif at in window:
            session = _session(row, source, at, status)
            other = sessions.get((source, at), session)
            # two sessions of one source that ended in the same second are one record: the graver one
            sessions[source, at] = max(other, session, key=lambda one: SEVERITY[one.status])
            unknown |= {str(row.status)} if row.code is None else set()
    return ReadRows(
        tuple(sessions.values()),
        context,
        tuple(f"{count} sessions with {what} were left out" for what, count in failures.items()),
        tuple(f"its sessions have the unknown status {word!r}, which counts as a warning" for word in sorted(unknown)),
    )


def _session(row: SessionRow, source: str, at: datetime, status: Status) -> Session:
    start = row.started_at if row.ended_at and row.started_at and row.started_at <= row.ended_at else None
    time_is = TimeIs.END if row.ended_at else TimeIs.START
    return Session(source, at, start, status, row.code, row.errors_count, Origin.SESSIONS, time_is=time_is)

"""Sessions as Cove's two session services list them, read. Knows Cove's words only: no clock, network or database.

`QuerySessions` is the storage nodes', for servers and workstations; `EnumerateSessions` the reporting service's,
for Microsoft 365. Neither is documented by N-able: shapes and words are those that public clients have seen, and
every one of them is read in each spelling that was seen.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pydantic import AliasChoices, Field

from cove_poller.records.columns import label
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
from cove_poller.records.values import CoveModel, Moment, Number, Span, Text, read_what_is_readable
from cove_poller.records.window import Window
from cove_poller.text import counted

BACKUP_BIT = 1


class SessionRow(CoveModel):
    """A session in either service's list. `odd` are the keys whose values could not be read and were left out."""

    id: Text = Field(None, alias="Id")
    source: Text = Field(None, validation_alias=AliasChoices("PluginId", "Plugin", "DataSourceType"))
    backup_start: Moment = Field(None, alias="BackupStartTime")
    start: Moment = Field(None, alias="StartTime")
    end: Moment = Field(None, alias="EndTime")
    seconds: Span = Field(None, alias="Duration")
    status: Text = Field(None, alias="Status")
    kind: Text = Field(None, alias="Type")
    errors_count: Number = Field(None, alias="ErrorsCount")
    odd: frozenset[str] = Field(frozenset(), exclude=True)

    @property
    def started_at(self) -> datetime | None:
        return self.backup_start or self.start

    @property
    def ended_at(self) -> datetime | None:
        """Return its end; where that is not told its start and duration, once its status says that it has ended."""
        if self.end is None and self.started_at and self._has_duration:
            return self.started_at + timedelta(seconds=self.seconds or 0)
        return self.end

    @property
    def _has_duration(self) -> bool:
        if self.code in SUCCESSFUL_CODES:
            return bool(self.seconds)
        return self.seconds is not None and tells_an_end(self.code)

    @property
    def is_backup(self) -> bool:
        """Tell whether it is a backup as far as it says; `Type` is a word, or a number whose lowest bit says so."""
        if self.kind is None:
            return True
        if self.kind.isdecimal():
            return bool(int(self.kind[-1]) & BACKUP_BIT)
        return "restore" not in self.kind.lower()

    @property
    def has_ended(self) -> bool:
        """Tell whether it has an end, or a status that it can only have got by one.

        Errors are counted, and an end that cannot be read is told, when there is one.
        """
        is_over = self.code in SUCCESSFUL_CODES and (self.code == COMPLETED_WITH_ERRORS or "EndTime" in self.odd)
        return self.ended_at is not None or tells_an_end(self.code) or is_over

    @property
    def code(self) -> int | None:
        """Return the status code; `Completed` with errors is CompletedWithErrors."""
        code = code_of_word(self.status)
        return COMPLETED_WITH_ERRORS if code == COMPLETED and (self.errors_count or 0) > 0 else code


NOT_A_ROW = SessionRow(odd=frozenset({"all of it"}))


def session_row(content: object) -> SessionRow:
    """Return a row from what stands in its place in a service's list. A value that cannot be read is left out."""
    if not isinstance(content, dict):
        return NOT_A_ROW
    row, odd = read_what_is_readable(SessionRow, {key: value for key, value in content.items() if key[:1].isupper()})
    return row.model_copy(update={"odd": frozenset(odd)}) if odd else row


@dataclass(frozen=True)
class ReadRows:
    """The ended sessions of a list, and in words what of it could not be read, or is not known.

    Of the `unreadable` sources some session may be missing; where the list is not whole, of any source.
    """

    sessions: tuple[Session, ...]
    context: Mapping[str, Session] = field(default_factory=dict)
    failures: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    unreadable: frozenset[str] = frozenset()
    is_whole: bool = True
    digest: str = ""
    is_known: bool = False
    """Whether the list is the one that was known before, so that nothing of it was read."""


KEY = ("Id", "PluginId", "Plugin", "DataSourceType", "BackupStartTime", "StartTime")


PLAIN = frozenset({int, str, type(None)})


def row_key(content: object) -> Hashable:
    """Return what tells what stands in a list from all else in it, also where it has no id; nothing for no row."""
    if not isinstance(content, dict):
        return ()
    key = tuple(map(content.get, KEY))
    return key if PLAIN.issuperset(map(type, key)) else repr(key)


def read_rows(
    rows: Iterable[SessionRow],
    window: Window,
    statuses: Statuses,
    source_of: Callable[[str], str | None],
) -> ReadRows:
    """Return the backup sessions that ended in the window; `source_of` knows the service's names of data sources."""
    sessions: dict[tuple[str, datetime], Session] = {}
    context: dict[str, Session] = {}
    lacking: Counter[str] = Counter()
    unreadable: set[str | None] = set()
    unknown: set[str] = set()
    odd: Counter[str] = Counter()
    for row in rows:
        status, source = statuses.meaning(row.code), source_of(row.source or "")
        if not row.is_backup or (status is Status.NONE and row.code is not None):
            continue
        if lack := _lack(row, source, status):
            lacking[lack] += 1
            unreadable.add(source)
        odd.update(row.odd - NOT_A_ROW.odd)
        at = row.ended_at or row.started_at
        if source is None or at is None or not row.has_ended:
            continue
        session = _session(row, source, at, Status.WARNING if status is Status.RUNNING else status)
        if at < window.since:
            context[source] = max(context.get(source, session), session, key=lambda one: one.session_at)
        elif at in window:
            other = sessions.get((source, at), session)
            # two sessions of one source that ended in the same second are one record: the graver one
            sessions[source, at] = max(other, session, key=lambda one: SEVERITY[one.status])
            unknown |= {str(row.status)} if row.code is None else set()
    return ReadRows(
        tuple(sessions.values()),
        context,
        tuple(f"{count} sessions {what}" for what, count in lacking.items()),
        (
            *(f"its sessions have the unknown status {word!r}, which counts as a warning" for word in sorted(unknown)),
            *(f"the {key} of {counted(count, 'session')} cannot be read" for key, count in sorted(odd.items())),
        ),
        frozenset(source for source in unreadable if source),
        None not in unreadable,
    )


def _lack(row: SessionRow, source: str | None, status: Status) -> str | None:
    """Return, in words, what keeps a row from being a whole session; None if it is one, or has not ended."""
    if row == NOT_A_ROW:
        return "that cannot be read were left out"
    if not row.has_ended:
        if status is Status.RUNNING:
            return None
        kind = "unknown status" if row.code is None else "status"
        what = f"the {kind} {row.status!r}" if row.status else "no status"
        return f"with {what} and no end were left out"
    if source is None:
        return f"with an unknown data source {row.source!r} were left out"
    if row.ended_at is None and row.started_at is None:
        return "with no time were left out"
    if row.ended_at is None and row.code in SUCCESSFUL_CODES:
        return f"of {label(source)} tell no end; their start was taken for it"
    return None


def _session(row: SessionRow, source: str, at: datetime, status: Status) -> Session:
    start = row.started_at if row.ended_at and row.started_at and row.started_at <= row.ended_at else None
    time_is = TimeIs.END if row.ended_at else TimeIs.START
    return Session(source, at, start, status, row.code, row.errors_count, Origin.SESSIONS, time_is=time_is)

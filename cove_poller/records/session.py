"""A session that has ended, as it is seen and as it is recorded; and when two times, or two sessions, are the same.

`session_at` is the one time that every session has. What it is, is said beside it: F18 and the session services tell
an end; whether F15 and F09 are starts or ends is not documented, so theirs may be a start, or not known to be either.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from cove_poller.records.statuses import COMPLETED, COMPLETED_WITH_ERRORS, INTERRUPTED, RESTARTED, Status

CLOSE = timedelta(seconds=5)
"""F15, F09, F18 and the histories tell one session's time with as many seconds between them."""

MINUTE = timedelta(minutes=1)

NEVER = datetime(1970, 1, 1, tzinfo=UTC)
"""In the place of `unknown_since`: nobody had ever looked at the source before."""


class Origin(StrEnum):
    """How a session became known, the least trustworthy first."""

    COLORBAR = "colorbar"
    GAP = "gap"
    POLL = "poll"
    SNAPSHOT = "snapshot"
    SESSIONS = "sessions"


TRUST = {origin: rank for rank, origin in enumerate(Origin)}


class TimeIs(StrEnum):
    """What a session's only time is, where that is known."""

    START = "start"
    END = "end"


@dataclass(frozen=True)
class Session:
    """A session of one data source that has ended.

    `unknown_since` is from when on nobody had looked at the source before this session, so that others may be missing
    in between: None if somebody had, NEVER if nobody ever had. One that `is_context` makes no run of its own: it only
    tells how its source stood before what is known.
    """

    data_source: str
    session_at: datetime
    started_at: datetime | None
    status: Status
    status_code: int | None
    errors_count: int | None
    origin: Origin
    time_is: TimeIs | None = None
    unknown_since: datetime | None = None
    is_context: bool = False
    is_sure: bool = field(default=False, compare=False)
    """Whether `session_at` is F18's, which beats every other word on when the session ended."""

    @property
    def ended_at(self) -> datetime | None:
        """The end; None if it is not known."""
        return self.session_at if self.time_is is TimeIs.END else None

    @property
    def lone_time(self) -> datetime | None:
        """The only time, where nobody knows whether it is the start or the end."""
        return self.session_at if self.time_is is None and self.started_at is None else None

    @property
    def duration_seconds(self) -> int | None:
        if self.started_at is None or self.time_is is not TimeIs.END:
            return None
        return int((self.session_at - self.started_at).total_seconds())

    @property
    def begins_at(self) -> datetime:
        """The start; where that is not known, the end stands for it."""
        return min(self.started_at or self.session_at, self.session_at)


@dataclass(frozen=True, kw_only=True)
class RecordedSession(Session):
    """A session as the database has it: `job_run_id` is the run that it is part of, if any yet."""

    id: int
    account_id: int
    job_run_id: int | None


def is_close(one: datetime | None, other: datetime | None) -> bool:
    """Return whether two times are the same but for a few seconds."""
    return one is not None and other is not None and abs(one - other) <= CLOSE


def is_same_time(one: datetime | None, other: datetime | None, *, in_minutes: bool = False) -> bool:
    """Return whether two times are the same: but for seconds, or less than a minute where one is told `in_minutes`."""
    if one is None or other is None:
        return False
    apart = abs(one - other)
    return apart <= CLOSE or (in_minutes and apart < MINUTE and 0 in (one.second, other.second))


def in_whole_minutes(session: Session) -> bool:
    """Return whether every time of a session is told in whole minutes."""
    return not session.session_at.second and not session.begins_at.second


PROVISIONAL = frozenset({None, INTERRUPTED, RESTARTED})
"""Status codes after which a session may go on, to another end with another status."""


def may_be_one(one: Session, other: Session) -> bool:
    """Return whether two statuses may be of one session: a failed and a completed one are two, whatever their times."""
    codes = {one.status_code, other.status_code}
    return len(codes) == 1 or bool(codes & PROVISIONAL) or codes <= {COMPLETED, COMPLETED_WITH_ERRORS}

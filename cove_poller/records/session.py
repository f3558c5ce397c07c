"""A session that has ended, as it is seen and as it is recorded."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from cove_poller.records.statuses import Status

ROUNDING = timedelta(seconds=2)  # F18 - F12 may miss the true start by what was rounded away


class Origin(StrEnum):
    """How a session became known, the least trustworthy first."""

    COLORBAR = "colorbar"
    GAP = "gap"
    POLL = "poll"
    SNAPSHOT = "snapshot"
    SESSIONS = "sessions"


TRUST = {origin: rank for rank, origin in enumerate(Origin)}


@dataclass(frozen=True)
class Session:
    """A session of one data source that has ended. `session_at` is its end where that is known, else its time."""

    data_source: str
    session_at: datetime
    started_at: datetime | None
    status: Status
    status_code: int | None
    errors_count: int | None
    origin: Origin
    is_last: bool = field(default=False, compare=False)
    """Whether this was seen as the source's last session, so that its status is Cove's newest word on it."""

    @property
    def duration_seconds(self) -> int | None:
        return None if self.started_at is None else int((self.session_at - self.started_at).total_seconds())

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


def is_near(one: datetime | None, other: datetime | None) -> bool:
    """Whether two times are the same but for rounding."""
    return one is not None and other is not None and abs(one - other) <= ROUNDING

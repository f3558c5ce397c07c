"""Is the poller alive? One limit and one wording for `status`, `report`, `check` and `doctor`. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from cove_poller.records.health.overview import Overview, PollState
from cove_poller.text import age, one_line


class Freshness(StrEnum):
    """How far what is known of a login's devices can be believed, the worst first."""

    NEVER = "never"
    OVERDUE = "overdue"
    FAILED = "failed"
    BROKEN_OFF = "broken off"
    PARTIAL = "partial"
    FRESH = "fresh"


OLD = frozenset({Freshness.NEVER, Freshness.OVERDUE})
"""What is shown is not the present: the poller is dead, or was never alive."""

DOUBTFUL = OLD | {Freshness.FAILED, Freshness.BROKEN_OFF}
"""What is shown may differ from the present: worth a line before everything else."""

NEWEST = {"error": "the newest failed", "partial": "the newest could not read everything"}


@dataclass(frozen=True)
class PollFreshness:
    """How the polls of one login go: in one word, in a phrase to put behind its name, and since when."""

    login: str
    freshness: Freshness
    text: str
    last_success_at: datetime | None = None
    age: timedelta | None = None

    @property
    def is_old(self) -> bool:
        return self.freshness in OLD


def poll_freshness(login: str, poll: PollState | None, as_of: datetime, limit: timedelta) -> PollFreshness:
    """Return how the polls of a login go, None being none yet; a success counts for as long as `limit`.

    For example "last successful poll 9 hours ago, so this is old; the newest failed: Cove is down".
    """
    if poll is None:
        return PollFreshness(login, Freshness.NEVER, "has never been polled, so nothing is known of its devices")
    since = None if poll.last_success_at is None else as_of - poll.last_success_at
    found = _freshness(poll, since, limit)
    return PollFreshness(login, found, "; ".join([_success(since, found), *_newest(poll)]), poll.last_success_at, since)


def _freshness(poll: PollState, since: timedelta | None, limit: timedelta) -> Freshness:
    if since is None:
        return Freshness.NEVER
    if since > limit:
        return Freshness.OVERDUE
    if poll.last_outcome == "error":
        return Freshness.FAILED
    if poll.last_outcome == "partial":
        return Freshness.BROKEN_OFF if poll.last_error else Freshness.PARTIAL
    return Freshness.FRESH


def _success(since: timedelta | None, freshness: Freshness) -> str:
    if since is None:
        return "no poll has ever been successful, so nothing is known of its devices"
    return f"last successful poll {age(since)} ago" + (", so this is old" if freshness is Freshness.OVERDUE else "")


def _newest(poll: PollState) -> list[str]:
    """What is to be said of the newest poll, if it was not good."""
    if poll.last_outcome not in NEWEST:
        return []
    return [NEWEST[poll.last_outcome] + (f": {one_line(poll.last_error)}" if poll.last_error else "")]


def all_freshness(overview: Overview) -> list[PollFreshness]:
    """Return how the polls of every login go, those that were never polled first."""
    polls = [*((login, None) for login in overview.unpolled), *((poll.login, poll) for poll in overview.polls)]
    return [poll_freshness(login, poll, overview.as_of, overview.max_poll_age) for login, poll in polls]


def poll_line(one: PollFreshness, as_of: datetime) -> str:
    """Return a line on a login's polls that begins with the time from which on what is shown may not be so."""
    return f"As of {one.last_success_at or as_of:%Y-%m-%d %H:%M}Z: login {one_line(one.login)}: {one.text}"


def poll_warnings(overview: Overview, worth: Iterable[Freshness] = DOUBTFUL) -> list[str]:
    """Return a line for each login whose freshness is `worth` it; none when all is well."""
    return [poll_line(one, overview.as_of) for one in all_freshness(overview) if one.freshness in worth]

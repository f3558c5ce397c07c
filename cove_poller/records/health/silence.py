"""How long a data source may be without a session before somebody should know: its limit, and when it is over. Pure."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from operator import sub

from cove_poller.records.colorbar import MOST_DAYS
from cove_poller.records.source_history import SourceHistory

FEWEST_SESSIONS = 4
FACTOR = 2.5
NO_SESSION_DIGITS = frozenset("07")
OFF_DAYS = 2
DAY = timedelta(days=1)
LOST_FACTOR = 4
LONGEST = timedelta(days=36_500)
"""Beyond that nobody waits, and four times that is still a date."""


def usual_distance(ends: Sequence[datetime], color_bar: str) -> timedelta | None:
    """Return how far apart a source's sessions usually are; None if nothing tells.

    From four sessions on they tell themselves, until then the marked days of the colour bar.
    """
    return _usual_distance([end.timestamp() for end in ends], color_bar)


def _usual_distance(ends: Sequence[float], color_bar: str) -> timedelta | None:
    """Return the same of ends in Unix seconds."""
    if len(ends) >= FEWEST_SESSIONS:
        distances = sorted(map(sub, ends[1:], ends))
        middle = len(distances) // 2
        return timedelta(seconds=(distances[middle] + distances[-middle - 1]) / 2)
    marked = [day for day, digit in enumerate(color_bar) if digit not in NO_SESSION_DIGITS]
    return timedelta(days=(marked[-1] - marked[0]) / (len(marked) - 1)) if len(marked) > 1 else None


def rhythm_limit(ends: Sequence[datetime], color_bar: str) -> timedelta:
    """Return two and a half times a source's own rhythm; nothing if that is not known."""
    return rhythm_limit_of_seconds([end.timestamp() for end in ends], color_bar)


def rhythm_limit_of_seconds(ends: Sequence[float], color_bar: str) -> timedelta:
    """Return the same for ends in Unix seconds, as they are kept."""
    usual = _usual_distance(ends, color_bar)
    return FACTOR * usual if usual else timedelta()


def silence_limit(alert_after: timedelta, ends: Sequence[datetime], color_bar: str) -> timedelta:
    """Return how long a source may be without a session: as configured, or by its own rhythm, if that is longer.

    For example a weekly source of a server may be silent for seventeen days, a daily one for 60 hours.
    """
    return min(max(alert_after, rhythm_limit(ends, color_bar)), LONGEST)


def silent_since(history: SourceHistory, known_since: datetime, limit: timedelta, now: datetime) -> datetime | None:
    """Return since when a source has been without a session for too long; None if it has not.

    Of one that has never had a session the time counts from `known_since` on, and of one that was switched on later,
    from then on.
    """
    begin = history.recent[-1] if history.recent else known_since
    since = (max(begin, history.active_since or begin) + limit).replace(microsecond=0)
    return since if since < now else None


def is_switched_off(color_bar: str, idle_for: timedelta, *, not_started: bool) -> bool:
    """Return whether a workstation looks as if it were merely off.

    That is where a session could not start and there was no other for a day, or where two days show none.
    """
    last_days = color_bar[-OFF_DAYS:]
    return (not_started and idle_for > DAY) or (len(last_days) == OFF_DAYS and NO_SESSION_DIGITS.issuperset(last_days))


def is_lost(color_bar: str, idle_for: timedelta, limit: timedelta) -> bool:
    """Return whether a workstation has been off for so long that this excuses nothing any more.

    That is where its whole colour bar is empty, or it has had no session for four times its limit.
    """
    is_empty = len(color_bar) >= MOST_DAYS and NO_SESSION_DIGITS.issuperset(color_bar)
    return is_empty or idle_for > LOST_FACTOR * limit

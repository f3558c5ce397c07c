"""How long a data source may be without a session before somebody should know: its limit, and when it is over. Pure."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median

from cove_poller.records.source_history import SourceHistory

FEWEST_SESSIONS = 4
FACTOR = 2.5
NO_SESSION_DIGITS = "07"


def usual_distance(ends: Sequence[datetime], color_bar: str) -> timedelta | None:
    """Return how far apart a source's sessions usually are; None if nothing tells.

    From four sessions on they tell themselves, until then the marked days of the colour bar.
    """
    if len(ends) >= FEWEST_SESSIONS:
        return timedelta(seconds=median((after - before).total_seconds() for before, after in pairwise(ends)))
    marked = [day for day, digit in enumerate(color_bar) if digit not in NO_SESSION_DIGITS]
    return timedelta(days=(marked[-1] - marked[0]) / (len(marked) - 1)) if len(marked) > 1 else None


def silence_limit(alert_after: timedelta, ends: Sequence[datetime], color_bar: str) -> timedelta:
    """Return how long a source may be without a session: as configured, or two and a half times its own rhythm.

    For example a weekly source of a server may be silent for seventeen days, a daily one for 60 hours.
    """
    usual = usual_distance(ends, color_bar)
    return max(alert_after, FACTOR * usual) if usual else alert_after


def silent_since(history: SourceHistory, known_since: datetime, limit: timedelta, now: datetime) -> datetime | None:
    """Return since when a source has been without a session for too long; None if it has not.

    Of one that has never had a session the time counts from `known_since` on.
    """
    since = (history.recent[-1] if history.recent else known_since) + limit
    return since if since < now else None

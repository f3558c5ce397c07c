"""From a device's ended sessions to rounds: what one night, or one hour, did. Pure.

Rounds depend on the sessions alone, not on when or how they became known.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TypeVar

from cove_poller.records.session import Session

S = TypeVar("S", bound=Session)


def by_end(session: Session) -> tuple[datetime, str]:
    """The order of sessions: by their end, then by their source."""
    return session.session_at, session.data_source


def rounds(sessions: Iterable[S], gap: timedelta, span: timedelta) -> list[tuple[S, ...]]:
    """The sessions, in any order, as rounds, the oldest first.

    A session joins the round before it when it started no later than `gap` after that round's latest end and
    ended no more than `span` after it. Since they are sorted by end, that end is its predecessor's.
    """
    ordered = sorted(sessions, key=by_end)
    breaks = [
        number
        for number, (before, session) in enumerate(pairwise(ordered), start=1)
        if session.begins_at > before.session_at + gap or session.session_at > before.session_at + span
    ]
    edges = [0, *breaks, len(ordered)]
    return [tuple(ordered[first:last]) for first, last in pairwise(edges) if first < last]

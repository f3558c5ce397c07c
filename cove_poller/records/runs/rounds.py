"""From a device's ended sessions to rounds: what one night, or one hour, did. Pure.

Rounds depend on the sessions alone, not on when or how they became known.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from cove_poller.records.session import Session

S = TypeVar("S", bound=Session)


def by_end(session: Session) -> tuple[datetime, str]:
    """Return what sessions are sorted by: their end, then their source."""
    return session.session_at, session.data_source


def rounds(sessions: Iterable[S], gap: timedelta, span: timedelta) -> list[tuple[S, ...]]:
    """Return the sessions, in any order, as rounds, the oldest first.

    A session joins the round before it when its source is not in that round yet, it started no later than `gap` after
    the round's latest end, and it ended no later than `span` after the round's first end. So an hourly job makes
    hourly rounds: 00:00 to 00:50 and 01:00 to 01:50 of one source are two.
    """
    found: list[list[S]] = []
    for session in sorted(sessions, key=by_end):
        if found and _joins(session, found[-1], gap, span):
            found[-1].append(session)
        else:
            found.append([session])
    return [tuple(members) for members in found]


def _joins(session: Session, members: Sequence[Session], gap: timedelta, span: timedelta) -> bool:
    return (
        session.data_source not in {member.data_source for member in members}
        and session.begins_at <= members[-1].session_at + gap
        and session.session_at <= members[0].session_at + span
    )


def moments(found: Iterable[Sequence[Session]]) -> list[datetime]:
    """Return when each round was: at its latest end, a second after the round before where both end together."""
    times: list[datetime] = []
    for members in found:
        end = members[-1].session_at
        times.append(max(end, times[-1] + timedelta(seconds=1)) if times else end)
    return times

"""Whether what is shown can be believed: how long ago the poller last succeeded, in words. Pure."""

from datetime import datetime, timedelta

from cove_poller.records.overview import Overview, PollState
from cove_poller.text import age, one_line

OLD = timedelta(hours=1)
"""Cron polls every half hour, so by now two polls in a row have not succeeded."""


def is_overdue(poll: PollState, as_of: datetime, limit: timedelta) -> bool:
    """Whether the last success of the poller itself is longer ago than it may be."""
    return poll.last_success_at is None or as_of - poll.last_success_at > limit


def poll_warnings(overview: Overview) -> list[str]:
    """A line for each login of which what is shown may be old; none when all is well."""
    lines = [
        f"As of {overview.as_of:%Y-%m-%d %H:%M}Z: login {one_line(login)} has never been polled, so nothing is known"
        for login in overview.unpolled
    ]
    return lines + [line for poll in overview.polls if (line := _warning(poll, overview.as_of))]


def _warning(poll: PollState, as_of: datetime) -> str | None:
    login, error = one_line(poll.login), one_line(poll.last_error or "")
    because = f" ({error})" if error else ""
    if poll.last_success_at is None:
        begin = f"As of {as_of:%Y-%m-%d %H:%M}Z"
        return f"{begin}: no poll of login {login} has ever been successful, so nothing is known{because}"
    begin, ago = f"As of {poll.last_success_at:%Y-%m-%d %H:%M}Z", age(as_of - poll.last_success_at)
    if is_overdue(poll, as_of, OLD):
        return f"{begin}: the last successful poll of login {login} was {ago} ago, so this is old{because}"
    if poll.last_outcome == "error":
        return f"{begin}: the newest poll of login {login} failed; what is shown is from {ago} ago{because}"
    return (
        f"{begin}: the newest poll of login {login} broke off, so some of this may be old{because}" if error else None
    )

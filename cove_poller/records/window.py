"""A span of time that somebody asks about. Pure: the present is a parameter."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from cove_poller.spans import SPAN, parse_span


@dataclass(frozen=True)
class Window:
    """From `since` on, up to `until`; both belong to it."""

    since: datetime
    until: datetime

    @classmethod
    def asked(cls, begin: datetime, end: datetime, now: datetime) -> "Window":
        """Return the window as far as it is past. Raise ValueError, whose text goes on after what `begin` was."""
        if begin >= now:
            raise ValueError(f"{begin:%Y-%m-%d %H:%M}Z, which lies in the future")
        if begin >= end:
            raise ValueError(f"{begin:%Y-%m-%d %H:%M}Z, not before --until, {end:%Y-%m-%d %H:%M}Z")
        return cls(begin, min(end, now))

    def __contains__(self, moment: datetime) -> bool:
        return self.since <= moment <= self.until

    def has_day(self, day: date) -> bool:
        """Tell whether a day of UTC lies in it from beginning to end."""
        begin = datetime.combine(day, time(tzinfo=UTC))
        return self.since <= begin and begin + timedelta(days=1) <= self.until

    def moments(self, step: timedelta) -> Iterator[datetime]:
        """Yield the multiples of `step` since midnight UTC that lie in the window, then its end."""
        midnight = self.since.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        moment = midnight
        while moment < self.until:
            if moment > self.since:
                yield moment
            moment += step
        yield self.until

    def days(self) -> Iterator[date]:
        """Yield the days (UTC) that lie in the window as a whole or in part."""
        day = self.since.astimezone(UTC).date()
        while day <= self.until.astimezone(UTC).date():
            yield day
            day += timedelta(days=1)


def parse_when(text: str, now: datetime) -> datetime:
    """Return the time that `2026-01-31` (its first moment), an ISO date-time, or a span before `now` (`28d`) means.

    It is in UTC unless the text says otherwise.

    Raise ValueError, whose text is for people, if it is none of them.
    """
    try:
        if SPAN.fullmatch(text.strip()):
            return now - parse_span(text)
        moment = datetime.fromisoformat(text.strip())
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is no time; say 2026-01-31, 2026-01-31T06:00, 28d, 12h or 4w") from None

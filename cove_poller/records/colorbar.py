"""The colour bar as sessions: a digit a day, no times. Pure. The last resort, where nothing better can be read.

Digits are session status codes, the newest day on the right, as public clients have seen it. When a day begins is
not documented; here it is a day of UTC. How a code of 10 and more is shown is not known either, so a bar with
anything but digits, or more than 28 of them, is not read at all.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from cove_poller.records.columns import label
from cove_poller.records.device import Device
from cove_poller.records.device_reading import DeviceReading
from cove_poller.records.session import Origin, Session
from cove_poller.records.statuses import NO_BACKUP, Status, Statuses
from cove_poller.records.window import Window

MOST_DAYS = 28
ENDED = frozenset({2, 3, 5, 6, 7, 8})
NOON = timedelta(hours=12)
DAY = timedelta(days=1)


@dataclass(frozen=True)
class BarReading:
    """What the colour bars of a device say: its sessions, and the sources whose bars could be read."""

    sessions: tuple[Session, ...]
    sources: frozenset[str]
    failures: tuple[str, ...]


def read_bars(
    device: Device,
    reading: DeviceReading,
    sources: Collection[str],
    window: Window,
    now: datetime,
    statuses: Statuses,
) -> BarReading:
    """The sessions in the window that the bars of `sources` show, each at the time of day at which the device runs.

    Today is left to the poll, which knows more; so is whatever was still running when its day ended.
    """
    usual = usual_time(session.session_at for one in reading.sources.values() for session in one.sessions)
    sessions: list[Session] = []
    read, failures = set(), []
    for source in sorted(sources):
        fields = device.sources.get(source)
        bar = (fields.color_bar or "") if fields else ""
        if not bar:
            continue
        if not is_readable(bar):
            failures.append(f"{label(source)}: its colour bar {bar!r} cannot be read")
            continue
        read.add(source)
        if missing := _before_bar(bar, device, window, now):
            failures.append(f"{label(source)}: its colour bar begins on {missing}; what was before could not be read")
        for day, code in days_of(bar, now.astimezone(UTC).date()):
            status = statuses.meaning(code)
            moment = datetime.combine(day, time(tzinfo=UTC)) + usual
            if code != NO_BACKUP and status not in (Status.RUNNING, Status.NONE) and moment in window:
                sessions.append(Session(source, moment, None, status, code, None, Origin.COLORBAR))
    return BarReading(tuple(sessions), frozenset(read), tuple(failures))


def is_readable(bar: str) -> bool:
    """Return whether a colour bar has nothing but digits, and no more of them than there are days."""
    return bar.isascii() and bar.isdigit() and len(bar) <= MOST_DAYS


def _before_bar(bar: str, device: Device, window: Window, now: datetime) -> date | None:
    """The bar's first day, if the window begins before it and there was the device by then."""
    first = now.astimezone(UTC).date() - timedelta(days=len(bar) - 1)
    wanted = max(window.since, device.fields.created_at or window.since).astimezone(UTC).date()
    return first if wanted < first - DAY else None


def silent_days(bar: str | None, sessions: Iterable[Session], window: Window, now: datetime) -> list[date]:
    """The days of the window on which the bar shows a backup that ended, and next to which there is no session."""
    if not bar or not is_readable(bar):
        return []
    known = {session.session_at.date() + days * DAY for session in sessions for days in (-1, 0, 1)}
    shown = (day for day, code in days_of(bar, now.astimezone(UTC).date()) if code in ENDED)
    return sorted(day for day in shown if window.has_day(day) and day not in known)


def days_of(bar: str, today: date) -> Iterator[tuple[date, int]]:
    """Yield each day before `today`, the newest first, with its code."""
    for back, digit in enumerate(reversed(bar)):
        if back:
            yield today - timedelta(days=back), int(digit)


def usual_time(moments: Iterable[datetime]) -> timedelta:
    """The time of day at which most happens: of the moments', the one next to all others; noon if there is none."""
    times = sorted({moment.astimezone(UTC) - _midnight(moment) for moment in moments})
    return min(times, key=lambda one: sum((_apart(one, other) for other in times), timedelta()), default=NOON)


def _midnight(moment: datetime) -> datetime:
    return datetime.combine(moment.astimezone(UTC).date(), time(tzinfo=UTC))


def _apart(one: timedelta, other: timedelta) -> timedelta:
    """How far two times of day are apart, over midnight if that is nearer."""
    apart = abs(one - other)
    return min(apart, DAY - apart)

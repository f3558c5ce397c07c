"""How Cove says it: a device's columns at a moment, under each reading that its documentation leaves open."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from itertools import pairwise

from tests.world.fake_cove.fleet import FakeDevice, TrueSession, ended, running

SEVERITY = {5: 0, 8: 1, 6: 1, 7: 1, 11: 1, 0: 1, 4: 1, 13: 1, 2: 2, 3: 2, 10: 2}
ALL_SOURCES = ("D01", "D02", "D04", "D05", "D06", "D08", "D10", "D11", "D14", "D15", "D19", "D20", "D23")


@dataclass
class Reading:
    """One way to read what is not documented. The defaults are the likeliest."""

    last_session_is: str = "end"  # F15 is the session's "end" or "start"
    last_success_is: str = "end"  # F09 likewise
    completed_is: str = "ended"  # F17/F18 tell of any session that "ended", or of those that "finished" (5, 8)
    success_has_errors: bool = True  # F09/F16 count CompletedWithErrors as a success
    running_duration: str = "completed"  # F12 while a session runs: of the "completed" one, or "running"
    total_is: str = "newest"  # D09F00: the status of the "newest" session, or the "worst" of the sources' last
    running_code: int = 1
    never: str | None = None  # what an unset time is: left out, "0" or ""
    spelling: str = "padded"  # which codes bring data: "padded", "unpadded" or "both"
    sources_as_list: bool = False  # I78 as D1,D2
    color_bar_days: int = 28
    color_bar_zone: timedelta = timedelta()  # how far the clock by which the bar's days begin is ahead of UTC
    raw_numbers: bool = False
    overrides: dict[str, str | None] = field(default_factory=dict)
    """Columns that are what a test says, on every device; None leaves them out."""


def columns(device: FakeDevice, customer_name: str, now: datetime, reading: Reading) -> dict[str, str]:
    """All columns of a device at `now`, by padded code."""
    found: dict[str, str | None] = {
        "I0": str(device.account_id),
        "I1": device.name,
        "I4": "1700000000",
        "I8": customer_name,
        "I14": "128849018880" if device.active else "0",
        "I18": device.computer_name,
        "I32": {"server": "2", "workstation": "1"}.get(device.kind, "0"),
        "I59": "2" if device.kind == "m365" else "1",
        "I78": active_sources(device, reading) or None,
    }
    for source, sessions in device.sessions.items():
        _add_source(found, source, sessions, running(sessions, now), now, reading)
    any_running = next((one for one in (running(s, now) for s in device.sessions.values()) if one), None)
    _add_source(found, "D09", total_sessions(device, reading), any_running, now, reading)
    found |= reading.overrides
    return {code: value for code, value in found.items() if value is not None}


@cache
def spellings(code: str, spelling: str) -> tuple[str, ...]:
    """How to ask for a column, in one spelling or in both."""
    if code[0] == "I":
        return (code,)
    unpadded = f"D{int(code[1:3])}F{int(code[4:])}"
    padded = (code,) if spelling != "unpadded" or code == unpadded else ()
    return padded if spelling == "padded" else (*padded, unpadded, f"D{int(code[1:3])}{code[3:]}")


def active_sources(device: FakeDevice, reading: Reading) -> str:
    if reading.sources_as_list:
        return ",".join(f"D{int(code[1:])}" for code in device.active)
    return "".join(device.active)


def total_sessions(device: FakeDevice, reading: Reading) -> list[TrueSession]:
    """The total's time line: a session ends for the total whenever one of any source does."""
    if reading.total_is not in device.totals:
        device.totals[reading.total_is] = _total_sessions(device, reading)
    return device.totals[reading.total_is]


def _total_sessions(device: FakeDevice, reading: Reading) -> list[TrueSession]:
    by_end = sorted(device.all_sessions(), key=lambda session: (session.end, session.source))
    last: dict[str, TrueSession] = {}
    totals: dict[datetime, TrueSession] = {}
    for session in by_end:
        last[session.source] = session
        status = session.status
        if reading.total_is == "worst":
            status = max((one.status for one in last.values()), key=SEVERITY.__getitem__)
        totals[session.end] = TrueSession("D09", session.start, session.end, status, session.errors)
    return list(totals.values())


def last_completed(done: Sequence[TrueSession], reading: Reading) -> TrueSession | None:
    return next((one for one in reversed(done) if reading.completed_is == "ended" or one.status in (5, 8)), None)


def last_successful(done: Sequence[TrueSession], reading: Reading) -> TrueSession | None:
    codes = (5, 8) if reading.success_has_errors else (5,)
    return next((one for one in reversed(done) if one.status in codes), None)


def _add_source(
    found: dict[str, str | None],
    source: str,
    sessions: Sequence[TrueSession],
    current: TrueSession | None,
    now: datetime,
    reading: Reading,
) -> None:
    done = ended(sessions, now)
    if not done and not current:
        return
    last = done[-1] if done else None
    completed, success = last_completed(done, reading), last_successful(done, reading)
    values: dict[str, object] = {
        "F00": reading.running_code if current else last.status if last else None,
        "F06": 0 if current or not last else last.errors,
        "F08": color_bar(done, current, now, reading),
        "F09": _time(success, reading.last_success_is) if success else reading.never,
        "F12": _duration(completed, current, now, reading),
        "F15": reading.never if current or not last else _time(last, reading.last_session_is),
        "F16": success.status if success else None,
        "F17": completed.status if completed else None,
        "F18": _time(completed, "end") if completed else reading.never,
    }
    found |= {source + field: None if value is None else str(value) for field, value in values.items()}


def _time(session: TrueSession, side: str) -> int:
    return int((session.end if side == "end" else session.start).timestamp())


def _duration(
    completed: TrueSession | None, current: TrueSession | None, now: datetime, reading: Reading
) -> int | None:
    if current and reading.running_duration == "running":
        return int((now - current.start).total_seconds())
    return int((completed.end - completed.start).total_seconds()) if completed else None


def color_bar(done: Sequence[TrueSession], current: TrueSession | None, now: datetime, reading: Reading) -> str | None:
    """A digit per day, the newest on the right: the status of the day's last session."""
    local = now + reading.color_bar_zone
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0) - reading.color_bar_zone
    begins = [midnight - timedelta(days=day) for day in range(reading.color_bar_days - 1, -1, -1)]
    first = [bisect_left(done, begin, key=lambda session: session.end) for begin in begins]
    days = [_day_status(done[begin:end]) for begin, end in pairwise([*first, len(done)])]
    if current and days:
        days[-1] = 1
    return "".join(map(str, days)) or None


def _day_status(done: Sequence[TrueSession]) -> int:
    return next((session.status for session in reversed(done) if session.status < 10), 0)

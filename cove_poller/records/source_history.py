"""What is kept of each data source of a device with from and until: when it was active, unreadable, without news. Pure.

A run is judged by what held at its time, so that switching a source off today changes no run of yesterday.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from cove_poller.records.columns import DataSource
from cove_poller.records.device_reading import DeviceReading
from cove_poller.records.reading import Problem, SourceReading, TimesAre
from cove_poller.records.session import MINUTE, NEVER, Origin, Session, TimeIs
from cove_poller.records.statuses import Status
from cove_poller.records.window import Window

MOST_PERIODS = 50
"""How many periods of a kind are kept of a source; the oldest are forgotten."""

MOST_RECENT = 9
RUNNING_AT_FIRST = Problem(Status.WARNING, "was running at the first poll, so its session before is not known")
KINDS = ("active", "unreadable", "silent", "ignored", "gaps", "unseen")


@dataclass(frozen=True)
class Period:
    """A time in which something held: after `since`, up to `until`; None is for ever. `problem` says why."""

    since: datetime | None
    until: datetime | None
    problem: Problem | None = None

    def holds_at(self, moment: datetime) -> bool:
        return (self.since is None or self.since < moment) and (self.until is None or moment <= self.until)


Periods = tuple[Period, ...]


@dataclass(frozen=True)
class SourceHistory:
    """What is kept of a data source: its periods, the last one open while it lasts, and what F15 and F09 of it are."""

    active: Periods = ()
    unreadable: Periods = ()
    silent: Periods = ()
    ignored: Periods = ()
    gaps: Periods = ()
    """When nobody looked although something happened, so that sessions may be missing."""

    unseen: Periods = ()
    """When polls may have missed sessions although they looked, as they show only the newest."""

    read_until: datetime | None = None
    """Until when all of its sessions were read from its history."""

    times_are: TimesAre = field(default_factory=TimesAre)
    recent: tuple[datetime, ...] = ()
    """When its newest sessions ended, the oldest first: its rhythm."""

    @property
    def missing(self) -> Periods:
        """Return the times of which sessions may be missing in the record."""
        return (*self.gaps, *self.unseen)

    def was_active(self, moment: datetime) -> bool:
        return any(period.holds_at(moment) for period in self.active)

    def was_silent(self, moment: datetime) -> bool:
        return any(period.holds_at(moment) for period in self.silent)

    def was_ignored(self, moment: datetime) -> bool:
        return any(period.holds_at(moment) for period in self.ignored)

    def unreadable_at(self, moment: datetime) -> Period | None:
        """Return the period in which the source could not be read at that moment; the newest, if there are several."""
        return next((period for period in reversed(self.unreadable) if period.holds_at(moment)), None)

    @property
    def active_since(self) -> datetime | None:
        """Return since when it is active, where that was seen to begin; None if it was from the first, or is not."""
        is_open = bool(self.active) and self.active[-1].until is None
        return self.active[-1].since if is_open else None

    @property
    def is_silent(self) -> bool:
        """Whether it is now."""
        return bool(self.silent) and self.silent[-1].until is None

    @property
    def is_ignored(self) -> bool:
        """Whether nobody wants it now."""
        return bool(self.ignored) and self.ignored[-1].until is None


@dataclass(frozen=True)
class Look:
    """A poll that looks at a device: when, and when the one before did; None if this is the first."""

    at: datetime
    before: datetime | None = None


Histories = Mapping[str, SourceHistory]
NOTHING = SourceHistory()


def after_look(histories: Histories, reading: DeviceReading, look: Look) -> dict[str, SourceHistory]:
    """Return the histories of all sources after a poll has read a device."""
    codes = {*histories, *reading.sources, *reading.active_sources}
    return {code: _after_look(code, histories.get(code, NOTHING), reading, look) for code in sorted(codes)}


def _after_look(code: str, history: SourceHistory, reading: DeviceReading, look: Look) -> SourceHistory:
    read = reading.sources.get(code)
    counts = code in (*reading.active_sources, DataSource.TOTAL)
    first = None if look.before is None else look.at
    problem = (read.problem or _hidden(history, read, look)) if read and counts else None
    return replace(
        history,
        active=_held(history.active, code in reading.active_sources, opens=first, closes=look.before),
        unreadable=_held(history.unreadable, bool(problem), opens=look.before, closes=look.at, problem=problem),
        times_are=_learnt(history.times_are, read.times_are) if read else history.times_are,
    )


def _hidden(history: SourceHistory, read: SourceReading, look: Look) -> Problem | None:
    """Why a source that runs since the first poll is not known yet, until something of it has ended.

    The session before may have failed: whether Cove still tells of that one is left open.
    """
    is_open = bool(history.unreadable) and history.unreadable[-1] == Period(None, None, RUNNING_AT_FIRST)
    has_ended = look.before is not None and any(one.session_at > look.before for one in read.sessions)
    return RUNNING_AT_FIRST if read.running and not has_ended and (look.before is None or is_open) else None


def _learnt(old: TimesAre, new: TimesAre) -> TimesAre:
    return TimesAre(new.last or old.last, new.success or old.success)


def _held(
    periods: Periods,
    holds: bool,
    *,
    opens: datetime | None,
    closes: datetime | None,
    problem: Problem | None = None,
) -> Periods:
    """The periods, the last one opened, closed, or begun anew with another problem."""
    is_open = bool(periods) and periods[-1].until is None
    if is_open and (not holds or periods[-1].problem != problem):
        periods = (*periods[:-1], replace(periods[-1], until=closes))
        is_open = False
    if holds and not is_open:
        periods = (*periods, Period(opens, None, problem))
    return periods[-MOST_PERIODS:]


def unreadable_since(history: SourceHistory) -> datetime | None:
    """Return since when a source has not been readable, for whatever reasons one after the other; None if it is."""
    since: datetime | None = None
    for period in reversed(history.unreadable):
        is_over = period.until is not None and (since is None or period.until < since)
        if is_over or period.problem == RUNNING_AT_FIRST:  # of what it did from then on nothing is missing
            break
        since = period.since or NEVER
    return since


def with_ignored(history: SourceHistory, now: datetime, *, ignored: bool) -> SourceHistory:
    """Return the history of a source that nobody wants from now on, or that somebody wants again."""
    return replace(history, ignored=_held(history.ignored, ignored, opens=now, closes=now))


def with_silence(history: SourceHistory, since: datetime | None, ended_at: datetime | None) -> SourceHistory:
    """Return the history, silent `since` then if that is set; an earlier silence was over at `ended_at`.

    A silence lasts until a session ends, whatever its limit would be by now and whether something runs.
    """
    silent = history.silent
    if history.is_silent:
        if ended_at is None or ended_at <= (silent[-1].since or ended_at):
            return history
        silent = (*silent[:-1], replace(silent[-1], until=ended_at))
    if since is not None:
        silent = (*silent, Period(since, None))
    return history if silent is history.silent else replace(history, silent=silent[-MOST_PERIODS:])


def with_sessions(history: SourceHistory, ends: Iterable[datetime]) -> SourceHistory:
    """Return the history with further ends of sessions; ends within a minute are one session's."""
    recent: list[datetime] = []
    for end in sorted({*history.recent, *ends}):
        if recent and end - recent[-1] < MINUTE:
            recent.pop()
        recent.append(end)
    return replace(history, recent=tuple(recent[-MOST_RECENT:]))


def with_gaps(history: SourceHistory, sessions: Iterable[Session]) -> SourceHistory:
    """Return the history with the gaps before new sessions: from when on nobody had looked, until the session."""
    found = {
        Period(one.unknown_since, one.session_at)
        for one in sessions
        if one.unknown_since not in (None, NEVER) and one.origin is not Origin.COLORBAR
    }
    if not found:
        return history
    return replace(history, gaps=tuple(sorted({*history.gaps, *found}, key=_order))[-MOST_PERIODS:])


def with_read(history: SourceHistory, window: Window, problem: Problem | None) -> SourceHistory:
    """Return the history after a source's past in a window was read whole, or with a problem."""
    left = tuple(piece for period in history.unreadable for piece in _without(period, window))
    if problem:
        left = (*left, Period(window.since, window.until, problem))
    history = replace(history, unreadable=tuple(sorted(left, key=_order))[-MOST_PERIODS:])
    if problem:
        return history
    return replace(
        history,
        gaps=tuple(piece for gap in history.gaps for piece in _without(gap, window)),
        unseen=tuple(piece for one in history.unseen for piece in _without(one, window)),
        read_until=max(history.read_until or window.until, window.until),
    )


def with_unseen(history: SourceHistory, since: datetime, until: datetime) -> SourceHistory:
    """Return the history with a time of which polls may have missed sessions; such times are joined to one."""
    begins = [one.since for one in history.unseen if one.since]
    return replace(history, unseen=(Period(min([since, *begins]), until),))


def _without(period: Period, window: Window) -> Iterable[Period]:
    """What is left of a period outside of a window. One that is still open stays so from the window's end on."""
    begins = period.since is not None and period.since >= window.since
    ends = period.until is not None and period.until <= window.until
    is_apart = (period.until is not None and period.until <= window.since) or (
        period.since is not None and period.since >= window.until
    )
    if is_apart:
        yield period
        return
    if not begins:
        yield replace(period, until=window.since)
    if not ends:
        yield replace(period, since=window.until)


def _order(period: Period) -> tuple[bool, datetime]:
    return period.until is None, period.since or datetime.min.replace(tzinfo=UTC)


def to_json(histories: Histories) -> dict[str, Any]:
    """Return the histories ready for JSON; times are Unix seconds, what is empty is left out."""
    return {code: found for code, history in sorted(histories.items()) if (found := _history_to_json(history))}


def _history_to_json(history: SourceHistory) -> dict[str, Any]:
    found: dict[str, Any] = {
        kind: [_to_json(one) for one in periods] for kind in KINDS if (periods := getattr(history, kind))
    }
    if history.recent:
        found["recent"] = [int(moment.timestamp()) for moment in history.recent]
    if history.read_until:
        found["read_until"] = int(history.read_until.timestamp())
    if history.times_are != TimesAre():
        found["times_are"] = [history.times_are.last, history.times_are.success]
    return found


def _to_json(period: Period) -> list[Any]:
    times = [moment and int(moment.timestamp()) for moment in (period.since, period.until)]
    return [*times, period.problem.floor.value, period.problem.reason] if period.problem else times


def from_json(content: Mapping[str, Any] | None) -> dict[str, SourceHistory]:
    """Return what `to_json` made."""
    return {code: _history_from_json(one) for code, one in (content or {}).items()}


def _history_from_json(content: Mapping[str, Any]) -> SourceHistory:
    periods = {kind: tuple(_from_json(*one) for one in content.get(kind, ())) for kind in KINDS}
    last, success = (one and TimeIs(one) for one in content.get("times_are", (None, None)))
    recent = tuple(datetime.fromtimestamp(one, UTC) for one in content.get("recent", ()))
    read = content.get("read_until")
    read_until = None if read is None else datetime.fromtimestamp(read, UTC)
    times_are = TimesAre(last or None, success or None)
    return SourceHistory(**periods, times_are=times_are, recent=recent, read_until=read_until)


def _from_json(since: int | None, until: int | None, floor: str = "", reason: str = "") -> Period:
    times = [None if one is None else datetime.fromtimestamp(one, UTC) for one in (since, until)]
    return Period(times[0], times[1], Problem(Status(floor), reason) if floor else None)

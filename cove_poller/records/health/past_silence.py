"""Which sources were silent while nobody looked, by what their histories tell afterwards. Pure.

It is decided as the polls would have decided that a poller makes which was never off, at its usual distance.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from cove_poller.records.columns import DataSource
from cove_poller.records.device import Device
from cove_poller.records.health.device_silence import color_bar
from cove_poller.records.health.silence import is_lost, is_switched_off, silence_limit, silent_since
from cove_poller.records.past import Past
from cove_poller.records.session import Origin, Session
from cove_poller.records.source_history import NOTHING, Histories, Period, SourceHistory, with_sessions
from cove_poller.records.window import Window

UNTOLD, NOT_STARTED = "0", "7"


@dataclass(frozen=True)
class Watched:
    """What is known of a device when its history closes gaps; polls look at it every `distance`.

    `sessions` has what is recorded of each source from the first gap on, and `ends_before` when as many ended before
    it as a rhythm is learnt from.
    """

    device: Device
    alert_after: timedelta
    known_since: datetime
    now: datetime
    distance: timedelta
    sessions: Mapping[str, Sequence[Session]]
    ends_before: Mapping[str, Sequence[datetime]]

    def timed(self, code: str) -> list[Session]:
        """Return a source's sessions but for days' marks, the oldest first."""
        found = (one for one in self.sessions.get(code, ()) if one.origin is not Origin.COLORBAR)
        return sorted(found, key=lambda one: one.session_at)

    def ends(self, code: str, until: datetime) -> list[datetime]:
        """Return when a source's sessions ended before a moment, or then."""
        known = {*self.ends_before.get(code, ()), *(one.session_at for one in self.timed(code))}
        return sorted(one for one in known if one <= until)

    def bar(self, code: str, at: datetime) -> str:
        """Return a source's colour bar as it was; of its last day only what had ended then is told."""
        day = at.astimezone(UTC).date()
        bar = color_bar(self.device, code)
        bar = bar[: max(0, len(bar) - (self.now.astimezone(UTC).date() - day).days)]
        codes = self.sessions if code == DataSource.TOTAL else (code,)
        is_marked = any(one.date() == day for each in codes for one in self.ends(each, at)[-1:])
        return bar if is_marked or bar[-1:] == NOT_STARTED else bar[:-1] + UNTOLD


def closed_gaps(before: SourceHistory, past: Past, code: str) -> list[Window]:
    """Return the times in which nobody had looked at a source, and of which a past tells all."""
    coverage = past.coverage(code)
    if coverage is None or not coverage.is_complete:
        return []
    since, until = coverage.window.since, coverage.window.until
    found = [Window(max(one.since, since), min(one.until, until)) for one in before.gaps if one.since and one.until]
    return [one for one in found if one.since < one.until]


def with_past_silences(after: Histories, before: Histories, past: Past, watched: Watched) -> dict[str, SourceHistory]:
    """Return the sources' histories `after` a past was read, silent in the gaps of `before` where that is now known."""
    found = dict(after)
    gaps = {code: closed_gaps(before.get(code, NOTHING), past, code) for code in after}
    for code, windows in gaps.items():
        for gap in windows:
            found[code] = _with_gap(found, code, gap, watched)
    closed = [gap for windows in gaps.values() for gap in windows]
    if closed and _is_workstation(watched):  # off by now, so that a poll would conclude nothing any more
        gap = Window(min(one.since for one in closed), max(one.until for one in closed))
        for code in after:
            found[code] = _with_last(found, code, gap, watched)
    return found


def _with_last(histories: Histories, code: str, gap: Window, watched: Watched) -> SourceHistory:
    """The history of a source with a silence that began in a gap and lasts."""
    history, ends = histories[code], watched.ends(code, watched.now)
    since = None if history.is_silent else _silent_since(histories, code, ends, (gap.since, gap.until), watched)
    return replace(history, silent=(*history.silent, Period(since, None))) if since else history


def newly_silent(before: Histories, after: Histories) -> list[datetime]:
    """Return when the silences began that are told otherwise than before."""
    changed = ({*before[code].silent} ^ {*history.silent} for code, history in after.items())
    return [one.since for periods in changed for one in periods if one.since]


def _with_gap(histories: Histories, code: str, gap: Window, watched: Watched) -> SourceHistory:
    """The history of a source with its silences in a gap; one that had begun before is over when it really was."""
    ends = watched.ends(code, watched.now)
    kept = [_over_in_time(one, ends) for one in histories[code].silent if not _lies_in(one, gap)]
    told = {one.until for one in kept}
    found = []
    for session in watched.timed(code):
        if session.session_at in gap and session.session_at not in told:
            before = ends[: bisect_left(ends, session.session_at)]
            since = _silent_since(histories, code, before, (gap.since, session.begins_at), watched)
            found += [Period(since, session.session_at)] if since else []
    return replace(histories[code], silent=tuple(sorted([*kept, *found], key=lambda one: one.since or gap.since)))


def _lies_in(period: Period, gap: Window) -> bool:
    """Whether a silence was noticed after a gap, by what was known of it then."""
    return bool(period.since and period.until and period.since in gap and period.until in gap)


def _over_in_time(period: Period, ends: Sequence[datetime]) -> Period:
    over = next((one for one in ends if period.since and one > period.since), None)
    return replace(period, until=min(over, period.until or over)) if over else period


def _silent_since(
    histories: Histories, code: str, ends: Sequence[datetime], looks: tuple[datetime, datetime], watched: Watched
) -> datetime | None:
    """Since when a source was silent after these ends; None if no look between the two moments would have seen it."""
    earliest = (ends[-1] if ends else watched.known_since) + watched.alert_after
    if earliest >= looks[1]:
        return None
    recent = with_sessions(NOTHING, ends).recent
    for at in _looks(*looks, earliest, watched.distance):
        active = next((one for one in histories[code].active if one.holds_at(at)), None)
        if active is None or _was_off(histories, at, watched):
            continue
        limit = silence_limit(watched.alert_after, recent, watched.bar(code, at))
        then = SourceHistory(active=(replace(active, until=None),), recent=recent)
        if since := silent_since(then, watched.known_since, limit, at):
            return since
    return None


def _looks(begin: datetime, end: datetime, earliest: datetime, distance: timedelta) -> Iterator[datetime]:
    """The moments between two, and about `earliest` or later, at which a poller that was not off would have looked."""
    at = begin + max(1, (earliest - begin) // distance) * distance
    while at < end:
        yield at
        at += distance


def _was_off(histories: Histories, at: datetime, watched: Watched) -> bool:
    """Whether the device was a workstation that was merely switched off, of which nothing is concluded meanwhile."""
    if not _is_workstation(watched):
        return False
    active = {code: watched.ends(code, at) for code, one in histories.items() if one.was_active(at)}
    limits = (
        silence_limit(watched.alert_after, with_sessions(NOTHING, ends).recent, watched.bar(code, at))
        for code, ends in active.items()
    )
    idle_for = at - max((ends[-1] for ends in active.values() if ends), default=watched.known_since)
    bar = watched.bar(DataSource.TOTAL, at)
    is_off = is_switched_off(bar, idle_for, not_started=bar[-1:] == NOT_STARTED)
    return is_off and not is_lost(bar, idle_for, max(limits, default=watched.alert_after))


def _is_workstation(watched: Watched) -> bool:
    return watched.device.device_type == "Workstation"

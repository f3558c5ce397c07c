"""What the poller should have recorded, and what was true, worked out from the fleet and the times of the polls alone.

Written anew from the rules, without a line of the poller's code, and without any care for speed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType

from tests.world.fake_cove.fleet import FakeDevice, TrueSession, ended, running
from tests.world.fake_cove.wire import Reading, last_completed, last_successful, total_sessions

STATUS = {5: "success", 8: "warning", 6: "warning", 7: "warning", 11: "warning", 2: "failed", 3: "failed", 10: "failed"}
RANK = {"success": 1, "warning": 2, "failed": 3}
WORDS = {"success": "Success", "warning": "Warning", "failed": "Failed"}
GAP = timedelta(minutes=15)
SPAN = timedelta(minutes=360)
SETTLE = timedelta(minutes=60)
Fact = tuple[int, str, datetime | None, datetime, int]  # account, data source, start, end and code of a session
RunFact = tuple[datetime, str]  # when a run ended, and its status in Backupchecks' words


def status_of(code: int) -> str:
    return STATUS.get(code, "warning")


@dataclass(frozen=True)
class Seen:
    """A session that a poll could have seen: what Cove told of its status and times."""

    session: TrueSession
    status_is_known: bool = True
    only_as_success: bool = False

    def times(self, reading: Reading, *, only_basic: bool) -> tuple[datetime, datetime]:
        """Its start and end as far as Cove tells them: where one is not told, the other stands for it."""
        finished = reading.completed_is == "ended" or self.session.status in (5, 8)
        if finished and not only_basic and not self.only_as_success:
            return self.session.start, self.session.end
        side = reading.last_success_is if self.only_as_success else reading.last_session_is
        told = self.session.end if side == "end" else self.session.start
        return told, told


Span = tuple[datetime, datetime]
NOT_HIDDEN: Mapping[str, Span] = MappingProxyType({})


def visible(
    device: FakeDevice, polls: Iterable[datetime], reading: Reading, *, only_basic: bool = False
) -> dict[str, dict[TrueSession, Seen]]:
    """Per data source the ended sessions that one of the polls showed; `only_basic`: F00, F09 and F15 alone."""
    polls = list(polls)
    time_lines = {**device.sessions, "D09": total_sessions(device, reading)}
    any_running = {now: any(running(one, now) for one in device.sessions.values()) for now in polls}
    found: dict[str, dict[TrueSession, Seen]] = {}
    for source, sessions in time_lines.items():
        seen = found.setdefault(source, {})
        for now in polls:
            done = ended(sessions, now)
            busy = any_running[now] if source == "D09" else running(sessions, now) is not None
            if done and not busy:
                seen[done[-1]] = Seen(done[-1])
            if not only_basic and (completed := last_completed(done, reading)):
                seen[completed] = Seen(completed)
            if source == "D09":
                continue  # a success in between is told by the source that had it
            if (success := last_successful(done, reading)) and success not in seen:
                seen[success] = Seen(success, status_is_known=not only_basic, only_as_success=True)
    return {source: seen for source, seen in found.items() if seen}


@dataclass(frozen=True)
class ExpectedRun:
    run_at: datetime
    status: str


def as_told(
    seen: dict[str, dict[TrueSession, Seen]], reading: Reading, *, only_basic: bool = False
) -> dict[str, list[TrueSession]]:
    """The seen sessions per data source, with the times and statuses that Cove told, by their end."""
    told: dict[str, list[TrueSession]] = {}
    for source, of_source in seen.items():
        for session, how in of_source.items():
            start, end = how.times(reading, only_basic=only_basic)
            status = session.status if how.status_is_known else -1
            told.setdefault(source, []).append(replace(session, start=start, end=end, status=status))
    return {source: sorted(sessions, key=lambda session: session.end) for source, sessions in told.items()}


def rounds(told: Mapping[str, Sequence[TrueSession]]) -> list[list[TrueSession]]:
    """The rounds that the sessions of the sources make, one session after the other, each source once in a round."""
    of_sources = [session for source, sessions in told.items() if source != "D09" for session in sessions]
    found: list[list[TrueSession]] = []
    for session in sorted(of_sources, key=lambda session: (session.end, session.source)):
        members = found[-1] if found else []
        if (
            members
            and all(one.source != session.source for one in members)
            and session.start <= max(one.end for one in members) + GAP
            and session.end <= min(one.end for one in members) + SPAN
        ):
            members.append(session)
        else:
            found.append([session])
    return found


def totals_of(members: Sequence[TrueSession], told: Mapping[str, Sequence[TrueSession]]) -> list[TrueSession]:
    """The total's sessions that lie in a round."""
    begin, end = min(one.start for one in members), max(one.end for one in members) + GAP
    return [one for one in told.get("D09", ()) if begin <= one.end <= end]


def totals_by_round(
    found: Sequence[Sequence[TrueSession]], told: Mapping[str, Sequence[TrueSession]]
) -> list[list[TrueSession]]:
    """The total's sessions of each round: the one in which they end, else the first in which they lie."""
    by_round: list[list[TrueSession]] = [[] for _ in found]
    for total in told.get("D09", ()):
        lies = [number for number, members in enumerate(found) if total in totals_of(members, told)]
        ends = [
            number
            for number in lies
            if min(one.end for one in found[number]) <= total.end <= max(one.end for one in found[number])
        ]
        for number in ends[-1:] or lies[:1]:
            by_round[number].append(total)
    return by_round


def running_at_first(device: FakeDevice, polls: Sequence[datetime]) -> dict[str, Span]:
    """For each source that runs at the first poll, that poll and the first one at which it does not."""
    times = {
        source: [now for now in polls if running(sessions, now) is None] for source, sessions in device.sessions.items()
    }
    return {
        source: (polls[0], next(iter(quiet), polls[-1]))
        for source, quiet in times.items()
        if running(device.sessions[source], polls[0])
    }


def expected_runs(
    active: Sequence[str],
    told: Mapping[str, Sequence[TrueSession]],
    first: Mapping[str, Sequence[TrueSession]] | None = None,
    *,
    some_are_starts: bool = False,
    hidden: Mapping[str, Span] = NOT_HIDDEN,
) -> list[ExpectedRun]:
    """The runs that the sessions make, by the rules; of those that the `first` poll told only the newest round.

    Where `some_are_starts`, a session's lone time is its start: it may not have ended before a later run. `hidden` are
    the sources that ran at the first poll, from then until a poll at which they did not.
    """
    known_from = max((one.end for source in active for one in (first or {}).get(source, ())), default=None)
    found = rounds(told)
    runs = [
        _run(active, members, told, totals, some_are_starts=some_are_starts, hidden=hidden)
        for members, totals in zip(found, totals_by_round(found, told), strict=True)
    ]
    return [run for run in runs if known_from is None or run.run_at >= known_from]


def _run(
    active: Sequence[str],
    members: Sequence[TrueSession],
    told: Mapping[str, Sequence[TrueSession]],
    totals: Sequence[TrueSession],
    *,
    some_are_starts: bool,
    hidden: Mapping[str, Span],
) -> ExpectedRun:
    run_at = max(one.end for one in members)
    statuses = []
    for source in active:
        known = [one for one in told.get(source, ()) if one.end <= run_at]
        may_last = known and some_are_starts and known[-1].start == known[-1].end < run_at
        statuses += [status_of(one.status) for one in known[-2 if may_last else -1 :]]
        since, until = hidden.get(source, (run_at, run_at))
        if since < until and run_at <= until and not any(one.end > since for one in known):
            statuses.append("warning")
    statuses += [status_of(one.status) for one in totals]
    return ExpectedRun(run_at, max(statuses, key=RANK.__getitem__))


def truth(devices: Iterable[FakeDevice], since: datetime, until: datetime) -> set[Fact]:
    """All sessions that ended in a window."""
    return {
        (device.account_id, one.source, one.start, one.end, one.status)
        for device in devices
        for one in device.all_sessions()
        if since <= one.end <= until
    }


def all_runs(device: FakeDevice, *polls: datetime, clock: datetime | None = None) -> set[RunFact]:
    """The runs of a device of which every session is known, and of the total what the polls show; the last is now.

    `clock` is what the poller's says meanwhile, if that is not Cove's time.
    """
    now = polls[-1]
    told = {source: list(ended(sessions, now)) for source, sessions in device.sessions.items()}
    totals = visible(device, polls, Reading()).get("D09", {})
    runs = expected_runs(device.active, {**told, "D09": sorted(totals, key=lambda one: one.end)})
    if (
        any(running(one, now) for one in device.sessions.values())
        and runs
        and (clock or now) - runs[-1].run_at < SETTLE
    ):
        runs.pop()
    return {(run.run_at, WORDS[run.status]) for run in runs}


def true_status(device: FakeDevice, run_at: datetime, *, by_start: bool) -> str:
    """How the device really stood then, whoever knew it: the worst of each source's newest session that had ended.

    With `by_start`, for runs of which only starts are known, one that had begun may stand for it.
    """
    statuses = ["success"]
    for sessions in device.sessions.values():
        done = ended(sessions, run_at)[-1:]
        begun = [one for one in sessions if one.start <= run_at][-1:] if by_start else done
        statuses.append(
            min((status_of(one.status) for one in (*done, *begun)), key=RANK.__getitem__, default="success")
        )
    return max(statuses, key=RANK.__getitem__)


@dataclass
class Score:
    """How many of the expected were found, and how many of the found were expected."""

    expected: int = 0
    found: int = 0
    right: int = 0

    def add(self, expected: int, found: int, right: int) -> None:
        self.expected += expected
        self.found += found
        self.right += right

    @property
    def is_perfect(self) -> bool:
        return self.expected > 0 and self.right == self.expected == self.found

    def __str__(self) -> str:
        recall, precision = self.right / max(self.expected, 1), self.right / max(self.found, 1)
        return f"recall {recall:.2%}, precision {precision:.2%} ({self.right} of {self.expected})"

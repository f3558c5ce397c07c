"""What has to be written so that a device's job runs tell what its sessions do. Pure.

A round is what one night (or one hour) did: sessions that follow each other closely. Rounds depend on the
sessions alone, not on when or how they became known. What a run says of a round depends besides on which sources
are active, and which of them cannot be read, when it is written.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import TypeVar

from cove_poller.records.columns import DataSource
from cove_poller.records.reading import Blindness
from cove_poller.records.remark import remark, source_reports
from cove_poller.records.rounds import by_end, rounds
from cove_poller.records.run_objects import RunObject, run_objects
from cove_poller.records.session import RecordedSession, Session
from cove_poller.records.statuses import SEVERITY, Status, worst
from cove_poller.records.window import Window
from cove_poller.text import fitted

S = TypeVar("S", bound=Session)


@dataclass(frozen=True)
class RunPolicy:
    """What makes a run, and how its status is said in Backupchecks. The limits are in characters.

    `object_limits` has the fields that Backupchecks keeps of a run's objects; None if it keeps no objects.
    """

    gap: timedelta
    span: timedelta
    settle: timedelta
    total_decides: bool
    words: Mapping[Status, str]
    remark_limit: int | None = None
    object_limits: Mapping[str, int | None] | None = None


@dataclass(frozen=True)
class JobRun:
    """A job run's content, in Backupchecks' words. Its objects are only told where they are kept."""

    run_at: datetime
    status: str
    remark: str
    objects: tuple[RunObject, ...] = field(default=(), kw_only=True, compare=False)


@dataclass(frozen=True)
class RecordedRun(JobRun):
    """A job run as the database has it. One that somebody has reviewed is never touched."""

    id: int
    reviewed: bool

    @property
    def content(self) -> JobRun:
        return JobRun(self.run_at, self.status, self.remark, objects=self.objects)

    def differs_from(self, content: JobRun) -> bool:
        """Whether it is to be written. That it has no objects is no reason: it was written when none were kept."""
        return self.content != content or bool(self.objects and sorted(self.objects) != sorted(content.objects))


@dataclass(frozen=True)
class DeviceHistory:
    """What is recorded of a device from some moment on, and what its newest row says.

    `earlier` has, of the sessions before that moment, the newest of each source and status. `runs` are those
    whose `run_at` is not before that moment, and those that the sessions are part of. `changed_ids` are the
    sessions that are new or changed, `orphaned_run_ids` the runs of sessions that were removed.
    """

    sessions: Sequence[RecordedSession]
    earlier: Sequence[RecordedSession]
    runs: Sequence[RecordedRun]
    active_sources: Sequence[str]
    blindness: Mapping[str, Blindness]
    total_stands_in: bool
    running: bool
    changed_ids: frozenset[int] = frozenset()
    orphaned_run_ids: frozenset[int] = frozenset()

    @cached_property
    def _by_source(self) -> dict[str, list[RecordedSession]]:
        """All sessions of each source, the oldest first."""
        return _by_source(sorted((*self.earlier, *self.sessions), key=by_end))

    @cached_property
    def _successes(self) -> dict[str, list[RecordedSession]]:
        return {
            source: [one for one in sessions if one.status is Status.SUCCESS]
            for source, sessions in self._by_source.items()
        }

    def newest_at(self, moment: datetime) -> dict[str, RecordedSession]:
        """Each source's newest session at that moment."""
        return _newest_at(self._by_source, moment)

    def newest_success_at(self, moment: datetime) -> dict[str, RecordedSession]:
        """Each source's newest success at that moment."""
        return _newest_at(self._successes, moment)

    def totals_between(self, begin: datetime, end: datetime) -> list[RecordedSession]:
        """The total's sessions that ended in that span, the oldest first."""
        totals = self._by_source.get(DataSource.TOTAL, [])
        return totals[bisect_left(totals, begin, key=_end) : bisect_right(totals, end, key=_end)]

    @cached_property
    def reviewed_moments(self) -> frozenset[datetime]:
        return frozenset(run.run_at for run in self.runs if run.reviewed)

    @cached_property
    def reviewed_ids(self) -> frozenset[int]:
        return frozenset(run.id for run in self.runs if run.reviewed)


def _end(session: Session) -> datetime:
    return session.session_at


def _by_source(ordered: Iterable[S]) -> dict[str, list[S]]:
    found: dict[str, list[S]] = {}
    for session in ordered:
        found.setdefault(session.data_source, []).append(session)
    return found


def _newest_at(by_source: Mapping[str, Sequence[S]], moment: datetime) -> dict[str, S]:
    """The last session of each source that had ended at that moment."""
    ended = {source: bisect_right(sessions, moment, key=_end) for source, sessions in by_source.items()}
    return {source: by_source[source][count - 1] for source, count in ended.items() if count}


@dataclass(frozen=True)
class Review:
    """What runs in a window are marked with, that nobody has to look at: when, and by whom."""

    window: Window
    at: datetime
    by: int | str | None = None


@dataclass(frozen=True)
class PlannedRun:
    """A run to be written: `run_id` is the one it replaces, None for a new one."""

    run_id: int | None
    content: JobRun
    session_ids: tuple[int, ...]


@dataclass(frozen=True)
class RunPlan:
    """What has to be written so that the job runs tell what the sessions do."""

    new: tuple[PlannedRun, ...]
    changed: tuple[PlannedRun, ...]
    unchanged: tuple[PlannedRun, ...]
    removed_ids: tuple[int, ...]
    protected_count: int


def job_run_from_round(
    members: Sequence[RecordedSession], run_at: datetime, history: DeviceHistory, policy: RunPolicy
) -> JobRun:
    """The content of the run that `members` make, never healthier than anything known at `run_at`.

    Its status is the worst among the newest sessions of the active sources and of the round's own, the total
    where it has a session in this round, and the floor of every source that could not be read.
    """
    sources = sorted({*history.active_sources, *(member.data_source for member in members)} - {DataSource.TOTAL})
    newest = {code: one for code, one in history.newest_at(run_at).items() if code != DataSource.TOTAL}
    total = next(iter(reversed(history.totals_between(*_span(members, policy.gap)))), None)
    newest |= {DataSource.TOTAL: total} if total else {}
    reports = source_reports(
        [*sources, DataSource.TOTAL],
        newest=newest,
        successes=history.newest_success_at(run_at),
        blindness=history.blindness,
        members=members,
        run_at=run_at,
    )
    of_total = next(report for report in reports if report.data_source == DataSource.TOTAL)
    gravest = worst(report.status for report in reports if report is not of_total)
    decides = bool(total and policy.total_decides)
    is_needed = decides or (total and history.total_stands_in) or DataSource.TOTAL in history.blindness
    if not is_needed and SEVERITY[of_total.status] <= SEVERITY[gravest]:
        reports.remove(of_total)
    return JobRun(
        run_at,
        policy.words[of_total.status if decides else worst(report.status for report in reports)],
        fitted(remark(reports), policy.remark_limit),
        objects=run_objects(reports, policy.words, policy.object_limits),
    )


def plan_runs(history: DeviceHistory, policy: RunPolicy, now: datetime) -> RunPlan:
    """What to write for a device.

    The newest round waits while a source runs, until its last session is old enough. Reviewed runs keep their
    sessions; what came later makes runs of its own.
    """
    free = [session for session in history.sessions if session.job_run_id not in history.reviewed_ids]
    found = rounds([session for session in free if _counts(session, history)], policy.gap, policy.span)
    if history.running and found and now - found[-1][-1].session_at < policy.settle:
        found.pop()
    claims = _claims(found, history)
    free_ids = {session.id for session in free}
    planned: list[tuple[RecordedRun | None, PlannedRun]] = []
    placed: set[int] = set()
    for members, run in zip(found, claims, strict=True):
        run_at = _free_moment(members[-1].session_at, history)
        content = job_run_from_round(members, run_at, history, policy)
        totals = history.totals_between(*_span(members, policy.gap))
        ids = {session.id for session in (*members, *totals) if session.id in free_ids} - placed
        placed |= ids
        planned.append((run, PlannedRun(run.id if run else None, content, tuple(sorted(ids)))))
    return RunPlan(
        new=tuple(plan for run, plan in planned if run is None),
        changed=tuple(plan for run, plan in planned if run and run.differs_from(plan.content)),
        unchanged=tuple(plan for run, plan in planned if run and not run.differs_from(plan.content)),
        removed_ids=_superseded(history, [plan for _, plan in planned]),
        protected_count=_protected_count(history, policy),
    )


def _counts(session: RecordedSession, history: DeviceHistory) -> bool:
    """Whether a session makes rounds: the total only where it stands in for what cannot be read."""
    return session.data_source != DataSource.TOTAL or history.total_stands_in


def _span(members: Sequence[Session], gap: timedelta) -> tuple[datetime, datetime]:
    """From when to when the total's sessions tell of a round."""
    return min(member.begins_at for member in members), members[-1].session_at + gap


def _free_moment(run_at: datetime, history: DeviceHistory) -> datetime:
    """`run_at`, or the next second that no reviewed run stands at: the moment is the run's key."""
    while run_at in history.reviewed_moments:
        run_at += timedelta(seconds=1)
    return run_at


def _claims(found: Sequence[Sequence[RecordedSession]], history: DeviceHistory) -> list[RecordedRun | None]:
    """For each round the recorded run that it goes on in: the one at its moment, else one of its sessions'."""
    open_runs = {run.id: run for run in history.runs if not run.reviewed}
    at_moment = {run.run_at: run for run in open_runs.values()}
    claims = [at_moment.get(_free_moment(members[-1].session_at, history)) for members in found]
    claimed = {run.id for run in claims if run}
    for number, members in enumerate(found):
        ids = {member.job_run_id for member in members if member.job_run_id is not None}
        if claims[number] is None and (left := sorted(ids & open_runs.keys() - claimed)):
            claims[number] = open_runs[left[0]]
            claimed.add(left[0])
    return claims


def _superseded(history: DeviceHistory, planned: Sequence[PlannedRun]) -> tuple[int, ...]:
    """The runs, reviewed by nobody, whose sessions all went into other runs."""
    new_run = {session_id: plan.run_id for plan in planned for session_id in plan.session_ids}
    kept = {plan.run_id for plan in planned} | history.reviewed_ids
    left = {run.id for run in history.runs} - kept
    with_sessions = {session.job_run_id for session in history.sessions} | history.orphaned_run_ids
    still_used = {session.job_run_id for session in history.sessions if session.id not in new_run}
    return tuple(sorted((left & with_sessions) - still_used))


def _protected_count(history: DeviceHistory, policy: RunPolicy) -> int:
    """How many reviewed runs the changed sessions would have changed."""
    members = [session for session in history.sessions if _counts(session, history)]
    touched = (
        {session.job_run_id for session in members_of_round}
        for members_of_round in rounds(members, policy.gap, policy.span)
        if any(session.id in history.changed_ids for session in members_of_round)
    )
    return len(history.orphaned_run_ids.union(*touched) & history.reviewed_ids)

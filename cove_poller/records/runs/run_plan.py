"""What has to be written so that a device's job runs tell what its sessions do. Pure.

A round is what one night (or one hour) did: sessions that follow each other closely. Rounds depend on the
sessions alone, not on when or how they became known. What a run says of a round depends besides on which sources
are active, and which of them cannot be read, when it is written.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import compress

from cove_poller.records.columns import DataSource
from cove_poller.records.runs.device_history import DeviceHistory, JobRun, RecordedRun
from cove_poller.records.runs.rounds import by_end, moments, rounds
from cove_poller.records.runs.run_content import RunPolicy, job_run_from_round
from cove_poller.records.session import NEVER, RecordedSession, Session
from cove_poller.records.source_history import NOTHING
from cove_poller.records.window import Window


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
    """What has to be written so that the job runs tell what the sessions do.

    `context_ids` are the sessions of rounds that cannot be written: they only tell how their sources stood.
    `released_ids` have become worse since somebody reviewed their run, and wait for one of their own.
    """

    new: tuple[PlannedRun, ...]
    changed: tuple[PlannedRun, ...]
    unchanged: tuple[PlannedRun, ...]
    removed_ids: tuple[int, ...]
    protected_count: int
    context_ids: tuple[int, ...] = ()
    released_ids: tuple[int, ...] = ()


def plan_runs(history: DeviceHistory, policy: RunPolicy, now: datetime) -> RunPlan:
    """Return what to write for a device.

    The newest round waits while a source runs, until its last session is old enough. A round is not written where
    nobody ever looked at some source that was active then. Reviewed runs keep their sessions; what came later, or has
    become worse, makes runs of its own.
    """
    fixed = history.fixed_ids
    free = [one for one in history.sessions if one.job_run_id not in fixed or one.id in history.worse_ids]
    making = [one for one in free if _counts(one, history)]
    found = rounds(making, policy.gap, policy.span)
    if history.running and found and now - found[-1][-1].session_at < policy.settle:
        found.pop()
    times = moments(found)
    known = [_is_known(members, at, history) for members, at in zip(found, times, strict=True)]
    context_ids = [one.id for members, is_known in zip(found, known, strict=True) for one in members if not is_known]
    found, times = ([*compress(found, known)], [*compress(times, known)])
    ready = [not _waits(members, at, history) for members, at in zip(found, times, strict=True)]
    found, times = ([*compress(found, ready)], [*compress(times, ready)])
    claims = _claims(found, times, history)
    totals = _totals(found, free, history, policy)
    planned: list[tuple[RecordedRun | None, PlannedRun]] = []
    for number, (members, at, run) in enumerate(zip(found, times, claims, strict=True)):
        of_total = totals.get(number, [])
        content = job_run_from_round(members, of_total, _free_moment(at, history), history, policy)
        ids = sorted({one.id for one in (*members, *of_total)})
        planned.append((run, PlannedRun(run.id if run else None, content, tuple(ids))))
    placed = {session_id for _, plan in planned for session_id in plan.session_ids}
    return RunPlan(
        new=tuple(plan for run, plan in planned if run is None),
        changed=tuple(plan for run, plan in planned if run and run.differs_from(plan.content)),
        unchanged=tuple(plan for run, plan in planned if run and not run.differs_from(plan.content)),
        removed_ids=_superseded(history, [plan for _, plan in planned]),
        protected_count=_protected_count(history, policy),
        context_ids=tuple(context_ids),
        released_ids=tuple(one.id for one in free if one.job_run_id in history.reviewed_ids and one.id not in placed),
    )


def _totals(
    found: Sequence[Sequence[RecordedSession]],
    free: Iterable[RecordedSession],
    history: DeviceHistory,
    policy: RunPolicy,
) -> dict[int, list[RecordedSession]]:
    """The total's sessions that are kept with each round: the one in which they end, else the first that they tell of.

    So each has its round wherever a plan begins.
    """
    free_ids = {one.id for one in free}
    owners: dict[int, int] = {}
    totals: dict[int, RecordedSession] = {}
    for number, members in enumerate(found):
        for total in history.totals_between(*_span(members, policy.gap)):
            ends_here = members[0].session_at <= total.session_at <= members[-1].session_at
            if total.id in free_ids and (ends_here or total.id not in owners):
                owners[total.id], totals[total.id] = number, total
    by_round: dict[int, list[RecordedSession]] = {}
    for total in sorted(totals.values(), key=by_end):
        by_round.setdefault(owners[total.id], []).append(total)
    return by_round


def _is_known(members: Sequence[RecordedSession], run_at: datetime, history: DeviceHistory) -> bool:
    """Whether a round can be written: it is already, or somebody had looked at every source that was active then.

    What has ended since the device's first poll is written in any case.
    """
    if any(member.job_run_id is not None for member in members):
        return True
    if history.first_seen_at and run_at >= history.first_seen_at:
        return True
    sources = history.active_at(run_at) | {member.data_source for member in members}
    return all(history.unknown_since(code, run_at) != NEVER for code in sources)


def _waits(members: Sequence[RecordedSession], run_at: datetime, history: DeviceHistory) -> bool:
    """Whether a round that is not written yet lies in a gap that is going to be closed, so that more will be known."""
    if not history.awaits_history or any(member.job_run_id is not None for member in members):
        return False
    sources = history.active_at(run_at) | {member.data_source for member in members}
    return any(history.unknown_since(code, run_at) not in (None, NEVER) for code in sources)


def _counts(session: RecordedSession, history: DeviceHistory) -> bool:
    """Whether a session makes rounds: the total's only where nothing else is known."""
    if session.is_context or history.sources.get(session.data_source, NOTHING).was_ignored(session.session_at):
        return False
    if session.data_source != DataSource.TOTAL:
        return True
    return history.sources_known_since is None or session.session_at < history.sources_known_since


def _span(members: Sequence[Session], gap: timedelta) -> tuple[datetime, datetime]:
    """From when to when the total's sessions tell of a round."""
    return min(member.begins_at for member in members), members[-1].session_at + gap


def _free_moment(run_at: datetime, history: DeviceHistory) -> datetime:
    """`run_at`, or the next second at which no run stands that stays: the moment is the run's key."""
    while run_at in history.fixed_moments:
        run_at += timedelta(seconds=1)
    return run_at


def _claims(
    found: Sequence[Sequence[RecordedSession]], times: Sequence[datetime], history: DeviceHistory
) -> list[RecordedRun | None]:
    """For each round the recorded run that it goes on in: the one at its moment, else one of its sessions'."""
    open_runs = {run.id: run for run in history.runs if run.id not in history.fixed_ids}
    at_moment = {run.run_at: run for run in open_runs.values()}
    claims = [at_moment.get(_free_moment(at, history)) for at in times]
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
    kept = {plan.run_id for plan in planned} | history.fixed_ids
    left = {run.id for run in history.runs} - kept
    ended = {run.id: run.run_at for run in history.runs}  # a total's session after that is from the following round
    members = (one for one in history.sessions if one.job_run_id in ended and one.session_at <= ended[one.job_run_id])
    with_sessions = {one.job_run_id for one in members} | history.orphaned_run_ids
    still_used = {one.job_run_id for one in history.sessions if one.id not in new_run and _counts(one, history)}
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

"""What has to be written so that a device's job runs tell what its sessions do. Pure.

A round is what one night (or one hour) did: sessions that follow each other closely. Rounds depend on the
sessions alone, not on when or how they became known. What a run says of a round depends besides on which sources
are active, and which of them cannot be read, when it is written.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from itertools import compress
from typing import TypeVar

from cove_poller.records.columns import DataSource
from cove_poller.records.remark import SourceReport, Standing, remark, source_reports
from cove_poller.records.rounds import by_end, moments, rounds
from cove_poller.records.run_objects import RunObject, run_objects
from cove_poller.records.session import NEVER, RecordedSession, Session, TimeIs
from cove_poller.records.source_history import NOTHING, SourceHistory
from cove_poller.records.statuses import SEVERITY, Status, worst
from cove_poller.records.window import Window
from cove_poller.text import fitted

S = TypeVar("S", bound=Session)
SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class RunPolicy:
    """What makes a run, and how its status is said in Backupchecks. The limits are in characters.

    `overall` says what counts: the "worst" of all sources, what the "round" did, or the "total" where it is known.

    `object_limits` has the fields that Backupchecks keeps of a run's objects; None if it keeps no objects.
    """

    gap: timedelta
    span: timedelta
    settle: timedelta
    overall: str
    words: Mapping[Status, str]
    remark_limit: int | None = None
    object_limits: Mapping[str, int | None] | None = None


@dataclass(frozen=True)
class JobRun:
    """A job run's content, in Backupchecks' words. Its objects are only told where they are kept.

    One that `is_uncertain` is of a time of which not all is known, so nobody may mark it as reviewed unseen.
    """

    run_at: datetime
    status: str
    remark: str
    objects: tuple[RunObject, ...] = field(default=(), kw_only=True, compare=False)
    is_uncertain: bool = field(default=False, kw_only=True, compare=False)


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
    """What is recorded of a device from some moment on.

    `earlier` has, of the sessions before that moment, the newest of each source and status. `runs` are those
    whose `run_at` is not before that moment, and those that the sessions are part of. `changed_ids` are the
    sessions that are new or changed, `worse_ids` those that became worse, `orphaned_run_ids` the runs of sessions
    that were removed. `running` says whether the newest round may still grow.
    """

    sessions: Sequence[RecordedSession]
    earlier: Sequence[RecordedSession]
    runs: Sequence[RecordedRun]
    sources: Mapping[str, SourceHistory]
    running: bool
    changed_ids: frozenset[int] = frozenset()
    worse_ids: frozenset[int] = frozenset()
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
        """Return each source's newest session at that moment.

        Of one whose end is not known nobody can say that it had ended by then, so a graver one before it stands.
        """
        newest = _newest_at(self._by_source, moment)
        open_ended = {one.session_at for one in newest.values() if one.time_is is TimeIs.START}
        before = {at: _newest_at(self._by_source, at - SECOND) for at in open_ended}
        return {code: _graver(one, before.get(one.session_at, {}).get(code), moment) for code, one in newest.items()}

    def newest_success_at(self, moment: datetime) -> dict[str, RecordedSession]:
        """Each source's newest success at that moment."""
        return _newest_at(self._successes, moment)

    @cached_property
    def sources_known_since(self) -> datetime | None:
        """From when on a session of a source is known; before that Cove's total makes the rounds."""
        firsts = (sessions[0].session_at for code, sessions in self._by_source.items() if code != DataSource.TOTAL)
        return min(firsts, default=None)

    def active_at(self, moment: datetime) -> set[str]:
        """Return the data sources that were active at that moment."""
        wanted = (code for code, one in self.sources.items() if one.was_active(moment) and not one.was_ignored(moment))
        return {*wanted} - {DataSource.TOTAL}

    def unknown_since(self, source: str, moment: datetime) -> datetime | None:
        """Return from when on nobody knows what the source did until after that moment; None if all is known."""
        sessions = self._by_source.get(source, [])
        following = sessions[bisect_right(sessions, moment, key=_end) :][:1]
        unknown = following[0].unknown_since if following else None
        return unknown if unknown is not None and unknown < moment else None

    def totals_between(self, begin: datetime, end: datetime) -> list[RecordedSession]:
        """The total's sessions that ended in that span, the oldest first."""
        totals = self._by_source.get(DataSource.TOTAL, [])
        return totals[bisect_left(totals, begin, key=_end) : bisect_right(totals, end, key=_end)]

    @cached_property
    def reviewed_ids(self) -> frozenset[int]:
        return frozenset(run.id for run in self.runs if run.reviewed)

    @cached_property
    def _cut_ids(self) -> frozenset[int]:
        """The runs of which only the end is here, in the very second in which the first round begins."""
        begin = min((one.session_at for one in self.sessions), default=None) if self.earlier else None
        first = {
            one.job_run_id for one in self.sessions if one.session_at == begin and one.data_source != DataSource.TOTAL
        }
        runs = sorted((run.run_at, run.id) for run in self.runs if run.id in first)
        return frozenset(run_id for _, run_id in runs[:-1])

    @cached_property
    def fixed_ids(self) -> frozenset[int]:
        """The runs that stay as they are, with their sessions."""
        return self.reviewed_ids | self._cut_ids

    @cached_property
    def fixed_moments(self) -> frozenset[datetime]:
        return frozenset(run.run_at for run in self.runs if run.id in self.fixed_ids)


def _end(session: Session) -> datetime:
    return session.session_at


def _graver(newest: RecordedSession, before: RecordedSession | None, moment: datetime) -> RecordedSession:
    """The newest session, or the one before it if that is graver and the newest may not have ended yet."""
    may_last = newest.time_is is TimeIs.START and newest.session_at < moment
    return before if before and may_last and SEVERITY[before.status] > SEVERITY[newest.status] else newest


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
    """What has to be written so that the job runs tell what the sessions do.

    `context_ids` are the sessions of rounds that cannot be written: they only tell how their sources stood.
    """

    new: tuple[PlannedRun, ...]
    changed: tuple[PlannedRun, ...]
    unchanged: tuple[PlannedRun, ...]
    removed_ids: tuple[int, ...]
    protected_count: int
    context_ids: tuple[int, ...] = ()


def job_run_from_round(
    members: Sequence[RecordedSession], run_at: datetime, history: DeviceHistory, policy: RunPolicy
) -> JobRun:
    """Return the content of the run that `members` make, never healthier than anything known at `run_at`.

    Its status is the worst among its own sessions, the newest ones of the other sources active then, the total where
    it has a session in this round, and a warning for every source unreadable, without news or not wholly known then.
    """
    sources = sorted({*history.active_at(run_at), *(member.data_source for member in members)} - {DataSource.TOTAL})
    newest, successes = history.newest_at(run_at), history.newest_success_at(run_at)
    standings = [_standing(code, newest.get(code), successes.get(code), members, run_at, history) for code in sources]
    reports = source_reports(standings, run_at)
    total = _total_report(members, run_at, history, policy)
    gravest = worst(report.own if policy.overall == "round" else report.status for report in reports)
    decides = total is not None and policy.overall == "total"
    if total and (decides or not reports or SEVERITY[total.status] > SEVERITY[gravest]):
        reports = sorted([*reports, total], key=lambda report: -SEVERITY[report.status])
        gravest = total.status if decides else worst([gravest, total.status])
    return JobRun(
        run_at,
        policy.words[gravest],
        fitted(remark(reports), policy.remark_limit),
        objects=run_objects(reports, policy.words, policy.object_limits),
        is_uncertain=any(one.is_uncertain or one.problem for one in standings),
    )


def _standing(
    code: str,
    newest: Session | None,
    success: Session | None,
    members: Sequence[Session],
    run_at: datetime,
    history: DeviceHistory,
) -> Standing:
    """What is known of a source at a run."""
    kept = history.sources.get(code, NOTHING)
    unreadable = kept.unreadable_at(run_at)
    if unreadable and unreadable.until and unreadable.since and newest and newest.session_at > unreadable.since:
        unreadable = None  # it was read again, and this session is what had happened meanwhile
    return Standing(
        code,
        newest,
        success,
        problem=unreadable.problem if unreadable else None,
        is_member=newest in members,
        is_silent=kept.was_silent(run_at) and newest not in members,
        is_uncertain=history.unknown_since(code, run_at) is not None,
    )


def _total_report(
    members: Sequence[Session], run_at: datetime, history: DeviceHistory, policy: RunPolicy
) -> SourceReport | None:
    """How the total stood, if it has a session in this round."""
    totals = history.totals_between(*_span(members, policy.gap))
    if not totals:
        return None
    success = history.newest_success_at(run_at).get(DataSource.TOTAL)
    standing = _standing(DataSource.TOTAL, totals[-1], success, totals, run_at, history)
    return source_reports([standing], run_at)[0]


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
    claims = _claims(found, times, history)
    totals = _totals(found, {session.id for session in free}, history, policy)
    planned: list[tuple[RecordedRun | None, PlannedRun]] = []
    for number, (members, at, run) in enumerate(zip(found, times, claims, strict=True)):
        content = job_run_from_round(members, _free_moment(at, history), history, policy)
        ids = sorted({member.id for member in members} | totals.get(number, set()))
        planned.append((run, PlannedRun(run.id if run else None, content, tuple(ids))))
    return RunPlan(
        new=tuple(plan for run, plan in planned if run is None),
        changed=tuple(plan for run, plan in planned if run and run.differs_from(plan.content)),
        unchanged=tuple(plan for run, plan in planned if run and not run.differs_from(plan.content)),
        removed_ids=_superseded(history, [plan for _, plan in planned]),
        protected_count=_protected_count(history, policy),
        context_ids=tuple(context_ids),
    )


def _totals(
    found: Sequence[Sequence[RecordedSession]], free_ids: Collection[int], history: DeviceHistory, policy: RunPolicy
) -> dict[int, set[int]]:
    """The total's sessions that are kept with each round: the one in which they end, else the first that they tell of.

    So each has its round wherever a plan begins.
    """
    owners: dict[int, int] = {}
    for number, members in enumerate(found):
        for total in history.totals_between(*_span(members, policy.gap)):
            ends_here = members[0].session_at <= total.session_at <= members[-1].session_at
            if total.id in free_ids and (ends_here or total.id not in owners):
                owners[total.id] = number
    by_round: dict[int, set[int]] = {}
    for total_id, number in owners.items():
        by_round.setdefault(number, set()).add(total_id)
    return by_round


def _is_known(members: Sequence[RecordedSession], run_at: datetime, history: DeviceHistory) -> bool:
    """Whether a round can be written: it is already, or somebody had looked at every source that was active then."""
    if any(member.job_run_id is not None for member in members):
        return True
    sources = history.active_at(run_at) | {member.data_source for member in members}
    return all(history.unknown_since(code, run_at) != NEVER for code in sources)


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

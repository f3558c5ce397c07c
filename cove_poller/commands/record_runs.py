"""Brings the job runs of a page of devices in line with their recorded sessions."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from cove_poller.config.settings import BackupchecksSettings
from cove_poller.database.store import History, Store
from cove_poller.records.columns import DataSource
from cove_poller.records.health.device_record import Row
from cove_poller.records.runs.device_history import DeviceHistory
from cove_poller.records.runs.run_content import RunPolicy
from cove_poller.records.runs.run_plan import PlannedRun, Review, RunPlan, plan_runs
from cove_poller.records.session import NEVER
from cove_poller.records.source_history import Period, SourceHistory, from_json, with_sessions
from cove_poller.records.statuses import Status


@dataclass
class Tally:
    """How many rows were written anew, changed, looked at and left; reviewed ones left on purpose."""

    new: int = 0
    updated: int = 0
    unchanged: int = 0
    protected: int = 0

    def add(self, other: "Tally") -> None:
        self.new += other.new
        self.updated += other.updated
        self.unchanged += other.unchanged
        self.protected += other.protected


@dataclass(frozen=True)
class Subject:
    """A linked device whose runs are to be looked at: `changed_since` is its earliest new or changed session.

    `running` says whether the newest round may still grow, `awaits_history` that its gaps are going to be closed.
    """

    job_id: int
    sources: Mapping[str, SourceHistory]
    running: bool = False
    changed_since: datetime | None = None
    changed_ids: frozenset[int] = frozenset()
    worse_ids: frozenset[int] = frozenset()
    orphaned_run_ids: frozenset[int] = frozenset()
    first_seen_at: datetime | None = None
    awaits_history: bool = False

    @property
    def total_stands_in(self) -> bool:
        """Whether nothing but Cove's total is known of the device."""
        return not any(history.recent for code, history in self.sources.items() if code != DataSource.TOTAL)


def save_runs(
    store: Store, subjects: Mapping[int, Subject], policy: RunPolicy, now: datetime, review: Review | None = None
) -> Tally:
    """Write the runs of the devices (by account id) of which a session is new, changed or waits for a run."""
    waiting = store.sessions.first_without_run(
        {account: subject.total_stands_in for account, subject in subjects.items()}
    )
    changed = {
        account: min(moments)
        for account, subject in subjects.items()
        if (moments := [one for one in (waiting.get(account), subject.changed_since) if one])
    }
    tally = Tally()
    for group in _groups(changed):
        histories = store.histories(store.runs.plan_begins(group))
        plans = {
            account: plan_runs(_device_history(history, subjects[account]), policy, now)
            for account, history in histories.items()
        }
        tally.add(_write(store, plans, histories, subjects, now, review))
    return tally


def waiting_for_runs(store: Store, subjects: Mapping[int, Subject]) -> Collection[int]:
    """Return the devices, by account id, of which a session is in no run yet."""
    return store.sessions.first_without_run({one: subject.total_stands_in for one, subject in subjects.items()})


def planned_runs(store: Store, account_id: int, subject: Subject, policy: RunPolicy, now: datetime) -> tuple[int, int]:
    """Return how many recorded sessions of a device would get job runs now, and how many new runs that are."""
    history = store.histories({account_id: NEVER})[account_id]
    new = plan_runs(_device_history(history, subject), policy, now).new
    counting = {one.id for one in history.sessions if one.data_source != DataSource.TOTAL or subject.total_stands_in}
    return sum(len(counting.intersection(run.session_ids)) for run in new), len(new)


def _groups(changed: Mapping[int, datetime]) -> Iterable[Mapping[int, datetime]]:
    """All devices together, but for those whose whole past is made anew, after a new version: it may be long."""
    if together := {account: since for account, since in changed.items() if since > NEVER}:
        yield together
    yield from ({account: since} for account, since in changed.items() if since <= NEVER)


def _device_history(history: History, subject: Subject) -> DeviceHistory:
    return DeviceHistory(
        sessions=history.sessions,
        earlier=history.earlier,
        runs=history.runs,
        sources=subject.sources,
        running=subject.running,
        changed_ids=subject.changed_ids,
        worse_ids=subject.worse_ids,
        orphaned_run_ids=subject.orphaned_run_ids,
        first_seen_at=subject.first_seen_at,
        awaits_history=subject.awaits_history,
    )


def _write(
    store: Store,
    plans: Mapping[int, RunPlan],
    histories: Mapping[int, History],
    subjects: Mapping[int, Subject],
    now: datetime,
    review: Review | None,
) -> Tally:
    """Write the plans. A run that somebody reviewed, or another run wrote, in this very moment is left to the next."""
    removed_ids = store.runs.remove([run_id for plan in plans.values() for run_id in plan.removed_ids])
    changed = [run for plan in plans.values() for run in plan.changed]
    updated_ids = store.runs.update(changed)
    new = [(account, subjects[account].job_id, run) for account, plan in plans.items() for run in plan.new]
    new_ids = store.runs.insert(new, now, review)
    unchanged = [run for plan in plans.values() for run in plan.unchanged]
    written: list[tuple[int, PlannedRun]] = [(run.run_id or 0, run) for run in unchanged]
    written += [(run.run_id, run) for run in changed if run.run_id in updated_ids]
    written += [
        (new_ids[account, run.content.run_at], run)
        for account, _, run in new
        if (account, run.content.run_at) in new_ids
    ]
    kept = {run.run_id for run in unchanged}
    store.runs.objects.replace({run_id: run.content.objects for run_id, run in written if run.run_id not in kept})
    store.sessions.keep_as_context(one for plan in plans.values() for one in plan.context_ids)
    store.sessions.free(one for plan in plans.values() for one in plan.released_ids)
    store.sessions.place(_moves(written, histories.values()))
    heirs = _heirs(written, removed_ids, histories.values())
    store.sessions.move(heirs)
    store.sessions.release(removed_ids - heirs.keys())
    return Tally(
        new=len(new_ids),
        updated=len(updated_ids),
        unchanged=len(unchanged),
        protected=sum(plan.protected_count for plan in plans.values()) + len(changed) - len(updated_ids),
    )


def _moves(written: Iterable[tuple[int, PlannedRun]], histories: Iterable[History]) -> dict[int, int]:
    """The run of each session that is not recorded as part of it yet."""
    recorded = {session.id: session.job_run_id for history in histories for session in history.sessions}
    return {
        session_id: run_id
        for run_id, run in written
        for session_id in run.session_ids
        if recorded[session_id] != run_id
    }


def _heirs(
    written: Iterable[tuple[int, PlannedRun]], removed_ids: Collection[int], histories: Iterable[History]
) -> dict[int, int]:
    """For each removed run the one that its sessions went into: some may be older than what was looked at."""
    recorded = {session.id: session.job_run_id for history in histories for session in history.sessions}
    return {
        old: run_id
        for run_id, run in written
        for session_id in run.session_ids
        if (old := recorded[session_id]) in removed_ids and old is not None
    }


def recorded_histories(row: Row | None, ends: Mapping[str, Iterable[datetime]]) -> dict[str, SourceHistory]:
    """Return what is kept of each source; of a device that an earlier version recorded, that it was always active.

    `ends` are, of such a device, those of the newest sessions of each source.
    """
    if row is not None and row["source_history"] is None:
        always = SourceHistory(active=(Period(None, None),))
        return {code: with_sessions(always, ends.get(code, ())) for code in row["data_sources"]}
    return from_json(row["source_history"] if row else None)


def run_policy(
    settings: BackupchecksSettings,
    remark_limit: int | None = None,
    object_limits: Mapping[str, int | None] | None = None,
) -> RunPolicy:
    """Return what the configuration says of runs."""
    words = settings.status
    return RunPolicy(
        gap=timedelta(minutes=settings.round_gap_minutes),
        span=timedelta(minutes=settings.round_span_minutes),
        settle=timedelta(minutes=settings.settle_minutes),
        overall=settings.overall,
        words={Status.SUCCESS: words.success, Status.WARNING: words.warning, Status.FAILED: words.failed},
        remark_limit=remark_limit,
        object_limits=object_limits,
    )

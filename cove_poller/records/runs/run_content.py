"""What a job run says: its status and its remark, from its round and what is known of all sources at its time. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cove_poller.records.columns import DataSource
from cove_poller.records.runs.device_history import OBJECT_TYPE, DeviceHistory, JobRun, RunObject
from cove_poller.records.runs.remark import SourceReport, Standing, remark, source_reports
from cove_poller.records.session import RecordedSession, Session
from cove_poller.records.source_history import NOTHING
from cove_poller.records.statuses import SEVERITY, Status, worst
from cove_poller.text import fitted


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


def job_run_from_round(
    members: Sequence[RecordedSession],
    totals: Sequence[RecordedSession],
    run_at: datetime,
    history: DeviceHistory,
    policy: RunPolicy,
) -> JobRun:
    """Return the content of the run that `members` make, never healthier than anything known at `run_at`.

    `totals` are the total's sessions in it, the oldest first.

    Its status is the worst among its own sessions, the newest ones of the other sources active then, the total where
    it has a session in this round, and a warning for every source unreadable, without news or not wholly known then.
    """
    sources = sorted({*history.active_at(run_at), *(member.data_source for member in members)} - {DataSource.TOTAL})
    newest, successes = history.newest_at(run_at), history.newest_success_at(run_at)
    standings = [_standing(code, newest.get(code), successes.get(code), members, run_at, history) for code in sources]
    reports = source_reports(standings, run_at)
    total = _total_report(totals, run_at, history, policy) if totals else None
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
    since = unreadable and (unreadable.since or history.first_seen_at)
    if unreadable and unreadable.until and since and newest and newest.session_at > since:
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
    totals: Sequence[RecordedSession], run_at: datetime, history: DeviceHistory, policy: RunPolicy
) -> SourceReport:
    """How the total stood: its gravest session in the round, or its last where it alone decides."""
    gravest = max(reversed(totals), key=lambda total: SEVERITY[total.status])
    total = totals[-1] if policy.overall == "total" else gravest
    success = history.newest_success_at(run_at).get(DataSource.TOTAL)
    return source_reports([_standing(DataSource.TOTAL, total, success, totals, run_at, history)], run_at)[0]


def run_objects(
    reports: Iterable[SourceReport], words: Mapping[Status, str], limits: Mapping[str, int | None] | None
) -> tuple[RunObject, ...]:
    """The sources that had a session, or of which that is not known, in the order of the reports.

    `limits` has the fields that are kept and how many characters each may have; None if no objects are kept.
    """
    if limits is None:
        return ()
    told = [
        {"name": one.name, "type": OBJECT_TYPE, "status": words[one.status], "message": one.text}
        for one in reports
        if one.status is not Status.NONE
    ]
    return tuple(RunObject(**{name: fitted(one[name], limit) for name, limit in limits.items()}) for one in told)

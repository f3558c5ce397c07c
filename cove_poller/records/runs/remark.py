"""What a job run says of each data source, and all of them in a sentence or two: its remark. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cove_poller.records.columns import label
from cove_poller.records.reading import Problem
from cove_poller.records.session import Origin, Session
from cove_poller.records.statuses import SEVERITY, Status, code_name, worst
from cove_poller.text import age, counted

OLD_AFTER = timedelta(days=1)
NOT_ALL_KNOWN = "other sessions of that time are not known"


@dataclass(frozen=True)
class SourceReport:
    """How a data source stood at a run, and that in words. The status is NONE if it had no session yet."""

    data_source: str
    status: Status
    text: str
    own: Status = Status.NONE
    """What counts of it where only the round does: not what it did before."""

    @property
    def name(self) -> str:
        return label(self.data_source)


@dataclass(frozen=True)
class Standing:
    """What is known of a source at a run: its newest session and success, and what keeps that from being sure.

    `is_member` says whether the newest session is the round's own.
    """

    data_source: str
    newest: Session | None
    success: Session | None
    problem: Problem | None = None
    is_member: bool = False
    is_silent: bool = False
    is_uncertain: bool = False


def source_reports(standings: Iterable[Standing], run_at: datetime) -> list[SourceReport]:
    """Return how each source stood at `run_at`, the worst first; one with a problem is never better than its floor."""
    return sorted((_report(one, run_at) for one in standings), key=lambda report: -SEVERITY[report.status])


def _report(standing: Standing, run_at: datetime) -> SourceReport:
    session, problem = standing.newest, standing.problem
    status = session.status if session else Status.NONE
    text = _told(standing, session, run_at) if session else "no session yet"
    if problem:
        text = f"{problem.reason}; before that {text}" if SEVERITY[status] > SEVERITY[problem.floor] else problem.reason
        status = worst([problem.floor, status])
    if standing.is_silent:
        status = worst([Status.WARNING, status])
    if standing.is_uncertain:
        text = f"{text}; {NOT_ALL_KNOWN}" if session or problem else NOT_ALL_KNOWN
        status = worst([Status.WARNING, status])
    lacking = [Status.WARNING] * (standing.is_silent or standing.is_uncertain) + ([problem.floor] if problem else [])
    return SourceReport(standing.data_source, status, text, status if standing.is_member else worst(lacking))


def remark(reports: Sequence[SourceReport]) -> str:
    """What a person needs to know of a run: the worst first, sources of which the same is to be said together.

    For example `SQL Server: Failed (last success 3 days ago). Files and Folders, System State: Completed.`
    """
    groups: dict[tuple[Status, str], list[str]] = {}
    for report in reports:
        groups.setdefault((report.status, report.text), []).append(report.name)
    return " ".join(f"{', '.join(names)}: {text}." for (_, text), names in groups.items())


def _told(standing: Standing, session: Session, run_at: datetime) -> str:
    text = code_name(session.status_code)
    if session.errors_count:
        text += f", {counted(session.errors_count, 'error')}"
    notes = []
    if session.origin is Origin.COLORBAR:
        notes.append("from the colorbar, time of day not known")
    if standing.is_silent:
        notes.append(f"no session since then, {age(run_at - session.session_at)}")
    elif not standing.is_member and (session.status is not Status.SUCCESS or run_at - session.session_at > OLD_AFTER):
        notes.append(f"{age(run_at - session.session_at)} ago")
    success = standing.success
    if session.status is not Status.SUCCESS:
        notes.append(f"last success {age(run_at - success.session_at)} ago" if success else "no success known")
    return f"{text} ({'; '.join(notes)})" if notes else text

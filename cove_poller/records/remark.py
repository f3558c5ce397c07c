"""What a job run says of each data source, and all of them in a sentence or two: its remark. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cove_poller.records.columns import label
from cove_poller.records.reading import Blindness
from cove_poller.records.session import Origin, Session
from cove_poller.records.statuses import SEVERITY, Status, code_name, worst
from cove_poller.text import age, counted

OLD_AFTER = timedelta(days=1)


@dataclass(frozen=True)
class SourceReport:
    """How a data source stood at a run, and that in words. The status is NONE if it had no session yet."""

    data_source: str
    status: Status
    text: str

    @property
    def name(self) -> str:
        return label(self.data_source)


def source_reports(
    sources: Sequence[str],
    *,
    newest: Mapping[str, Session],
    successes: Mapping[str, Session],
    blindness: Mapping[str, Blindness],
    members: Sequence[Session],
    run_at: datetime,
) -> list[SourceReport]:
    """How each source stood at `run_at`, the worst first. A blind one is never better than its floor."""
    reports = []
    for code in sources:
        session, blind = newest.get(code), blindness.get(code)
        text, status = "no session yet", Status.NONE
        if session:
            is_old = session not in members and run_at - session.session_at > OLD_AFTER
            text, status = _told(session, successes.get(code), is_old=is_old, run_at=run_at), session.status
        if blind:
            is_worse = SEVERITY[status] > SEVERITY[blind.floor]
            text = f"{blind.reason}; before that {text}" if is_worse else blind.reason
            status = worst([blind.floor, status])
        reports.append(SourceReport(code, status, text))
    return sorted(reports, key=lambda report: -SEVERITY[report.status])


def remark(reports: Sequence[SourceReport]) -> str:
    """What a person needs to know of a run: the worst first, sources of which the same is to be said together.

    For example `SQL Server: Failed (last success 3 days ago). Files and Folders, System State: Completed.`
    """
    groups: dict[tuple[Status, str], list[str]] = {}
    for report in reports:
        groups.setdefault((report.status, report.text), []).append(report.name)
    return " ".join(f"{', '.join(names)}: {text}." for (_, text), names in groups.items())


def _told(session: Session, success: Session | None, *, is_old: bool, run_at: datetime) -> str:
    text = code_name(session.status_code)
    if session.errors_count:
        text += f", {counted(session.errors_count, 'error')}"
    notes = []
    if session.origin is Origin.COLORBAR:
        notes.append("from the colorbar, time of day not known")
    if is_old:
        notes.append(f"{age(run_at - session.session_at)} ago")
    if session.status is not Status.SUCCESS:
        notes.append(f"last success {age(run_at - success.session_at)} ago" if success else "no success known")
    return f"{text} ({'; '.join(notes)})" if notes else text

"""What a job run's remark says, in a sentence or two. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from cove_poller.columns import label
from cove_poller.sessions import Blindness, Origin, Session
from cove_poller.status import SEVERITY, Status, code_name
from cove_poller.text import age, counted

OLD_AFTER = timedelta(days=1)


def remark(
    sources: Sequence[str],
    *,
    newest: Mapping[str, Session],
    successes: Mapping[str, Session],
    blindness: Mapping[str, Blindness],
    members: Sequence[Session],
    run_at: datetime,
) -> str:
    """What a person needs to know of a run: the worst first, sources of which the same is to be said together.

    For example `SQL Server: Failed (last success 3 days ago). Files and Folders, System State: Completed.`
    """
    told: list[tuple[int, str, str]] = []
    for code in sources:
        session = newest.get(code)
        if code in blindness:
            told.append((SEVERITY[blindness[code].floor], blindness[code].reason, code))
        elif session is None:
            told.append((0, "no session yet", code))
        else:
            is_old = session not in members and run_at - session.session_at > OLD_AFTER
            text = _told(session, successes.get(code), is_old=is_old, run_at=run_at)
            told.append((SEVERITY[session.status], text, code))
    groups: dict[tuple[int, str], list[str]] = {}
    for severity, text, code in told:
        groups.setdefault((severity, text), []).append(label(code))
    ordered = sorted(groups.items(), key=lambda group: -group[0][0])
    return " ".join(f"{', '.join(names)}: {text}." for (_, text), names in ordered)


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

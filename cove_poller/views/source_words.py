"""A data source in words, the same in `status`, `report` and `check`. Pure."""

from cove_poller.records.health.device_state import SourceState
from cove_poller.records.statuses import Status, code_name
from cove_poller.text import counted, one_line

TO_BE_READ = "they are still to be read"
"""Why a gap is open that a later run is going to close."""


def source_words(source: SourceState) -> str:
    """Return Cove's word for the newest session, "never ran" where there was none, or why nothing is known of it."""
    if source.problem:
        return one_line(source.problem)
    has_run = source.last_session_at is not None or source.status_code is not None
    return code_name(source.status_code) if has_run else "never ran"


def source_text(source: SourceState, lack: str = "") -> str:
    """Return the source's name and what is wrong with it, if anything is: "SQL Server: Failed (2 errors), running".

    Of a stale one that is also what it `lack`s: "SQL Server: no session for 20 days"; of one with a gap, since when.
    """
    words = []
    if source.problem or source.status not in (Status.SUCCESS, Status.RUNNING):
        count = f" ({counted(source.errors_count, 'error')})" if source.errors_count and not source.problem else ""
        words = [f"{source_words(source)}{count}"]
    said = ", ".join(filter(None, [*words, lack, gap_text(source)]))
    named = f"{source.name}: {said}" if said else source.name
    return f"{named}, running" if source.running else named


def gap_text(source: SourceState) -> str:
    """Return since when sessions of a source may be missing in the record, and why; empty if none is.

    For example "sessions since 2026-03-02 01:00Z may be missing (they are still to be read)".
    """
    if source.gap_since is None:
        return ""
    why = one_line(source.gap_why or TO_BE_READ)
    return f"sessions since {source.gap_since:%Y-%m-%d %H:%M}Z may be missing ({why})"

"""Whether Backupchecks' own importer writes runs of the devices that are polled: two writers double the work list."""

from datetime import datetime, timedelta

from cove_poller.database.store import Store
from cove_poller.text import counted

RECENT = timedelta(days=7)


def other_writers(store: Store, now: datetime) -> str:
    """Return what is to be said of jobs that get runs from others than the poller too; empty if there are none."""
    count = store.runs.written_by_others(now - RECENT)
    if not count:
        return ""
    jobs = f"{counted(count, 'job')} of polled devices also got runs from somebody else in the last {RECENT.days} days"
    return f"{jobs}, Backupchecks' own importer perhaps: two writers double the work list, so switch one of them off"

"""What a complete listing lacks: devices that are gone, with the runs that were still waiting for more."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cove_poller.commands.record_page import run_policy
from cove_poller.commands.record_runs import Subject, Tally, save_runs
from cove_poller.config.settings import BackupchecksSettings
from cove_poller.database.bulk import Row
from cove_poller.database.store import Store
from cove_poller.records.source_history import from_json

MOST_AT_ONCE = 5
TENTH = 10


@dataclass(frozen=True)
class Gone:
    """The names of devices that are gone now, and of those that a listing lacks but is not believed about yet.

    `job_runs` tells what became of the runs that were waiting.
    """

    names: Sequence[str] = ()
    doubted: Sequence[str] = ()
    job_runs: Tally = field(default_factory=Tally)


def note_gone(
    store: Store, settings: BackupchecksSettings, login: str, seen_ids: Collection[int], now: datetime
) -> Gone:
    """Mark the login's devices that are not among `seen_ids`, all that a complete listing had.

    Where more than a tenth and more than five vanish at once, none is marked until the next complete listing lacks
    them too.
    """
    missing = store.devices.not_listed(login, seen_ids)
    fresh = [row for row in missing if row["missing_since"] is None]
    known_count = len(seen_ids) + len(missing)
    if len(fresh) > MOST_AT_ONCE and len(fresh) * TENTH > known_count:
        store.devices.mark_missing((row["account_id"] for row in fresh), now)
        doubted = [row["device_name"] for row in fresh]
        missing = [row for row in missing if row["missing_since"] is not None]
    else:
        doubted = []
    store.devices.mark_gone((row["account_id"] for row in missing), now)
    subjects = {row["account_id"]: _subject(row) for row in missing if row["job_id"] and not row["ignored"]}
    policy = run_policy(settings, store.runs.remark_limit(), store.runs.objects.limits())
    runs = save_runs(store, subjects, policy, now)
    return Gone([row["device_name"] for row in missing], doubted, runs)


def _subject(row: Row) -> Subject:
    """A device that runs nothing any more, so that its last round waits for nobody."""
    return Subject(row["job_id"], from_json(row["source_history"]))

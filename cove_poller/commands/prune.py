"""`prune`: remove old rows of the poller's own tables, but for those that later runs still go by.

Nothing of Backupchecks' is touched. Needs no lock: a row that it removes is one that no run looks at any more.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cove_poller.commands.installation import Installation
from cove_poller.commands.results import envelope, in_json
from cove_poller.database.engine import Mode
from cove_poller.database.old_rows import count_rows, old_polls, old_sessions, remove_rows


@dataclass(frozen=True)
class Pruned:
    """How many rows from before `before` were removed, or with `dry_run` would be."""

    started_at: datetime
    finished_at: datetime
    before: datetime
    sessions: int
    polls: int
    dry_run: bool
    exit_code: int = 0

    def to_json(self) -> dict[str, Any]:
        return {
            **envelope("prune", 0, self.started_at, self.finished_at),
            "dry_run": self.dry_run,
            "before": in_json(self.before),
            "removed": {"sessions": self.sessions, "polls": self.polls},
        }


def prune(installation: Installation, keep: timedelta, *, dry_run: bool = False) -> Pruned:
    """Remove the sessions and polls that are older than `keep` and that nobody goes by. Raise DatabaseError."""
    started_at = installation.now()
    before = started_at - keep
    with installation.open(Mode.READ if dry_run else Mode.WRITE) as database:
        treat = count_rows if dry_run else remove_rows
        counts = [treat(database, rows) for rows in (old_sessions(database, before), old_polls(database, before))]
    return Pruned(started_at, installation.now(), before, counts[0], counts[1], dry_run)

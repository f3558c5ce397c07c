"""What `status`, `report` and `check` show: read from the database alone, as values."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from cove_poller.commands.installation import Installation
from cove_poller.database.engine import Mode
from cove_poller.database.overview import read_overview, read_sessions
from cove_poller.records.health.overview import Overview, PlotSession, only


def known_state(
    installation: Installation, now: datetime, *, customer: str | None = None, condition: str | None = None
) -> Overview:
    """Return what is known of all devices, or of those of a customer or that a filter of `status --only` lets pass."""
    with installation.open(Mode.READ) as database:
        return only(read_overview(database, installation.config, now, customer=customer), condition)


@contextmanager
def known_past(
    installation: Installation, now: datetime, since: datetime
) -> Iterator[tuple[Overview, Iterator[PlotSession]]]:
    """Give what is known of all devices, and their sessions since a moment one by one: they are many."""
    with installation.open(Mode.READ) as database:
        yield read_overview(database, installation.config, now), read_sessions(database, since)

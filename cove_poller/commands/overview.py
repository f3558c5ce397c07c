"""What `status`, `report` and `check` show: read from the database alone, as values."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, time, timedelta

from cove_poller.commands.installation import Installation
from cove_poller.database.engine import Mode
from cove_poller.database.overview import read_overview, read_sessions
from cove_poller.errors import WrongUsage
from cove_poller.records.health.overview import Overview, PlotSessions, of_login, only, with_own_polls
from cove_poller.records.window import parse_when

chosen = only

DAYS_AGO = {"today": 0, "yesterday": 1}


def known_state(
    installation: Installation,
    now: datetime,
    *,
    customer: str | None = None,
    condition: str | None = None,
    login: str | None = None,
) -> Overview:
    """Return what is known of all devices, or of those of a customer, of a login, or that a filter of `ONLY` lets pass.

    Raise WrongUsage for a customer or a login that nobody is called.
    """
    with installation.open(Mode.READ) as database:
        found = read_overview(database, installation.config, now, customer=customer)
    return only(of_login(found, login) if login else found, condition)


@contextmanager
def known_past(
    installation: Installation, now: datetime, since: datetime, *, customer: str | None = None
) -> Iterator[tuple[Overview, Iterator[PlotSessions]]]:
    """Give what is known of all devices, or a customer's, and all sessions since a moment, by source.

    Raise WrongUsage for a customer that nobody is called; of one, only the polls by which its devices are known.
    """
    with installation.open(Mode.READ) as database:
        found = read_overview(database, installation.config, now, customer=customer)
        yield with_own_polls(found) if customer else found, read_sessions(database, since)


def moment_of(text: str, now: datetime) -> datetime:
    """Return the time that `yesterday`, `today` (days of the zone of `now`) or any other WHEN means.

    Raise WrongUsage if it is none, or has not come yet.
    """
    back = DAYS_AGO.get(text.strip().lower())
    if back is not None:
        return datetime.combine(now.date() - timedelta(days=back), time()).replace(tzinfo=now.tzinfo).astimezone(UTC)
    try:
        moment = parse_when(text, now)
    except ValueError as error:
        raise WrongUsage(f"{error}, or yesterday", "--since") from None
    if moment > now:
        raise WrongUsage(f"{text!r} has not come yet", "--since")
    return moment

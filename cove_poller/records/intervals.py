"""Which customers a sync polls: each once in every slot of its interval. Pure.

A slot is a stretch of time as long as the interval, counted from 1970 on, so nobody has to remember when a customer
was polled: the first successful sync of a slot polled every customer who was due, and a later one need not.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cove_poller.config.settings import IntervalSettings
from cove_poller.records.job_matching import is_called

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FORGIVEN = timedelta(seconds=60)
"""How much too early a sync may be and still counts for the slot that it was meant for."""


def slot(moment: datetime, interval: timedelta) -> int:
    """Return the number of the slot that a moment lies in; a minute too early still counts for it."""
    return (moment - EPOCH + FORGIVEN) // interval


def interval_of(customer_name: str, settings: IntervalSettings) -> timedelta | None:
    """Return how often a customer, by Cove's name, is polled; None for every time.

    Where several names fit that have no mail address, the shortest interval wins.
    """
    if customer_name in settings.customers:
        return settings.customers[customer_name]
    fitting = [interval for name, interval in settings.customers.items() if is_called(customer_name, name)]
    return min(fitting, default=settings.default)


@dataclass(frozen=True)
class Schedule:
    """Who is due `now`, after the last successful sync of the same login, which nobody else's counts for."""

    settings: IntervalSettings
    last_sync_at: datetime | None
    now: datetime

    def is_due(self, customer_name: str) -> bool:
        """Tell whether a customer was not polled yet in the present slot."""
        return self._is_due(interval_of(customer_name, self.settings))

    def is_anybody_due(self, customer_names: Iterable[str]) -> bool:
        """Tell whether one of the customers is due, or one who is not known yet would be."""
        return self._is_due(self.settings.default) or any(map(self.is_due, customer_names))

    def _is_due(self, interval: timedelta | None) -> bool:
        if interval is None or self.last_sync_at is None:
            return True
        return slot(self.last_sync_at, interval) != slot(self.now, interval)

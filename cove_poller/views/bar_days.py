"""The colour bar as all views read it: one call. Pure."""

from cove_poller.records.colorbar import MOST_DAYS
from cove_poller.records.statuses import NO_BACKUP, Status, Statuses


def bar_days(color_bar: str, statuses: Statuses) -> list[Status]:
    """Return what became of each day, the oldest first, today last. An unreadable day is a warning, never a success."""
    return [_day(letter, statuses) for letter in color_bar[-MOST_DAYS:]]


def _day(letter: str, statuses: Statuses) -> Status:
    if not (letter.isascii() and letter.isdigit()):
        return Status.WARNING
    return Status.NONE if int(letter) == NO_BACKUP else statuses.meaning(int(letter))

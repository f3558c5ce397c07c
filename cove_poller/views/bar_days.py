"""The colour bar as all views read it. Pure."""

from collections.abc import Mapping

from cove_poller.records.colorbar import MOST_DAYS
from cove_poller.records.statuses import NO_BACKUP, Status, Statuses


def bar_days(color_bar: str, statuses: Statuses) -> list[Status]:
    """Return what became of each day, the oldest first, today last. An unreadable day is a warning, never a success."""
    bar = color_bar[-MOST_DAYS:]
    known = {letter: _day(letter, statuses) for letter in {*bar}}
    return [known[letter] for letter in bar]


def bar_signs(color_bar: str, statuses: Statuses, signs: Mapping[Status, str]) -> str:
    """Return the same as text, a sign a day."""
    bar = color_bar[-MOST_DAYS:]
    return bar.translate({ord(letter): signs[_day(letter, statuses)] for letter in {*bar}})


def _day(letter: str, statuses: Statuses) -> Status:
    if not (letter.isascii() and letter.isdigit()):
        return Status.WARNING
    return Status.NONE if int(letter) == NO_BACKUP else statuses.meaning(int(letter))

"""The pictures of the report: colour bars as lines of an SVG, sessions packed for the browser to draw. Pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, time, timedelta
from itertools import groupby

from cove_poller.records.colorbar import MOST_DAYS
from cove_poller.records.columns import DataSource
from cove_poller.records.health.overview import PlotSession
from cove_poller.records.statuses import Status, Statuses
from cove_poller.views.bar_days import bar_days

LETTERS = {Status.SUCCESS: "s", Status.WARNING: "w", Status.FAILED: "f", Status.RUNNING: "r", Status.NONE: "n"}
"""A day or a session in one letter; the style sheet has its colour and shape."""

WORDS = {"f": "failed", "w": "warning", "s": "success", "r": "running", "n": "no backup"}

HEIGHTS = {"f": 16, "w": 11, "s": 6, "r": 6, "n": 2}
"""How high a day stands in its bar, out of 16: the worse, the higher, so that no meaning is in the colour alone."""

DAY_WIDTH = 5

DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"  # three of them: 65536 minutes, 45 days
STATUS_CODES = {Status.SUCCESS.value: 0, Status.WARNING.value: 1, Status.FAILED.value: 2}


def bar_letters(color_bar: str, statuses: Statuses) -> str:
    """Return a letter of `LETTERS` for each day of a colour bar, the oldest first."""
    return "".join(LETTERS[day] for day in bar_days(color_bar, statuses))


def bar_text(letters: str) -> str:
    """Return what a colour bar says, in words: "25 days success, 2 failed; the last: failed"."""
    if not letters:
        return "no colour bar"
    counts = Counter(letters)
    days = ", ".join(f"{counts[letter]} {word}" for letter, word in WORDS.items() if counts[letter])
    return f"{len(letters)} days: {days}; the last: {WORDS[letters[-1]]}"


def bar_lines(letters: str) -> list[tuple[str, str]]:
    """Return the colour bar as SVG paths, one for each letter: dashed lines, a dash a day, the newest on the right.

    A run of equal days is one line, which keeps thousands of bars small.
    """
    drawn: dict[str, list[str]] = {}
    for letter, begin, length in _runs(letters):
        left, middle = begin * DAY_WIDTH, 16 - HEIGHTS[letter] / 2
        drawn.setdefault(letter, []).append(f"M{left} {middle:g}h{length * DAY_WIDTH - 1}")
    return [(letter, "".join(lines)) for letter, lines in drawn.items()]


def _runs(letters: str) -> Iterator[tuple[str, int, int]]:
    """Yield the runs of equal days: letter, place of its first day of 28, and length."""
    place = MOST_DAYS - len(letters)
    for letter, run in groupby(letters):
        length = len(list(run))
        yield letter, place, length
        place += length


def plot_begin(as_of: datetime) -> datetime:
    """Return the midnight (UTC) at which the 28 days of the plot begin, today being the last of them."""
    return datetime.combine(as_of.date() - timedelta(days=MOST_DAYS - 1), time(tzinfo=as_of.tzinfo))


def packed_sessions(
    sessions: Iterable[PlotSession], account_ids: Iterable[int], begin: datetime
) -> dict[int, dict[str, str]]:
    """Return the sessions of each device and source as text: minute since `begin` and status in three letters each.

    Only those of `account_ids`. Cove's total is left out where the sources are known.
    """
    end = begin + timedelta(days=MOST_DAYS)
    pieces: dict[int, dict[str, list[str]]] = {account_id: {} for account_id in account_ids}
    for session in sessions:
        of_device = pieces.get(session.account_id)
        if of_device is not None and begin <= session.session_at < end:
            of_device.setdefault(session.data_source, []).append(_packed(session.session_at, session.status, begin))
    return {account_id: _joined(found) for account_id, found in pieces.items()}


def _joined(found: Mapping[str, list[str]]) -> dict[str, str]:
    counting = {source: packed for source, packed in found.items() if source != DataSource.TOTAL} or found
    return {source: "".join(packed) for source, packed in sorted(counting.items())}


def _packed(moment: datetime, status: str, begin: datetime) -> str:
    number = int((moment - begin).total_seconds()) // 60 * 4 + STATUS_CODES[status]
    return DIGITS[number >> 12] + DIGITS[number >> 6 & 63] + DIGITS[number & 63]

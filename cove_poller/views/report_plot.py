"""The pictures of the report: colour bars as runs of letters, sessions packed for the browser to draw. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, time, timedelta
from itertools import groupby

from cove_poller.records.colorbar import MOST_DAYS
from cove_poller.records.columns import DataSource
from cove_poller.records.health.overview import PlotSessions
from cove_poller.records.statuses import Status, Statuses
from cove_poller.views.bar_days import bar_signs

LETTERS = {Status.SUCCESS: "s", Status.WARNING: "w", Status.FAILED: "f", Status.RUNNING: "r", Status.NONE: "n"}
"""A day or a session in one letter; the style sheet has its colour and shape."""

DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
STEP = 32
"""How many minutes a digit counts; the last digit is that many without a session."""

EMPTY_STEPS = len(DIGITS) - 1
MOST_NUMBERS = MOST_DAYS * 1440 * 4


def bar_letters(color_bar: str, statuses: Statuses) -> str:
    """Return a letter of `LETTERS` for each day of a colour bar, the oldest first."""
    return bar_signs(color_bar, statuses, LETTERS)


def bar_runs(letters: str) -> Iterator[tuple[str, str]]:
    """Yield the runs of equal days of a bar: the letter, and the run itself."""
    for letter, run in groupby(letters):
        yield letter, "".join(run)


def plot_begin(as_of: datetime) -> datetime:
    """Return the midnight (UTC) at which the 28 days of the plot begin, today being the last of them."""
    return datetime.combine(as_of.date() - timedelta(days=MOST_DAYS - 1), time(tzinfo=as_of.tzinfo))


class PackedSessions:
    """The sessions of many sources in three texts, which so become small when they are compressed.

    Of each session, source by source and in order of time: `steps` and `minutes` say how long after the one before, or
    after the plot's begin, it ended; `statuses` is a letter of s, w and f. What repeats stands together so.
    """

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.minutes: list[str] = []
        self.statuses: list[str] = []

    def add(self, numbers: Iterable[int]) -> int:
        """Add the sessions of a source, as `PlotSessions` has them. Return how many of them are of the plot's days."""
        known, before = [one for one in sorted(numbers) if 0 <= one < MOST_NUMBERS], 0
        for number in known:
            step, minute = divmod((number >> 2) - before, STEP)
            before = number >> 2
            empty, step = divmod(step, EMPTY_STEPS)
            self.steps.append(DIGITS[-1] * empty + DIGITS[step])
            self.minutes.append(DIGITS[minute])
            self.statuses.append("swf"[number & 3])
        return len(known)

    def texts(self) -> list[str]:
        return ["".join(one) for one in (self.steps, self.minutes, self.statuses)]


def sessions_by_source(
    sessions: Iterable[PlotSessions], account_ids: Iterable[int]
) -> dict[int, dict[str, PlotSessions]]:
    """Return the sessions of some devices by their sources; Cove's total is left out where the sources are known."""
    found: dict[int, dict[str, PlotSessions]] = {account_id: {} for account_id in account_ids}
    for one in sessions:
        if (of_device := found.get(one.account_id)) is not None:
            of_device[one.data_source] = one
    return {account_id: _counting(of_device) for account_id, of_device in found.items()}


def _counting(found: Mapping[str, PlotSessions]) -> dict[str, PlotSessions]:
    return {source: one for source, one in sorted(found.items()) if source != DataSource.TOTAL} or {**found}

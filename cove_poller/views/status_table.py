"""`status` on a terminal: the totals, then a line for each device, as wide as the terminal and never wider."""

from collections.abc import Sequence
from datetime import datetime, tzinfo

from rich.cells import cell_len, set_cell_size
from rich.console import Group
from rich.text import Text

from cove_poller.config.settings import Config
from cove_poller.records.colorbar import MOST_DAYS
from cove_poller.records.health.device_state import Condition, DeviceState
from cove_poller.records.health.freshness import poll_warnings
from cove_poller.records.health.overview import Overview
from cove_poller.records.statuses import Status, Statuses
from cove_poller.text import counted, zoned
from cove_poller.views.bar_days import bar_days
from cove_poller.views.findings import findings
from cove_poller.views.status_lines import BUCKET_WORDS, MARKS, clean, legend, login_lines

BAR_STYLES = {
    Status.SUCCESS: "black on green",
    Status.WARNING: "black on yellow",
    Status.FAILED: "white on red",
    Status.RUNNING: "white on blue",
    Status.NONE: "dim",
}
CONDITION_STYLES = {
    Condition.FAILED: "bold red",
    Condition.STALE: "bold magenta",
    Condition.WARNING: "yellow",
    Condition.NEVER: "yellow",
    Condition.OFFLINE: "dim",
    Condition.RUNNING: "blue",
    Condition.SUCCESS: "green",
}
SINCE_WIDTH = len("2026-03-10 09:00")
FEWEST_DAYS = 5
GAPS = "  "
Cells = tuple[str, str, str, str, str]


def status_table(overview: Overview, shown: Overview, config: Config, width: int, zone: tzinfo | None = None) -> Group:
    """Return the totals of `overview`, then a line for each device of `shown`, none longer than `width`.

    Times are those of `zone`, None being this machine's own. Names are text, never markup.
    """
    warnings = [Text(line, style="bold white on red") for line in poll_warnings(overview)]
    head = [*warnings, *map(Text, login_lines(overview)), *map(Text, totals(overview, zone))]
    if not shown.devices:
        return Group(*head)
    return Group(*head, Text(), *device_rows(shown, Statuses.from_config(config.status), width, zone))


def totals(overview: Overview, zone: tzinfo | None) -> list[str]:
    """Return how many devices there are, need attention, are in which condition, and when they last succeeded."""
    problems = sum(one.is_problem for one in overview.devices)
    need = "1 needs" if problems == 1 else f"{problems or 'none'} need{'' if problems else 's'}"
    counts, buckets = overview.counts(), overview.buckets()
    unlinked = sum(not one.is_linked for one in overview.devices)
    conditions = [f"{counts[one]} {one}" for one in Condition if counts[one]] + (
        [f"{unlinked} unlinked"] if unlinked else []
    )
    return [
        f"{counted(len(overview.devices), 'device')}, {need} attention ({zoned(overview.as_of, zone)})",
        f"Condition: {', '.join(conditions) or 'none known'}",
        f"Last success: {', '.join(f'{buckets[one]} {words}' for one, words in BUCKET_WORDS.items())}",
        legend(),
    ]


def device_rows(shown: Overview, statuses: Statuses, width: int, zone: tzinfo | None) -> list[Text]:
    """Return the heads of the columns, then a line for each device."""
    cells = [_cells(device, zone) for device in shown.devices]
    widths, days = _widths(cells, width)
    heads: Cells = ("CUSTOMER", "DEVICE", "WHAT", f"SINCE ({shown.as_of.astimezone(zone):%Z})", "")
    lines = [Text(_joined(heads, widths) + (f"LAST {days} DAYS"[: max(days, 0)] if days >= 12 else ""), style="bold")]
    for device, texts in zip(shown.devices, cells, strict=True):
        line = Text(_joined(texts, widths))
        begin = sum(widths[:2]) + 2 * len(GAPS)
        line.stylize(CONDITION_STYLES[device.condition], begin, begin + widths[2])
        lines.append(line.append_text(_bar(device.color_bar, statuses, days)))
    for line in lines:
        line.no_wrap, line.overflow = True, "crop"
    return lines


def _cells(device: DeviceState, zone: tzinfo | None) -> Cells:
    found = findings(device)
    what = "; ".join(one.text for one in found) or device.condition.value
    since = found[0].since if found else device.last_success_at or device.last_session_at
    return clean(device.customer), clean(device.name), what, _minute(since, zone), ""


def _minute(moment: datetime | None, zone: tzinfo | None) -> str:
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M}" if moment else "?"


def _widths(cells: Sequence[Cells], width: int) -> tuple[list[int], int]:
    """Return the widths of customer, device, what and since, and how many days of the bar still fit beside them.

    The words come first, each name at most a quarter of them; what they leave is the bar's, which has few days at
    least, but none where there is no room for names.
    """
    least_days = FEWEST_DAYS if width >= 60 else 0
    room = max(width - SINCE_WIDTH - 4 * len(GAPS) - least_days, 12)
    natural = [max(cell_len(row[column]) for row in cells) for column in range(3)]
    names = [min(natural[0], room // 4), min(natural[1], room // 4)]
    what = min(max(natural[2], len("WHAT")), room - sum(max(one, 6) for one in names))
    widths = [max(names[0], 6), max(names[1], 6), what, SINCE_WIDTH]
    left = width - sum(widths) - 4 * len(GAPS)
    return widths, min(MOST_DAYS, max(left, 0)) if least_days else 0


def _joined(texts: Cells, widths: Sequence[int]) -> str:
    return GAPS.join([*(_fitted(text, width) for text, width in zip(texts, widths, strict=False)), ""])


def _fitted(text: str, width: int) -> str:
    """Return the text in exactly so many columns of a terminal, with a mark where something is missing."""
    return set_cell_size(text, width) if cell_len(text) <= width else f"{set_cell_size(text, width - 1)}…"


def _bar(bar: str, statuses: Statuses, days: int) -> Text:
    text = Text()
    for status in bar_days(bar, statuses)[-days:] if days else []:
        text.append(MARKS[status], style=BAR_STYLES[status])
    return text

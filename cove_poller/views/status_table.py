"""`status` on a terminal: the totals, then a line for each device, as wide as the terminal and never wider."""

from collections.abc import Sequence
from datetime import datetime, timedelta, tzinfo

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
WIDE_FROM = 100
"""From so many columns on a moment has its year; on a narrower terminal only one that is long ago, for its time."""

LONG_AGO = timedelta(days=300)
LEAST_DAYS = {0: 0, 60: 5, 100: 7, 120: 14, 160: MOST_DAYS}
"""How many days of the bar have a place in any case, from so many columns on."""

GAP = "  "
Cells = tuple[str, str, str, str]


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
    cells = [_cells(device, zone, is_wide=width >= WIDE_FROM) for device in shown.devices]
    heads = "CUSTOMER", "DEVICE", "WHAT", f"SINCE ({shown.as_of.astimezone(zone):%Z})"
    widths, days = _widths(cells, width, cell_len(heads[-1]))
    lines = [_line(heads, widths, "bold").append(f"LAST {days} DAYS" if days >= 12 else "", style="bold")]
    for device, texts in zip(shown.devices, cells, strict=True):
        line = _line(texts, widths, what_style=CONDITION_STYLES[device.condition])
        lines.append(line.append_text(_bar(device.color_bar, statuses, days)))
    for line in lines:
        line.no_wrap, line.overflow = True, "crop"
    return lines


def _cells(device: DeviceState, zone: tzinfo | None, *, is_wide: bool) -> Cells:
    found = findings(device)
    what = "; ".join(one.text for one in found) or device.condition.value
    since = found[0].since if found else device.last_success_at or device.last_session_at
    return clean(device.customer), clean(device.name), what, _moment(since, device.as_of, zone, is_wide=is_wide)


def _moment(moment: datetime | None, now: datetime, zone: tzinfo | None, *, is_wide: bool) -> str:
    if moment is None:
        return "?"
    local = moment.astimezone(zone)
    if is_wide:
        return f"{local:%Y-%m-%d %H:%M}"
    return f"{local:%Y-%m-%d}" if now - moment > LONG_AGO else f"{local:%m-%d %H:%M}"


def _widths(cells: Sequence[Cells], width: int, least_since: int) -> tuple[list[int], int]:
    """Return the widths of customer, device, what and since, and how many days of the bar still fit beside them.

    The words come first, each name with a fifth of the room, then the bar, beyond the days that it has in any case;
    what is left then is for names that are longer.
    """
    since = max(len("2026-03-10 09:00" if width >= WIDE_FROM else "03-10 09:00"), least_since)
    least_days = max(days for columns, days in LEAST_DAYS.items() if columns <= width)
    room = max(width - since - 4 * len(GAP) - least_days, 12)
    natural = [max(cell_len(row[column]) for row in cells) for column in range(3)]
    names = [max(min(one, room // 5), 6) for one in natural[:2]]
    what = min(max(natural[2], len("WHAT")), room - sum(names))
    left = room + least_days - sum(names) - what
    days = min(MOST_DAYS, max(left, 0)) if least_days else 0
    for place in (0, 1):
        more = max(min(natural[place] - names[place], left - days), 0)
        names[place], left = names[place] + more, left - more
    return [*names, what, since], days


def _line(texts: Cells, widths: Sequence[int], style: str = "", what_style: str = "") -> Text:
    """Return the texts in columns, the names cut in the middle: what tells them apart is often at their end."""
    styles, cut = (style, style, what_style or style, style), (_cut_inside, _cut_inside, _cut_off, _cut_off)
    line = Text()
    for text, width, own_style, fitted in zip(texts, widths, styles, cut, strict=True):
        line.append(set_cell_size(fitted(text, width), width), style=own_style).append(GAP)
    return line


def _cut_off(text: str, width: int) -> str:
    return text if cell_len(text) <= width else f"{set_cell_size(text, width - 1).rstrip()}…"


def _cut_inside(text: str, width: int) -> str:
    if cell_len(text) <= width:
        return text
    end = text[-1:]
    while len(end) < len(text) and cell_len(text[-len(end) - 1 :]) <= width // 3:
        end = text[-len(end) - 1 :]
    return f"{set_cell_size(text, width - 1 - cell_len(end)).rstrip()}…{end}"


def _bar(bar: str, statuses: Statuses, days: int) -> Text:
    text = Text()
    for status in bar_days(bar, statuses)[-days:] if days else []:
        text.append(MARKS[status], style=BAR_STYLES[status])
    return text

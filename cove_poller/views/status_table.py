"""`status` on a terminal: a table by customer, the worst first, with colours that mean nothing by themselves."""

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from cove_poller.config.settings import Config
from cove_poller.records.colorbar import MOST_DAYS
from cove_poller.records.health.device_state import Condition, DeviceState
from cove_poller.records.health.freshness import poll_warnings
from cove_poller.records.health.overview import Overview
from cove_poller.records.statuses import Status, Statuses
from cove_poller.views.bar_days import bar_days
from cove_poller.views.status_lines import (
    MARKS,
    clean,
    legend,
    login_lines,
    source_texts,
    standing_text,
    success_age,
    summary,
)

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
HEADERS = ("Customer", "Device", "Type", "Status", "Last session", "Last success", "Sources")


def status_table(overview: Overview, config: Config) -> Group:
    """Return what is old, the table, the legend and the counts. Names are text, never markup."""
    warnings = [Text(line, style="bold white on red") for line in poll_warnings(overview)]
    stands = [Text(line) for line in (*login_lines(overview), *_device_lines(overview))]
    ends = [*stands, *(Text(line) for line in (legend(), *summary(overview)))]
    return Group(*warnings, _table(overview, Statuses.from_config(config.status)), *ends)


def _table(overview: Overview, statuses: Statuses) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for header in HEADERS:
        table.add_column(header, overflow="fold")
    table.add_column("Last 28 days", no_wrap=True, justify="right", min_width=MOST_DAYS)
    for customer, devices in overview.by_customer().items():
        for number, device in enumerate(devices):
            shown = Text(clean(customer), style="bold") if number == 0 else Text()
            table.add_row(shown, *_cells(device), _bar(device.color_bar, statuses))
        table.add_section()
    return table


def _device_lines(overview: Overview) -> list[str]:
    """What has been wrong with the devices, a line each, which names the device."""
    return [standing_text(one) for device in overview.devices for one in device.standing]


def _cells(device: DeviceState) -> tuple[Text, ...]:
    last_session = f"{device.last_session_at:%Y-%m-%d %H:%M}" if device.last_session_at else "never"
    success = f"{device.last_success_at:%Y-%m-%d %H:%M} ({success_age(device)})" if device.last_success_at else "never"
    return (
        Text(clean(device.name)),
        Text(device.device_type),
        Text(_condition(device), style=CONDITION_STYLES[device.condition]),
        Text(last_session),
        Text(success),
        Text(source_texts(device)),
    )


def _condition(device: DeviceState) -> str:
    return device.condition.value if device.is_linked else f"{device.condition}, unlinked"


def _bar(bar: str, statuses: Statuses) -> Text:
    text = Text()
    for status in bar_days(bar, statuses):
        text.append(MARKS[status], style=BAR_STYLES[status])
    return text

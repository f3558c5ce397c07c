"""`status --csv`: a line per device for a spreadsheet. Pure."""

import csv
from datetime import datetime
from io import StringIO

from cove_poller.commands.results import in_json
from cove_poller.config.settings import Config
from cove_poller.records.health.device_state import DeviceState
from cove_poller.records.health.overview import Overview
from cove_poller.records.statuses import Statuses
from cove_poller.views.findings import findings
from cove_poller.views.report_plot import bar_letters
from cove_poller.views.status_lines import clean, source_texts, standing_texts

HEADER = (
    "condition", "customer", "device", "type", "account_id", "login", "job_id", "problem", "since", "last_session_at",
    "last_success_at", "sources", "last_28_days", "standing",
)  # fmt: skip
FORMULA = ("=", "+", "-", "@")
"""What a spreadsheet would take for a formula: names are chosen by others."""


def status_csv(overview: Overview, config: Config) -> str:
    """Return a header and the devices; times are UTC in ISO 8601, a day of the bar is one of s, w, f, r and n."""
    statuses, out = Statuses.from_config(config.status), StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEADER)
    writer.writerows([_harmless(cell) for cell in _cells(device, statuses)] for device in overview.devices)
    return out.getvalue().removesuffix("\n")


def _cells(device: DeviceState, statuses: Statuses) -> tuple[str, ...]:
    found = findings(device)
    return (
        device.condition.value,
        clean(device.customer),
        clean(device.name),
        device.device_type,
        str(device.account_id),
        clean(device.login),
        str(device.job_id or ""),
        "; ".join(one.text for one in found),
        _time(found[0].since if found else None),
        _time(device.last_session_at),
        _time(device.last_success_at),
        source_texts(device) if device.sources else "",
        bar_letters(device.color_bar, statuses),
        standing_texts(device) if device.standing else "",
    )


def _time(moment: datetime | None) -> str:
    return in_json(moment) if moment else ""


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.startswith(FORMULA) else cell

"""The newest state of a device as a row of `cove_devices`. Pure."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from cove_poller.records.columns import DataSource
from cove_poller.records.device import Device
from cove_poller.records.reading import DeviceReading
from cove_poller.records.session import Session
from cove_poller.records.statuses import Status, worst

LAST_SEEN_PRECISION = timedelta(hours=1)
"""A device of which nothing else is new is not written again just to say that it was seen again."""

Row = Mapping[str, Any]


def device_row(
    device: Device, reading: DeviceReading, newest: Mapping[str, Session], login: str, now: datetime
) -> dict[str, Any]:
    """The newest state of a device as a row of `cove_devices`, but for what goes on from the row before."""
    total = device.sources.get(DataSource.TOTAL)
    successes = [one.last_success_at for one in device.sources.values() if one.last_success_at]
    counting = [newest[code].status for code in (*reading.active_sources, DataSource.TOTAL) if code in newest]
    return {
        "account_id": device.account_id,
        "login": login,
        "partner_id": device.partner_id,
        "device_name": device.name,
        "computer_name": device.fields.computer_name,
        "customer_name": device.fields.customer_name,
        "device_type": device.device_type,
        "data_sources": source_states(device, reading, newest),
        "color_bar": total.color_bar if total else None,
        "status": worst([*counting, *(blindness.floor for blindness in reading.blindness.values())]).value,
        "status_code": total.last_status if total else None,
        "last_session_at": max((session.session_at for session in newest.values()), default=None),
        "last_success_at": max(successes, default=None),
        "running_since": now if reading.running else None,
        "last_seen_at": now,
        "gone_at": None,
    }


def source_states(device: Device, reading: DeviceReading, newest: Mapping[str, Session]) -> dict[str, Any]:
    """The newest state of each active data source, ready for JSON. Times are Unix seconds."""
    states: dict[str, Any] = {}
    for code in reading.active_sources:
        fields, session, source = device.sources.get(code), newest.get(code), reading.sources[code]
        success = fields.last_success_at if fields else None
        states[code] = {
            "status": session.status.value if session else Status.NONE.value,
            "status_code": session.status_code if session else None,
            "errors_count": session.errors_count if session else None,
            "last_session_at": int(session.session_at.timestamp()) if session else None,
            "last_success_at": int(success.timestamp()) if success else None,
            "color_bar": fields.color_bar if fields else None,
            "running": source.running,
            "problem": source.blindness.reason if source.blindness else None,
        }
    return states


def continued(row: Row, previous: Row) -> dict[str, Any]:
    """The row with what goes on from the one before it."""
    kept = {name: previous[name] for name in ("first_seen_at", "ignored", "stale_since")}
    if row["running_since"] and previous["running_since"]:
        kept["running_since"] = previous["running_since"]
    if row["last_success_at"] is None:
        kept["last_success_at"] = previous["last_success_at"]
    if "history" not in row:
        kept["history"] = previous["history"]
    if previous["ignored"]:
        kept["job_id"] = previous["job_id"]
    return {**row, **kept}


def differs(row: Row, previous: Row) -> bool:
    """Whether a row says anything that the one before it does not."""
    if row["last_seen_at"] - previous["last_seen_at"] >= LAST_SEEN_PRECISION:
        return True
    return any(previous[key] != value for key, value in row.items() if key != "last_seen_at")

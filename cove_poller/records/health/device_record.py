"""The newest state of a device as a row of `cove_devices`. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from cove_poller.records.columns import DataSource
from cove_poller.records.device import Device
from cove_poller.records.device_changes import DeviceChanges
from cove_poller.records.device_reading import DeviceReading
from cove_poller.records.reading import Circumstances, SourceReading
from cove_poller.records.session import CLOSE, Origin, Session
from cove_poller.records.source_history import NOTHING, SourceHistory, to_json
from cove_poller.records.statuses import SEVERITY, Status, worst
from cove_poller.text import device_called

LAST_SEEN_PRECISION = timedelta(hours=1)
"""A device of which nothing else is new is not written again just to say that it was seen again."""

Row = Mapping[str, Any]


def row_called(row: Row) -> str:
    """Return the device of a row of `cove_devices` as messages name it."""
    return device_called(row["customer_name"], row["computer_name"] or row["device_name"], row["account_id"])


def device_row(
    device: Device,
    reading: DeviceReading,
    changes: DeviceChanges,
    previous: Row | None,
    *,
    login: str,
    now: datetime,
) -> dict[str, Any]:
    """Return the newest state of a device as a row of `cove_devices`, but for what goes on from the `previous` one."""
    total = device.sources.get(DataSource.TOTAL)
    states = source_states(device, reading, changes, previous["data_sources"] if previous else {}, now)
    successes = [state["last_success_at"] for state in states.values()]
    known = [one for one in successes if one is not None]
    return {
        "account_id": device.account_id,
        "login": login,
        "partner_id": device.partner_id,
        "device_name": device.name,
        "computer_name": device.fields.computer_name,
        "customer_name": device.fields.customer_name or "",
        "device_type": device.device_type,
        "data_sources": states,
        "color_bar": total.color_bar if total else None,
        "status": _device_status(reading, states, changes).value,
        "status_code": total.last_status if total else None,
        "last_session_at": max((session.session_at for session in changes.newest.values()), default=None),
        "last_success_at": datetime.fromtimestamp(min(known), UTC) if known and None not in successes else None,
        "running_since": now if reading.running else None,
        "last_seen_at": now,
        "gone_at": None,
        "missing_since": None,
        "source_history": to_json(changes.sources),
    }


def _device_status(reading: DeviceReading, states: Mapping[str, Any], changes: DeviceChanges) -> Status:
    """The worst of what is known of its sources, of the total, and of what is not known."""
    of_sources = [Status(state["status"]) for state in states.values()]
    total = newest_word(reading, changes, DataSource.TOTAL)
    silent = [Status.WARNING for state in states.values() if state["silent_since"]]
    floors = [problem.floor for problem in reading.problems.values()]
    return worst([*of_sources, *([total.status] if total else []), *silent, *floors])


def newest_word(reading: DeviceReading, changes: DeviceChanges, code: str) -> Session | None:
    """Return a source's last session by Cove's newest word, F00 with F15; where it tells none, the newest on record."""
    read = reading.sources.get(code)
    newest = changes.newest.get(code)
    if read is None or read.running or not read.sessions or newest is None or read.sessions[0].origin is Origin.GAP:
        return newest
    last = read.sessions[0]
    is_older = newest.session_at > last.session_at + CLOSE
    return last if is_older or SEVERITY[last.status] > SEVERITY[newest.status] else newest


def source_states(
    device: Device, reading: DeviceReading, changes: DeviceChanges, previous: Mapping[str, Any], now: datetime
) -> dict[str, Any]:
    """Return the newest state of each active data source, ready for JSON. Times are Unix seconds."""
    around = Circumstances(now)
    states: dict[str, Any] = {}
    for code in reading.active_sources:
        fields, session = device.sources.get(code), newest_word(reading, changes, code)
        source, history = reading.sources.get(code, SourceReading()), changes.sources.get(code, NOTHING)
        told = fields.last_success_at if fields else None
        success = told if told and around.is_believable(told) else None
        if session and session.status is Status.SUCCESS:
            success = max(success or session.session_at, session.session_at)
        success_at = int(success.timestamp()) if success else previous.get(code, {}).get("last_success_at")
        states[code] = {
            "status": session.status.value if session else Status.NONE.value,
            "status_code": session.status_code if session else None,
            "errors_count": session.errors_count if session else None,
            "last_session_at": int(session.session_at.timestamp()) if session else None,
            "last_success_at": success_at,
            "color_bar": fields.color_bar if fields else None,
            "running": source.running,
            "problem": source.problem.reason if source.problem else None,
            "not_started": source.not_started,
            "silent_since": _silent_since(history),
            **(changes.gaps[code].to_json() if code in changes.gaps else {"gap_since": None}),
        }
    return states


def _silent_since(history: SourceHistory) -> int | None:
    since = history.silent[-1].since if history.is_silent else None
    return int(since.timestamp()) if since else None


def continued(row: Row, previous: Row) -> dict[str, Any]:
    """The row with what goes on from the one before it."""
    kept = {name: previous[name] for name in ("first_seen_at", "ignored", "stale_since", "stale_sources")}
    if row["running_since"] and previous["running_since"]:
        kept["running_since"] = previous["running_since"]
    if "history" not in row:
        kept["history"] = previous["history"]
    if previous["ignored"]:
        kept["job_id"] = previous["job_id"]
    return {**row, **kept}


def differs(row: Row, previous: Row, precision: timedelta = LAST_SEEN_PRECISION) -> bool:
    """Return whether a row says anything that the one before it does not; `precision` is that of when it was seen."""
    if row["last_seen_at"] - previous["last_seen_at"] >= precision:
        return True
    return any(previous[key] != value for key, value in row.items() if key != "last_seen_at")

"""Since when something is wrong with a device, for whoever tells of it. Pure."""

from datetime import datetime

from cove_poller.records.health.device_state import DeviceState, SourceState
from cove_poller.records.statuses import Status


def source_since(device: DeviceState, source: SourceState) -> datetime | None:
    """Return when it began: the first session that went wrong, or the moment at which it had waited for too long."""
    if source.problem:
        return min((one.since for one in device.standing if f"{source.name}:" in one.what), default=None)
    if source.status in (Status.FAILED, Status.WARNING):
        return source.failing_since or source.last_session_at
    return stale_since(device, source)


def stale_since(device: DeviceState, source: SourceState) -> datetime:
    """Return when a source had waited for too long."""
    waits_from = max(filter(None, [source.last_success_at or source.known_since, source.active_since]))
    return source.silent_since or waits_from + max(device.alert_after, source.rhythm)


def total_stale_since(device: DeviceState) -> datetime:
    """Return when a device as a whole had waited for too long."""
    return (device.last_success_at or device.first_seen_at) + device.alert_after

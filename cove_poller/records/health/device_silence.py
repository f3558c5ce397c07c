"""Which sources of a device have become silent, or no longer are, with a look at it. Pure."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from cove_poller.records.columns import DataSource
from cove_poller.records.device import Device
from cove_poller.records.device_reading import DeviceReading
from cove_poller.records.health.silence import is_lost, is_switched_off, silence_limit, silent_since
from cove_poller.records.source_history import NOTHING, Histories, SourceHistory, with_silence


def with_silences(
    histories: Histories, device: Device, reading: DeviceReading, alert_after: timedelta, known_since: datetime,
    now: datetime,
) -> dict[str, SourceHistory]:  # fmt: skip
    """Return the sources' histories with what a look says of their silence; `known_since` is the device's first."""
    found = dict(histories)
    limits = {
        code: silence_limit(alert_after, histories.get(code, NOTHING).recent, color_bar(device, code))
        for code in reading.active_sources
    }
    if _is_off(device, reading, histories, known_since, max(limits.values(), default=alert_after), now):
        return found
    for code, limit in limits.items():
        history, read = histories.get(code, NOTHING), reading.sources[code]
        is_unknown = read.running or (read.problem and not history.recent)
        since = None if is_unknown else silent_since(history, known_since, limit, now)
        found[code] = with_silence(history, since, history.recent[-1] if history.recent else None)
    return found


def color_bar(device: Device, code: str) -> str:
    """Return the colour bar of a source; empty if there is none."""
    fields = device.sources.get(code)
    return (fields.color_bar or "") if fields else ""


def _is_off(
    device: Device, reading: DeviceReading, histories: Mapping[str, SourceHistory], known_since: datetime,
    limit: timedelta, now: datetime,
) -> bool:  # fmt: skip
    """Whether it is a workstation that is merely switched off, of which nothing is concluded meanwhile."""
    if device.device_type != "Workstation":
        return False
    bar = color_bar(device, DataSource.TOTAL)
    not_started = any(one.not_started for one in reading.sources.values())
    ends = [histories[code].recent[-1] for code in reading.active_sources if histories.get(code, NOTHING).recent]
    idle_for = now - max(ends, default=known_since)
    return is_switched_off(bar, idle_for, not_started=not_started) and not is_lost(bar, idle_for, limit)

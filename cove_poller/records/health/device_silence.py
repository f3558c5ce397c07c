"""Which sources of a device have become silent, or no longer are, with a look at it. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from cove_poller.records.columns import DataSource
from cove_poller.records.device import Device
from cove_poller.records.device_reading import DeviceReading
from cove_poller.records.health.silence import LOST_FACTOR, is_lost, is_switched_off, silence_limit, silent_since
from cove_poller.records.source_history import NOTHING, Histories, SourceHistory, with_silence

FOREVER = datetime.max.replace(tzinfo=UTC)


def with_silences(
    histories: Histories, device: Device, reading: DeviceReading, alert_after: timedelta, known_since: datetime,
    now: datetime,
) -> dict[str, SourceHistory]:  # fmt: skip
    """Return the sources' histories with what a look says of their silence; `known_since` is the device's first."""
    found = dict(histories)
    limits = _limits(histories, device, reading, alert_after)
    idle_for = now - _idle_since(reading, histories, known_since)
    if _is_off(device, reading, idle_for, max(limits.values(), default=alert_after)):
        return found
    for code, limit in limits.items():
        history, read = histories.get(code, NOTHING), reading.sources[code]
        is_unknown = read.running or (read.problem and not history.recent)
        since = None if is_unknown else silent_since(history, known_since, limit, now)
        found[code] = with_silence(history, since, history.recent[-1] if history.recent else None)
    return found


def silence_changes_at(
    histories: Histories, device: Device, reading: DeviceReading, alert_after: timedelta, known_since: datetime,
    now: datetime,
) -> datetime | None:  # fmt: skip
    """Return when a source of a device of which none is silent becomes so if nothing happens; None for never."""
    limits = _limits(histories, device, reading, alert_after)
    longest, idle_since = max(limits.values(), default=alert_after), _idle_since(reading, histories, known_since)
    if _is_off(device, reading, now - idle_since, longest):
        return idle_since + LOST_FACTOR * longest
    ends = (silent_since(histories.get(code, NOTHING), known_since, limit, FOREVER) for code, limit in limits.items())
    return min((one for one in ends if one), default=None)


def _limits(
    histories: Histories, device: Device, reading: DeviceReading, alert_after: timedelta
) -> dict[str, timedelta]:
    return {
        code: silence_limit(alert_after, histories.get(code, NOTHING).recent, color_bar(device, code))
        for code in reading.active_sources
    }


def color_bar(device: Device, code: str) -> str:
    """Return the colour bar of a source; empty if there is none."""
    fields = device.sources.get(code)
    return (fields.color_bar or "") if fields else ""


def _idle_since(reading: DeviceReading, histories: Mapping[str, SourceHistory], known_since: datetime) -> datetime:
    """Since when none of the active sources has had a session."""
    ends = [histories[code].recent[-1] for code in reading.active_sources if histories.get(code, NOTHING).recent]
    return max(ends, default=known_since)


def _is_off(device: Device, reading: DeviceReading, idle_for: timedelta, limit: timedelta) -> bool:
    """Whether it is a workstation that is merely switched off, of which nothing is concluded meanwhile."""
    if device.device_type != "Workstation":
        return False
    bar = color_bar(device, DataSource.TOTAL)
    not_started = any(one.not_started for one in reading.sources.values())
    return is_switched_off(bar, idle_for, not_started=not_started) and not is_lost(bar, idle_for, limit)

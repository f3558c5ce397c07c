"""Which sources of a device are silent, and until when that stays so if nothing happens. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from cove_poller.records.columns import DataSource
from cove_poller.records.device import Device
from cove_poller.records.device_reading import DeviceReading
from cove_poller.records.health.silence import LOST_FACTOR, is_lost, is_switched_off, silence_limit, silent_since
from cove_poller.records.source_history import NOTHING, SourceHistory, with_silence

FOREVER = datetime.max.replace(tzinfo=UTC)


def with_silences(
    device: Device,
    reading: DeviceReading,
    histories: Mapping[str, SourceHistory],
    *,
    alert: timedelta,
    known_since: datetime,
    now: datetime,
) -> tuple[dict[str, SourceHistory], datetime | None]:
    """Return what is kept of each source, with its silence, and when that changes next though nothing happens.

    `alert` is for how long a source may be silent by the configuration. None is for never.
    """
    found = dict(histories)
    limits = {
        code: silence_limit(alert, histories.get(code, NOTHING).recent, _color_bar(device, code))
        for code in reading.active_sources
    }
    longest = max(limits.values(), default=alert)
    idle_since = _idle_since(reading, histories, known_since)
    if _is_off(device, reading, now - idle_since, longest):
        return found, idle_since + LOST_FACTOR * longest
    for code, limit in limits.items():
        history, read = histories.get(code, NOTHING), reading.sources[code]
        is_unknown = read.running or (read.problem and not history.recent)
        since = None if is_unknown else silent_since(history, known_since, limit, now)
        found[code] = with_silence(history, since, history.recent[-1] if history.recent else None)
    ends = (silent_since(found.get(code, NOTHING), known_since, limit, FOREVER) for code, limit in limits.items())
    return found, min((one for one in ends if one), default=None)


def _color_bar(device: Device, code: str) -> str:
    fields = device.sources.get(code)
    return (fields.color_bar or "") if fields else ""


def _idle_since(reading: DeviceReading, histories: Mapping[str, SourceHistory], known_since: datetime) -> datetime:
    ends = [histories[code].recent[-1] for code in reading.active_sources if histories.get(code, NOTHING).recent]
    return max(ends, default=known_since)


def _is_off(device: Device, reading: DeviceReading, idle_for: timedelta, limit: timedelta) -> bool:
    """Whether it is a workstation that is merely switched off, of which nothing is concluded meanwhile."""
    if device.device_type != "Workstation":
        return False
    bar = _color_bar(device, DataSource.TOTAL)
    not_started = any(one.not_started for one in reading.sources.values())
    return is_switched_off(bar, idle_for, not_started=not_started) and not is_lost(bar, idle_for, limit)

"""`status --json`: everything that is known, as one JSON object. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from cove_poller.commands.results import envelope, in_json
from cove_poller.records.health.device_state import DeviceState, SourceState
from cove_poller.records.health.freshness import poll_freshness, poll_warnings
from cove_poller.records.health.news import Condition
from cove_poller.records.health.overview import Overview, PollState
from cove_poller.views.source_words import TO_BE_READ

SOURCE_FIELDS = tuple(one.name for one in fields(SourceState) if one.name not in ("known_since", "rhythm"))


def status_json(overview: Overview, started_at: datetime, finished_at: datetime) -> dict[str, Any]:
    """Return the envelope of every command, then the devices, the worst first. Times are UTC, spans are seconds."""
    return {
        **envelope("status", 0, started_at, finished_at),
        "as_of": in_json(overview.as_of),
        "warnings": poll_warnings(overview),
        "polls": [_poll(poll, overview) for poll in overview.polls],
        "unpolled_logins": list(overview.unpolled),
        "counts": _counts(overview.counts()),
        "buckets": _counts(overview.buckets()),
        "devices": [device_json(device) for device in overview.devices],
        "error": None,
    }


def _counts(counts: Mapping[Any, int]) -> dict[str, int]:
    return {str(name): count for name, count in counts.items()}


def _poll(poll: PollState, overview: Overview) -> dict[str, Any]:
    found = poll_freshness(poll.login, poll, overview.as_of, overview.max_poll_age)
    return {**_fields(poll), "standing": _standing(poll.standing), "is_old": found.is_old}


def device_json(device: DeviceState) -> dict[str, Any]:
    """Return everything that is known of a device."""
    own = {
        **_fields(device),
        "sources": [_source(device, source) for source in device.sources],
        "standing": _standing(device.standing),
        "gaps": [
            {"source": one.source, "since": in_json(one.gap_since), "why": one.gap_why or TO_BE_READ}
            for one in device.sources
            if one.gap_since
        ],
    }
    derived = {
        "name": device.name,
        "condition": device.condition.value,
        "bucket": device.bucket.value,
        "is_linked": device.is_linked,
        "is_stale": device.is_stale,
        "stale_sources": [source.source for source in device.stale_sources],
        "is_offline": device.is_offline,
        "success_age_seconds": _plain(device.success_age),
    }
    return derived | {("alert_after_seconds" if name == "alert_after" else name): one for name, one in own.items()}


def _source(device: DeviceState, source: SourceState) -> dict[str, Any]:
    own = {name: _plain(getattr(source, name)) for name in SOURCE_FIELDS}
    limit = max(device.alert_after, source.rhythm)
    return {"name": source.name, **own, "is_stale": source in device.stale_sources, "limit_seconds": _plain(limit)}


def _standing(conditions: Iterable[Condition]) -> list[dict[str, Any]]:
    return [{"what": one.what, "since": in_json(one.since)} for one in conditions]


def _fields(state: Any) -> dict[str, Any]:
    return {name: _plain(getattr(state, name)) for name in _names(state.__class__)}


@cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


def _plain(value: Any) -> Any:
    kind = value.__class__
    if kind is datetime:
        return in_json(value)
    return int(value.total_seconds()) if kind is timedelta else value

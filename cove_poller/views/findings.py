"""What is wrong with a device as people read it: which source, in Cove's words, since when. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from cove_poller.records.health.beginnings import source_since, total_stale_since
from cove_poller.records.health.device_state import DeviceState, SourceState
from cove_poller.records.health.overview import Overview
from cove_poller.records.statuses import Status
from cove_poller.text import long_age, one_line
from cove_poller.views.source_words import source_text

BAD = (Status.FAILED, Status.WARNING)


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, and since when; None where nobody knows."""

    text: str
    since: datetime | None


def findings(device: DeviceState) -> list[Finding]:
    """Return all that is wrong with a device, the gravest first; empty where nobody has to look at it."""
    found = [Finding(source_text(one, device.lack_of(one)), source_since(device, one)) for one in _bad_sources(device)]
    if not found and device.is_stale:
        lack = f"no success for {long_age(device.without_success_for)}"
        found.append(Finding(lack, total_stale_since(device)))
    if not found and device.status in BAD and not device.is_excused:
        found.append(Finding(f"Total: {device.status}", device.last_session_at))
    if not device.is_linked:
        found.append(Finding("belongs to no job", device.first_seen_at))
    return [*found, *_told_beside(device, found)]


def _bad_sources(device: DeviceState) -> Iterator[SourceState]:
    for one in device.sources:
        if one.problem or one in device.stale_sources or (one.status in BAD and not device.is_excused):
            yield one


def _told_beside(device: DeviceState, found: Sequence[Finding]) -> Iterator[Finding]:
    """Yield what sync told of it and the findings do not say yet, without the device's name before it."""
    told = {name for name in (one.name for one in device.sources) if any(name in one.text for one in found)}
    for one in device.standing:
        _, is_named, rest = one_line(one.what).partition(f" (device {device.account_id}): ")
        text = rest if is_named else one_line(one.what)
        is_linking = "belongs to no job" in one.what and not device.is_linked
        if not is_linking and not (one.is_failure and text.partition(":")[0] in told):
            yield Finding(text, one.since)


def begun_since(overview: Overview, since: datetime) -> Overview:
    """Return the overview with the devices of which something that is wrong began at `since` or later."""
    fresh = (one for one in overview.devices if any(found.since and found.since >= since for found in findings(one)))
    return replace(overview, devices=tuple(fresh))

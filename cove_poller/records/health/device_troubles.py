"""What is wrong with a device right now, as people are told. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

from cove_poller.records.columns import DataSource, label
from cove_poller.records.device import Device, describe_columns
from cove_poller.records.device_changes import DeviceChanges
from cove_poller.records.device_reading import DeviceReading, refused_sources
from cove_poller.records.health.news import Trouble
from cove_poller.records.health.silence import usual_distance
from cove_poller.records.source_history import NOTHING
from cove_poller.records.statuses import SEVERITY, code_name, worst
from cove_poller.text import device_called

BY_HAND = "read what is missing with: cove-poller backfill"
"""What to do about a gap that sync may not close."""

ROW = "row"
"""The key of the condition that a device's whole row cannot be read."""


@dataclass(frozen=True)
class Limits:
    """How far apart sessions of one round, and polls that miss nothing, may be, and which columns Cove refuses."""

    round_gap: timedelta
    look_gap: timedelta
    refused: frozenset[str] = frozenset()
    gap_whys: Mapping[str, str] | None = None
    """Why each source's gap is not closed, where that is to be said of the device; None: nobody tries to."""


def device_name(device: Device) -> str:
    """Return a device as a mail names it."""
    fields = device.fields
    return device_called(fields.customer_name or "", fields.computer_name or fields.name or "", device.account_id)


def device_troubles(
    device: Device, reading: DeviceReading, changes: DeviceChanges, unlinked: str | None, limits: Limits
) -> dict[str, Trouble]:
    """Return what is wrong with a device, by keys that stay while it lasts; `unlinked` is why it has no job.

    Of a source whose columns are refused nothing is said: that is the login's trouble, and the same for all devices.
    """
    of_login = {f"{code} unreadable" for code in refused_sources(limits.refused)}
    own = dict(_troubles(device, reading, changes, unlinked, limits.round_gap))
    return {
        **{key: trouble for key, trouble in own.items() if key not in of_login},
        **dict(_of_histories(device, reading, changes, limits)),
    }


def _troubles(
    device: Device, reading: DeviceReading, changes: DeviceChanges, unlinked: str | None, gap: timedelta
) -> Iterator[tuple[str, Trouble]]:
    name = device_name(device)
    for code, problem in reading.problems.items():
        yield f"{code} unreadable", Trouble(f"{name}: {label(code)}: {problem.reason}", is_failure=True)
    if device.malformed:
        columns = describe_columns(sorted(device.malformed))
        yield "malformed", Trouble(f"{name}: Cove sends what cannot be read in {columns}")
    for number, note in enumerate(device.contradictions):
        yield f"contradiction {number}", Trouble(f"{name}: {note}")
    if not device.fields.name or not device.fields.customer_name:
        missing = "name" if not device.fields.name else "customer"
        yield "nameless", Trouble(f"{name}: Cove sends no {missing} for it", is_failure=True)
    elif unlinked:
        yield "unlinked", Trouble(f"{name} belongs to no job, so nobody sees its runs: {unlinked}")
    if total := unexplained_total(reading, changes, gap):
        text = f"{name}: Cove's total says what none of its data sources explains, {total}"
        yield "total", Trouble(text)


def _of_histories(
    device: Device, reading: DeviceReading, changes: DeviceChanges, limits: Limits
) -> Iterator[tuple[str, Trouble]]:
    """What is not known of the sources' sessions: what ran while nobody looked, or between two looks."""
    name = device_name(device)
    for code in reading.active_sources:
        history = changes.sources.get(code, NOTHING)
        why = BY_HAND if limits.gap_whys is None else limits.gap_whys.get(code)
        usual = usual_distance(history.recent, "")
        is_undersampled = bool(usual and usual < limits.look_gap / 2)
        if history.gaps and why:
            since = history.gaps[0].since
            begin = f"{since:%Y-%m-%d %H:%M}Z" if since else "the first poll"
            text = f"{name}: {label(code)}: since {begin} there was a time in which nobody looked; {why}"
            yield f"{code} gap", Trouble(text, reminds=False)
        if is_undersampled and why:
            text = f"{name}: {label(code)} runs about as often as it is polled, so sessions in between may not be seen"
            yield f"{code} undersampled", Trouble(text, reminds=False)
        elif history.unseen and why:
            text = f"{name}: {label(code)}: Cove shows that sessions are missing since"
            text = f"{text} {history.unseen[0].since:%Y-%m-%d %H:%M}Z; {why}"
            yield f"{code} unseen", Trouble(text, reminds=False)


def unexplained_total(reading: DeviceReading, changes: DeviceChanges, gap: timedelta) -> str | None:
    """Return the total's newest session in words, if it is worse than every source's and lies behind them all."""
    total = changes.newest.get(DataSource.TOTAL)
    sources = [changes.newest[code] for code in reading.active_sources if code in changes.newest]
    if total is None or not sources or reading.running:
        return None
    last = max(session.session_at for session in sources)
    gravest = worst(session.status for session in sources)
    if total.session_at <= last + gap or SEVERITY[total.status] <= SEVERITY[gravest]:
        return None
    return f"{code_name(total.status_code)} at {total.session_at:%Y-%m-%d %H:%M}Z"

"""Devices that a poll passes over: their row is what it was, and nothing else can have changed since."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cove_poller.commands.outcome import Outcome
from cove_poller.commands.record_page import Recorder
from cove_poller.commands.record_runs import Tally
from cove_poller.cove.listing import Listed
from cove_poller.database.store import Store
from cove_poller.records import due
from cove_poller.records.health.device_record import LAST_SEEN_PRECISION


@dataclass(frozen=True)
class Sorted:
    """The devices of a page that are due, the digests by which they are known next time, and what the others count."""

    at: datetime
    due: Sequence[Listed]
    digests: Mapping[int, str] = field(default_factory=dict)
    quiet: Outcome = field(default_factory=Outcome)


def sort_out(
    store: Store, recorder: Recorder, listed: Sequence[Listed], refused: Iterable[str], now: datetime
) -> Sorted:
    """Return which of the listed devices are due. Of the others it is written, to the hour, that they were seen.

    All are due where customers have intervals, after a time in which nobody looked, and where clocks are far apart.
    """
    config = recorder.config
    if config.intervals.are_set:
        return Sorted(now, listed)
    basis = due.basis(config, recorder.login, refused)
    digests = {one.account_id: due.row_digest(basis, one.content) for one in listed if one.content}
    is_after_gap = recorder.looked_at is None or now - recorder.looked_at > timedelta(minutes=config.api.gap_minutes)
    if is_after_gap or abs(recorder.clock_ahead) > due.MOST_SKEW:
        return Sorted(now, listed, digests)
    quiet = store.devices.quiet(recorder.login, digests, now)
    store.devices.touch((row["account_id"] for row in quiet if now - row["last_seen_at"] >= LAST_SEEN_PRECISION), now)
    ids = {row["account_id"] for row in quiet}
    sessions = Tally(unchanged=sum(row["shown_count"] for row in quiet))
    left = [one for one in listed if one.account_id not in ids]
    return Sorted(now, left, digests, Outcome(devices=len(ids), sessions=sessions))


def each_once(listed: Iterable[Listed]) -> list[list[Listed]]:
    """Return the devices in their order, in as many lists as one of them was listed: each word of Cove is written."""
    found: list[dict[int, Listed]] = [{}]
    for one in listed:
        if one.account_id in found[-1]:
            found.append({})
        found[-1][one.account_id] = one
    return [[*some.values()] for some in found]

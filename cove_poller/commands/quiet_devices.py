"""Devices that a poll passes over: their row is what it was, and nothing else can have changed since."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

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

    due: Sequence[Listed]
    digests: Mapping[int, str]
    quiet: Outcome


def pass_over(
    store: Store, recorder: Recorder, listed: Sequence[Listed], refused: Iterable[str], now: datetime
) -> Sorted:
    """Return which of the listed devices are due. The others are neither read nor compared, nor written.

    But for when they were last seen, which is told to the hour. Where customers have intervals, all are due.
    """
    if not recorder.passes_over or recorder.config.intervals.are_set:
        return Sorted(listed, {}, Outcome())
    basis = due.basis(recorder.config, recorder.login, refused)
    digests = {one.account_id: due.row_digest(basis, one.content) for one in listed if one.content}
    quiet = store.devices.quiet(recorder.login, digests, now)
    store.devices.touch((row["account_id"] for row in quiet if now - row["last_seen_at"] >= LAST_SEEN_PRECISION), now)
    ids = {row["account_id"] for row in quiet}
    sessions = Tally(unchanged=sum(row["shown_count"] for row in quiet))
    return Sorted(
        [one for one in listed if one.account_id not in ids], digests, Outcome(devices=len(ids), sessions=sessions)
    )

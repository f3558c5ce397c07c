"""What a complete listing lacks: devices that are gone."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from cove_poller.commands.record_jobs import replaced_devices
from cove_poller.commands.record_page import Recorder
from cove_poller.commands.record_runs import Tally
from cove_poller.database.store import Store
from cove_poller.errors import ApiError

MOST_AT_ONCE = 5
TENTH = 10


@dataclass(frozen=True)
class Gone:
    """The names of devices that are gone now, and of those that a listing lacks but is not believed about yet.

    `returned` says which computers have come back under another account; `runs` what was written of those gone.
    """

    names: Sequence[str] = ()
    doubted: Sequence[str] = ()
    returned: Sequence[str] = ()
    runs: Tally = field(default_factory=Tally)


def record_gone(store: Store, recorder: Recorder, seen_ids: Collection[int], now: datetime) -> Gone:
    """Mark the devices that are gone, as `note_gone` does, and write the runs that waited for more of them.

    Raise ApiError if there is no device at all in the listing of a login that had some.
    """
    if not seen_ids and (known := store.devices.count(recorder.login)):
        raise ApiError(f"Cove lists no device at all, though there were {known}; they were left as they are")
    gone = note_gone(store, recorder.login, seen_ids, now)
    returned = replaced_devices(store, now) if gone.names else []
    return replace(gone, returned=returned, runs=recorder.save_gone(store, now))


def note_gone(store: Store, login: str, seen_ids: Collection[int], now: datetime) -> Gone:
    """Mark the login's devices that are not among `seen_ids`, all that a complete listing had.

    Where more than a tenth and more than five vanish at once, none is marked until the next complete listing lacks
    them too.
    """
    missing = store.devices.not_listed(login, seen_ids)
    fresh = [row for row in missing if row["missing_since"] is None]
    known_count = len(seen_ids) + len(missing)
    if len(fresh) > MOST_AT_ONCE and len(fresh) * TENTH > known_count:
        store.devices.mark_missing([row["account_id"] for row in fresh], now)
        doubted = [row["device_name"] for row in fresh]
        missing = [row for row in missing if row["missing_since"] is not None]
    else:
        doubted = []
        # a listing that is recorded a second time confirms nothing
        missing = [row for row in missing if row["missing_since"] is None or row["missing_since"] < now]
    store.devices.mark_gone([row["account_id"] for row in missing], now)
    return Gone([row["device_name"] for row in missing], doubted)

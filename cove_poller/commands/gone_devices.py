"""What a complete listing lacks: devices that are gone."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from cove_poller.database.store import Store

MOST_AT_ONCE = 5
TENTH = 10


@dataclass(frozen=True)
class Gone:
    """The names of devices that are gone now, and of those that a listing lacks but is not believed about yet."""

    names: Sequence[str] = ()
    doubted: Sequence[str] = ()


def note_gone(store: Store, login: str, seen_ids: Collection[int], now: datetime) -> Gone:
    """Mark the login's devices that are not among `seen_ids`, all that a complete listing had.

    Where more than a tenth and more than five vanish at once, none is marked until the next complete listing lacks
    them too.
    """
    missing = store.devices.not_listed(login, seen_ids)
    fresh = [row for row in missing if row["missing_since"] is None]
    known_count = len(seen_ids) + len(missing)
    if len(fresh) > MOST_AT_ONCE and len(fresh) * TENTH > known_count:
        store.devices.mark_missing((row["account_id"] for row in fresh), now)
        doubted = [row["device_name"] for row in fresh]
        missing = [row for row in missing if row["missing_since"] is not None]
    else:
        doubted = []
        # a listing that is recorded a second time confirms nothing
        missing = [row for row in missing if row["missing_since"] is None or row["missing_since"] < now]
    store.devices.mark_gone((row["account_id"] for row in missing), now)
    return Gone([row["device_name"] for row in missing], doubted)

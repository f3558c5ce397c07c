"""Knows a device's history again: where Cove tells the same as last time, it is neither read nor compared once more.

With each device is kept what its history was compared by, what Cove told, and what was on record afterwards. If any of
these is another, or more is asked for than then, the history is read: when in doubt, it is compared.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from cove_poller import __version__
from cove_poller.commands.record_runs import Subject, recorded_histories, waiting_for_runs
from cove_poller.config.settings import Config
from cove_poller.database.engine import Database
from cove_poller.database.store import Store
from cove_poller.records.device import Device
from cove_poller.records.past import NO_PAST, Past, Request
from cove_poller.records.session import Origin

KEPT = "known"
UNREST = ("ignored", "conditions", "running_since", "missing_since", "gone_at", "replan_since")
"""Columns of a device that say that there is something to write of it."""


class KnownHistories:
    """The histories of a login's devices that were read before, by what this request is, and what the program is."""

    def __init__(self, config: Config, login: str, request: Request, refused: Iterable[str]) -> None:
        settings = config.model_dump_json(include={"status", "backupchecks", "alerts", "intervals"})
        api = config.api_of(login).model_dump_json()
        self._terms = [__version__, settings, api, request.way, sorted(refused)]
        self._login = login
        self._request = request

    def expected(self, database: Database, devices: Sequence[Device], now: datetime) -> dict[int, str]:
        """Return, by account, what Cove told of devices whose history need not be read if it tells the same again."""
        if self._request.reviewed or self._request.way not in (None, Origin.SESSIONS):
            return {}
        with database.store() as store:
            rows = store.devices.rows(one.account_id for one in devices)
            kept = {one.account_id: self._kept(one, rows.get(one.account_id), now) for one in devices}
            recorded = store.sessions.fingerprints(account for account, note in kept.items() if note)
        return {
            account: note["told"]
            for account, note in kept.items()
            if note and note["recorded"] == recorded.get(account)
        }

    def _kept(self, device: Device, row: Mapping[str, Any] | None, now: datetime) -> Mapping[str, Any] | None:
        """What was kept of a device, if its history was read whole, for as long a time, by the same terms."""
        note = row["history"] if row else None
        if row is None or not note or KEPT not in note or row["gone_at"] or row["replan_since"]:
            return None
        has_gaps = any(one.get("gaps") or one.get("unseen") for one in (row["source_history"] or {}).values())
        window = self._request.window
        is_within = note["since"] <= window.since.timestamp() and note["until"] <= window.until.timestamp() + 1
        is_same = note[KEPT]["terms"] == self._fingerprint(device, now)
        kept: Mapping[str, Any] = note[KEPT]
        return kept if is_within and is_same and note["is_complete"] and not has_gaps else None

    def _fingerprint(self, device: Device, now: datetime) -> str:
        """All that a history is compared by: the terms, and what the listing says, which changes its meaning daily."""
        content = [*self._terms, now.astimezone(UTC).date(), device.model_dump()]
        return hashlib.sha256(json.dumps(content, default=_plain, sort_keys=True).encode()).hexdigest()[:32]

    def at_rest(self, store: Store, devices: Iterable[Device], pasts: Mapping[int, Past]) -> Collection[int]:
        """Return the devices, by account, that were known again, and of which nothing waits to be written.

        All is well with them, they are linked and wanted, and every session is in a run. What the time that has passed
        changes of them is the next poll's to see.
        """
        rows = store.devices.rows(one.account_id for one in devices if pasts.get(one.account_id, NO_PAST).is_known)
        subjects = {
            account: Subject(row["job_id"], recorded_histories(row, {}))
            for account, row in rows.items()
            if row["job_id"] and row["login"] == self._login and not any(row[name] for name in UNREST)
        }
        return subjects.keys() - waiting_for_runs(store, subjects)

    def note(self, store: Store, devices: Sequence[Device], pasts: Mapping[int, Past], now: datetime) -> int:
        """Keep what is needed to know the histories again. Return how many sessions those have that were known."""
        read = [one for one in devices if (past := pasts.get(one.account_id)) and past.digest and not past.is_known]
        known = [one.account_id for one in devices if (past := pasts.get(one.account_id)) and past.is_known]
        recorded = store.sessions.fingerprints(one.account_id for one in read)
        notes: dict[int, dict[str, Any]] = {}
        for one in read:
            past = pasts[one.account_id]
            kept = {
                "terms": self._fingerprint(one, now),
                "told": past.digest,
                "recorded": recorded.get(one.account_id),
                "sessions": len(past.sessions),
            }
            notes[one.account_id] = {**past.note().get("history", {}), KEPT: kept}
        before = {account: row["history"] for account, row in store.devices.rows(known).items()}
        for account, note in before.items():
            notes[account] = {**note, **pasts[account].note().get("history", {})}
        store.devices.note_histories(notes)
        return sum(note[KEPT]["sessions"] for note in before.values())


def _plain(value: object) -> object:
    return sorted(value) if isinstance(value, (set, frozenset)) else str(value)

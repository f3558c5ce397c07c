"""Closing the gaps that a sync has found: the histories of those devices are read, the oldest gap first.

It is what `backfill` does, for the time alone in which sessions may be missing, and for a few minutes a run. What is
left is noted with the devices, so that the next run goes on with it.
"""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from heapq import nsmallest
from typing import Any

from cove_poller.commands.installation import Installation
from cove_poller.commands.outcome import Outcome
from cove_poller.commands.record_page import Recorder
from cove_poller.commands.record_takeable import save_takeable
from cove_poller.commands.results import LoginResult
from cove_poller.cove.client import CoveClient
from cove_poller.cove.listing import Listing
from cove_poller.cove.past_reader import PastReader
from cove_poller.database.engine import Database
from cove_poller.database.store import Store
from cove_poller.errors import ApiError
from cove_poller.records.device import Device
from cove_poller.records.health.news import Trouble
from cove_poller.records.open_gaps import Missing, Verdict
from cove_poller.records.past import Past, Request
from cove_poller.records.session import Origin
from cove_poller.records.statuses import Statuses
from cove_poller.records.window import Window
from cove_poller.text import counted, fitted

REFUSED_FOR = timedelta(days=1)
FAILED_FOR = timedelta(hours=1)
REFUSALS_BELIEVED = 3
LONGEST_WHY = 300
FEWEST_REQUESTS = 2
"""What reading one device's history takes, at least."""

TROUBLE = "histories"
REFUSED_AT = "histories_refused_at"
REFUSED = (
    "Cove does not let this user read histories (error 13501), so what happened between two polls, or while nobody"
    " looked, stays unknown and counts as a warning at best; asked again once a day. Give the API user a role that may,"
    ' or set [api] histories = "never"'
)
REFUSED_VERDICT = Verdict("Cove does not let this user read histories")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Candidate:
    """A device with what is missing of it."""

    missing: Missing
    device: Device

    @property
    def age(self) -> tuple[datetime, int]:
        return self.missing.since, self.device.account_id


def refused_at(learnt: Mapping[str, Any] | None, basis: str, now: datetime) -> datetime | None:
    """Return when Cove refused a login its histories, by what was kept, if that was less than a day ago."""
    text = learnt.get(REFUSED_AT) if learnt and learnt["basis"] == basis else None
    moment = datetime.fromisoformat(text) if text else None
    return moment if moment and timedelta() <= now - moment < REFUSED_FOR else None


class GapCloser:
    """Closes the gaps of one login's devices, once its listing is through. `refused_at` is when Cove last refused."""

    def __init__(
        self, installation: Installation, database: Database, result: LoginResult, refused_at: datetime | None
    ) -> None:
        self._config = installation.config
        self._api = installation.config.api_of(result.login)
        self._now = installation.now
        self._database = database
        self._result = result
        self._candidates: list[Candidate] = []
        self._refusals = 0
        self._read = 0
        self.refused_at = refused_at

    @property
    def verdict(self) -> Verdict | None:
        """Why no gap of the login can be closed, if so."""
        return REFUSED_VERDICT if self.refused_at else None

    def note(self, devices: Sequence[Device], missing: Mapping[int, Missing]) -> None:
        """Take down of which devices of a page something is missing; no more than could be read in one run."""
        found = [Candidate(missing[one.account_id], one) for one in devices if one.account_id in missing]
        most = int(self._api.history_minutes * 60 * self._api.requests_per_second / FEWEST_REQUESTS) + 1
        self._candidates = nsmallest(most, [*self._candidates, *found], key=lambda one: one.age)

    def close(self, client: CoveClient, listing: Listing, recorder: Recorder) -> None:
        """Read what is missing, the oldest first, as long as a run may, each device committed by itself."""
        if self._candidates and not self.refused_at:
            self._close(client, listing, replace(recorder, looked_at=self._now()))
        if self.refused_at:
            self._result.troubles[TROUBLE] = Trouble(REFUSED, reminds=False)

    def _close(self, client: CoveClient, listing: Listing, recorder: Recorder) -> None:
        now = self._now()
        spans = {one.device.account_id: one.missing.span(now) for one in self._candidates}
        everything = Window(min(one.window.since for one in spans.values()), now)
        request = Request(everything, way=Origin.SESSIONS, spans=spans)
        reader = PastReader(client, listing, request, Statuses.from_config(self._config.status), self._now)
        try:
            with closing(reader.read(self._in_time(), lambda: None)) as found:
                for device, past in found:
                    if self._is_refused(past):
                        break
                    self._save(recorder, device, past, listing.refused)
        except ApiError as error:
            text = f"histories could not be read, so gaps stay open until a later run: {error}"
            self._result.troubles[TROUBLE] = Trouble(text)
        left = len(self._candidates) - self._read
        log.info("login %s: closed gaps of %s, %d left", self._result.login, counted(self._read, "device"), left)

    def _in_time(self) -> Iterator[Device]:
        """The devices, as long as there is time for another one."""
        end = time.monotonic() + self._api.history_minutes * 60
        for place, one in enumerate(self._candidates):
            if place and time.monotonic() > end:
                log.info("login %s: the time for histories is over; the next run goes on", self._result.login)
                return
            yield one.device

    def _is_refused(self, past: Past) -> bool:
        """Whether it is the user, and not the device, that Cove refuses histories: it has allowed none so far."""
        self._refusals += past.is_refused
        if not past.is_refused or self._read:
            return False
        if self._refusals < min(REFUSALS_BELIEVED, len(self._candidates)):
            return False
        self.refused_at = self._now()
        return True

    def _save(self, recorder: Recorder, device: Device, past: Past, refused: Sequence[str]) -> None:
        """Record what was read of a device, and why not all of it was, if so."""
        now, total, account = self._now(), self._result.outcome, device.account_id
        self._read += not past.is_refused
        own = replace(past, read_at=None)  # what backfill has noted with the device stays
        judging = replace(recorder, verdict=_verdict(past, now))

        def save(store: Store, some: Sequence[Device]) -> Outcome:
            return judging.save_page(store, some, refused, now, {account: own})

        for saved in save_takeable(self._database, self._result.login, [device], save):
            total.standing = [one for one in total.standing if one.account_id != account]
            total.gap_ids.discard(account)
            outcome = saved.outcome
            outcome.devices = outcome.running = outcome.unlinked = outcome.sessions.unchanged = 0  # the poll counted it
            total.add(outcome)
            self._result.troubles |= saved.troubles


def _verdict(past: Past, now: datetime) -> Verdict:
    """Why what is still missing then could not be read."""
    if past.is_refused:
        return Verdict(f"Cove refuses its history: {fitted('; '.join(past.warnings), LONGEST_WHY)}", now + REFUSED_FOR)
    why = fitted("; ".join(past.failures), LONGEST_WHY) or "its history does not tell of this source"
    return Verdict(why, now + FAILED_FOR)

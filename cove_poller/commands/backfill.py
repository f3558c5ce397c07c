"""`backfill`: ask Cove what happened in the past, session by session, and write what is missing into the database."""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from cove_poller.commands.backfilling.known_history import KnownHistories
from cove_poller.commands.installation import Installation
from cove_poller.commands.login_run import remember_rejections, run_login
from cove_poller.commands.outcome import Outcome
from cove_poller.commands.poll_troubles import clock_troubles, listing_troubles, page_troubles
from cove_poller.commands.record_jobs import Linker
from cove_poller.commands.record_page import Recorder
from cove_poller.commands.record_takeable import Gathered, PolledMeanwhile, save_takeable
from cove_poller.commands.results import BackfillResult, CommandResult, noting_stop
from cove_poller.commands.sync import known_partner
from cove_poller.cove.client import CoveClient
from cove_poller.cove.listing import Listing, Page
from cove_poller.cove.past_reader import PastReader
from cove_poller.database.audit_trail import complete_syncs, note_request, unfinished_request
from cove_poller.database.connecting.signals import undisturbed
from cove_poller.database.engine import Database, Mode
from cove_poller.database.store import Store
from cove_poller.errors import ApiError, DatabaseError
from cove_poller.records.device import Device
from cove_poller.records.health.device_troubles import device_name
from cove_poller.records.past import Past, Request
from cove_poller.records.runs.run_plan import Review
from cove_poller.records.statuses import Statuses
from cove_poller.text import counted, listed

COMMAND = "backfill"
MOST_AT_ONCE = 25
"""Devices that are written in one transaction: a run begins with one, so that a short one is soon safe, and doubles."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Progress:
    """How far the run of a login is; `total` is how many devices are known of so far."""

    login: str
    devices: int = 0
    total: int = 0
    sessions: int = 0

    def __str__(self) -> str:
        return f"login {self.login}: {self.devices} of {self.total} devices, {self.sessions} new sessions"


def ignore_progress(progress: Progress) -> None:
    """For whoever does not want to see how far a run is."""


def backfill(
    installation: Installation,
    logins: Sequence[str],
    request: Request,
    *,
    progress: Callable[[Progress], None] = ignore_progress,
) -> CommandResult:
    """Write what of the past is requested, with each login. One that fails does not stop the others.

    Raise CovePollerError if nothing could be begun, for instance since the database is not prepared.
    """
    started_at = installation.now()
    unlisted = set(request.devices)
    results = [BackfillResult(login, window=request.window) for login in logins]
    mode = Mode.DRY if request.dry_run else Mode.WRITE
    with noting_stop() as stop, installation.open_prepared(mode) as database:
        if request.reviewed:
            check_for_review(database)
        for result in results:
            run = Backfill(installation, database, request, progress, result)
            work = partial(run.record, unlisted=unlisted, is_last=result is results[-1])
            run_login(COMMAND, installation, database, result, work)
    if request.dry_run:
        remember_rejections(COMMAND, installation, results)
    return CommandResult(COMMAND, started_at, installation.now(), results, request.window, ended_by=stop.error)


def check_for_review(database: Database) -> None:
    """Raise DatabaseError if the live table has no place for a review."""
    if "reviewed_at" not in database.tables.job_runs.c:
        raise DatabaseError(
            "job_runs has no column reviewed_at, so no run can be written as reviewed; leave --reviewed out, or name"
            ' the right column with [backupchecks.columns.job_runs] reviewed_at = "..."'
        )


class Backfill:
    """One backfill with one login, whose outcome goes into `result`. Devices are committed in groups."""

    def __init__(
        self,
        installation: Installation,
        database: Database,
        request: Request,
        progress: Callable[[Progress], None],
        result: BackfillResult,
    ) -> None:
        self._config = installation.config
        self._database = database
        self._request = request
        self._now = installation.now
        self._progress = progress
        self._result = result
        self._linker = Linker(installation.config.backupchecks)
        self._known_count = 0
        self._looked_at: datetime | None = None
        self._rhythm: timedelta | None = None
        self._listed_at = self._now()
        self._at_once = 1
        self._clock_ahead = timedelta()
        self._reported: dict[tuple[bool, str], list[str]] = defaultdict(list)

    def record(self, client: CoveClient, unlisted: set[int], *, is_last: bool) -> None:
        """Write every page of devices, and of each device what is to be had of its past.

        `unlisted` are the devices asked for that no login has listed so far; the last one reports those that are left.
        """
        listing = Listing(client, known_partner(self._result))
        begun_at = self._go_on()
        reader: PastReader | None = None
        try:
            for page in self._timed(listing.iter_pages()):
                reader = reader or PastReader(
                    client, listing, self._request, Statuses.from_config(self._config.status), self._now
                )
                self._clock_ahead = client.clock_ahead
                devices = self._left_to_do(page.devices, begun_at, listing)
                self._result.listed += len(devices)
                self._result.troubles |= page_troubles(page)
                known = self._histories(listing).expected(self._database, devices, self._now())
                with Gathered(partial(self._save, listing=listing), self._now) as gathered:
                    for one in reader.read(devices, self._tick, known):
                        gathered.add(one, self._is_enough)
        finally:
            self._result.troubles |= listing_troubles(listing) | clock_troubles(client.clock_ahead)
            self._report()
        if not listing.seen_ids:
            raise ApiError(f"Cove lists no device for partner {listing.partner_id}, so there is no past to read")
        unlisted -= listing.seen_ids
        if is_last:
            self._result.outcome.failures += [f"device {one}: Cove does not list it" for one in sorted(unlisted)]

    def _is_enough(self, group: Sequence[tuple[Device, Past]]) -> bool:
        """Whether a group is to be written; the next one may then be twice as large."""
        is_enough = len(group) >= self._at_once
        self._at_once = min(2 * self._at_once, MOST_AT_ONCE) if is_enough else self._at_once
        return is_enough

    def _timed(self, pages: Iterator[Page]) -> Iterator[Page]:
        """Yield the pages; keep in mind when each was asked for."""
        self._listed_at = self._now()
        for page in pages:
            yield page
            self._listed_at = self._now()

    def _go_on(self) -> datetime | None:
        """Take up what a run that was interrupted had left. Return when that was begun; None if there was none."""
        poll_id, login = self._result.poll_id, self._result.login
        before = complete_syncs(self._database, login)
        self._looked_at, self._rhythm = before.last, before.rhythm
        note = unfinished_request(self._database, COMMAND, login, before=poll_id)
        resumed = self._request.resumed_from(note, self._now())
        if resumed:
            self._request, begun_at = resumed
            self._result.window = self._request.window
            log.info("login %s: goes on with the backfill of %s", login, begun_at)
        note_request(self._database, poll_id, self._request.note(resumed[1] if resumed else self._now()))
        with self._database.store() as store:
            self._known_count = store.devices.count(login)
        return resumed[1] if resumed else None

    def _left_to_do(self, devices: Iterable[Device], begun_at: datetime | None, listing: Listing) -> list[Device]:
        """Return the devices that are wanted and that the interrupted run had not done.

        Of those that it had, the newest facts are recorded, as by a poll.
        """
        asked = self._request.devices
        wanted = [one for one in devices if not asked or one.account_id in asked]
        if begun_at is None:
            return wanted
        with self._database.store() as store:
            recorded = store.devices.rows(one.account_id for one in wanted)
        notes = {account: row["history"] for account, row in recorded.items()}
        done = [one for one in wanted if self._is_done(notes.get(one.account_id), begun_at)]
        self._result.resumed += len(done)
        if done:
            self._record(done, {}, listing)
        done_ids = {one.account_id for one in done}
        return [one for one in wanted if one.account_id not in done_ids]

    def _is_done(self, note: Mapping[str, Any] | None, begun_at: datetime) -> bool:
        window = self._request.window
        return bool(
            note
            and note["is_complete"]
            and note["read_at"] >= int(begun_at.timestamp())
            and (note["since"], note["until"]) == (int(window.since.timestamp()), int(window.until.timestamp()))
        )

    def _histories(self, listing: Listing) -> KnownHistories:
        return KnownHistories(self._config, self._result.login, self._request, listing.refused)

    def _recorder(self) -> Recorder:
        settings, request = self._config.backupchecks, self._request
        review = Review(request.window, self._now(), settings.reviewed_by) if request.reviewed else None
        linker = Linker(settings) if request.dry_run else self._linker  # nothing that it made is there any more
        return Recorder(
            self._result.login, self._config, linker, self._looked_at, review, self._clock_ahead, self._rhythm
        )

    def _record(self, devices: Sequence[Device], pasts: Mapping[int, Past], listing: Listing) -> None:
        """Write devices as they were listed; where a sync has looked since, as they are listed now: it knows better."""
        try:
            self._write(devices, pasts, listing, self._listed_at, unless_polled=True)
        except PolledMeanwhile:
            self._looked_at, listed_at = complete_syncs(self._database, self._result.login).last, self._now()
            listed = listing.again(one.account_id for one in devices)
            for gone in (one for one in devices if one.account_id not in listed):
                self._reported[True, "Cove no longer lists it, so nothing of it was written"].append(device_name(gone))
            self._write([*listed.values()], pasts, listing, listed_at)

    def _write(
        self, devices: Sequence[Device], pasts: Mapping[int, Past], listing: Listing, listed_at: datetime,
        *, unless_polled: bool = False,
    ) -> None:  # fmt: skip
        """Write devices that were listed at a moment. Raise PolledMeanwhile where that is not to be."""
        recorder, result = self._recorder(), self._result

        def save(store: Store, some: Sequence[Device]) -> Outcome:
            accounts = [one.account_id for one in some]
            if unless_polled and store.devices.are_polled_since(accounts, result.login, listed_at):
                raise PolledMeanwhile
            histories = self._histories(listing)
            # those that were listed once more, since a sync had looked, may show what is new
            at_rest = histories.at_rest(store, some, pasts) if unless_polled else frozenset[int]()
            due = [one for one in some if one.account_id not in at_rest]
            read = {account: past for account, past in pasts.items() if not past.is_known}
            outcome = recorder.save_page(store, due, listing.refused, listed_at, read)
            outcome.devices += len(at_rest)
            outcome.sessions.unchanged += histories.note(store, some, pasts, listed_at)
            return outcome

        with undisturbed():  # so that what is committed is counted
            for saved in save_takeable(self._database, recorder, devices, save, listed_at):
                result.outcome.add(saved.outcome)
                result.troubles |= saved.troubles

    def _save(self, group: Sequence[tuple[Device, Past]], listing: Listing) -> None:
        self._record([device for device, _ in group], {device.account_id: past for device, past in group}, listing)
        for device, past in group:
            self._result.ways.update(way.value for way in past.ways)
            for is_failure, texts in ((True, past.failures), (False, past.warnings)):
                for text in texts:
                    self._reported[is_failure, text].append(device_name(device))
        self._tick()

    def _report(self) -> None:
        """Say what there is to say of the devices; what is the same of several of them, once."""
        outcome = self._result.outcome
        for (is_failure, text), names in self._reported.items():
            who = names[0] if len(names) == 1 else f"{counted(len(names), 'device')} ({listed(names, between='; ')})"
            (outcome.failures if is_failure else outcome.warnings).append(f"{who}: {text}")

    def _tick(self) -> None:
        result = self._result
        total = len(self._request.devices) or max(self._known_count, result.listed + result.resumed)
        self._progress(Progress(result.login, result.outcome.devices, total, result.outcome.sessions.new))

"""`sync`: ask Cove how every device's backups went, and write what is new into the database."""

import logging
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from functools import partial
from itertools import chain

from cove_poller.commands import poll_troubles
from cove_poller.commands.close_gaps import REFUSED_AT, GapCloser, refused_at
from cove_poller.commands.gone_devices import record_gone
from cove_poller.commands.installation import Installation
from cove_poller.commands.login_run import SYNC, remember_rejections, run_login
from cove_poller.commands.outages.outage import record_spooled, spool_poll
from cove_poller.commands.outcome import Noted, Outcome
from cove_poller.commands.quiet_devices import Sorted, each_once, sort_out
from cove_poller.commands.record_jobs import Linker
from cove_poller.commands.record_page import Recorder
from cove_poller.commands.record_takeable import Gathered, save_takeable
from cove_poller.commands.results import CommandResult, LoginResult, noting_stop
from cove_poller.commands.stale_devices import note_staleness
from cove_poller.cove.client import CoveClient
from cove_poller.cove.column_memory import ColumnMemory, basis_of
from cove_poller.cove.listing import Listing, Page
from cove_poller.cove.paging import all_of
from cove_poller.cove.threads import fetched_ahead
from cove_poller.database.audit_trail import complete_syncs, last_learnt, last_sync_before
from cove_poller.database.connecting.signals import undisturbed
from cove_poller.database.engine import Database, Mode
from cove_poller.database.store import Store
from cove_poller.errors import ApiError, DatabaseUnavailable
from cove_poller.records.device import Device
from cove_poller.records.health.news import Trouble
from cove_poller.records.intervals import Schedule
from cove_poller.records.job_matching import unused_names
from cove_poller.text import counted, listed

log = logging.getLogger(__name__)


def ignore_progress(login: str, devices: int) -> None:
    """For whoever does not want to see how far a run is."""


def sync(
    installation: Installation,
    logins: Sequence[str],
    *,
    dry_run: bool = False,
    progress: Callable[[str, int], None] = ignore_progress,
) -> CommandResult:
    """Poll every login once. One that fails does not stop the others.

    Raise CovePollerError if nothing could be begun, for instance since the database is not prepared.
    """
    started_at = installation.now()
    results = [LoginResult(login) for login in logins]
    with noting_stop() as stop:
        if dry_run:
            with installation.open_prepared(Mode.DRY) as database:
                for result in results:
                    _poll(installation, database, progress, result, results, closes_gaps=False)
            remember_rejections(SYNC, installation, results)
        else:
            _sync(installation, progress, results)
    return CommandResult(SYNC, started_at, installation.now(), results, dry_run=dry_run, ended_by=stop.error)


def _sync(installation: Installation, progress: Callable[[str, int], None], results: Sequence[LoginResult]) -> None:
    """Record what waits in the spool, and a poll. Where the database is away, what is polled goes into the spool."""
    try:
        with installation.open_prepared(Mode.WRITE, [one.login for one in results]) as database:
            for result in results:
                record_spooled(installation, database, result)
                if result.error is None:
                    _poll(installation, database, progress, result, results, closes_gaps=True)
    except DatabaseUnavailable as error:
        for result in results:
            result.error = result.error or error
    for result in results:
        if isinstance(result.error, DatabaseUnavailable):
            spool_poll(installation, result)


def _poll(
    installation: Installation,
    database: Database,
    progress: Callable[[str, int], None],
    result: LoginResult,
    results: Sequence[LoginResult],
    *,
    closes_gaps: bool,
) -> None:
    poll = Poll(installation, database, partial(progress, result.login), result, closes_gaps=closes_gaps)
    poll.others = results
    run_login(SYNC, installation, database, result, poll.record, poll.is_anybody_due)


class Poll:
    """One poll with one login, whose outcome goes into `result`."""

    def __init__(
        self,
        installation: Installation,
        database: Database,
        progress: Callable[[int], None],
        result: LoginResult,
        *,
        closes_gaps: bool,
    ) -> None:
        self._installation = installation
        self._closes_gaps = closes_gaps
        self.others: Sequence[LoginResult] = ()
        self._config = installation.config
        self._database = database
        self._now = installation.now
        self._progress = progress
        self._result = result
        self._schedule: Schedule | None = None

    def is_anybody_due(self) -> bool:
        """Return whether there is a customer to poll. Where there is none, every device counts as left out."""
        intervals, result = self._config.intervals, self._result
        if not intervals.are_set:
            return True
        began = self._now()
        self._schedule = Schedule(intervals, last_sync_before(self._database, result.login, began), began)
        with self._database.store() as store:
            known = store.devices.count_by_customer(result.login)
        is_due = self._schedule.is_anybody_due(known)
        result.not_due = 0 if is_due else sum(known.values())
        if not is_due:
            devices = counted(result.not_due, "device")
            log.info("login %s: no customer is due yet, so Cove is not asked; %s left out", result.login, devices)
        return is_due

    def record(self, client: CoveClient) -> None:
        """Write every page, the next one fetched meanwhile; then what a complete listing tells."""
        result, backupchecks = self._result, self._config.backupchecks
        learnt, before = last_learnt(self._database, result.login), complete_syncs(self._database, result.login)
        memory = ColumnMemory.recalled(learnt, self._basis, self._now())
        listing = Listing(client, known_partner(result), memory.learnt)
        closer = GapCloser(self._installation, self._database, result, refused_at(learnt, self._basis, self._now()))
        recorder = Recorder(
            result.login, self._config, Linker(backupchecks), before.last, rhythm=before.rhythm, verdict=closer.verdict
        )
        gathered = Gathered(partial(self._save, recorder=recorder, listing=listing, closer=closer), self._now)
        try:
            pages = fetched_ahead(listing.iter_pages(), gathered.write)
            with closing(all_of(pages) if self._database.is_dry else pages) as pages, self._database.together():
                with gathered:
                    for page in pages:
                        gathered.add(self._sorted(page, recorder, listing, client.clock_ahead), self._is_page_full)
                self._finish(client, listing, recorder, closer)
        finally:
            if listing.seen_ids:
                result.learnt = memory.note(listing.learnt, self._now())
            result.troubles |= poll_troubles.listing_troubles(listing) | poll_troubles.clock_troubles(
                client.clock_ahead
            )
            if result.learnt and closer.refused_at:
                result.learnt = {**result.learnt, REFUSED_AT: closer.refused_at.isoformat(timespec="seconds")}
        if result.not_due:
            log.info("login %s: %s left out, not due yet", result.login, counted(result.not_due, "device"))

    def _sorted(self, page: Page, recorder: Recorder, listing: Listing, clock_ahead: timedelta) -> Sorted:
        """Return which devices of a page are due; pass over the others, and note the rows that cannot be read."""
        result = self._result
        recorder.clock_ahead = clock_ahead
        sort = partial(sort_out, recorder=recorder, listed=page.listed, refused=listing.refused, now=self._now())
        found = self._database.tried_twice(sort)
        result.outcome.add(found.quiet)
        noted = Noted(Outcome(), frozenset())
        if page.unreadable:
            note = partial(recorder.note_unreadable, rows=page.unreadable, now=self._now())
            noted = self._database.tried_twice(note)
        result.outcome.add(noted.outcome)
        result.troubles |= poll_troubles.page_troubles(page, noted.account_ids)
        self._progress(result.outcome.devices)
        return found

    def _is_page_full(self, group: Sequence[Sorted]) -> bool:
        overlap = 1
        return sum(len(one.due) for one in group) >= self._config.api_of(self._result.login).page_size - overlap

    def _save(self, group: Sequence[Sorted], recorder: Recorder, listing: Listing, closer: GapCloser) -> None:
        """Write the devices of some pages that are due, as they were when the first of the pages was listed."""
        digests = {account: digest for found in group for account, digest in found.digests.items()}
        for due in each_once(one for found in group for one in found.due):
            ids = [one.account_id for one in due if one.content]
            recorder.digests = {account: digests[account] for account in ids if account in digests}
            self._write(self._due([one.device for one in due]), group[0].at, recorder, listing, closer)
        self._progress(self._result.outcome.devices)

    def _write(
        self, devices: Sequence[Device], at: datetime, recorder: Recorder, listing: Listing, closer: GapCloser
    ) -> None:
        """Write devices in one transaction, or in several where the database does not take what is said of one."""
        result = self._result
        if not devices:
            return

        def save(store: Store, some: Sequence[Device]) -> Outcome:
            return recorder.save_page(store, some, listing.refused, at)

        with undisturbed():  # so that what is committed is counted
            for saved in save_takeable(self._database, recorder, devices, save, at):
                result.outcome.add(saved.outcome)
                result.troubles |= saved.troubles
                closer.note(devices, saved.outcome.missing)

    def _finish(self, client: CoveClient, listing: Listing, recorder: Recorder, closer: GapCloser) -> None:
        """Write what a listing that came to its end tells, and what is missing of its devices."""
        result = self._result
        if not listing.unnamed:
            self._mark_gone(listing, recorder)
            result.troubles |= self._unused_names() | self._other_writers()
        if self._closes_gaps:
            closer.close(client, listing, recorder)
        result.troubles |= poll_troubles.same_tenant(self._config, result, self.others)
        result.is_listed = True
        result.is_complete = not result.not_due and not listing.unnamed
        self._note_staleness()

    @property
    def _basis(self) -> str:
        login = self._result.login
        return basis_of(self._config.api_of(login).url, self._config.logins[login])

    def _due(self, devices: Sequence[Device]) -> Sequence[Device]:
        """Return the devices whose customers are due; count the others."""
        schedule, result = self._schedule, self._result
        if schedule is None:
            return devices
        due = [one for one in devices if schedule.is_due(one.fields.customer_name or "")]
        result.not_due = (result.not_due or 0) + len(devices) - len(due)
        return due

    def _mark_gone(self, listing: Listing, recorder: Recorder) -> None:
        result = self._result
        gone = self._database.tried_twice(
            partial(record_gone, recorder=recorder, seen_ids=listing.seen_ids, now=self._now())
        )
        result.outcome.warnings += gone.returned
        result.outcome.job_runs.add(gone.runs)
        if not listing.seen_ids:
            result.troubles |= poll_troubles.no_devices(self._config, result)
        if gone.names:
            result.outcome.warnings.append(
                f"Cove no longer lists {counted(len(gone.names), 'device')}: {listed(gone.names)}"
            )
        if gone.doubted:
            result.outcome.failures.append(
                f"Cove lists {counted(len(gone.doubted), 'device')} less than before, {listed(gone.doubted)}; they stay"
                " as they were until the next complete listing lacks them too"
            )

    def _other_writers(self) -> dict[str, Trouble]:
        """Return whether somebody else writes runs too; one login says it for all."""
        if self._result.login != next(iter(self._config.logins)):
            return {}
        with self._database.store() as store:
            said = poll_troubles.other_writers(store, self._now())
        return {"other writers": Trouble(said)} if said else {}

    def _unused_names(self) -> dict[str, Trouble]:
        """Return which names in the configuration no customer of any login has; one login says it for all."""
        logins = list(self._config.logins)
        if self._result.login != logins[0]:
            return {}
        with self._database.store() as store:
            names = [store.devices.count_by_customer(login).keys() for login in logins]
            others = [name for _, name in store.jobs.customers()]
        return unused_names(self._config, {*chain(*names)}, others) if all(names) else {}

    def _note_staleness(self) -> None:
        outcome = self._result.outcome
        found = note_staleness(self._database, self._config, self._result.login, self._now())
        outcome.warnings += found.lines
        outcome.standing += found.standing
        outcome.about |= found.about


def known_partner(result: LoginResult) -> int:
    """Return the partner whose devices are polled. Raise ApiError if it is not known."""
    if result.partner_id is None:
        raise ApiError("Cove's answer to the login names no partner; set partner_id for this login")
    return result.partner_id

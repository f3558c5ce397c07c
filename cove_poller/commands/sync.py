"""`sync`: ask Cove how every device's backups went, and write what is new into the database."""

import logging
from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from datetime import timedelta
from functools import partial
from itertools import chain

from cove_poller.commands.gone_devices import note_gone
from cove_poller.commands.installation import Installation
from cove_poller.commands.login_run import SYNC, remember_rejections, run_login
from cove_poller.commands.quiet_devices import pass_over
from cove_poller.commands.record_jobs import Linker, replaced_devices
from cove_poller.commands.record_page import Recorder
from cove_poller.commands.results import CommandResult, LoginResult
from cove_poller.commands.stale_devices import note_staleness
from cove_poller.cove.client import CoveClient
from cove_poller.cove.column_memory import ColumnMemory, basis_of
from cove_poller.cove.listing import Listing, Page
from cove_poller.cove.threads import fetched_ahead
from cove_poller.database.audit_trail import last_complete_sync, last_learnt, syncs_of
from cove_poller.database.engine import Database, Mode
from cove_poller.errors import ApiError
from cove_poller.records.device import Device, describe_columns
from cove_poller.records.health.news import Trouble
from cove_poller.records.intervals import Schedule
from cove_poller.records.job_matching import unused_names
from cove_poller.text import age, counted, listed

SKEWS = (timedelta(days=30), timedelta(days=1), timedelta(hours=1), timedelta(minutes=10))
"""How far two clocks may be apart, in words that stay the same while they do; less is not worth a word."""

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
    with installation.open_prepared(Mode.DRY if dry_run else Mode.WRITE) as database, database.together():
        for result in results:
            poll = Poll(installation, database, partial(progress, result.login), result)
            run_login(SYNC, installation, database, result, poll.record, poll.is_anybody_due)
    if dry_run:
        remember_rejections(SYNC, installation, results)
    return CommandResult(SYNC, started_at, installation.now(), results)


class Poll:
    """One poll with one login, whose outcome goes into `result`."""

    def __init__(
        self,
        installation: Installation,
        database: Database,
        progress: Callable[[int], None],
        result: LoginResult,
    ) -> None:
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
        began, last = syncs_of(self._database, result.login)
        self._schedule = Schedule(intervals, last, began)
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
        memory = self._column_memory()
        listing = Listing(client, known_partner(result), memory.learnt)
        looked_at = last_complete_sync(self._database, result.login)
        recorder = Recorder(result.login, self._config, Linker(backupchecks), looked_at)
        try:
            with closing(fetched_ahead(listing.iter_pages())) as pages:
                for page in pages:
                    recorder.clock_ahead = client.clock_ahead
                    with self._database.store() as store:
                        now = self._now()
                        found = pass_over(store, recorder, page.listed, listing.refused, now)
                        recorder.digests = found.digests
                        devices = self._due([one.device for one in found.due])
                        outcome = recorder.save_page(store, devices, listing.refused, now)
                        noted = recorder.note_unreadable(store, page.unreadable, self._now())
                    result.outcome.add(found.quiet)
                    result.outcome.add(outcome)  # not before it is committed
                    result.outcome.add(noted.outcome)
                    result.troubles |= page_troubles(page, noted.account_ids)
                    self._progress(result.outcome.devices)
        finally:
            if listing.seen_ids:
                result.learnt = memory.note(listing.learnt, self._now())
            result.troubles |= listing_troubles(listing) | clock_troubles(client.clock_ahead)
        if not listing.unnamed:
            self._mark_gone(listing, recorder)
            result.troubles |= self._unused_names()
        result.is_listed = True
        result.is_complete = not result.not_due and not listing.unnamed
        self._note_staleness()
        if result.not_due:
            log.info("login %s: %s left out, not due yet", result.login, counted(result.not_due, "device"))

    def _column_memory(self) -> ColumnMemory:
        login = self._result.login
        basis = basis_of(self._config.api_of(login).url, self._config.logins[login])
        return ColumnMemory.recalled(last_learnt(self._database, login), basis, self._now())

    def _due(self, devices: Sequence[Device]) -> Sequence[Device]:
        """Return the devices whose customers are due; count the others."""
        schedule, result = self._schedule, self._result
        if schedule is None:
            return devices
        due = [one for one in devices if schedule.is_due(one.fields.customer_name or "")]
        result.not_due = (result.not_due or 0) + len(devices) - len(due)
        return due

    def _mark_gone(self, listing: Listing, recorder: Recorder) -> None:
        login, result = self._result.login, self._result
        with self._database.store() as store:
            if not listing.seen_ids and (known := store.devices.count(login)):
                raise ApiError(f"Cove lists no device at all, though there were {known}; they were left as they are")
            now = self._now()
            gone = note_gone(store, login, listing.seen_ids, now)
            result.outcome.warnings += replaced_devices(store, now) if gone.names else []
            runs = recorder.save_gone(store, now)
        result.outcome.job_runs.add(runs)
        if not listing.seen_ids:
            result.troubles["no devices"] = Trouble(f"Cove lists no device for partner {result.partner_id}")
        if gone.names:
            result.outcome.warnings.append(
                f"Cove no longer lists {counted(len(gone.names), 'device')}: {listed(gone.names)}"
            )
        if gone.doubted:
            result.outcome.failures.append(
                f"Cove lists {counted(len(gone.doubted), 'device')} less than before, {listed(gone.doubted)}; they stay"
                " as they were until the next complete listing lacks them too"
            )

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


def known_partner(result: LoginResult) -> int:
    """Return the partner whose devices are polled. Raise ApiError if it is not known."""
    if result.partner_id is None:
        raise ApiError("Cove's answer to the login names no partner; set partner_id for this login")
    return result.partner_id


def page_troubles(page: Page, noted: Collection[int] = ()) -> dict[str, Trouble]:
    """Return what is wrong with a page's rows, by a key that stays; but for the devices of which that is noted."""
    unreadable = [row for row in page.unreadable if row.account_id not in noted]
    rows = {f"row {row.account_id or row.what}": Trouble(str(row), is_failure=True) for row in unreadable}
    return rows | {f"twice {one}": Trouble(f"device {one}: {text}") for one, text in page.twice.items()}


def listing_troubles(listing: Listing) -> dict[str, Trouble]:
    """Return what is wrong with a login's listing as a whole, by a key that stays while it lasts."""
    return {"columns": Trouble(refusal_warning(listing.refused))} if listing.refused else {}


def clock_troubles(ahead: timedelta) -> dict[str, Trouble]:
    """Return what is wrong with the clocks where Cove's is `ahead` of this machine's, or behind."""
    skew = next((span for span in SKEWS if abs(ahead) > span), None)
    if skew is None:
        return {}
    where = "behind" if ahead > timedelta() else "ahead of"
    text = f"this machine's clock is {where} Cove's by more than {age(skew)}; what Cove tells is compared with its own"
    return {"clock": Trouble(f"{text}. Set the clock, best by NTP")}


def refusal_warning(refused: Sequence[str]) -> str:
    return (
        f"Cove refuses {counted(len(refused), 'column')} to this user: {describe_columns(refused)};"
        " a source whose status cannot be read is never shown as a success"
    )

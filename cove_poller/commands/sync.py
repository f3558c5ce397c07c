"""`sync`: ask Cove how every device's backups went, and write what is new into the database."""

import logging
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial

from cove_poller.commands.installation import Installation
from cove_poller.commands.login_run import remember_rejections, run_login
from cove_poller.commands.record_jobs import Linker
from cove_poller.commands.record_page import Recorder
from cove_poller.commands.results import CommandResult, LoginResult
from cove_poller.commands.stale_devices import note_staleness
from cove_poller.cove.client import CoveClient
from cove_poller.cove.listing import Listing
from cove_poller.cove.threads import fetched_ahead
from cove_poller.database.audit_trail import last_complete_sync, syncs_of
from cove_poller.database.engine import Database, Mode
from cove_poller.errors import ApiError
from cove_poller.records.device import Device, describe_columns
from cove_poller.records.intervals import Schedule
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
    with installation.open_prepared(Mode.DRY if dry_run else Mode.WRITE) as database, database.together():
        for result in results:
            poll = Poll(installation, database, partial(progress, result.login), result)
            run_login("sync", installation, database, result, poll.record, poll.is_anybody_due)
    if dry_run:
        remember_rejections("sync", installation, results)
    return CommandResult("sync", started_at, installation.now(), results)


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
        listing = Listing(client, known_partner(result))
        looked_at = last_complete_sync(self._database, result.login)
        recorder = Recorder(result.login, self._config, Linker(backupchecks), looked_at)
        try:
            with closing(fetched_ahead(listing.iter_pages())) as pages:
                for page in pages:
                    devices = self._due(page.devices)
                    with self._database.store() as store:
                        outcome = recorder.save_page(store, devices, listing.refused, self._now())
                    result.outcome.add(outcome)  # not before it is committed
                    result.outcome.failures += nameless_failures(page.nameless_ids)
                    self._progress(result.outcome.devices)
        finally:
            if listing.refused:
                result.outcome.warnings.append(refusal_warning(listing.refused))
        self._mark_gone(listing, recorder)
        result.is_complete = not result.not_due
        self._note_staleness()
        if result.not_due:
            log.info("login %s: %s left out, not due yet", result.login, counted(result.not_due, "device"))

    def _due(self, devices: Sequence[Device]) -> Sequence[Device]:
        """Return the devices whose customers are due; count the others."""
        schedule, result = self._schedule, self._result
        if schedule is None:
            return devices
        due = [one for one in devices if schedule.is_due(one.fields.customer_name or "")]
        result.not_due = (result.not_due or 0) + len(devices) - len(due)
        return due

    def _mark_gone(self, listing: Listing, recorder: Recorder) -> None:
        login, warnings, now = self._result.login, self._result.outcome.warnings, self._now()
        with self._database.store() as store:
            if not listing.seen_ids and (known := store.devices.count(login)):
                raise ApiError(f"Cove lists no device at all, though there were {known}; they were left as they are")
            gone = store.devices.mark_gone(login, listing.seen_ids, now)
            runs = recorder.save_gone(store, now)
        self._result.outcome.job_runs.add(runs)
        if not listing.seen_ids:
            warnings.append(f"Cove lists no device for partner {self._result.partner_id}")
        if gone:
            warnings.append(f"Cove no longer lists {counted(len(gone), 'device')}: {listed(gone)}")

    def _note_staleness(self) -> None:
        self._result.outcome.warnings += note_staleness(self._database, self._config, self._result.login, self._now())


def known_partner(result: LoginResult) -> int:
    """Return the partner whose devices are polled. Raise ApiError if it is not known."""
    if result.partner_id is None:
        raise ApiError("Cove's answer to the login names no partner; set partner_id for this login")
    return result.partner_id


def nameless_failures(account_ids: Sequence[int]) -> list[str]:
    return [f"device {account}: Cove sends no name or no customer for it; it was left out" for account in account_ids]


def refusal_warning(refused: Sequence[str]) -> str:
    return (
        f"Cove refuses {counted(len(refused), 'column')} to this user: {describe_columns(refused)};"
        " a source whose status cannot be read is never shown as a success"
    )

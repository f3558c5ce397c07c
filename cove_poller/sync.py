"""`sync`: ask Cove how every device's backups went, and write what is new into the database."""

import logging
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from typing import TypeVar, cast

from cove_poller.client import CoveClient
from cove_poller.config import Config
from cove_poller.credentials import Credentials
from cove_poller.database import Database, open_database
from cove_poller.errors import ApiError, CovePollerError, LoginRejected, Terminated
from cove_poller.linker import Linker
from cove_poller.listing import Listing
from cove_poller.models import describe_columns
from cove_poller.polls import ACCEPTED, audited, fingerprint, is_same, last_rejection
from cove_poller.recording import Recorder
from cove_poller.results import CommandResult, LoginResult
from cove_poller.store import Store
from cove_poller.text import counted

SHOWN_NAMES = 10

log = logging.getLogger(__name__)
T = TypeVar("T")


def utc_now() -> datetime:
    return datetime.now(UTC)


def ignore_progress(login: str, devices: int) -> None:
    """For whoever does not want to see how far a run is."""


def sync(
    config: Config,
    credentials: Credentials,
    logins: Sequence[str],
    *,
    dry_run: bool = False,
    now: Callable[[], datetime] = utc_now,
    progress: Callable[[str, int], None] = ignore_progress,
) -> CommandResult:
    """Poll every login once. One that fails does not stop the others.

    Raise CovePollerError if nothing could be begun, for instance since the database is not prepared.
    """
    started_at = now()
    with open_database(config, credentials.database_password(), dry_run=dry_run) as database:
        poller = Poller(config, credentials, database, now, progress)
        results = [poller.sync_login(login) for login in logins]
    if dry_run:
        remember_rejections(config, credentials, results, now)
    return CommandResult("sync", started_at, now(), results)


class Poller:
    """Syncs logins, one after the other, into one database."""

    def __init__(
        self,
        config: Config,
        credentials: Credentials,
        database: Database,
        now: Callable[[], datetime],
        progress: Callable[[str, int], None],
    ) -> None:
        self._config = config
        self._credentials = credentials
        self._database = database
        self._now = now
        self._progress = progress

    def sync_login(self, login: str) -> LoginResult:
        """One login from its lock to its row in the audit trail."""
        result = LoginResult(login)
        try:
            with self._database.lock(login), audited(self._database, "sync", login, self._now) as audit:
                try:
                    self._poll(login, result)
                except CovePollerError as error:
                    log.debug("login %s ended early", login, exc_info=error)
                    result.error = error
                audit |= audit_row(result)
        except CovePollerError as error:
            result.error = error
        if isinstance(result.error, Terminated):
            raise result.error
        return result

    def _poll(self, login: str, result: LoginResult) -> None:
        settings, api = self._config.logins[login], self._config.api_of(login)
        password = self._credentials.login_password(login)
        rejection = last_rejection(self._database, login)
        if rejection and is_same(rejection.fingerprint, api.url, settings, password):
            result.login_fingerprint = rejection.fingerprint
            raise already_rejected(login, rejection.message, rejection.at)
        client = CoveClient(settings, password, api)
        try:
            user = client.login()
            result.login_fingerprint = ACCEPTED
            result.partner_id = settings.partner_id or user.partner_id
            self._record(login, client, result)
        except LoginRejected:
            result.login_fingerprint = fingerprint(api.url, settings, password)
            raise
        finally:
            result.request_count, result.login_count = client.request_count, client.login_count
            client.close()

    def _record(self, login: str, client: CoveClient, result: LoginResult) -> None:
        """Every page into the database, the next one fetched meanwhile; then what a complete listing tells."""
        if result.partner_id is None:
            raise ApiError("Cove's answer to the login names no partner; set partner_id for this login")
        listing = Listing(client, result.partner_id)
        backupchecks = self._config.backupchecks
        recorder = Recorder(login, backupchecks, self._config.status_overrides(), Linker(backupchecks))
        try:
            with closing(fetched_ahead(listing.iter_pages())) as pages:
                for page in pages:
                    with self._database.transaction() as connection:
                        store = Store(connection, self._database.tables, backupchecks)
                        outcome = recorder.save_page(store, page.devices, listing.refused, self._now())
                    result.outcome.add(outcome)  # not before it is committed
                    result.outcome.failures += [
                        f"device {account}: Cove sends no name or no customer for it; it was left out"
                        for account in page.nameless_ids
                    ]
                    self._progress(login, result.outcome.devices)
        finally:
            if listing.refused:
                result.outcome.warnings.append(refusal_warning(listing.refused))
        self._mark_gone(login, listing, result)

    def _mark_gone(self, login: str, listing: Listing, result: LoginResult) -> None:
        with self._database.transaction() as connection:
            store = Store(connection, self._database.tables, self._config.backupchecks)
            if not listing.seen_ids and (known := store.count_devices(login)):
                raise ApiError(f"Cove lists no device at all, though there were {known}; they were left as they are")
            gone = store.mark_gone(login, listing.seen_ids, self._now())
        if not listing.seen_ids:
            result.outcome.warnings.append(f"Cove lists no device for partner {result.partner_id}")
        if gone:
            more = f" and {len(gone) - SHOWN_NAMES} more" if len(gone) > SHOWN_NAMES else ""
            names = ", ".join(gone[:SHOWN_NAMES]) + more
            result.outcome.warnings.append(f"Cove no longer lists {counted(len(gone), 'device')}: {names}")


def audit_row(result: LoginResult) -> dict[str, object]:
    """What the audit trail keeps of a login's run."""
    return {
        "outcome": result.word,
        "exit_code": result.exit_code,
        "devices": result.outcome.devices,
        "sessions_new": result.outcome.sessions.new,
        "job_runs_new": result.outcome.job_runs.new,
        "job_runs_updated": result.outcome.job_runs.updated,
        "requests": result.request_count,
        "error": str(result.error) if result.error else None,
        "login_fingerprint": result.login_fingerprint,
    }


def remember_rejections(
    config: Config, credentials: Credentials, results: Sequence[LoginResult], now: Callable[[], datetime]
) -> None:
    """After a dry run, which leaves nothing else behind: the next one must not try a rejected login again either."""
    rejected = [result for result in results if isinstance(result.error, LoginRejected)]
    if rejected:
        with open_database(config, credentials.database_password()) as database:
            for result in rejected:
                with audited(database, "sync", result.login, now) as audit:
                    audit |= audit_row(result)


def already_rejected(login: str, message: str, at: datetime) -> LoginRejected:
    """The error of a login that is not tried again, in the words of the first time."""
    return LoginRejected(
        f"{message} (not tried again since {at:%Y-%m-%d %H:%M}Z, as Cove may lock a user who keeps trying;"
        f" change the configuration of login {login}, or run: cove-poller test-login --login {login})"
    )


def refusal_warning(refused: Sequence[str]) -> str:
    return (
        f"Cove refuses {counted(len(refused), 'column')} to this user: {describe_columns(refused)};"
        " a source whose status cannot be read is never shown as a success"
    )


def fetched_ahead(items: Iterator[T]) -> Generator[T, None, None]:
    """The items, the next one always being fetched while one is worked on."""
    end = object()
    pool = ThreadPoolExecutor(1, thread_name_prefix="fetch")
    try:
        upcoming = pool.submit(next, items, end)
        while (item := upcoming.result()) is not end:
            upcoming = pool.submit(next, items, end)
            yield cast(T, item)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # close() of the client ends what is still under way

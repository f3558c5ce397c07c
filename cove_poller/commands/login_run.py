"""A login's run from its lock to its row in the audit trail, whatever it is for."""

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from cove_poller.commands.results import LoginResult
from cove_poller.config.credentials import Credentials
from cove_poller.config.settings import Config
from cove_poller.cove.client import CoveClient
from cove_poller.database.audit_trail import ACCEPTED, audited, fingerprint, is_same, last_rejection
from cove_poller.database.engine import Database, open_database
from cove_poller.errors import CovePollerError, LoginRejected, Terminated

log = logging.getLogger(__name__)


def utc_now() -> datetime:
    return datetime.now(UTC)


def always() -> bool:
    """For work that is never left out."""
    return True


class LoginRun:
    """Runs a command for one login after the other, on one database."""

    def __init__(
        self,
        command: str,
        config: Config,
        credentials: Credentials,
        database: Database,
        now: Callable[[], datetime],
    ) -> None:
        self._command = command
        self._config = config
        self._credentials = credentials
        self._database = database
        self._now = now

    def run(
        self, result: LoginResult, work: Callable[[CoveClient], None], is_needed: Callable[[], bool] = always
    ) -> None:
        """Log in, do the `work`, which adds to the `result`, and keep both in the audit trail.

        Work that is not needed is left out, and the login with it. What ends it early is the result's error. Raise
        Terminated if the process is to end.
        """
        try:
            lock = self._database.lock(result.login)
            with lock, audited(self._database, self._command, result.login, self._now) as audit:
                result.poll_id = audit.poll_id
                try:
                    self._log_in_and(work, result, is_needed)
                except CovePollerError as error:
                    log.debug("login %s ended early", result.login, exc_info=error)
                    result.error = error
                audit |= audit_row(result)
        except CovePollerError as error:
            if not isinstance(result.error, Terminated):  # that it was told to stop is not for the audit trail to hide
                result.error = error
        if isinstance(result.error, Terminated):
            raise result.error

    def _log_in_and(
        self, work: Callable[[CoveClient], None], result: LoginResult, is_needed: Callable[[], bool]
    ) -> None:
        settings, api = self._config.logins[result.login], self._config.api_of(result.login)
        password = self._credentials.login_password(result.login)
        rejection = last_rejection(self._database, result.login)
        if rejection and is_same(rejection.fingerprint, api.url, settings, password):
            result.login_fingerprint = rejection.fingerprint
            raise already_rejected(result.login, rejection.message, rejection.at)
        if not is_needed():
            return
        client = CoveClient(settings, password, api)
        try:
            user = client.login()
            result.login_fingerprint = ACCEPTED
            result.partner_id = settings.partner_id or user.partner_id
            work(client)
        except LoginRejected:
            result.login_fingerprint = fingerprint(api.url, settings, password)
            raise
        finally:
            result.request_count, result.login_count = client.request_count, client.login_count
            client.close()


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
    command: str,
    config: Config,
    credentials: Credentials,
    results: Sequence[LoginResult],
    now: Callable[[], datetime],
) -> None:
    """After a dry run, which leaves nothing else behind: the next one must not try a rejected login again either."""
    rejected = [result for result in results if isinstance(result.error, LoginRejected)]
    if rejected:
        with open_database(config, credentials.database_password()) as database:
            for result in rejected:
                with audited(database, command, result.login, now) as audit:
                    audit |= audit_row(result)


def already_rejected(login: str, message: str, at: datetime) -> LoginRejected:
    """The error of a login that is not tried again, in the words of the first time."""
    return LoginRejected(
        f"{message} (not tried again since {at:%Y-%m-%d %H:%M}Z, as Cove may lock a user who keeps trying;"
        f" change the configuration of login {login}, or run: cove-poller test-login --login {login})"
    )

"""`test-login`: prove that a login works, and say who and where it is. Writes no backup data."""

import logging
from collections.abc import Sequence
from urllib.parse import urlsplit

from cove_poller.commands.installation import Installation
from cove_poller.commands.login_run import logged_in
from cove_poller.commands.results import CommandResult, LoginResult, LoginTest, noting_stop
from cove_poller.cove.client import CoveClient
from cove_poller.cove.listing import Listing
from cove_poller.cove.replies import Partner
from cove_poller.database.audit_trail import audited
from cove_poller.database.engine import Mode
from cove_poller.errors import ConfigError, CovePollerError, DatabaseError, PermissionDenied, Terminated

log = logging.getLogger(__name__)


def check_logins(installation: Installation, logins: Sequence[str]) -> CommandResult:
    """Log in once with each login, even with one that was rejected before: that is what this is for."""
    started_at = installation.now()
    results: list[LoginTest] = []
    with noting_stop() as stop:
        for login in logins:
            results.append(_tested(installation, login))
    return CommandResult("test-login", started_at, installation.now(), results, ended_by=stop.error)


def _tested(installation: Installation, login: str) -> LoginTest:
    """Log in, look around, and leave the outcome in the audit trail. Raise Terminated if the process is to end."""
    result, tried = LoginTest(login, host=""), LoginResult(login)
    try:
        password = installation.credentials.login_password(login)
    except ConfigError as error:
        result.error = error
        return result
    result.host = urlsplit(installation.config.api_of(login).url).netloc
    try:
        with logged_in(installation, tried, password) as (client, user):
            result.user = user.user_name or installation.config.logins[login].username
            result.partner_id = tried.partner_id
            result.partner_name = partner_name(client, result.partner_id)
            listing = Listing(client, result.partner_id or 0)
            result.devices = sum(len(page.devices) for page in listing.iter_pages())
            result.refused_columns = listing.refused
    except CovePollerError as error:
        result.error = error
    _remember(installation, result, tried.login_fingerprint)
    if isinstance(result.error, Terminated):
        raise result.error
    return result


def partner_name(client: CoveClient, partner_id: int | None) -> str | None:
    """The partner's name, or None where the user may not ask for it."""
    try:
        partner = client.call("GetPartnerInfoById", {"partnerId": partner_id}, Partner)
    except PermissionDenied:
        return None
    return partner.name if partner else None


def _remember(installation: Installation, result: LoginTest, fingerprint: str | None) -> None:
    """Leave the outcome in the audit trail, so that `sync` knows whether it may try; the database may not be there."""
    try:
        with (
            installation.open(Mode.WRITE) as database,
            audited(database, "test-login", result.login, installation.now) as audit,
        ):
            audit |= {
                "outcome": "error" if result.error else "ok",
                "exit_code": result.exit_code,
                "devices": result.devices,
                "error": str(result.error) if result.error else None,
                "login_fingerprint": fingerprint,
            }
    except (DatabaseError, ConfigError) as error:
        log.info("the outcome was not noted in the database: %s", error)

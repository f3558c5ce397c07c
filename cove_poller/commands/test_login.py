"""`test-login`: prove that a login works, and say who and where it is. Writes no backup data."""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime

from pydantic import SecretStr

from cove_poller.commands.results import CommandResult, LoginTest
from cove_poller.config.credentials import Credentials
from cove_poller.config.settings import Config
from cove_poller.cove.client import CoveClient
from cove_poller.cove.listing import Listing
from cove_poller.cove.replies import Partner
from cove_poller.database.audit_trail import ACCEPTED, audited, fingerprint
from cove_poller.database.engine import open_database
from cove_poller.errors import ConfigError, CovePollerError, DatabaseError, LoginRejected, PermissionDenied, Terminated

log = logging.getLogger(__name__)


def check_logins(
    config: Config, credentials: Credentials, logins: Sequence[str], now: Callable[[], datetime]
) -> CommandResult:
    """Log in once with each login, even with one that was rejected before: that is what this is for."""
    started_at = now()
    results = []
    for login in logins:
        result = LoginTest(login, host="")
        try:
            password = credentials.login_password(login)
            try:
                _check(config, login, password, result)
            except CovePollerError as error:
                result.error = error
            _remember(config, credentials, login, password, result, now)
            if isinstance(result.error, Terminated):
                raise result.error
        except ConfigError as error:
            result.error = error
        results.append(result)
    return CommandResult("test-login", started_at, now(), results)


def _check(config: Config, login: str, password: SecretStr, result: LoginTest) -> None:
    settings = config.logins[login]
    client = CoveClient(settings, password, config.api_of(login))
    result.host = client.host
    try:
        user = client.login()
        result.user = user.user_name or settings.username
        result.partner_id = settings.partner_id or user.partner_id
        result.partner_name = partner_name(client, result.partner_id)
        listing = Listing(client, result.partner_id or 0)
        result.devices = sum(len(page.devices) for page in listing.iter_pages())
        result.refused_columns = listing.refused
    finally:
        client.close()


def partner_name(client: CoveClient, partner_id: int | None) -> str | None:
    """The partner's name, or None where the user may not ask for it."""
    try:
        partner = client.call("GetPartnerInfoById", {"partnerId": partner_id}, Partner)
    except PermissionDenied:
        return None
    return partner.name if partner else None


def _remember(
    config: Config,
    credentials: Credentials,
    login: str,
    password: SecretStr,
    result: LoginTest,
    now: Callable[[], datetime],
) -> None:
    """Leave the outcome in the audit trail, so that `sync` knows whether it may try; the database may not be there."""
    try:
        with (
            open_database(config, credentials.database_password(), prepare=False) as database,
            audited(database, "test-login", login, now) as audit,
        ):
            audit |= {
                "outcome": "error" if result.error else "ok",
                "exit_code": result.exit_code,
                "devices": result.devices,
                "error": str(result.error) if result.error else None,
            }
            if result.user:
                audit["login_fingerprint"] = ACCEPTED
            if isinstance(result.error, LoginRejected):
                audit["login_fingerprint"] = fingerprint(config.api_of(login).url, config.logins[login], password)
    except (DatabaseError, ConfigError) as error:
        log.info("the outcome was not noted in the database: %s", error)

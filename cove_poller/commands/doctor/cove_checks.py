"""`doctor`'s look at Cove: its certificate, its clock, and what each login may see. Never locks a user out.

A login is tried only where its rejection can be remembered, and never again after one that is remembered.
"""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from pydantic import SecretStr

from cove_poller.commands.doctor.checks import Check, Verdict, failed, fine, not_tried, warning
from cove_poller.commands.installation import Installation
from cove_poller.commands.login_run import logged_in, refuse_what_was_rejected
from cove_poller.commands.results import LoginResult
from cove_poller.commands.test_login import partner_name
from cove_poller.config.settings import ApiSettings
from cove_poller.cove.client import CoveClient
from cove_poller.cove.listing import Listing
from cove_poller.cove.probe import ask_time
from cove_poller.cove.replies import LoginUser
from cove_poller.database.audit_trail import audited
from cove_poller.database.engine import Database
from cove_poller.errors import (
    ApiError,
    ApiUnavailable,
    CovePollerError,
    LoginRejected,
    PermissionDenied,
    Terminated,
    VisaRefused,
)
from cove_poller.records.columns import DataSource, label
from cove_poller.records.device import DECISIVE_COLUMNS, describe_columns
from cove_poller.text import age, counted

TLS, CLOCK, LOGIN, COLUMNS = "TLS", "clock", "login", "columns"
WARNED_SKEW = timedelta(seconds=60)
FAILED_SKEW = timedelta(minutes=15)  # as long as a visa lasts

KINDS: tuple[tuple[type[CovePollerError], str, str], ...] = (
    (LoginRejected, "credentials or partner name", "Fix them in the configuration, then run `{test}`."),
    (VisaRefused, "visa", "Look at the clock check, and at proxies between here and Cove; then run `{test}`."),
    (PermissionDenied, "permission", "Give the API user a role that may do this, in Cove's console."),
    (ApiUnavailable, "network", "Look at name resolution, firewall, proxy and api.url; `sync` tries again by itself."),
    (ApiError, "answer", "Look at api.url and partner_id; `sync` tries again by itself."),
    (CovePollerError, "failure", "Run `{test}`, which says more."),
)


def host_checks(
    api: ApiSettings, now: Callable[[], datetime], database_ahead: timedelta | None
) -> tuple[list[Check], str]:
    """Return the checks of an API host's certificate and clock, and why no password may be sent there; "" if one may.

    Where the host does not tell the time, the clock of the database is compared, if it tells how far it is ahead.
    """
    host, is_secure = urlsplit(api.url).netloc, urlsplit(api.url).scheme == "https"
    ahead, obstacle = None, ""
    try:
        if at := ask_time(api):
            ahead = at - now()
        tls = fine(TLS, "its certificate is one that can be trusted")
    except CovePollerError as error:
        obstacle = f"{host} cannot be asked safely" if is_secure else ""  # without TLS the login finds out by itself
        tls = _classed(TLS, error)
    if not is_secure:
        tls = not_tried(TLS, "api.url is http://, of this machine itself", "Nothing, if that is meant.")
    of_clock = clock(database_ahead, "the database's") if ahead is None else clock(ahead, "Cove's").about(host)
    return [tls.about(host), of_clock], obstacle


def clock(ahead: timedelta | None, whose: str) -> Check:
    """Return the check of this machine's clock against one that is `ahead` of it."""
    if ahead is None:
        return not_tried(CLOCK, "neither Cove nor the database tells the time", "Look at the checks above.")
    skew = abs(ahead)
    if skew <= WARNED_SKEW:
        return fine(CLOCK, f"this machine's clock and {whose} differ by {skew.total_seconds():.0f} s")
    span = f"{skew.total_seconds():.0f} s" if skew < timedelta(minutes=2) else age(skew)
    message = f"this machine's clock is {span} {'behind' if ahead > timedelta() else 'ahead of'} {whose}"
    advice = "Set it, best by NTP: visas last 15 minutes, and runs would be written at the wrong time."
    if skew <= FAILED_SKEW:
        return warning(CLOCK, message, advice)
    return Check(CLOCK, Verdict.FAILED, message, advice, code="clock", exit_code=ApiError.exit_code)


def _classed(name: str, error: CovePollerError, login: str = "") -> Check:
    """Return a failed check that says which kind of failure it is."""
    test = f"cove-poller test-login --login {login}" if login else "cove-poller test-login"
    kind, advice = next((kind, advice) for of, kind, advice in KINDS if isinstance(error, of))
    if name == TLS and not isinstance(error, ApiUnavailable):
        kind, advice = "TLS", "Find out who answers there; trust a company's own authority with $REQUESTS_CA_BUNDLE."
    return failed(name, error, advice.format(test=test), kind=kind)


def login_checks(installation: Installation, login: str, password: SecretStr, database: Database) -> Iterator[Check]:
    """Return the checks of a login and of the columns that it may see. Tries it once, and keeps that in the trail."""
    result, checks = LoginResult(login), list[Check]()
    try:
        refuse_what_was_rejected(installation, database, result, password)
    except LoginRejected as error:
        yield _classed(LOGIN, error, login)
        return
    once = installation.config.api_of(login).model_copy(update={"max_attempts": 1})
    with audited(database, "doctor", login, installation.now) as audit:  # first, or a rejection might be forgotten
        try:
            with logged_in(installation, result, password, once) as (client, user):
                checks.extend(_look(client, user, result.partner_id))
        except CovePollerError as error:
            result.error = error
        audit |= {
            "outcome": "error" if result.error else "ok",
            "exit_code": result.error.exit_code if result.error else 0,
            "requests": result.request_count,
            "error": str(result.error) if result.error else None,
            "login_fingerprint": result.login_fingerprint,
        }
    if isinstance(result.error, Terminated):
        raise result.error
    if result.error:
        checks.append(_classed(COLUMNS if checks else LOGIN, result.error, login))
    yield from checks


def _look(client: CoveClient, user: LoginUser, partner_id: int | None) -> Iterator[Check]:
    """Ask something that needs the visa, and read one page of devices."""
    if not partner_id:
        raise ApiError("Cove's answer to the login names no partner; set partner_id for this login")
    name = partner_name(client, partner_id) or "a partner whose name it may not ask for"
    yield fine(LOGIN, f"Cove accepts user {user.user_name} for {name} (id {partner_id})")
    listing = Listing(client, partner_id)
    page = next(iter(listing.iter_pages()), None)
    yield _columns(listing.refused, bool(page and page.devices))


def _columns(refused: tuple[str, ...], has_devices: bool) -> Check:
    role = "Give the API user a role that may see them, in Cove's console, if you need them."
    if refused:
        unread = [label(source) for source in DataSource if DECISIVE_COLUMNS[source] & set(refused)]
        means = (
            f"how {', '.join(unread)} went cannot be read, so no run of a device that has it is better than a warning"
            if unread
            else "when sessions began and ended is told less exactly, and nothing else is lost"
        )
        return warning(
            COLUMNS, f"Cove refuses {counted(len(refused), 'column')}: {describe_columns(refused)};\n{means}", role
        )
    if not has_devices:
        return warning(
            COLUMNS, "none is refused, but Cove lists no device", "Look at partner_id and the user's customer."
        )
    return fine(COLUMNS, "none is refused")

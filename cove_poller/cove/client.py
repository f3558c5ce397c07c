"""Cove's wire: JSON-RPC over HTTPS. Layers, each doing one thing: call -> fresh visa -> retry -> one POST.

A client may be used by several threads: they share its pace, its visa, and the one login that renews it.

Facts are from N-able's pages "Authorization" and "Construct a JSON-RPC API call", and from public clients:
errors come with HTTP 200, `error.data` is the number to branch on, every reply may carry a newer visa, and
a visa lasts 15 minutes. What Cove does to a user who keeps trying a rejected login is not documented, so a
rejected login is never tried again.
"""

import html
import itertools
import json
import logging
import math
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
import tenacity
from pydantic import SecretStr
from requests.adapters import HTTPAdapter
from requests.exceptions import RequestException, SSLError
from urllib3.exceptions import HTTPError

from cove_poller import __version__
from cove_poller.config.settings import ApiSettings, LoginSettings
from cove_poller.cove.replies import LoginUser, Reply, ReplyError, Result, parse_reply
from cove_poller.errors import (
    ApiError,
    ApiUnavailable,
    CovePollerError,
    LoginRejected,
    PermissionDenied,
    VisaRefused,
)
from cove_poller.redaction import REDACTED, VISA, redacted
from cove_poller.text import fitted, one_line

BAD_LOGIN = 2100
BAD_VISA = 1701
FORBIDDEN = 13501

MAX_REPLY_BYTES = 256 * 1024 * 1024
MAX_RETRY_AFTER_SECONDS = 120.0
MAX_RETRY_SECONDS = 300.0
MAX_TEXT_LENGTH = 200

LOCKED_OUT = re.compile(r"password|credential|lock|block|denied|disabled|factor|2fa", re.IGNORECASE)
"""How a refusal of the person, not of the moment, may be worded: only 2100's text is known."""

VISA_WORD = re.compile(r"\bvisa\b", re.IGNORECASE)
log = logging.getLogger(__name__)
T = TypeVar("T")


class Pacer:
    """Lets at most `per_second` callers pass, evenly spaced, however many threads there are."""

    def __init__(self, per_second: float, clock: Callable[[], float], sleep: Callable[[float], None]) -> None:
        self._interval = 1 / per_second
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._next = 0.0

    def wait(self) -> None:
        """Return when it is the caller's turn."""
        with self._lock:
            now = self._clock()
            turn = max(now, self._next)
            self._next = turn + self._interval
        if turn > now:
            self._sleep(turn - now)


class ShowsVisa(Enum):
    """Where a service is shown the visa."""

    IN_BODY = "body"
    AS_BEARER = "header"
    NOT_AT_ALL = "not at all"


@dataclass(frozen=True)
class Service:
    """One of Cove's JSON-RPC services. `hint` is what may be wrong where it answers with an HTTP error."""

    url: str
    visa: ShowsVisa = ShowsVisa.IN_BODY
    hint: str = ""

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc


@dataclass(frozen=True)
class Held:
    """The visa in use, and how many logins there have been when it came; one value, so that threads see both."""

    login_count: int
    visa: str | None


class _Session(requests.Session):
    """A session that looks at no redirect: the library would read its whole body even where it does not follow."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        del resp


class CoveClient:
    """One login to Cove. `request_count` is what went over the wire, `login_count` how often a login was asked for."""

    def __init__(
        self,
        login: LoginSettings,
        password: SecretStr,
        api: ApiSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        self.api = api
        self.management = Service(api.url, hint="; is api.url right?")
        self.request_count = 0
        self.login_count = 0
        self._login = login
        self._password = password
        self._held = Held(0, None)
        self._renewal = threading.Lock()
        self._renewal_error: CovePollerError | None = None
        self._counting = threading.Lock()
        self._clock = clock
        self._closed = threading.Event()
        self._sleep = sleep or self._wait
        self._pacer = Pacer(api.requests_per_second, clock, self._sleep)
        self._ids = itertools.count(1)
        self._http = _Session()
        for scheme in ("https://", "http://"):
            self._http.mount(scheme, HTTPAdapter(pool_maxsize=api.backfill_workers + 2))
        self._http.headers.update({"Content-Type": "application/json", "User-Agent": f"cove-poller/{__version__}"})
        self._http.auth = lambda request: request  # or requests would add what a .netrc says

    def close(self) -> None:
        """End the session; whatever thread is still asking stops before its next request."""
        self._closed.set()
        self._http.close()

    def _wait(self, seconds: float) -> None:
        self._closed.wait(seconds)

    @property
    def host(self) -> str:
        return self.management.host

    def login(self) -> LoginUser:
        """Sign in and keep the visa. Raise LoginRejected if Cove refuses, which nobody may try again by himself."""
        params = {"username": self._login.username, "password": self._password.get_secret_value()}
        if self._login.partner:
            params["partner"] = self._login.partner
        self.login_count += 1
        without_visa = replace(self.management, visa=ShowsVisa.NOT_AT_ALL)
        reply = self._send(without_visa, "Login", params, LoginUser)
        if reply.error:
            raise self._login_refusal(reply.error)
        user = reply.result.result if reply.result else None
        if not reply.visa or user is None:
            raise LoginRejected(f"Cove at {self.host} answered the login without a visa (two-factor login?)")
        self._held = Held(self._held.login_count + 1, reply.visa)
        if user.partner_id is None and reply.result:  # one client saw it beside the user
            return user.model_copy(update={"partner_id": reply.result.partner_id})
        return user

    def call(self, method: str, params: Mapping[str, Any], inner: type[T], service: Service | None = None) -> T | None:
        """The inner result of a method, of the management service unless another is named."""
        result = self.call_whole(method, params, inner, service)
        return result.result if result else None

    def call_whole(
        self, method: str, params: Mapping[str, Any], inner: type[T], service: Service | None = None
    ) -> Result[T] | None:
        """The result of a method with what stands beside the inner one. A refused visa costs one login, once a call."""
        service = service or self.management
        held = self._held
        try:
            return self._call(service, method, params, inner)
        except VisaRefused:
            if service.visa is ShowsVisa.NOT_AT_ALL:
                raise
            self._renew(held.login_count)
            return self._call(service, method, params, inner)

    def _renew(self, login_count: int) -> None:
        """Log in again, unless another thread has done so since there were so many logins; never after a failure."""
        with self._renewal:
            if self._renewal_error:
                raise self._renewal_error
            if login_count == self._held.login_count:
                log.info("the visa was refused, logging in again")
                try:
                    self.login()
                except CovePollerError as error:
                    self._renewal_error = error
                    raise

    def _call(self, service: Service, method: str, params: Mapping[str, Any], inner: type[T]) -> Result[T] | None:
        reply = self._send(service, method, params, inner)
        if reply.error:
            raise self._refusal(method, reply.error)
        return reply.result

    def _send(self, service: Service, method: str, params: Mapping[str, Any], inner: type[T]) -> Reply[T]:
        """One request with its retries, and the visa that came back kept."""
        held = self._held
        visa = held.visa
        message: dict[str, Any] = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params}
        headers = {}
        if visa and service.visa is ShowsVisa.IN_BODY:
            message["visa"] = visa
        if visa and service.visa is ShowsVisa.AS_BEARER:
            headers["Authorization"] = f"Bearer {visa}"
        body = json.dumps(message).encode()
        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(self.api.max_attempts) | tenacity.stop_after_delay(MAX_RETRY_SECONDS),
            wait=_pause,
            retry=tenacity.retry_if_exception_type(ApiUnavailable),
            sleep=self._sleep,
            before_sleep=_log_retry,
            reraise=True,
        )
        reply = parse_reply(retrying(self._post, service, method, body, headers), inner)
        if reply.visa and service == self.management and held.login_count == self._held.login_count:
            self._held = Held(held.login_count, reply.visa)  # none that was asked for before a new login
        return reply

    def _post(self, service: Service, method: str, body: bytes, headers: Mapping[str, str]) -> bytes:
        """One POST. Raise ApiUnavailable for what may pass by itself, ApiError for what will not."""
        self._pacer.wait()
        if self._closed.is_set():
            raise ApiError("stopped before the next request")
        with self._counting:
            self.request_count += 1
        began = self._clock()
        try:
            with self._http.post(
                service.url,
                data=body,
                headers=headers,
                timeout=self.api.timeout_seconds,
                allow_redirects=False,
                stream=True,
            ) as response:
                _check_status(response, service)
                content = self._read(response, service.host, began)
        except (RequestException, HTTPError, OSError, ValueError) as error:  # the last two: a bad CA bundle or header
            raise network_error(error, service.host) from error
        log.debug("%s: %d bytes in %.2f s", method, len(content), self._clock() - began)
        return content

    def _read(self, response: requests.Response, host: str, began: float) -> bytes:
        """The reply's body, bounded in size and in time, since the time-out is for each piece of it only."""
        pieces, size = [], 0
        # read1 returns what is there; any other way waits for a whole piece, however slowly it comes
        while piece := response.raw.read1(1 << 16, decode_content=True):
            pieces.append(piece)
            size += len(piece)
            if size > MAX_REPLY_BYTES:
                raise ApiError(f"Cove at {host} sent more than {MAX_REPLY_BYTES >> 20} MiB in one answer")
            if self._clock() - began > 2 * self.api.timeout_seconds:
                raise ApiUnavailable(f"Cove at {host} took too long to send its answer")
        return b"".join(pieces)

    def _said(self, error: ReplyError) -> str:
        """Cove's own words, made fit for a mail: one line, not long, no secret."""
        password = self._password.get_secret_value()
        text = one_line(html.unescape(error.message or "no message"))
        text = VISA.sub(
            REDACTED, redacted(text, [password, one_line(password), html.unescape(password), self._held.visa or ""])
        )
        number = error.cove_code or (error.code if isinstance(error.code, int) else "without a number")
        return f'error {number}, "{fitted(text, MAX_TEXT_LENGTH)}"'

    def _refusal(self, method: str, error: ReplyError) -> ApiError | PermissionDenied:
        said = self._said(error)
        if error.cove_code == FORBIDDEN:
            return PermissionDenied(f"Cove does not allow {method} to user {self._login.username}: {said}")
        if error.cove_code == BAD_VISA or VISA_WORD.search(error.message or ""):
            return VisaRefused(f"Cove refuses the visa that it gave: {said}")
        return ApiError(f"Cove answers {method} with {said}")

    def _login_refusal(self, error: ReplyError) -> ApiError | LoginRejected | PermissionDenied:
        said = self._said(error)
        if error.cove_code == FORBIDDEN:
            return PermissionDenied(f"Cove does not allow user {self._login.username} to log in here: {said}")
        about_the_user = error.cove_code not in (None, BAD_VISA) or LOCKED_OUT.search(error.message or "")
        if not about_the_user:
            kind = VisaRefused if error.cove_code == BAD_VISA else ApiError
            return kind(f"Cove answers the login with {said}")
        partner = f"partner {self._login.partner!r}" if self._login.partner else "no partner name"
        hint = "user, password and, to the letter, the partner name" if error.cove_code == BAD_LOGIN else "the user"
        return LoginRejected(
            f"Cove rejects user {self._login.username} with {partner}: {said}. Check {hint} in Cove's console"
        )


def _check_status(response: requests.Response, service: Service) -> None:
    status, host = response.status_code, service.host
    if status == requests.codes.ok:
        return
    if status == requests.codes.too_many_requests or status >= requests.codes.internal_server_error:
        pause = _retry_after(response.headers.get("Retry-After"))
        raise ApiUnavailable(f"Cove at {host} answers HTTP {status}", pause)
    if service.visa is ShowsVisa.AS_BEARER and status == requests.codes.unauthorized:
        raise VisaRefused(f"Cove at {host} answers HTTP {status}")
    if service.visa is ShowsVisa.AS_BEARER and status == requests.codes.forbidden:
        raise PermissionDenied(f"Cove at {host} answers HTTP {status}")
    if response.is_redirect:
        target = _safe(response.headers["Location"])
        raise ApiError(f"Cove at {host} redirects to {target}, which is not followed{service.hint}")
    raise ApiError(f"Cove at {host} answers HTTP {status}{service.hint}")


def network_error(error: Exception, host: str) -> ApiError:
    if isinstance(error, SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(error):
        return ApiError(f"the TLS certificate of {host} cannot be verified; nothing was sent")
    if isinstance(error, (RequestException, HTTPError)) and not isinstance(error, ValueError):
        return ApiUnavailable(f"Cove at {host} cannot be reached ({type(error).__name__})")
    return ApiError(f"the request to {host} failed ({type(error).__name__}: {_safe(str(error))})")


def _safe(text: str) -> str:
    """Somebody's text made fit for a mail: one line, not long, nothing that looks like a visa or a token."""
    return fitted(VISA.sub(REDACTED, one_line(text)), MAX_TEXT_LENGTH)


def _retry_after(value: str | None) -> float | None:
    """The seconds that a Retry-After header asks for, as a number or as a date, clamped; None if it makes no sense."""
    try:
        seconds = float(value or "")
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value or "") - datetime.now(UTC)).total_seconds()
        except (TypeError, ValueError, OverflowError):
            return None
    return None if math.isnan(seconds) else min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)


_backoff = tenacity.wait_random_exponential(multiplier=1, max=30)


def _pause(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after_seconds if isinstance(error, ApiUnavailable) else None
    return _backoff(state) if asked is None else asked


def _log_retry(state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    pause = state.next_action.sleep if state.next_action else 0
    log.info("attempt %d failed: %s; next in %.1f s", state.attempt_number, error, pause)

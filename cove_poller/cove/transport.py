"""The lower layers of the wire: a paced POST, bounded in size and time, and tried again where that may help.

Knows services and bytes, nothing of logins, visas or JSON. May be used by several threads.
"""

import logging
import math
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import TypeVar
from urllib.parse import urlsplit

import requests
import tenacity
from requests.exceptions import InvalidHeader, RequestException
from urllib3.exceptions import HTTPError

from cove_poller.config.settings import ApiSettings
from cove_poller.cove.deadline import Deadline, Watchdog
from cove_poller.cove.http_session import HttpSession
from cove_poller.cove.reasons import certificate_problem, reason
from cove_poller.errors import ApiError, ApiUnavailable, PermissionDenied, VisaRefused
from cove_poller.redaction import fit_to_show

ROW_BYTES = 24 * 1024  # the widest rows have a third of that, and a page of such is read with less than 256 MiB
OTHER_BYTES = 1024 * 1024
MAX_RETRY_AFTER_SECONDS = 120.0
MAX_RETRY_SECONDS = 300.0
PASSING_STATUSES = (
    requests.codes.request_timeout,
    requests.codes.too_early,
    requests.codes.too_many_requests,
)

T = TypeVar("T")
log = logging.getLogger(__name__)


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


class Transport:
    """Sends requests over one HTTP session. `request_count` is what went over the wire.

    `clock_ahead` is how far the API's clock was ahead of this machine's by its last answer; nothing if it never told.
    """

    def __init__(
        self,
        api: ApiSettings,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        self.request_count = 0
        self.clock_ahead = timedelta()
        self._api = api
        self._clock = clock
        self._counting = threading.Lock()
        self._closed = threading.Event()
        self._sleep = sleep or self._wait
        self._pacer = Pacer(api.requests_per_second, clock, self._sleep)
        self._http = HttpSession(connections=api.backfill_workers + 2)
        self._watchdog = Watchdog(2 * api.timeout_seconds)
        self._retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(api.max_attempts) | tenacity.stop_after_delay(MAX_RETRY_SECONDS),
            wait=pause_seconds,
            retry=tenacity.retry_if_exception_type(ApiUnavailable),
            sleep=self._sleep,
            before_sleep=_log_retry,
            reraise=True,
        )

    def _wait(self, seconds: float) -> None:
        self._closed.wait(seconds)  # so that closing ends it

    def close(self) -> None:
        """End the session; whatever thread is still sending stops before its next request."""
        self._closed.set()
        self._watchdog.close()
        self._http.close()

    def send(
        self,
        service: Service,
        method: str,
        body: bytes,
        headers: Mapping[str, str],
        read: Callable[[bytearray], T],
        *,
        rows: int = 0,
    ) -> T:
        """Return what `read` makes of the service's answer, after as many attempts as are allowed.

        `method` is for the log; the answer may be as large as so many `rows` can be. Raise ApiUnavailable if it is not
        to be had, or if `read` says so; ApiError, PermissionDenied or VisaRefused if trying again is vain.
        """
        return self._retrying(lambda: read(self._post(service, method, body, headers, OTHER_BYTES + rows * ROW_BYTES)))

    def _post(self, service: Service, method: str, body: bytes, headers: Mapping[str, str], limit: int) -> bytearray:
        self._pacer.wait()
        if self._closed.is_set():
            raise ApiError("stopped before the next request")
        with self._counting:
            self.request_count += 1
        began = self._clock()
        with self._watchdog.deadline() as limited:
            try:
                with self._http.post_bytes(service.url, body, headers, self._api.timeout_seconds) as response:
                    check_status(response, service)
                    self._note_time(response, service)
                    content = _read(response, service.host, limit)
            except (RequestException, HTTPError, OSError, ValueError) as error:  # the last: a header
                _refuse_late(limited, service)
                raise network_error(error, service.host) from error
            _refuse_late(limited, service)  # what was cut may look whole
        log.debug("%s: %d bytes in %.2f s", method, len(content), self._clock() - began)
        return content

    def _note_time(self, response: requests.Response, service: Service) -> None:
        if service.url == self._api.url and (at := date_of(response)):
            self.clock_ahead = at - datetime.now(UTC)


def _refuse_late(limited: Deadline, service: Service) -> None:
    if limited.is_over:
        raise ApiUnavailable(f"Cove at {service.host} took too long to send its answer")


def _read(response: requests.Response, host: str, limit: int) -> bytearray:
    """Return the body, of at most `limit` bytes. Raise ApiError if there is more of it."""
    content = bytearray()
    while piece := response.raw.read1(1 << 16, decode_content=True):
        content += piece
        if len(content) > limit:
            raise ApiError(
                f"Cove at {host} sent more than {limit >> 20} MiB in one answer, which is more than what was asked for"
                " can need"
            )
    return content


def check_status(response: requests.Response, service: Service) -> None:
    """Return if the answer is one. Raise ApiUnavailable for what may pass by itself, another error for the rest."""
    status, host = response.status_code, service.host
    if status == requests.codes.ok:
        return
    if status in PASSING_STATUSES or status >= requests.codes.internal_server_error:
        pause = retry_after(response.headers.get("Retry-After"), datetime.now(UTC))
        raise ApiUnavailable(f"Cove at {host} answers HTTP {status}", pause)
    if service.visa is ShowsVisa.AS_BEARER and status == requests.codes.unauthorized:
        raise VisaRefused(f"Cove at {host} answers HTTP {status}")
    if service.visa is ShowsVisa.AS_BEARER and status == requests.codes.forbidden:
        raise PermissionDenied(f"Cove at {host} answers HTTP {status}")
    if response.is_redirect:
        target = fit_to_show(response.headers["Location"])
        raise ApiError(f"Cove at {host} redirects to {target}, which is not followed{service.hint}")
    raise ApiError(f"Cove at {host} answers HTTP {status}{service.hint}")


def date_of(response: requests.Response) -> datetime | None:
    """Return the time in the `Date` header of an answer; None if there is none that makes sense."""
    try:
        at = parsedate_to_datetime(response.headers.get("Date", ""))
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None


def network_error(error: Exception, host: str) -> ApiError:
    """Return our error for one of the HTTP library's: only a failed certificate or request will not pass by itself."""
    if problem := certificate_problem(error):
        return ApiError(f"the TLS certificate of {host} cannot be verified: {problem}; nothing was sent")
    if isinstance(error, InvalidHeader):
        return ApiError(f"the visa that Cove gave cannot be shown to {host}: it has signs that no header may have")
    if isinstance(error, OSError) and not isinstance(error, (RequestException, HTTPError)):
        authorities = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or "this machine"
        return ApiError(f"the certificate authorities of {authorities} cannot be read; nothing was sent to {host}")
    if not isinstance(error, ValueError):
        return ApiUnavailable(f"Cove at {host} cannot be reached: {reason(error)}")
    return ApiError(f"the request to {host} cannot be sent ({type(error).__name__})")


def retry_after(value: str | None, now: datetime) -> float | None:
    """Return the seconds that a Retry-After header asks for, clamped; None if it makes no sense.

    It is a number of seconds or a date: `7`, `Wed, 21 Oct 2026 07:28:00 GMT`.
    """
    try:
        seconds = float(value or "")
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value or "") - now).total_seconds()
        except (TypeError, ValueError, OverflowError):
            return None
    return None if math.isnan(seconds) else min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)


_backoff = tenacity.wait_random_exponential(multiplier=1, max=30)


def pause_seconds(state: tenacity.RetryCallState) -> float:
    """Return how long to wait before the next attempt: as long as Cove asks for, else longer each time, by chance."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after_seconds if isinstance(error, ApiUnavailable) else None
    return _backoff(state) if asked is None else asked


def _log_retry(state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    pause = state.next_action.sleep if state.next_action else 0
    log.info("attempt %d failed: %s; next in %.1f s", state.attempt_number, error, pause)

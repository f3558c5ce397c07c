"""A login to Cove and the calls that are made with it: JSON-RPC over HTTPS, in layers that each do one thing.

    call, call_whole     the result of a method, or the error that Cove answered, as ours
    `- fresh visa        where the visa is refused: one login, shared by all threads, and one more call
       `- message        JSON-RPC, the visa in its place; the newer visa that came back is kept
          `- retry       what may pass by itself is tried again      } transport
             `- one POST paced, bounded in size and time             }

Facts are from N-able's pages "Authorization" and "Construct a JSON-RPC API call", and from public clients:
errors come with HTTP 200, `error.data` is the number to branch on, every reply may carry a newer visa, and
a visa lasts 15 minutes. What Cove does to a user who keeps trying a rejected login is not documented, so a
rejected login is never tried again. Every other error of the login is the moment's.
"""

import html
import itertools
import json
import logging
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, TypeVar

from pydantic import SecretStr

from cove_poller.config.settings import ApiSettings, LoginSettings
from cove_poller.cove.replies import LoginUser, Reply, ReplyError, Result, parse_reply
from cove_poller.cove.transport import Service, ShowsVisa, Transport
from cove_poller.errors import ApiError, CovePollerError, LoginLocked, LoginRejected, PermissionDenied, VisaRefused
from cove_poller.redaction import fit_to_show, remember

BAD_LOGIN = 2100
BAD_VISA = 1701
FORBIDDEN = 13501

REJECTED = re.compile(
    r"\b(?:passwords?|credentials?|two[- ]?factor|2fa|mfa|multi[- ]?factor)\b"
    r"|\b(?:user|account)\b.*\b(?:disabled|deactivated)\b|\b(?:disabled|deactivated)\b.*\b(?:user|account)\b",
    re.IGNORECASE,
)
LOCKED = re.compile(
    r"\b(?:user|account|you)\b.*\b(?:locked|blocked|lockout)\b|\b(?:locked|blocked|lockout)\b.*\b(?:user|account)\b",
    re.IGNORECASE,
)
LOCKED_THING = re.compile(r"\b(?:database|table|row|record|file|resource|object|process|thread)\b", re.IGNORECASE)
"""How a refusal of the person, not of the moment, may be worded: only 2100's text is known."""

VISA_WORD = re.compile(r"\bvisa\b", re.IGNORECASE)
log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True)
class Held:
    """The visa in use, and how many logins there have been when it came; one value, so that threads see both."""

    login_count: int
    visa: str | None


class CoveClient:
    """One login to Cove. Threads that use it share its pace, its visa, and the one login that renews that.

    `request_count` is what went over the wire, `login_count` how often a login was asked for.
    """

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
        self.login_count = 0
        self._login = login
        self._password = password
        remember(password.get_secret_value())
        self._held = Held(0, None)
        self._renewal = threading.Lock()
        self._renewal_error: CovePollerError | None = None
        self._ids = itertools.count(1)
        self._transport = Transport(api, clock, sleep)

    @property
    def request_count(self) -> int:
        return self._transport.request_count

    @property
    def clock_ahead(self) -> timedelta:
        """Return how far Cove's clock is ahead of this machine's."""
        return self._transport.clock_ahead

    def close(self) -> None:
        """End the session; whatever thread is still asking stops before its next request."""
        self._transport.close()

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
            raise ApiError(
                f"Cove at {self.host} answered the login without a visa; if that does not pass, see in Cove's console"
                " whether the user needs a second factor"
            )
        self._held = Held(self._held.login_count + 1, reply.visa)
        if user.partner_id is None and reply.result:  # one client saw it beside the user
            return user.model_copy(update={"partner_id": reply.result.partner_id})
        return user

    def call(self, method: str, params: Mapping[str, Any], inner: type[T], service: Service | None = None) -> T | None:
        """Return the inner result of a method, of the management service unless another is named."""
        result = self.call_whole(method, params, inner, service)
        return result.result if result else None

    def call_whole(
        self, method: str, params: Mapping[str, Any], inner: type[T], service: Service | None = None
    ) -> Result[T] | None:
        """Return the result of a method with what stands beside the inner one.

        A refused visa costs one login, once a call. Raise PermissionDenied, VisaRefused, LoginRejected or ApiError.
        """
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
        """Return the reply to one request, and keep the visa that came back with it."""
        held = self._held
        visa = held.visa
        message: dict[str, Any] = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params}
        headers = {}
        if visa and service.visa is ShowsVisa.IN_BODY:
            message["visa"] = visa
        if visa and service.visa is ShowsVisa.AS_BEARER:
            headers["Authorization"] = f"Bearer {visa}"

        def read(answer: bytearray) -> Reply[T]:
            reply = parse_reply(answer, inner, f"Cove at {service.host}")
            remember(reply.visa, passing=True)
            return reply

        body = json.dumps(message).encode()
        reply = self._transport.send(service, method, body, headers, read, rows=rows_asked(params))
        if reply.visa and service == self.management and held.login_count == self._held.login_count:
            self._held = Held(held.login_count, reply.visa)  # none that was asked for before a new login
        return reply

    def _said(self, error: ReplyError) -> str:
        """Return Cove's own words, made fit for a mail: one line, not long, no secret."""
        number = error.cove_code or (error.code if isinstance(error.code, int) else "without a number")
        said = fit_to_show(error.message or "no message")
        return f'error {number}, "{said}"'

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
        partner = f"partner {self._login.partner!r}" if self._login.partner else "no partner name"
        hint = "user, password and, to the letter, the partner name" if error.cove_code == BAD_LOGIN else "the user"
        who = f"user {self._login.username} with {partner}: {said}. Check {hint} in Cove's console"
        if error.cove_code == BAD_VISA:
            return VisaRefused(f"Cove answers the login with {said}")
        if _is_locked(error.message or ""):
            return LoginLocked(f"Cove has locked {who}")
        if error.cove_code == BAD_LOGIN or REJECTED.search(html.unescape(error.message or "")):
            return LoginRejected(f"Cove rejects {who}")
        return ApiError(f"Cove answers the login with {said}")


def rows_asked(params: Mapping[str, Any]) -> int:
    """Return how many rows a method is asked for: of the listing, of its past, or of sessions."""
    query = params.get("query")  # of sessions it is a text
    asked = query.get("RecordsCount") if isinstance(query, Mapping) else None
    return int(asked or params.get("range", {}).get("Size", 0))


def _is_locked(message: str) -> bool:
    """Tell whether a message is of a locked user, not of a lock among Cove's own machinery."""
    return bool(LOCKED.search(html.unescape(message))) and not LOCKED_THING.search(message)

"""The client against a real HTTP server: what is retried, what never is, and that no secret gets out."""

import contextlib
import gzip
import itertools
import json
import logging
import random
import socket
import ssl
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.message import Message
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import requests
import trustme
from pydantic import SecretStr

from cove_poller.config.settings import ApiSettings, LoginSettings
from cove_poller.cove import client as client_module
from cove_poller.cove.client import CoveClient
from cove_poller.cove.replies import Partner
from cove_poller.errors import (
    ApiError,
    ApiUnavailable,
    CovePollerError,
    LoginRejected,
    PermissionDenied,
    VisaRefused,
)
from cove_poller.records.device import StatisticsRow
from tests.world.fake_cove import FakeCove, Fleet, HttpAnswer, RpcError
from tests.world.fake_cove import Partner as FakePartner

STATISTICS = "EnumerateAccountStatistics"
ATTEMPTS = 4
PARTNER_NAME = "Example MSP (admin@example.com)"
VISA = f"1000-50121-1-1772409600-{'A9' * 32}"

MakeClient = Callable[..., CoveClient]
Respond = Callable[[BaseHTTPRequestHandler, bytes], None]


@dataclass
class Server:
    """A web server that is not Cove, and what it was sent."""

    url: str
    received: list[tuple[Message, bytes]] = field(default_factory=list)


MakeServer = Callable[..., Server]


@pytest.fixture
def fleet() -> Fleet:
    """Nobody but the partner itself: what devices there are does not matter here."""
    return Fleet([FakePartner(1000, PARTNER_NAME, None)], [])


@pytest.fixture
def pauses() -> list[float]:
    """How long the client would have slept, each time."""
    return []


@pytest.fixture
def make_client(cove: FakeCove, pauses: list[float]) -> Iterator[MakeClient]:
    """Makes clients of the fake Cove that never sleep; their clock goes on by itself, so no pacing shows."""
    with ExitStack() as stack:

        def make(
            partner: str = "",
            password: str = "",
            clock: Callable[[], float] | None = None,
            sleep: Callable[[float], None] | None = pauses.append,
            **api: Any,
        ) -> CoveClient:
            ticks = itertools.count(0, 0.01)
            client = CoveClient(
                LoginSettings(username=cove.username, partner=partner),
                SecretStr(password or cove.password),
                ApiSettings(**{"url": cove.url, "requests_per_second": 1000, "max_attempts": ATTEMPTS, **api}),
                clock=clock or (lambda: next(ticks)),
                sleep=sleep,
            )
            stack.callback(client.close)
            return client

        yield make


@pytest.fixture
def client(make_client: MakeClient) -> CoveClient:
    """A client that has not logged in yet."""
    return make_client()


@pytest.fixture
def make_server() -> Iterator[MakeServer]:
    """Makes other web servers, over TLS where a context is given."""
    with ExitStack() as stack:

        def make(respond: Respond | None = None, tls: ssl.SSLContext | None = None) -> Server:
            return stack.enter_context(serving_other(respond or answering(b"{}"), tls))

        yield make


@contextmanager
def serving_other(respond: Respond, tls: ssl.SSLContext | None) -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            server.received.append((self.headers, body))
            with contextlib.suppress(OSError):  # the client may have had enough
                respond(self, body)

        def do_GET(self) -> None:
            self.do_POST()  # what a redirect that is followed becomes

        def log_message(self, format: str, *args: object) -> None:
            """Stay quiet."""

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    if tls:
        httpd.socket = tls.wrap_socket(httpd.socket, server_side=True)
    server = Server(f"{'https' if tls else 'http'}://127.0.0.1:{httpd.server_address[1]}/jsonapi")
    thread = Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join()


def answering(body: bytes, **headers: str) -> Respond:
    def respond(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        send_head(handler, 200, **{"Content-Length": str(len(body)), **headers})
        handler.wfile.write(body)

    return respond


def send_head(handler: BaseHTTPRequestHandler, status: int, **headers: str) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.end_headers()


def trickling(pieces: int, *, chunked: bool) -> Respond:
    """Answers by and by, each piece well within the time-out, all of them well beyond it."""

    def respond(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        send_head(handler, 200, **{"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": str(pieces)})
        for _piece in range(pieces):
            handler.wfile.write(b"1\r\n \r\n" if chunked else b" ")
            time.sleep(0.04)

    return respond


def endless(status: int, **headers: str) -> tuple[Respond, list[int]]:
    """An answer without an end (64 MiB here), and the number of bytes that were taken of it."""
    taken = [0]

    def respond(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        send_head(handler, status, **headers, **{"Transfer-Encoding": "chunked"})
        for _piece in range(1024):
            handler.wfile.write(b"10000\r\n" + b" " * 65536 + b"\r\n")
            taken[0] += 65536

    return respond, taken


def reply(**parts: Any) -> HttpAnswer:
    return HttpAnswer(200, {"Content-Type": "application/json"}, json.dumps({"jsonrpc": "2.0", **parts}).encode())


def refusal(message: str, number: object = 999, **parts: Any) -> HttpAnswer:
    return reply(error={"code": -32603, "data": number, "message": message}, **parts)


def ask_partner(client: CoveClient) -> Partner | None:
    return client.call("GetPartnerInfoById", {"partnerId": 1000}, Partner)


def ask_statistics(client: CoveClient) -> list[StatisticsRow] | None:
    query = {"PartnerId": 1000, "RecordsCount": 5, "Columns": ["I1"]}
    return client.call(STATISTICS, {"query": query}, list[StatisticsRow])


def login(client: CoveClient) -> object:
    return client.login()


def caught(kind: type[CovePollerError], act: Callable[[CoveClient], object], client: CoveClient) -> CovePollerError:
    """The error that `act` ends with, which is exactly of this kind."""
    with pytest.raises(kind) as info:
        act(client)
    assert type(info.value) is kind
    return info.value


# --- The login and its partner name


@pytest.mark.parametrize("partner", ["", PARTNER_NAME])
def test_the_partner_is_sent_only_when_it_is_configured(cove: FakeCove, make_client: MakeClient, partner: str) -> None:
    user = make_client(partner).login()
    sent = {"username": cove.username, "password": cove.password}
    assert cove.requests[0].params == ({**sent, "partner": partner} if partner else sent)
    assert user.partner_id == 1000


@pytest.mark.parametrize("partner", ["", "Example MSP", PARTNER_NAME.lower(), f" {PARTNER_NAME}"])
def test_a_partner_name_that_differs_in_a_letter_is_rejected_with_a_hint_at_it(
    cove: FakeCove, make_client: MakeClient, partner: str
) -> None:
    cove.partner = PARTNER_NAME
    error = caught(LoginRejected, login, make_client(partner))
    assert "to the letter, the partner name" in str(error)
    assert (f"with partner {partner!r}" if partner else "with no partner name") in str(error)


def test_a_partner_name_that_is_right_to_the_letter_is_accepted(cove: FakeCove, make_client: MakeClient) -> None:
    cove.partner = PARTNER_NAME
    assert make_client(PARTNER_NAME).login().user_name == cove.username


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RpcError(2100, "Unknown partner/username or bad password"), LoginRejected),
        (RpcError(2777, "A number that nobody has documented"), LoginRejected),
        (RpcError(None, "The account is temporarily locked"), LoginRejected),
        (RpcError(0, "Two-factor authentication is required"), LoginRejected),
        (RpcError(13501, "Operation failed because of security reasons"), PermissionDenied),
        (RpcError(None, "Internal server error"), ApiError),
        (RpcError(0, "The backend is not available"), ApiError),
        (RpcError(1701, "Visa is inconsistent/corrupted."), VisaRefused),
    ],
    ids=lambda value: str(value) if isinstance(value, RpcError) else value.__name__,
)
def test_a_refused_login_is_told_from_server_trouble_and_is_tried_once(
    cove: FakeCove, client: CoveClient, pauses: list[float], error: RpcError, kind: type[CovePollerError]
) -> None:
    cove.faults.login_error = error
    assert str(error) in str(caught(kind, login, client))
    assert [request.method for request in cove.requests] == ["Login"]
    assert (client.request_count, client.login_count, pauses) == (1, 1, [])


def test_a_wrong_password_is_rejected_and_tried_once(
    cove: FakeCove, make_client: MakeClient, pauses: list[float]
) -> None:
    error = caught(LoginRejected, login, make_client(password="not the token"))
    assert "error 2100" in str(error)
    assert (cove.count("Login"), pauses) == (1, [])


def test_a_login_that_brings_no_visa_is_rejected(cove: FakeCove, client: CoveClient) -> None:
    cove.faults.login_without_visa = True
    assert "without a visa" in str(caught(LoginRejected, login, client))
    assert cove.count("Login") == 1


# --- The visa


def test_every_request_carries_the_visa_of_the_answer_before_at_its_top_level(
    cove: FakeCove, client: CoveClient
) -> None:
    issued: list[str] = []
    for act in (login, ask_partner, ask_statistics, ask_partner):
        before = set(cove.visas)
        act(client)
        issued += cove.visas - before
    assert [request.visa for request in cove.requests] == [None, *issued[:-1]]
    assert all("visa" not in request.params for request in cove.requests)


def test_a_visa_that_stands_beside_an_error_is_the_newest_too(cove: FakeCove, client: CoveClient) -> None:
    client.login()
    newest = cove.answer({"method": "Login", "params": cove.requests[0].params})["visa"]
    cove.faults.answers.append(refusal("Something else", visa=newest))
    caught(ApiError, ask_partner, client)
    ask_partner(client)
    assert cove.requests[-1].visa == newest


@pytest.mark.parametrize("minutes", [14, 16])
def test_a_visa_that_has_run_out_costs_one_login_and_one_retry(
    cove: FakeCove, client: CoveClient, minutes: int
) -> None:
    client.login()
    cove.now += timedelta(minutes=minutes)
    assert ask_partner(client) == Partner(name=PARTNER_NAME)
    renewed = minutes > 15
    again = ["Login", "GetPartnerInfoById"] if renewed else []
    assert [request.method for request in cove.requests] == ["Login", "GetPartnerInfoById", *again]
    assert client.login_count == 1 + renewed


def test_a_visa_refused_in_words_only_is_renewed_too(cove: FakeCove, client: CoveClient) -> None:
    client.login()
    cove.faults.answers.append(refusal("Your visa has expired", None))
    assert ask_partner(client) == Partner(name=PARTNER_NAME)
    assert cove.count("Login") == 2


def test_a_visa_that_is_refused_again_after_the_new_login_ends_in_an_error(cove: FakeCove, client: CoveClient) -> None:
    client.login()
    cove.faults.every_visa_is_refused = True
    caught(VisaRefused, ask_partner, client)
    assert (cove.count("Login"), cove.count("GetPartnerInfoById")) == (2, 2)


def test_a_login_that_is_rejected_while_renewing_the_visa_ends_it(cove: FakeCove, client: CoveClient) -> None:
    client.login()
    cove.password, cove.now = "another token", cove.now + timedelta(hours=1)
    caught(LoginRejected, ask_partner, client)
    assert (cove.count("Login"), cove.count("GetPartnerInfoById")) == (2, 1)


def test_a_method_that_the_user_may_not_call_is_named_and_asked_for_once(
    cove: FakeCove, client: CoveClient, pauses: list[float]
) -> None:
    client.login()
    cove.faults.forbidden_methods = frozenset({"GetPartnerInfoById"})
    error = caught(PermissionDenied, ask_partner, client)
    assert "GetPartnerInfoById" in str(error)
    assert cove.username in str(error)
    assert (cove.count("GetPartnerInfoById"), cove.count("Login"), pauses) == (1, 1, [])


# --- What may pass by itself is tried again


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_trouble_that_passes_is_not_noticed(
    cove: FakeCove, client: CoveClient, pauses: list[float], status: int
) -> None:
    client.login()
    cove.faults.answers.extend([HttpAnswer(status)] * (ATTEMPTS - 1))
    assert ask_partner(client) == Partner(name=PARTNER_NAME)
    assert (cove.count("GetPartnerInfoById"), len(pauses), client.login_count) == (ATTEMPTS, ATTEMPTS - 1, 1)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
@pytest.mark.parametrize("act", [login, ask_partner])
def test_trouble_that_stays_ends_after_so_many_attempts(
    cove: FakeCove, client: CoveClient, pauses: list[float], act: Callable[[CoveClient], object], status: int
) -> None:
    cove.faults.answers.extend([HttpAnswer(status)] * 50)
    assert str(status) in str(caught(ApiUnavailable, act, client))
    assert (len(cove.requests), client.request_count, len(pauses)) == (ATTEMPTS, ATTEMPTS, ATTEMPTS - 1)


def test_attempts_are_bounded_in_time_too(cove: FakeCove, client: CoveClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "MAX_RETRY_SECONDS", 0.0)
    cove.faults.answers.extend([HttpAnswer(503)] * 50)
    caught(ApiUnavailable, login, client)
    assert len(cove.requests) == 1


def test_pauses_of_its_own_choice_differ_and_stay_short(
    cove: FakeCove, make_client: MakeClient, pauses: list[float]
) -> None:
    cove.faults.answers.extend([HttpAnswer(503)] * 50)
    caught(ApiUnavailable, login, make_client(max_attempts=20))
    assert len(pauses) == 19
    assert len(set(pauses)) > 10
    assert max(pauses) <= 30


def test_a_refused_connection_is_tried_again_so_many_times(make_client: MakeClient, pauses: list[float]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    client = make_client(url=f"http://127.0.0.1:{port}/jsonapi")
    assert f"127.0.0.1:{port} cannot be reached" in str(caught(ApiUnavailable, login, client))
    assert (client.request_count, len(pauses)) == (ATTEMPTS, ATTEMPTS - 1)


def test_an_answer_that_is_too_slow_is_tried_again_so_many_times(
    cove: FakeCove, make_client: MakeClient, pauses: list[float]
) -> None:
    cove.faults.slow_seconds = 0.5
    client = make_client(timeout_seconds=0.05)
    assert "Timeout" in str(caught(ApiUnavailable, login, client))
    assert (client.request_count, len(pauses)) == (ATTEMPTS, ATTEMPTS - 1)


def test_an_answer_that_breaks_off_is_tried_again_so_many_times(
    make_client: MakeClient, make_server: MakeServer, pauses: list[float]
) -> None:
    server = make_server(answering(b'{"result"', **{"Content-Length": "1000"}))
    caught(ApiUnavailable, login, make_client(url=server.url))
    assert (len(server.received), len(pauses)) == (ATTEMPTS, ATTEMPTS - 1)


@pytest.mark.parametrize(
    ("asked", "shortest", "longest"),
    [
        pytest.param("7", 7, 7, id="seconds"),
        pytest.param("0", 0, 0, id="at once"),
        pytest.param("-30", 0, 0, id="negative"),
        pytest.param("86400", 120, 120, id="a day"),
        pytest.param("9" * 400, 120, 120, id="absurd"),
        pytest.param("inf", 120, 120, id="infinite"),
        pytest.param(lambda: http_date(timedelta(seconds=60)), 50, 60, id="date"),
        pytest.param(lambda: http_date(-timedelta(days=1)), 0, 0, id="past date"),
        pytest.param(lambda: http_date(timedelta(days=9)), 120, 120, id="far date"),
        pytest.param("soon", 0, 1, id="garbage"),
        pytest.param("Wed, 99 Foo 2026", 0, 1, id="garbage date"),
        pytest.param("Wed, 21 Oct 2026 07:28:00", 0, 1, id="date without a zone"),
        pytest.param("", 0, 1, id="empty"),
        pytest.param("nan", 0, 1, id="not a number"),
        pytest.param("Wed, 21 Oct 99999999999999999999 07:28:00 GMT", 0, 1, id="absurd date"),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_the_pause_is_what_retry_after_asks_for_within_reason(
    cove: FakeCove,
    client: CoveClient,
    pauses: list[float],
    status: int,
    asked: str | Callable[[], str],
    shortest: float,
    longest: float,
) -> None:
    cove.faults.answers.append(HttpAnswer(status, {"Retry-After": asked if isinstance(asked, str) else asked()}))
    client.login()
    assert len(pauses) == 1
    assert shortest <= pauses[0] <= longest


def http_date(distance: timedelta) -> str:
    return format_datetime(datetime.now(UTC) + distance, usegmt=True)


# --- What will not pass is not tried again

NONSENSE = {
    "404": HttpAnswer(404),
    "403": HttpAnswer(403),
    "401": HttpAnswer(401),
    "400": HttpAnswer(400),
    "204": HttpAnswer(204, {}, b""),
    "HTML": HttpAnswer(200, {"Content-Type": "text/html"}, b"<html>Please log in to the Wi-Fi</html>"),
    "an empty body": HttpAnswer(200, {}, b""),
    "half a body": HttpAnswer(200, {}, b'{"jsonrpc":"2.0","result":{"result":{"Na'),
    "a list": HttpAnswer(200, {}, b"[]"),
    "null": HttpAnswer(200, {}, b"null"),
    "a string": HttpAnswer(200, {}, b'"visa"'),
    "deep nesting": HttpAnswer(200, {}, b"[" * 100_000),
    "a result that is a number": reply(result=5, visa="v"),
    "an inner result that is a text": reply(result={"result": "text"}, visa="v"),
    "an error that is a text": reply(error="no", visa="v"),
    "neither result nor error": reply(message="Forbidden"),
}


@pytest.mark.parametrize("answer", NONSENSE.values(), ids=NONSENSE.keys())
@pytest.mark.parametrize("act", [login, ask_statistics])
def test_an_answer_that_is_nonsense_is_an_error_at_once(
    cove: FakeCove,
    client: CoveClient,
    pauses: list[float],
    act: Callable[[CoveClient], object],
    answer: HttpAnswer,
) -> None:
    cove.faults.answers.append(answer)
    caught(ApiError, act, client)
    assert (len(cove.requests), pauses) == (1, [])


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param({"AccountId": 1}, id="an object"),
        pytest.param([5], id="a row that is a number"),
        pytest.param([{"Settings": []}], id="a row without an id"),
        pytest.param([{"AccountId": "x"}], id="an id that is a word"),
        pytest.param([{"AccountId": 1, "Settings": {"I1": "name"}}], id="settings that are an object"),
        pytest.param([{"AccountId": 1, "Settings": ["I1=name"]}], id="a setting that is a text"),
    ],
)
def test_rows_of_another_shape_are_an_error_at_once(
    cove: FakeCove, client: CoveClient, pauses: list[float], rows: object
) -> None:
    cove.faults.answers.append(reply(result={"result": rows}))
    assert "is not what Cove documents, at result.result" in str(caught(ApiError, ask_statistics, client))
    assert (len(cove.requests), pauses) == (1, [])


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_so_its_target_never_gets_the_password(
    cove: FakeCove, client: CoveClient, make_server: MakeServer, pauses: list[float], status: int
) -> None:
    target = make_server()
    cove.faults.answers.append(HttpAnswer(status, {"Location": target.url}))
    error = caught(ApiError, login, client)
    assert target.url.split("/")[2] in str(error)
    assert target.received == []
    assert (len(cove.requests), pauses) == (1, [])


@pytest.mark.parametrize(
    "location",
    [
        "/elsewhere",
        "",
        "http://[broken",
        "http://caf\xe9.example.com/",
        f"http://{'x' * 5000}.example.com/",
        "http://\x1b[31m.example.com/",
    ],
    ids=["a path", "nothing", "no address", "Latin-1", "endless", "control characters"],
)
def test_wherever_a_redirect_leads_it_is_one_short_line_of_error(
    cove: FakeCove, client: CoveClient, location: str
) -> None:
    cove.faults.answers.append(HttpAnswer(302, {"Location": location}))
    error = str(caught(ApiError, login, client))
    assert error.isprintable()
    assert len(error) < 500


# --- The size of an answer and the time for it


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        pytest.param(b" " * 2_000_000, {}, id="plain"),
        pytest.param(gzip.compress(b" " * 2_000_000), {"Content-Encoding": "gzip"}, id="compressed"),
    ],
)
def test_an_answer_that_is_too_large_is_an_error_at_once(
    cove: FakeCove, client: CoveClient, monkeypatch: pytest.MonkeyPatch, body: bytes, headers: dict[str, str]
) -> None:
    monkeypatch.setattr(client_module, "MAX_REPLY_BYTES", 1 << 20)
    cove.faults.answers.append(HttpAnswer(200, headers, body))
    assert "more than 1 MiB" in str(caught(ApiError, login, client))
    assert len(cove.requests) == 1


@pytest.mark.parametrize("status", [200, 302, 404, 503])
def test_of_an_answer_without_an_end_only_so_much_is_read(
    make_client: MakeClient, make_server: MakeServer, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr(client_module, "MAX_REPLY_BYTES", 1 << 20)
    respond, taken = endless(status, Location="/elsewhere")
    client = make_client(url=make_server(respond).url, max_attempts=1)
    with pytest.raises(ApiError):
        client.login()
    assert taken[0] < 16 << 20  # what the sockets' buffers hold comes on top


@pytest.mark.parametrize("chunked", [True, False], ids=["in chunks", "of a known length"])
def test_an_answer_that_only_trickles_is_given_up(
    make_client: MakeClient, make_server: MakeServer, chunked: bool
) -> None:
    server = make_server(trickling(60, chunked=chunked))
    client = make_client(url=server.url, timeout_seconds=0.2, max_attempts=1, clock=time.monotonic)
    began = time.monotonic()
    caught(ApiUnavailable, login, client)
    assert time.monotonic() - began < 1.5


# --- Text


@pytest.mark.parametrize("size", [10, 500_000])
def test_a_compressed_answer_is_read_like_any_other(cove: FakeCove, client: CoveClient, size: int) -> None:
    padding = random.Random(1).randbytes(size).hex()  # so that compressed it is still of many pieces
    plain = reply(result={"result": {"Name": PARTNER_NAME}}, padding=padding)
    cove.faults.answers.append(HttpAnswer(200, {"Content-Encoding": "gzip"}, gzip.compress(plain.body)))
    assert ask_partner(client) == Partner(name=PARTNER_NAME)


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_names_are_read_from_utf_8_and_from_latin_1(cove: FakeCove, client: CoveClient, encoding: str) -> None:
    cove.faults.encoding = encoding
    cove.fleet.partners = [FakePartner(1000, "Bäckerei Crème & Söhne", None)]
    client.login()
    assert ask_partner(client) == Partner(name="Bäckerei Crème & Söhne")


@pytest.mark.parametrize("act", [login, ask_partner])
def test_an_error_text_is_decoded_from_html(
    cove: FakeCove, client: CoveClient, act: Callable[[CoveClient], object]
) -> None:
    cove.faults.answers.append(refusal("The name &quot;R&amp;D&quot; isn&apos;t known", None))
    assert 'The name "R&D" isn\'t known' in str(caught(ApiError, act, client))


@pytest.mark.parametrize("act", [login, ask_partner])
@pytest.mark.parametrize(
    "error",
    [
        {"message": "one\r\ntwo\tthree &#10;four\x1b[31m\x07" + "x" * 10_000},
        {"message": None, "code": "one\ntwo" * 1000},
        {"message": "word", "code": ["x" * 10_000]},
    ],
    ids=["a long message", "a long code", "a list as code"],
)
def test_an_error_text_is_one_short_line(
    cove: FakeCove, client: CoveClient, act: Callable[[CoveClient], object], error: dict[str, Any]
) -> None:
    cove.faults.answers.append(reply(error=error))
    text = str(caught(ApiError, act, client))
    assert text.isprintable()
    assert len(text) < 500


@pytest.mark.parametrize(
    "number", [2777, "2777", 2777.0, None, "", "word", [], {}, float("inf"), float("nan")], ids=repr
)
def test_an_error_number_is_read_in_any_form_and_without_one_a_login_is_not_taken_for_rejected(
    cove: FakeCove, client: CoveClient, number: object
) -> None:
    cove.faults.answers.append(refusal("Something else", number))
    caught(LoginRejected if str(number).startswith("2777") else ApiError, login, client)


@pytest.mark.parametrize(
    ("password", "echoed"),
    [
        pytest.param("k3y-of-an-api-user", "k3y-of-an-api-user", id="plain"),
        pytest.param("R&D<\"secret'", "R&amp;D&lt;&quot;secret&apos;", id="as HTML"),
        pytest.param("tom&amp;jerry&lt;", "tom&amp;jerry&lt;", id="one that looks like HTML"),
        pytest.param("two  blanks  in  it", "two  blanks  in  it", id="with double blanks"),
        pytest.param("zero\u200bwidth-and-more", "zero\u200bwidth-and-more", id="with an invisible letter"),
    ],
)
@pytest.mark.parametrize("act", [login, ask_partner])
def test_an_error_that_echoes_the_password_is_shown_without_it(
    cove: FakeCove, make_client: MakeClient, act: Callable[[CoveClient], object], password: str, echoed: str
) -> None:
    client = make_client(password=password)
    padding = "-" * 150  # so that the text is cut within a second echo
    cove.faults.answers.append(refusal(f"bad password {echoed} {padding} {echoed}"))
    with pytest.raises(CovePollerError) as info:
        act(client)
    shown = "".join(traceback.format_exception(info.value))
    words = [word for word in password.replace("&amp;", "&").replace("&lt;", "<").replace("\u200b", "").split() if word]
    assert "bad password" in shown
    assert password not in shown
    assert " ".join(words) not in shown


def test_an_error_code_that_echoes_the_password_is_shown_without_it(cove: FakeCove, client: CoveClient) -> None:
    cove.faults.answers.append(reply(error={"code": f"E {cove.password}", "message": "no"}))
    with pytest.raises(CovePollerError) as info:
        client.login()
    assert cove.password not in str(info.value)


@pytest.mark.parametrize(
    ("visa", "newer"),
    [
        pytest.param(VISA, {}, id="alone"),
        pytest.param(VISA, {"visa": VISA.replace("A9", "B8")}, id="beside a newer one"),
        pytest.param("of/quite+another form==", {}, id="of another form"),
    ],
)
def test_an_error_that_echoes_the_visa_is_shown_without_it(
    cove: FakeCove, client: CoveClient, visa: str, newer: dict[str, str]
) -> None:
    cove.faults.answers.append(reply(result={"result": {"Name": "api-poller"}}, visa=visa))
    client.login()
    cove.faults.answers.append(refusal(f"{visa} {newer.get('visa', '')} may not do this", 13501, **newer))
    error = str(caught(PermissionDenied, ask_partner, client))
    assert "may not do this" in error
    assert visa not in error
    assert newer.get("visa", visa) not in error


def test_nothing_secret_is_logged_at_any_level(
    cove: FakeCove, client: CoveClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    client.login()
    cove.faults.answers.extend([HttpAnswer(503), HttpAnswer(429, {"Retry-After": "1"})])
    ask_statistics(client)
    cove.now += timedelta(hours=1)
    ask_partner(client)
    cove.faults.answers.extend([refusal(f"no, {cove.password}!"), HttpAnswer(404), *[HttpAnswer(503)] * ATTEMPTS])
    for _ in range(3):
        try:
            ask_partner(client)
        except ApiError as error:
            logging.getLogger("cove_poller").debug("it failed", exc_info=error)
    assert "attempt 1 failed: Cove at 127.0.0.1" in caplog.text
    assert "the visa was refused, logging in again" in caplog.text
    assert "it failed" in caplog.text
    for secret in {cove.password, *cove.visas}:
        assert secret not in caplog.text


# --- TLS, .netrc


@pytest.fixture
def authority() -> trustme.CA:
    """A certificate authority that nobody trusts yet."""
    return trustme.CA()


def make_tls(authority: trustme.CA, host: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host).configure_cert(context)
    return context


def trust(authority: trustme.CA, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority.cert_pem.write_to_path(str(file))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(file))


@pytest.mark.parametrize(
    ("host", "trusted"),
    [
        pytest.param("127.0.0.1", False, id="of an unknown authority"),
        pytest.param("cove.example.com", True, id="of another host"),
    ],
)
def test_a_certificate_that_cannot_be_verified_is_an_error_before_anything_is_sent(
    make_client: MakeClient,
    make_server: MakeServer,
    authority: trustme.CA,
    pauses: list[float],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    host: str,
    trusted: bool,
) -> None:
    if trusted:
        trust(authority, tmp_path / "ca.pem", monkeypatch)
    server = make_server(tls=make_tls(authority, host))
    error = caught(ApiError, login, make_client(url=server.url))
    assert "certificate of 127.0.0.1" in str(error)
    assert (server.received, pauses) == ([], [])


def test_an_authority_in_requests_ca_bundle_is_trusted(
    cove: FakeCove,
    make_client: MakeClient,
    make_server: MakeServer,
    authority: trustme.CA,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def respond(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        answering(json.dumps(cove.answer(json.loads(body))).encode())(handler, body)

    trust(authority, tmp_path / "ca.pem", monkeypatch)
    server = make_server(respond, make_tls(authority, "127.0.0.1"))
    assert make_client(url=server.url).login().partner_id == 1000


def test_a_requests_ca_bundle_that_is_not_there_is_an_error_that_names_it(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = "/etc/ssl/certs/example-company/internal-authority-2026.pem"
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", file)
    assert file in str(caught(ApiError, login, make_client(url="https://127.0.0.1:9/jsonapi")))


def test_a_netrc_file_in_the_home_directory_is_not_used(
    make_client: MakeClient, make_server: MakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / ".netrc"
    file.write_text("machine 127.0.0.1 login somebody password else\n", encoding="ascii")
    file.chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("NETRC", raising=False)
    server = make_server()
    with pytest.raises(CovePollerError):
        make_client(url=server.url).login()
    requests.post(server.url, timeout=5)  # which does use it
    assert ["Authorization" in headers for headers, _ in server.received] == [False, True]


# --- Pace and end


def test_requests_of_several_threads_are_spaced_evenly(
    cove: FakeCove, make_client: MakeClient, pauses: list[float]
) -> None:
    client = make_client(clock=lambda: 100.0, requests_per_second=10)  # as if all of them came at once
    client.login()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: ask_partner(client), range(12)))
    assert sorted(pauses) == pytest.approx([number / 10 for number in range(1, 13)])
    assert cove.count("GetPartnerInfoById") == 12


def test_a_request_after_a_long_time_does_not_wait(make_client: MakeClient, pauses: list[float]) -> None:
    times = itertools.count(100, 5)
    client = make_client(clock=lambda: next(times), requests_per_second=1)
    client.login()
    ask_partner(client)
    assert pauses == []


@pytest.mark.parametrize("act", [login, ask_partner])
def test_a_closed_client_asks_for_nothing_more(
    cove: FakeCove, client: CoveClient, act: Callable[[CoveClient], object]
) -> None:
    client.login()
    client.close()
    caught(ApiError, act, client)
    assert len(cove.requests) == 1


def test_closing_ends_the_wait_for_another_attempt(cove: FakeCove, make_client: MakeClient) -> None:
    cove.faults.answers.extend([HttpAnswer(503, {"Retry-After": "100"})] * 2)
    client = make_client(sleep=None, clock=time.monotonic)
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(client.login)
        deadline = time.monotonic() + 10
        while not cove.requests and time.monotonic() < deadline:
            time.sleep(0.005)
        client.close()
        assert isinstance(future.exception(timeout=10), ApiError)
    assert len(cove.requests) == 1

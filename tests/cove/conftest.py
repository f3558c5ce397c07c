"""Clients of the fake Cove that never sleep, and web servers that are not Cove."""

import contextlib
import itertools
import json
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from pydantic import SecretStr

from cove_poller.config.settings import ApiSettings, LoginSettings
from cove_poller.cove.client import CoveClient
from tests.world.fake_cove import FakeCove, HttpAnswer

ATTEMPTS = 4

MakeClient = Callable[..., CoveClient]
Respond = Callable[[BaseHTTPRequestHandler, bytes], None]


@dataclass
class Server:
    """A web server that is not Cove, and what it was sent."""

    url: str
    received: list[tuple[Message, bytes]] = field(default_factory=list)


MakeServer = Callable[..., Server]


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
            return stack.enter_context(_serving(respond or answering(b"{}"), tls))

        yield make


@contextmanager
def _serving(respond: Respond, tls: ssl.SSLContext | None) -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            server.received.append((self.headers, body))
            with contextlib.suppress(OSError):  # the client may have had enough
                respond(self, body)

        def do_GET(self) -> None:
            self.do_POST()  # what a redirect that is followed becomes

        def do_CONNECT(self) -> None:
            self.do_POST()  # as a proxy is asked

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


def answering(body: bytes, status: int = 200, times: int | None = None, **headers: str) -> Respond:
    """Answers like that so many times, always if not said; then with `{}`."""
    left = itertools.count(1)

    def respond(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        is_over = times is not None and next(left) > times
        told = b"{}" if is_over else body
        send_head(handler, 200 if is_over else status, **{"Content_Length": str(len(told)), **headers})
        handler.wfile.write(told)

    return respond


def send_head(handler: BaseHTTPRequestHandler, status: int, **headers: str) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()


def reply(**parts: Any) -> HttpAnswer:
    return HttpAnswer(200, {"Content-Type": "application/json"}, json.dumps({"jsonrpc": "2.0", **parts}).encode())


def refusal(message: str, number: object = 999, **parts: Any) -> HttpAnswer:
    return reply(error={"code": -32603, "data": number, "message": message}, **parts)

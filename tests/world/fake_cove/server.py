"""The fake Cove as a real HTTP server on a free loopback port, with TLS where a test asks for it."""

import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.world.fake_cove.cove import MANAGEMENT, PATHS, FakeCove, Request
from tests.world.fake_cove.faults import HttpAnswer

__all__ = ["FakeCove", "Request", "serving", "serving_tls"]


class _Handler(BaseHTTPRequestHandler):
    cove: FakeCove
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one write an answer, or every one would wait for an acknowledgement,
    disable_nagle_algorithm = True  # as a large one would still, which takes two

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        self.cove.arrived.append(self.path)
        if self.cove.faults.slow_seconds:
            time.sleep(self.cove.faults.slow_seconds)
        answer = self._answer(message)
        if self.cove.faults.meddle and self.cove.faults.meddle(self, answer):
            return
        self.send_response(answer.status)
        for name, value in {**answer.headers, "Content-Length": str(len(answer.body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body)

    def _answer(self, message: dict[str, Any]) -> HttpAnswer:
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        bearer = token if scheme == "Bearer" else None
        faults = self.cove.faults
        if faults.answers or self.path not in PATHS:
            self.cove.requests.append(Request.of(message, self.path, bearer))
            return faults.answers.popleft() if faults.answers else HttpAnswer(404)
        plain = self.path == MANAGEMENT and bearer is None  # a test may have put its own `answer` in the way
        reply = self.cove.answer(message) if plain else self.cove.answer_at(self.path, message, bearer)
        body = json.dumps(reply, ensure_ascii=False).encode(faults.encoding)
        return HttpAnswer(200, {"Content-Type": "application/json"}, body)

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The time of the Date header."""
        now = time.time() if timestamp is None else timestamp
        return super().date_time_string(now + self.cove.faults.clock_ahead_seconds)

    def log_message(self, format: str, *args: object) -> None:
        """Stay quiet."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no trouble of the server's."""


class _TlsServer(_Server):
    context: ssl.SSLContext

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Shake hands in the request's own thread, so that one who refuses stops nobody else."""
        with self.context.wrap_socket(request, server_side=True) as secure:
            super().finish_request(secure, client_address)


def _handler(cove: FakeCove) -> type[_Handler]:
    return type("Handler", (_Handler,), {"cove": cove})


@contextmanager
def _running(server: _Server) -> Iterator[str]:
    """Run a server; give its host and port."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def serving(cove: FakeCove, port: int = 0) -> Iterator[FakeCove]:
    """Serve `cove` on loopback; its `url` says where."""
    with _running(_Server(("127.0.0.1", port), _handler(cove))) as address:
        cove.url = f"http://{address}{MANAGEMENT}"
        yield cove


@contextmanager
def serving_tls(cove: FakeCove, certificate_file: Path | str, key_file: Path | str) -> Iterator[str]:
    """Serve `cove` over https too; give the host and port. Its `url` stays as it is."""
    server = _TlsServer(("127.0.0.1", 0), _handler(cove))
    server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.context.load_cert_chain(certificate_file, key_file)
    with _running(server) as address:
        yield address

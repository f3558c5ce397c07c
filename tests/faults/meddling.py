"""What a server that is not well does in the place of its answer: to one request, or to all from one on."""

import gzip
import json
import socket
import struct
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.world.fake_cove import FakeCove, HttpAnswer

Meddling = Callable[[BaseHTTPRequestHandler, bytes], None]
"""Answers a request as it likes, given the body of the right answer."""

PAGE = b"<html><head><title>Maintenance</title></head><body>We are back soon.</body></html>"


def sends(body: bytes, status: int = 200, length: int | None = None, **headers: str) -> Meddling:
    """Send a body that says it is of some other `length`, with more headers."""

    def send(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        told = {"Content_Length": str(len(body) if length is None else length), "Connection": "close", **headers}
        handler.send_response(status)
        for name, value in told.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)
        handler.close_connection = True

    return send


def says(content: Any) -> Meddling:
    """Send JSON."""
    return sends(json.dumps(content).encode())


def result(inner: Any) -> Meddling:
    """Send a result where Cove has it, with a visa."""
    return says({"jsonrpc": "2.0", "id": 1, "result": {"result": inner}, "visa": "a-visa-of-nobody"})


def refuses(data: Any, message: Any) -> Meddling:
    """Send an error of Cove's."""
    return says({"jsonrpc": "2.0", "id": 1, "error": {"code": -32603, "data": data, "message": message}})


def half(handler: BaseHTTPRequestHandler, right: bytes) -> None:
    """Send half of the right answer as if it were all."""
    sends(right[: len(right) // 2])(handler, right)


def breaks_off(handler: BaseHTTPRequestHandler, right: bytes) -> None:
    """Close in the middle of the right answer."""
    sends(right[: len(right) // 2], length=len(right))(handler, right)


def half_of_gzip(handler: BaseHTTPRequestHandler, right: bytes) -> None:
    packed = gzip.compress(right)
    sends(packed[: len(packed) // 2], Content_Encoding="gzip")(handler, right)


def resets(handler: BaseHTTPRequestHandler, _: bytes) -> None:
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True


def hangs_up(handler: BaseHTTPRequestHandler, _: bytes) -> None:
    handler.close_connection = True


def babbles(handler: BaseHTTPRequestHandler, _: bytes) -> None:
    handler.wfile.write(b"SSH-2.0-OpenSSH_9.2p1 Debian\r\n\r\n")
    handler.close_connection = True


def is_silent(handler: BaseHTTPRequestHandler, _: bytes) -> None:
    """Say nothing for longer than anybody waits here."""
    time.sleep(1.5)
    handler.close_connection = True


def drips(handler: BaseHTTPRequestHandler, _: bytes) -> None:
    """Send a header a byte at a time, without end."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    for _sent in range(60):
        handler.wfile.write(b"x")
        handler.wfile.flush()
        time.sleep(0.05)


def meddle(cove: FakeCove, number: int, meddling: Meddling, *, once: bool) -> None:
    """Let the request of that number, counted from 1, be answered so; the ones after it too unless it is `once`."""
    came = 0

    def answer(handler: BaseHTTPRequestHandler, right: HttpAnswer) -> bool:
        nonlocal came
        came += 1
        is_meant = came == number if once else came >= number
        if is_meant:
            meddling(handler, right.body)
        return is_meant

    cove.faults.meddle = answer

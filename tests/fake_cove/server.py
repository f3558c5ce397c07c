"""The fake Cove itself: a real HTTP server on a free loopback port that speaks Cove's JSON-RPC."""

import json
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.fake_cove.fleet import ROOT_PARTNER, FakeDevice, Fleet
from tests.fake_cove.wire import Reading, columns

VISA_SECONDS = 15 * 60
BAD_LOGIN, BAD_VISA, FORBIDDEN = 2100, 1701, 13501


class RpcError(Exception):
    def __init__(self, data: int | None, message: str, code: int = -32603) -> None:
        super().__init__(message)
        self.payload = {"code": code, "data": data, "message": message}


@dataclass(frozen=True)
class HttpAnswer:
    """An HTTP answer instead of Cove's: a status, headers and a body."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"<html>not Cove</html>"


@dataclass
class Faults:
    """What goes wrong. Everything is off unless a test turns it on."""

    answers: deque[HttpAnswer] = field(default_factory=deque)  # each instead of one request's answer
    slow_seconds: float = 0.0
    login_error: RpcError | None = None
    login_without_visa: bool = False
    forbidden_columns: Callable[[str], bool] | None = None
    forbidden_methods: frozenset[str] = frozenset()
    expire_visa_before: set[int] = field(default_factory=set)  # listing requests, counted from 1
    every_visa_is_refused: bool = False
    break_at_record: int | None = None  # listings from this StartRecordNumber on end in an error of Cove's own
    page_cap: int | None = None  # the largest page, whatever is asked for
    ignores_start: bool = False
    shuffles: bool = False
    repeats_rows: bool = False
    delete_before: dict[int, int] = field(default_factory=dict)  # listing request -> account id to delete
    null_settings: bool = False
    encoding: str = "utf-8"
    edit_row: Callable[[dict[str, str], FakeDevice], dict[str, str]] | None = None


@dataclass(frozen=True)
class Request:
    method: str
    params: dict[str, Any]
    visa: str | None


class FakeCove:
    """The state: fleet, clock, reading and faults may be changed at any time."""

    def __init__(self, fleet: Fleet, now: datetime) -> None:
        self.fleet = fleet
        self.now = now
        self.reading = Reading()
        self.faults = Faults()
        self.username = "api-poller"
        self.password = "token-of-the-fake-cove"
        self.partner: str | None = None  # None: Cove does not ask for the partner's name
        self.requests: list[Request] = []
        self.visas: set[str] = set()
        self.url = ""
        self._chance = random.Random(1)
        self._listings = 0
        self._lock = threading.Lock()

    def count(self, method: str) -> int:
        return sum(request.method == method for request in self.requests)

    def listing_requests(self) -> list[Request]:
        return [request for request in self.requests if request.method == "EnumerateAccountStatistics"]

    def answer(self, message: dict[str, Any]) -> dict[str, Any]:
        """The reply to a JSON-RPC message."""
        method, params = message.get("method", ""), message.get("params") or {}
        head = {"id": message.get("id"), "jsonrpc": "2.0"}
        with self._lock:
            self.requests.append(Request(method, params, message.get("visa")))
            try:
                if method == "Login":
                    result = self._login(params)
                    if self.faults.login_without_visa:
                        return {**head, "result": {"result": result}}
                else:
                    result = self._call(method, params, message.get("visa"))
            except RpcError as error:
                return {**head, "error": error.payload}
            return {**head, "result": result if method != "Login" else {"result": result}, "visa": self._new_visa()}

    def _new_visa(self) -> str:
        secret = f"{self._chance.getrandbits(256):064X}"
        visa = f"{ROOT_PARTNER}-50121-1-{int(self.now.timestamp())}-{secret}"
        self.visas.add(visa)
        return visa

    def _login(self, params: dict[str, Any]) -> dict[str, Any]:
        if self.faults.login_error:
            raise self.faults.login_error
        wrong_partner = self.partner is not None and params.get("partner") != self.partner
        if (params.get("username"), params.get("password")) != (self.username, self.password) or wrong_partner:
            raise RpcError(BAD_LOGIN, "Unknown partner/username or bad password")
        return {
            "EmailAddress": None,
            "Flags": ["NonInteractive"],
            "Id": 50121,
            "Name": self.username,
            "PartnerId": ROOT_PARTNER,
            "Password": None,
            "RoleId": 3,
        }

    def _call(self, method: str, params: dict[str, Any], visa: str | None) -> dict[str, Any]:
        if method == "EnumerateAccountStatistics":
            self._listings += params["query"].get("RecordsCount", 1) > 1
            if self._listings in self.faults.expire_visa_before:
                self.faults.expire_visa_before.discard(self._listings)
                self._listings -= 1
                self.visas.clear()
        issued = int(visa.split("-")[3]) if visa in self.visas and visa else None
        fresh = issued is not None and self.now.timestamp() - issued < VISA_SECONDS
        if not fresh or self.faults.every_visa_is_refused:
            raise RpcError(BAD_VISA, "Visa is inconsistent/corrupted.")
        if method in self.faults.forbidden_methods:
            raise RpcError(FORBIDDEN, "Operation failed because of security reasons")
        if method == "GetPartnerInfoById":
            partner_id = params["partnerId"]
            return {"result": {"Id": partner_id, "Name": self.fleet.partner_name(partner_id)}}
        if method == "EnumerateAccountStatistics":
            return {"result": self._statistics(params["query"]), "totalStatistics": None}
        raise RpcError(0, "method not found", -32601)

    def _statistics(self, query: dict[str, Any]) -> list[dict[str, Any]]:
        wanted = query["Columns"]
        if self.faults.break_at_record is not None and query["StartRecordNumber"] >= self.faults.break_at_record:
            raise RpcError(None, "internal error")
        if self.faults.forbidden_columns and any(map(self.faults.forbidden_columns, wanted)):
            raise RpcError(FORBIDDEN, "Operation failed because of security reasons")
        count = query.get("RecordsCount", 1)
        if count > 1 and self._listings in self.faults.delete_before:
            gone = self.faults.delete_before.pop(self._listings)
            self.fleet.devices = [device for device in self.fleet.devices if device.account_id != gone]
        partners = self.fleet.below(query["PartnerId"])
        devices = [device for device in self.fleet.devices if device.partner_id in partners]
        devices.sort(key=lambda device: device.account_id)
        start = 0 if self.faults.ignores_start else query.get("StartRecordNumber", 0)
        page = devices[start : start + min(count, self.faults.page_cap or count)]
        if self.faults.repeats_rows and start:
            page = [*devices[max(0, start - 3) : start], *page]
        if self.faults.shuffles:
            self._chance.shuffle(page)
        return [self._row(device, wanted) for device in page]

    def _row(self, device: FakeDevice, wanted: list[str]) -> dict[str, Any]:
        known = columns(device, self.fleet.partner_name(device.partner_id), self.now, self.reading)
        if self.faults.edit_row:
            known = self.faults.edit_row(known, device)
        by_spelling = {spelt: value for code, value in known.items() for spelt in self._spellings(code)}
        found = {code: by_spelling[code] for code in wanted if code in by_spelling}
        values: dict[str, Any] = dict(found)
        if self.reading.raw_numbers:
            values = {
                code: int(value) if value.isdigit() and len(value) < 28 else value for code, value in found.items()
            }
        settings = None if self.faults.null_settings else [{code: values[code]} for code in sorted(values)]
        return {"AccountId": device.account_id, "Flags": None, "PartnerId": device.partner_id, "Settings": settings}

    def _spellings(self, code: str) -> Iterator[str]:
        if code[0] == "I":
            yield code
            return
        unpadded = f"D{int(code[1:3])}F{int(code[4:])}"
        if self.reading.spelling != "unpadded" or code == unpadded:
            yield code
        if self.reading.spelling != "padded":
            yield unpadded
            yield f"D{int(code[1:3])}{code[3:]}"


class _Handler(BaseHTTPRequestHandler):
    cove: FakeCove
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one write an answer, or every one would wait for an acknowledgement

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        faults = self.cove.faults
        if faults.slow_seconds:
            time.sleep(faults.slow_seconds)
        if faults.answers:
            answer = faults.answers.popleft()
            self.cove.requests.append(Request(json.loads(body)["method"], {}, None))
        else:
            reply = json.dumps(self.cove.answer(json.loads(body)), ensure_ascii=False)
            answer = HttpAnswer(200, {"Content-Type": "application/json"}, reply.encode(faults.encoding))
        self.send_response(answer.status)
        for name, value in {**answer.headers, "Content-Length": str(len(answer.body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: object) -> None:
        """Stay quiet."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no trouble of the server's."""


@contextmanager
def serving(cove: FakeCove, port: int = 0) -> Iterator[FakeCove]:
    """Serve `cove` on loopback; its `url` says where."""
    handler = type("Handler", (_Handler,), {"cove": cove})
    server = _Server(("127.0.0.1", port), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    cove.url = f"http://127.0.0.1:{server.server_address[1]}/jsonapi"
    try:
        yield cove
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

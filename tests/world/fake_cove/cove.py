"""The fake Cove itself: its state, and what its three services answer. `server` brings that over HTTP."""

import random
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from tests.world.fake_cove.faults import BAD_LOGIN, BAD_VISA, Faults, RpcError, forbidden
from tests.world.fake_cove.fleet import ROOT_PARTNER, FakeDevice, Fleet
from tests.world.fake_cove.history import History, Snapshots, account_info, token_of_account
from tests.world.fake_cove.wire import Reading, spellings

VISA_SECONDS = 15 * 60
MANAGEMENT, NODE, REPORTING = PATHS = ("/jsonapi", "/repserv_json", "/reporting_api")
ACCOUNT_IN_FILTER = re.compile(r"AU == (\d+)")


@dataclass(frozen=True)
class Request:
    method: str
    params: dict[str, Any]
    visa: str | None
    path: str = MANAGEMENT
    bearer: str | None = None

    @classmethod
    def of(cls, message: dict[str, Any], path: str, bearer: str | None) -> "Request":
        return cls(message.get("method", ""), message.get("params") or {}, message.get("visa"), path, bearer)


Service = Callable[[dict[str, Any]], dict[str, Any]]


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
        self.arrived: list[str] = []  # the paths of all requests, also of those that are not answered yet
        self.visas: set[str] = set()
        self.url = ""
        self._chance = random.Random(1)
        self._listings = 0
        self._authenticated = 0
        self._history = History()
        self._snapshots = Snapshots()
        self._lock = threading.Lock()

    def count(self, method: str) -> int:
        return sum(request.method == method for request in self.requests)

    def listing_requests(self) -> list[Request]:
        return [request for request in self.requests if request.method == "EnumerateAccountStatistics"]

    @staticmethod
    def token_of(device: FakeDevice) -> str:
        return token_of_account(device.account_id)

    def node_host(self, device: FakeDevice) -> str | None:
        """Where a device's storage node is: here, unless a fault says otherwise."""
        return self.faults.node_host(device) if self.faults.node_host else urlsplit(self.url).netloc

    def answer(self, message: dict[str, Any]) -> dict[str, Any]:
        """The reply to a JSON-RPC message to the management service."""
        return self.answer_at(MANAGEMENT, message)

    def answer_at(self, path: str, message: dict[str, Any], bearer: str | None = None) -> dict[str, Any]:
        """The reply to a JSON-RPC message to the service at a path."""
        request = Request.of(message, path, bearer)
        head = {"id": message.get("id"), "jsonrpc": "2.0"}
        with self._lock:
            self.requests.append(request)
            try:
                result = self._result(request)
            except RpcError as error:
                return {**head, "error": error.payload}
            if request.method == "Login" and self.faults.login_without_visa:
                return {**head, "result": result}
            return {**head, "result": result, "visa": self._new_visa()}

    def _result(self, request: Request) -> dict[str, Any]:
        if request.path == NODE:
            return self._ask_node(request)
        if request.path == REPORTING:
            return self._ask_reporting(request)
        if request.method == "Login":
            return {"result": self._login(request.params)}
        return self._ask_management(request)

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

    def _ask_management(self, request: Request) -> dict[str, Any]:
        if request.method == "EnumerateAccountStatistics":
            self._count_listing(request.params["query"])
        self._count_authenticated()
        self._check_visa(request.visa)
        services = {
            "GetPartnerInfoById": self._partner_info,
            "EnumerateAccountStatistics": self._statistics,
            "EnumerateAccountHistoryStatistics": self._history_statistics,
            "GetAccountInfoById": self._account_info,
            "EnumerateAccountRemoteAccessEndpoints": self._endpoints,
        }
        return self._service(request, services)(request.params)

    def _ask_node(self, request: Request) -> dict[str, Any]:
        if self.faults.node_needs_visa:
            self._check_visa(request.visa)
        return self._service(request, {"QuerySessions": self._query_sessions})(request.params)

    def _ask_reporting(self, request: Request) -> dict[str, Any]:
        self._count_authenticated()
        if request.visa is not None:
            raise RpcError(None, "bad request")
        self._check_visa(request.bearer)
        return self._service(request, {"EnumerateSessions": self._enumerate_sessions})(request.params)

    def _service(self, request: Request, services: Mapping[str, Service]) -> Service:
        if request.method in self.faults.forbidden_methods:
            raise forbidden()
        if request.method not in services:
            raise RpcError(0, "method not found", -32601)
        return services[request.method]

    def _count_listing(self, query: dict[str, Any]) -> None:
        self._listings += query.get("RecordsCount", 1) > 1
        if self._listings in self.faults.expire_visa_before:
            self.faults.expire_visa_before.discard(self._listings)
            self._listings -= 1
            self.visas.clear()

    def _count_authenticated(self) -> None:
        """Count a request that needs a visa; one whose visa expires here and now is counted when it comes again."""
        self._authenticated += 1
        if self._authenticated in self.faults.expire_visa_before_request:
            self.faults.expire_visa_before_request.discard(self._authenticated)
            self._authenticated -= 1
            self.visas.clear()

    def _check_visa(self, visa: str | None) -> None:
        issued = int(visa.split("-")[3]) if visa in self.visas and visa else None
        fresh = issued is not None and self.now.timestamp() - issued < VISA_SECONDS
        if not fresh or self.faults.every_visa_is_refused:
            raise RpcError(BAD_VISA, "Visa is inconsistent/corrupted.")

    def _partner_info(self, params: dict[str, Any]) -> dict[str, Any]:
        partner_id = params["partnerId"]
        return {"result": {"Id": partner_id, "Name": self.fleet.partner_name(partner_id)}}

    def _account(self, params: dict[str, Any]) -> FakeDevice:
        for device in self.fleet.devices:
            if device.account_id == params.get("accountId"):
                return device
        raise RpcError(None, "account not found")

    def _account_info(self, params: dict[str, Any]) -> dict[str, Any]:
        device = self._account(params)
        return account_info(device, self.node_host(device))

    def _endpoints(self, params: dict[str, Any]) -> dict[str, Any]:
        device = self._account(params)
        here = urlsplit(self.url)
        default = f"{here.scheme}://{here.netloc}/rcg/abc"
        url = self.faults.endpoint_url(device) if self.faults.endpoint_url else default
        return {"result": [{"WebRcgUrl": url, "InternalInfoPageUrl": f"{here.scheme}://{here.netloc}/info"}]}

    def _query_sessions(self, params: dict[str, Any]) -> dict[str, Any]:
        asked = params.get("accountId"), params.get("account"), params.get("token")
        for device in self.fleet.devices:
            if asked == (device.account_id, device.name, self.token_of(device)):
                return {"result": self._history.query_sessions(device, params, self.now, self.faults)}
        raise forbidden()

    def _enumerate_sessions(self, params: dict[str, Any]) -> dict[str, Any]:
        for device in self.fleet.devices:
            if device.kind == "m365" and self.token_of(device) == params.get("accountToken"):
                return {"result": self._history.enumerate_sessions(device, params, self.now, self.faults)}
        raise forbidden()

    def _statistics(self, params: dict[str, Any]) -> Any:
        query = params["query"]
        self._check_listing(query, self.faults.forbidden_columns)
        if query.get("RecordsCount", 1) > 1 and self._listings in self.faults.delete_before:
            gone = self.faults.delete_before.pop(self._listings)
            self.fleet.devices = [device for device in self.fleet.devices if device.account_id != gone]
        rows = [self._row(device, query["Columns"], self.now) for device in self._page(query, self.fleet.devices)]
        totals = [{code: str(len(self.fleet.devices))} for code in query.get("Totals", ())]
        result = {"result": rows, "totalStatistics": totals if self.faults.tells_totals and totals else None}
        return self.faults.edit_listing(query, result) if self.faults.edit_listing else result

    def _history_statistics(self, params: dict[str, Any]) -> dict[str, Any]:
        query = params["query"]
        self._check_listing(query, self.faults.forbidden_columns)
        self._check_listing(query, self.faults.history_forbidden)
        at = min(datetime.fromtimestamp(params["timeslice"], UTC), self.now)
        page = self._page(query, self._filtered(query.get("Filter") or ""))
        return {"result": [self._row(device, query["Columns"], at) for device in page], "totalStatistics": None}

    def _filtered(self, text: str) -> list[FakeDevice]:
        wanted = {int(number) for number in ACCOUNT_IN_FILTER.findall(text)}
        if text and not wanted:
            raise RpcError(None, "bad filter")
        everybody = not text or self.faults.history_filter_is_ignored
        return [device for device in self.fleet.devices if everybody or device.account_id in wanted]

    def _check_listing(self, query: dict[str, Any], is_forbidden: Callable[[str], bool] | None) -> None:
        start = query.get("StartRecordNumber", 0)
        if self.faults.break_at_record is not None and start >= self.faults.break_at_record:
            raise RpcError(None, "internal error")
        if is_forbidden and any(map(is_forbidden, query["Columns"])):
            raise forbidden()

    def _page(self, query: dict[str, Any], devices: list[FakeDevice]) -> list[FakeDevice]:
        partners = self.fleet.below(query["PartnerId"])
        found = [device for device in devices if device.partner_id in partners]
        found.sort(key=lambda device: device.account_id)
        count = query.get("RecordsCount", 1)
        start = 0 if self.faults.ignores_start else query.get("StartRecordNumber", 0)
        page = found[start : start + min(count, self.faults.page_cap or count)]
        if self.faults.repeats_rows and start:
            page = [*found[max(0, start - 3) : start], *page]
        if self.faults.shuffles:
            self._chance.shuffle(page)
        return page

    def _row(self, device: FakeDevice, wanted: list[str], at: datetime) -> dict[str, Any]:
        known = self._snapshots.columns(device, self.fleet.partner_name(device.partner_id), at, self.reading)
        if self.faults.edit_row:
            known = self.faults.edit_row(known, device)
        by_spelling = {
            spelt: value for code, value in known.items() for spelt in spellings(code, self.reading.spelling)
        }
        found = {code: by_spelling[code] for code in wanted if code in by_spelling}
        values: dict[str, Any] = dict(found)
        if self.reading.raw_numbers:
            values = {
                code: int(value) if value.isdigit() and len(value) < 28 else value for code, value in found.items()
            }
        settings = None if self.faults.null_settings else [{code: values[code]} for code in sorted(values)]
        return {"AccountId": device.account_id, "Flags": None, "PartnerId": device.partner_id, "Settings": settings}

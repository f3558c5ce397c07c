"""A device's sessions, one by one, from the services that list them: its storage node, or Microsoft 365's reporting."""

import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, TypeVar
from urllib.parse import urljoin

from cove_poller.client import CoveClient, Service, ShowsVisa
from cove_poller.columns import M365_SERVICES, m365_source, plugin_source
from cove_poller.errors import ApiError, ApiUnavailable, CovePollerError, PermissionDenied, VisaRefused
from cove_poller.models import Account, Device, RemoteEndpoint
from cove_poller.nodes import node_url
from cove_poller.paging import iter_pages
from cove_poller.session_rows import ReadRows, SessionRow, read_rows
from cove_poller.status import Status
from cove_poller.window import Window

PAGE_SIZE = 500
LONGEST_SESSION = timedelta(days=31)
"""Sessions are asked for by their start and wanted by their end; a first backup may take weeks."""

PATIENCE = 3
T = TypeVar("T")


class _Refusals:
    """What was refused to several devices and allowed to none, so that asking for the next one is in vain."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._errors: dict[str, list[CovePollerError]] = defaultdict(list)
        self._allowed: set[str] = set()

    def tried(self, what: str, patience: int, kind: type[CovePollerError], attempt: Callable[[], T]) -> T:
        """The result of `attempt`, unless `what` ended in an error of this kind `patience` times and never well."""
        with self._lock:
            if what not in self._allowed and len(self._errors[what]) >= patience:
                raise self._errors[what][0]
        try:
            result = attempt()
        except kind as error:
            with self._lock:
                self._errors[what].append(error)
            raise
        with self._lock:
            self._allowed.add(what)
        return result


class SessionHistory:
    """Reads devices' sessions in a window. May be used by several threads."""

    def __init__(self, client: CoveClient, window: Window, overrides: Mapping[int, Status]) -> None:
        self._client = client
        self._window = window
        self._overrides = overrides
        self._refusals = _Refusals()
        self._reporting = Service(urljoin(client.api.url, "reporting_api"), ShowsVisa.AS_BEARER)
        self._visa_for_nodes = ShowsVisa.NOT_AT_ALL

    def read(self, device: Device) -> ReadRows:
        """All sessions of the device that ended in the window. Raise ApiError or PermissionDenied if it cannot be."""
        account, address = self._account(device.account_id)
        if account.token is None:
            raise ApiError("Cove tells no token for it, so its sessions cannot be asked for")
        if device.device_type == "Microsoft 365":
            return self._of_tenant(device, account)
        return self._of_machine(device.account_id, account, address or self._endpoint(device.account_id))

    def _account(self, account_id: int) -> tuple[Account, str | None]:
        """What a device's services ask for, and the address of its storage node if that is told."""
        result = self._refusals.tried(
            "GetAccountInfoById",
            PATIENCE,
            PermissionDenied,
            lambda: self._client.call_whole("GetAccountInfoById", {"accountId": account_id}, Account),
        )
        if result is None or result.result is None:
            raise ApiError("Cove tells nothing of this account")
        node = result.home_node.address if result.home_node else None
        return result.result, node.host if node else None

    def _endpoint(self, account_id: int) -> str:
        found = self._client.call(
            "EnumerateAccountRemoteAccessEndpoints", {"accountId": account_id}, list[RemoteEndpoint]
        )
        urls = [endpoint.url for endpoint in found or () if endpoint.url]
        if not urls:
            raise ApiError("Cove does not tell its storage node")
        return urls[0]

    def _of_machine(self, account_id: int, account: Account, address: str) -> ReadRows:
        url = node_url(address, self._client.api.url, self._client.api.node_domains)
        since, until = self._started_between()
        query = f"(Type & 1) == 1 and BackupStartTime >= {since} and BackupStartTime <= {until}"
        params = {"accountId": account_id, "account": account.name, "token": _token(account), "query": query}
        ask = self._asked_at_node(url, {**params, "orderBy": "BackupStartTime DESC"})
        return self._read(ask, plugin_source)

    def _asked_at_node(self, url: str, params: Mapping[str, Any]) -> Callable[[int], list[SessionRow]]:
        def ask(start: int) -> list[SessionRow]:
            service = Service(url, self._visa_for_nodes)
            more = {**params, "range": {"Offset": start, "Size": PAGE_SIZE}}
            try:
                return self._client.call("QuerySessions", more, list[SessionRow], service) or []
            except VisaRefused:
                if service.visa is ShowsVisa.IN_BODY:
                    raise
                self._visa_for_nodes = ShowsVisa.IN_BODY  # most clients send none; some nodes may want it
                return ask(start)

        return lambda start: self._refusals.tried(url, 1, ApiUnavailable, lambda: ask(start))

    def _of_tenant(self, device: Device, account: Account) -> ReadRows:
        since, until = self._started_between()
        names = {code: name for name, code in M365_SERVICES.items()}
        wanted = [code for code in device.active_sources if code in names] or list(names)
        found = [self._of_service(names[code], _token(account), since, until) for code in wanted]
        return ReadRows(
            tuple(session for one in found for session in one.sessions),
            tuple(failure for one in found for failure in one.failures),
            tuple(warning for one in found for warning in one.warnings),
        )

    def _of_service(self, name: str, token: str, since: int, until: int) -> ReadRows:
        """The sessions of one Microsoft 365 service."""
        wanted = {"CreatedAfter": since, "CreatedBefore": until, "SessionTypes": ["Backup"], "DataSources": [name]}

        def ask(start: int) -> list[SessionRow]:
            params = {"accountToken": token, "range": {"Offset": start, "Size": PAGE_SIZE}, "filter": wanted}
            return self._client.call("EnumerateSessions", params, list[SessionRow], self._reporting) or []

        return self._read(
            lambda start: self._refusals.tried("EnumerateSessions", PATIENCE, PermissionDenied, lambda: ask(start)),
            lambda word: m365_source(word or name),
        )

    def _read(self, ask: Callable[[int], list[SessionRow]], source_of: Callable[[str], str | None]) -> ReadRows:
        pages = iter_pages(ask, lambda row: row.key, PAGE_SIZE, "sessions", full=2)
        return read_rows((row for page in pages for row in page), self._window, self._overrides, source_of)

    def _started_between(self) -> tuple[int, int]:
        """When the sessions began that may have ended in the window, in Unix seconds."""
        begin = self._window.since - LONGEST_SESSION
        return max(int(begin.timestamp()), 0), int(self._window.until.timestamp())


def _token(account: Account) -> str:
    return account.token.get_secret_value() if account.token else ""

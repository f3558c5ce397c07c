"""A device's sessions, one by one, from the services that list them: its storage node, or Microsoft 365's reporting."""

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise, zip_longest
from typing import Any
from urllib.parse import urljoin

from pydantic_core import to_json

from cove_poller.cove.breaker import Breaker
from cove_poller.cove.client import CoveClient
from cove_poller.cove.node_address import node_url
from cove_poller.cove.paging import iter_pages
from cove_poller.cove.replies import Account, RemoteEndpoint
from cove_poller.cove.session_rows import ReadRows, read_rows, row_key, session_row
from cove_poller.cove.transport import Service, ShowsVisa
from cove_poller.errors import ApiError, PermissionDenied, VisaRefused
from cove_poller.records.columns import M365_SERVICES, m365_source, plugin_source
from cove_poller.records.device import Device
from cove_poller.records.past import Request
from cove_poller.records.statuses import Statuses
from cove_poller.redaction import remember

log = logging.getLogger(__name__)

PAGE_SIZE = 500
SHORT_PAGE_SIZE = 100
"""Where only the newest sessions are wanted."""

LONGEST_SESSION = timedelta(days=31)
"""Sessions are asked for by their start and wanted by their end; a first backup may take weeks."""


@dataclass(frozen=True)
class ToldList:
    """A list of sessions as a service told it, not read yet; `source_of` knows its names of data sources."""

    rows: Sequence[Any]
    source_of: Callable[[str], str | None]
    digest: str


class SessionHistory:
    """Reads devices' sessions in the windows of a request. May be used by several threads."""

    def __init__(self, client: CoveClient, request: Request, statuses: Statuses) -> None:
        self._client = client
        self._request = request
        self._statuses = statuses
        self._breaker = Breaker()
        self._reporting = Service(urljoin(client.api.url, "reporting_api"), ShowsVisa.AS_BEARER)
        self._visa_for_nodes = ShowsVisa.NOT_AT_ALL

    def read(self, device: Device, known: str = "") -> ReadRows:
        """Return the device's sessions that ended in the window. Raise ApiError or PermissionDenied if it cannot be.

        Where the lists are those of which `known` is the digest, nothing of them is read.

        ApiUnavailable means that Cove itself is down, not only where this device's sessions are.
        """
        account, address = self._account(device.account_id)
        if account.token is None:
            raise ApiError("Cove tells no token for it, so its sessions cannot be asked for")
        if device.device_type == "Microsoft 365":
            lists = self._of_tenant(device, account, known)
        else:
            lists = [self._of_machine(device, account, self._node_url(device.account_id, address), known)]
        digest = " ".join(one.digest for one in lists)
        if digest == known:
            return ReadRows((), digest=digest, is_known=True)
        return replace(_together([self._read(one, device) for one in lists]), digest=digest)

    def _account(self, account_id: int) -> tuple[Account, str | None]:
        """Return what a device's services ask for, and the address of its storage node if that is told."""
        result = self._breaker.unless_refused(
            "GetAccountInfoById",
            lambda: self._client.call_whole("GetAccountInfoById", {"accountId": account_id}, Account),
        )
        if result is None or result.result is None:
            raise ApiError("Cove tells nothing of this account")
        node = result.home_node.address if result.home_node else None
        return result.result, node.host if node else None

    def _node_url(self, account_id: int, address: str | None) -> str:
        """Return where the storage node is asked: at the address told, or else at the device's endpoint."""
        api = self._client.api
        try:
            return node_url(address or "", api.url, api.node_domains)
        except ApiError:
            method = "EnumerateAccountRemoteAccessEndpoints"
            found = self._client.call(method, {"accountId": account_id}, list[RemoteEndpoint]) or []
            urls = [endpoint.url for endpoint in found if endpoint.url]
            return node_url(urls[0] if urls else address or "", api.url, api.node_domains)

    def _of_machine(self, device: Device, account: Account, url: str, known: str) -> ToldList:
        since, until = self._started_between(device)
        query = f"(Type & 1) == 1 and BackupStartTime >= {since} and BackupStartTime <= {until}"
        params = {"accountId": device.account_id, "account": account.name, "token": _token(account), "query": query}
        # by their ids, which are unique: several plug-ins of a run may begin in the same second
        source_of = partial(plugin_source, sources={*device.active_sources, *device.sources})
        ask = self._asked_at_node(url, {**params, "orderBy": "Id DESC"}, self._page_size(device))
        return self._told(ask, source_of, device, known)

    def _asked_at_node(self, url: str, params: Mapping[str, Any], size: int) -> Callable[[int], list[Any]]:
        def ask(start: int) -> list[Any]:
            service = Service(url, self._visa_for_nodes)
            more = {**params, "range": {"Offset": start, "Size": size}}
            try:
                return self._rows("QuerySessions", more, service)
            except VisaRefused as error:
                if service.visa is ShowsVisa.IN_BODY:
                    raise PermissionDenied(str(error)) from error
                self._visa_for_nodes = ShowsVisa.IN_BODY  # most clients send none; some nodes may want it
                return ask(start)

        return lambda start: self._breaker.unless_down(url, lambda: ask(start))

    def _of_tenant(self, device: Device, account: Account, known: str) -> list[ToldList]:
        """Return the sessions of all services, also of those that are switched off by now.

        The newest alone are asked for with one request, where Cove answers that.
        """
        if device.account_id in self._request.spans:
            try:
                together = self._of_services(M365_SERVICES, device, account)
            except PermissionDenied:
                log.info("device %s: the services are asked one by one", device.account_id)
            else:
                if self._read(together, device).is_whole:
                    return [together]
        each = zip_longest(M365_SERVICES, known.split()[: len(M365_SERVICES)], fillvalue="")
        return [self._of_services([name], device, account, digest) for name, digest in each]

    def _of_services(self, names: Iterable[str], device: Device, account: Account, known: str = "") -> ToldList:
        """Return the sessions of Microsoft 365 services; a row that does not say of which is that of the only one."""
        names, size = list(names), self._page_size(device)
        since, until = self._started_between(device)
        wanted = {"CreatedAfter": since, "CreatedBefore": until, "SessionTypes": ["Backup"], "DataSources": names}
        only = names[0] if len(names) == 1 else ""

        def ask(start: int) -> list[Any]:
            params = {"accountToken": _token(account), "range": {"Offset": start, "Size": size}, "filter": wanted}
            return self._rows("EnumerateSessions", params, self._reporting)

        def ask_sparingly(start: int) -> list[Any]:
            return self._breaker.unless_refused(
                " ".join(names), lambda: self._breaker.unless_down(self._reporting.url, lambda: ask(start))
            )

        return self._told(ask_sparingly, lambda word: m365_source(word or only), device, known)

    def _page_size(self, device: Device) -> int:
        return SHORT_PAGE_SIZE if device.account_id in self._request.spans else PAGE_SIZE

    def _told(
        self,
        ask: Callable[[int], list[Any]],
        source_of: Callable[[str], str | None],
        device: Device,
        known: str,
    ) -> ToldList:
        """Return the whole list, as far back as it is wanted, or as much of it as shows that it is the `known` one."""
        first = ask(0)
        if known and _is_newest_first(first) and _digest(first) == known:
            return ToldList(first, source_of, known)  # what is new would stand before it, so nothing is behind
        there = [first]
        pages: Iterator[list[Any]] = iter_pages(
            lambda start: there.pop() if there else ask(start), row_key, self._page_size(device), "sessions", full=2
        )
        if span := self._request.spans.get(device.account_id):
            pages = _back_to(pages, span.begun_after)
        rows = [row for page in pages for row in page]
        return ToldList(rows, source_of, _digest(rows))

    def _read(self, told: ToldList, device: Device) -> ReadRows:
        window = self._request.window_of(device.account_id)
        return read_rows(map(session_row, told.rows), window, self._statuses, told.source_of)

    def _rows(self, method: str, params: Mapping[str, Any], service: Service) -> list[Any]:
        """Return a page of sessions. Raise ApiError where there is no list: that is not "no sessions"."""
        found = self._client.call(method, params, list[Any], service)
        if found is None:
            raise ApiError(f"Cove answers {method} without a list")
        return found

    def _started_between(self, device: Device) -> tuple[int, int]:
        """Return when the sessions began that may have ended in the window, in Unix seconds."""
        window = self._request.window_of(device.account_id)
        begin = window.since - LONGEST_SESSION
        if device.account_id not in self._request.spans:  # the same all day, so that the same list is known again
            begin = begin.replace(hour=0, minute=0, second=0, microsecond=0)
        return max(int(begin.timestamp()), 0), int(window.until.timestamp())


def _together(found: Sequence[ReadRows]) -> ReadRows:
    return ReadRows(
        tuple(session for one in found for session in one.sessions),
        {source: session for one in found for source, session in one.context.items()},
        tuple(failure for one in found for failure in one.failures),
        tuple(warning for one in found for warning in one.warnings),
        frozenset().union(*(one.unreadable for one in found)),
        all(one.is_whole for one in found),
    )


def _digest(rows: Sequence[Any]) -> str:
    return hashlib.sha256(to_json(rows, inf_nan_mode="constants")).hexdigest()[:32]


def _is_newest_first(rows: Sequence[Any]) -> bool:
    ids = [row.get("Id") if isinstance(row, dict) else None for row in rows]
    return len(ids) > 1 and all(isinstance(a, int) and isinstance(b, int) and a > b for a, b in pairwise(ids))


def _back_to(pages: Iterable[list[Any]], moment: datetime) -> Iterator[list[Any]]:
    """Yield the pages of a list that is told newest first until one reaches back before the moment.

    That it does so proves that no page after it tells of anything later, so none is asked for.
    """
    for page in pages:
        yield page
        starts = [session_row(row).started_at for row in page]
        if _is_falling(starts) and starts[-1] is not None and starts[-1] < moment:
            return


def _is_falling(moments: Sequence[datetime | None]) -> bool:
    return all(later and earlier and later >= earlier for later, earlier in pairwise(moments))


def _token(account: Account) -> str:
    token = account.token.get_secret_value() if account.token else ""
    remember(token, passing=True)
    return token

"""The fake Cove's history services, asked over HTTP: they say what the fleet's truth says."""

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import requests

from tests.conftest import BEGIN, TlsFiles
from tests.world.fake_cove import FakeCove, FakeDevice, Fleet, TrueSession, serving_tls
from tests.world.fake_cove.history import M365_NAMES

FORBIDDEN, BAD_VISA = 13501, 1701
WORDS = {1: "InProgress", 2: "Failed", 3: "Aborted", 4: "Unknown", 5: "Completed", 6: "Interrupted", 7: "NotStarted"}
WORDS |= {8: "Completed", 10: "OverQuota", 11: "NoSelection", 13: "Blocked"}
BACKUPS = "0 != 1 and (Type & 1) == 1"


class Caller:
    """Asks a fake Cove's services, with the visa of one login."""

    def __init__(self, cove: FakeCove, http: requests.Session) -> None:
        self.cove = cove
        self.http = http
        self.visa: str | None = None

    def login(self) -> None:
        self.visa = self.post("/jsonapi", "Login", username=self.cove.username, password=self.cove.password)["visa"]

    def post(self, path: str, method: str, *, at: str = "", bearer: str | None = None, **params: Any) -> Any:
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        if path == "/jsonapi" and self.visa:
            message["visa"] = self.visa
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        url = (at or self.cove.url.removesuffix("/jsonapi")) + path
        response = self.http.post(url, json=message, headers=headers, timeout=10)
        response.raise_for_status()
        return response.json()

    def manage(self, method: str, **params: Any) -> Any:
        return self.post("/jsonapi", method, **params)

    def node(self, device: FakeDevice, query: str = BACKUPS, *, offset: int = 0, size: int = 1000, **more: Any) -> Any:
        params: dict[str, Any] = {
            "accountId": device.account_id,
            "account": device.name,
            "token": self.cove.token_of(device),
        }
        params |= {"query": query, "orderBy": "Id DESC", "range": {"Offset": offset, "Size": size}}
        return self.post("/repserv_json", "QuerySessions", **(params | more))

    def report(self, device: FakeDevice, **wanted: Any) -> Any:
        params: dict[str, Any] = {"accountToken": self.cove.token_of(device), "filter": wanted}
        return self.post("/reporting_api", "EnumerateSessions", bearer=self.visa, **params)

    def columns(self, codes: list[str], text: str = "", timeslice: int | None = None) -> dict[int, dict[str, str]]:
        """The rows of a listing, or of the history at a time slice, by account id."""
        query = {"PartnerId": 1000, "Filter": text, "StartRecordNumber": 0, "RecordsCount": 1000, "Columns": codes}
        if timeslice is None:
            reply = self.manage("EnumerateAccountStatistics", query=query)
        else:
            reply = self.manage("EnumerateAccountHistoryStatistics", query=query, timeslice=timeslice)
        return {
            row["AccountId"]: {code: value for pair in row["Settings"] for code, value in pair.items()}
            for row in rows_of(reply)
        }


@pytest.fixture
def ask(cove: FakeCove) -> Iterator[Caller]:
    with requests.Session() as http:
        http.trust_env = False
        caller = Caller(cove, http)
        caller.login()
        yield caller


@pytest.fixture
def server(fleet: Fleet) -> FakeDevice:
    """The device with the most sessions."""
    return max(fleet.devices, key=lambda device: len([*device.all_sessions()]))


@pytest.fixture
def tenant(fleet: Fleet) -> FakeDevice:
    return next(device for device in fleet.devices if device.kind == "m365")


def rows_of(reply: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = reply["result"]["result"]
    return rows


def code_of(reply: Any) -> Any:
    return reply["error"]["data"]


def started(cove: FakeCove, device: FakeDevice) -> list[TrueSession]:
    return [session for session in device.all_sessions() if session.start <= cove.now]


def times(cove: FakeCove, sessions: list[TrueSession]) -> Counter[tuple[int, int]]:
    return Counter(
        (int(one.start.timestamp()), int(one.end.timestamp()) if one.end <= cove.now else 0) for one in sessions
    )


def row_times(rows: list[dict[str, Any]]) -> Counter[tuple[int, int]]:
    return Counter((row["StartTime"], row["EndTime"]) for row in rows)


def test_the_pages_of_a_node_are_all_backups_of_a_device_once_the_newest_first(
    ask: Caller, cove: FakeCove, server: FakeDevice
) -> None:
    cove.faults.session_page_cap = 7
    cove.now = next(session.end for session in server.all_sessions() if session.end > cove.now) - timedelta(seconds=1)
    rows: list[dict[str, Any]] = []
    while page := rows_of(ask.node(server, offset=len(rows))):
        assert len(page) <= 7
        rows += page
    assert row_times(rows) == times(cove, started(cove, server))
    assert [row["Id"] for row in rows] == sorted({row["Id"] for row in rows}, reverse=True)
    assert [row["StartTime"] for row in rows] == sorted((row["StartTime"] for row in rows), reverse=True)
    assert {row["Status"] for row in rows if not row["EndTime"]} == {"InProgress"}


def test_every_status_is_told_and_errors_where_the_word_hides_them(ask: Caller, cove: FakeCove, fleet: Fleet) -> None:
    device = fleet.devices[0]
    codes = [*WORDS, 0, 8, 5]
    begins = [BEGIN + timedelta(hours=number) for number in range(len(codes))]
    device.sessions = {
        "D01": [
            TrueSession("D01", begin, begin + timedelta(minutes=5), code)
            for begin, code in zip(begins, codes, strict=True)
        ]
    }
    rows = rows_of(ask.node(device, orderBy="BackupStartTime ASC"))
    assert {row["PluginId"] for row in rows} == {"FileSystem"}
    for row, code in zip(rows, codes, strict=True):
        hidden = "CompletedWithErrors" if code == 8 and row["Id"] % 2 == 0 else WORDS.get(code, 0)
        assert row["Status"] == hidden
        assert (row["ErrorsCount"] > 0) == (code == 8)
        assert type(row["ErrorsCount"]) is int
    cove.faults.session_status_as_number = cove.faults.plugin_as_number = True
    rows = rows_of(ask.node(device, orderBy="Id ASC"))
    assert [row["Status"] for row in rows] == codes
    assert {row["PluginId"] for row in rows} == {1}


def test_a_query_chooses_by_time_plugin_and_type(ask: Caller, cove: FakeCove, server: FakeDevice) -> None:
    since, until = (int((BEGIN + timedelta(hours=hours)).timestamp()) for hours in (10, 30))
    found = rows_of(ask.node(server, f"{BACKUPS} and BackupStartTime >= {since} and BackupStartTime <= {until}"))
    wanted = [one for one in server.all_sessions() if since <= one.start.timestamp() <= until]
    assert row_times(found) == times(cove, wanted)
    files = [one for one in started(cove, server) if one.source == "D01"]
    assert row_times(rows_of(ask.node(server, f"{BACKUPS} and Plugin == 1"))) == times(cove, files)
    everything = rows_of(ask.node(server, "0 != 1"))
    restores = [row for row in everything if row["Type"] == "Restore"]
    assert restores
    assert len(everything) == len(started(cove, server)) + len(restores)
    assert ask.node(server, "Status == 5")["error"]["message"] == "bad query"


def test_a_node_answers_only_who_names_the_device_and_its_token(
    ask: Caller, cove: FakeCove, server: FakeDevice, tenant: FakeDevice
) -> None:
    assert code_of(ask.node(server, token="wrong")) == FORBIDDEN
    assert code_of(ask.node(server, account="wrong")) == FORBIDDEN
    assert rows_of(ask.node(tenant)) == []
    cove.faults.node_needs_visa = True
    assert code_of(ask.node(server)) == BAD_VISA
    cove.faults.node_needs_visa = False
    cove.faults.history_refused = {server.account_id}
    assert code_of(ask.node(server)) == FORBIDDEN


def test_an_account_says_where_its_sessions_are(ask: Caller, cove: FakeCove, server: FakeDevice) -> None:
    info = ask.manage("GetAccountInfoById", accountId=server.account_id)["result"]
    assert (info["result"]["Name"], info["result"]["Token"]) == (server.name, cove.token_of(server))
    here = cove.url.removesuffix("/jsonapi")
    assert f"http://{info['homeNodeInfo']['CommonInfo']['Host']}" == here
    [endpoint] = rows_of(ask.manage("EnumerateAccountRemoteAccessEndpoints", accountId=server.account_id))
    assert endpoint["WebRcgUrl"] == f"{here}/rcg/abc"
    cove.faults.node_host = lambda device: None
    assert ask.manage("GetAccountInfoById", accountId=server.account_id)["result"]["homeNodeInfo"] is None
    assert ask.manage("GetAccountInfoById", accountId=1)["error"]["message"] == "account not found"


@pytest.mark.parametrize("hours", [5, 30, 48])
def test_a_time_slice_shows_the_columns_as_a_listing_showed_them_then(ask: Caller, cove: FakeCove, hours: int) -> None:
    codes = ["I1", "D01F00", "D01F08", "D02F15", "D09F00", "D09F08"]
    present, then = cove.now, BEGIN + timedelta(hours=hours)
    cove.now = then
    listed = ask.columns(codes)
    assert ask.columns(codes, timeslice=int(present.timestamp())) == listed  # the future is not told
    cove.now = present
    ask.login()
    assert ask.columns(codes, timeslice=int(then.timestamp())) == listed


def test_a_history_is_of_the_accounts_and_columns_asked_for(ask: Caller, cove: FakeCove, fleet: Fleet) -> None:
    one, two = (device.account_id for device in fleet.devices[:2])
    moment = int(BEGIN.timestamp())
    text = f"AU == {one} OR AU == {two}"
    assert ask.columns(["I0"], text, moment) == {one: {"I0": str(one)}, two: {"I0": str(two)}}
    cove.faults.history_filter_is_ignored = True
    assert len(ask.columns(["I0"], text, moment)) == len(fleet.devices)
    query = {"PartnerId": 1000, "Filter": "I0 == 1", "Columns": ["D01F00"]}
    reply = ask.manage("EnumerateAccountHistoryStatistics", query=query, timeslice=moment)
    assert reply["error"]["message"] == "bad filter"
    cove.faults.history_forbidden = lambda code: code == "D01F00"
    assert code_of(ask.manage("EnumerateAccountHistoryStatistics", query=query, timeslice=moment)) == FORBIDDEN
    assert ask.columns(["D01F00"])


def test_the_reporting_service_lists_what_a_tenant_did(ask: Caller, cove: FakeCove, tenant: FakeDevice) -> None:
    sessions = started(cove, tenant)
    rows = rows_of(ask.report(tenant, SessionTypes=["Backup"]))
    assert row_times(rows) == times(cove, sessions)
    assert [row["StartTime"] for row in rows] == sorted((row["StartTime"] for row in rows), reverse=True)
    since = BEGIN + timedelta(hours=24)
    source = sessions[0].source
    rows = rows_of(ask.report(tenant, CreatedAfter=int(since.timestamp()), DataSources=[M365_NAMES[source]]))
    assert row_times(rows) == times(cove, [one for one in sessions if one.source == source and one.start >= since])
    cove.faults.lost_sessions = lambda session: session.source == source
    cove.faults.edit_session = lambda row, session: {**row, "Id": session.source}
    assert {row["Id"] for row in rows_of(ask.report(tenant))} == {*tenant.active} - {source}


def test_the_reporting_service_wants_its_visa_as_a_bearer_and_a_tenant(
    ask: Caller, cove: FakeCove, server: FakeDevice, tenant: FakeDevice
) -> None:
    assert code_of(ask.report(server)) == FORBIDDEN
    assert code_of(ask.post("/reporting_api", "EnumerateSessions", accountToken=cove.token_of(tenant))) == BAD_VISA
    assert (cove.requests[-2].path, cove.requests[-2].bearer) == ("/reporting_api", ask.visa)
    both = cove.answer_at("/reporting_api", {"method": "EnumerateSessions", "visa": ask.visa}, ask.visa)
    assert both["error"]["message"] == "bad request"


def test_a_visa_expires_before_a_request_once(ask: Caller, cove: FakeCove, tenant: FakeDevice) -> None:
    cove.faults.expire_visa_before_request = {2}
    assert "result" in ask.manage("GetPartnerInfoById", partnerId=1000)
    assert code_of(ask.report(tenant)) == BAD_VISA
    ask.login()
    assert "result" in ask.report(tenant)
    cove.faults.forbidden_methods = frozenset({"EnumerateSessions", "QuerySessions"})
    assert [code_of(ask.report(tenant)), code_of(ask.node(tenant))] == [FORBIDDEN, FORBIDDEN]


def test_a_wrong_path_is_not_found_and_recorded(ask: Caller, cove: FakeCove) -> None:
    with pytest.raises(requests.HTTPError, match="404"):
        ask.post("/elsewhere", "QuerySessions")
    assert cove.requests[-1].path == "/elsewhere"


def test_a_node_may_be_asked_over_tls_and_a_refused_handshake_stops_nobody(
    ask: Caller, cove: FakeCove, server: FakeDevice, tls_files: TlsFiles
) -> None:
    with serving_tls(cove, tls_files.certificate, tls_files.key) as address:
        cove.faults.node_host = lambda device: address
        info = ask.manage("GetAccountInfoById", accountId=server.account_id)["result"]
        node = f"https://{info['homeNodeInfo']['CommonInfo']['Host']}"
        with pytest.raises(requests.exceptions.SSLError):
            ask.node(server, at=node)
        ask.http.verify = str(tls_files.authority)
        assert row_times(rows_of(ask.node(server, at=node))) == times(cove, started(cove, server))

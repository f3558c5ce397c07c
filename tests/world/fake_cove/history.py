"""How Cove tells the past: a device's sessions as rows of its two session services, and its columns at a moment."""

import re
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from tests.world.fake_cove.faults import Faults, RpcError, forbidden
from tests.world.fake_cove.fleet import SUCCESS, WITH_ERRORS, FakeDevice, TrueSession, ended, running
from tests.world.fake_cove.wire import Reading, columns

IN_PROGRESS = 1
CLEANED_AFTER = 3 * 86_400
"""After how many seconds a session's data is cleaned; the session stays in the list."""

STATUS_WORDS = {
    1: "InProgress",
    2: "Failed",
    3: "Aborted",
    4: "Unknown",
    5: "Completed",
    6: "Interrupted",
    7: "NotStarted",
    8: "CompletedWithErrors",
    10: "OverQuota",
    11: "NoSelection",
    12: "Restarted",
    13: "Blocked",
}
PLUGINS = {
    1: "FileSystem",
    4: "VssExchange",
    6: "NetworkShares",
    7: "VssSystemState",
    8: "VMWare",
    10: "VssMsSql",
    11: "VssSharePoint",
    14: "VssHyperV",
    15: "MySql",
    18: "LinuxSystemState",
}
LINUX_SYSTEM_STATE = 18
PLUGIN_OF = {
    "D01": 1,
    "D02": 7,
    "D04": 4,
    "D06": 6,
    "D08": 8,
    "D10": 10,
    "D11": 11,
    "D14": 14,
    "D15": 15,
}
M365_NAMES = {"D05": "SharePoint", "D19": "Exchange", "D20": "OneDrive", "D23": "Teams"}
COMPARISON = re.compile(r"(BackupStartTime >=|BackupStartTime <=|Plugin ==) (\d+)")
ORDERS = ("BackupStartTime DESC", "Id DESC", "BackupStartTime ASC", "Id ASC")
SESSIONS_PER_RESTORE = 20
MOST_STATES = 1000

Row = dict[str, Any]
Params = Mapping[str, Any]


@cache
def token_of_account(account_id: int) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"https://example.com/accounts/{account_id}"))


def account_info(device: FakeDevice, node_host: str | None) -> Row:
    """What GetAccountInfoById says of a device."""
    account = {
        "Id": device.account_id,
        "Name": device.name,
        "Token": token_of_account(device.account_id),
        "CreationTime": 1_700_000_000,
        "ExpirationTime": 0,
    }
    node = {"Id": 7, "ActiveAccounts": 1, "CommonInfo": {"Host": node_host, "Name": "xx.yy.17.01"}}
    return {"result": account, "homeNodeInfo": node if node_host is not None else None}


@dataclass(frozen=True)
class Numbered:
    """A session under the number that Cove gives it. A restore is no backup, and not part of the fleet's truth."""

    id: int
    session: TrueSession
    plugin: int
    is_restore: bool
    start: int
    end: int

    def is_running(self, now: datetime) -> bool:
        return self.session.end > now

    def is_listed(self, now: datetime, faults: Faults) -> bool:
        if self.is_restore:
            return not self.is_running(now)
        return self.session.start <= now and not (faults.lost_sessions and faults.lost_sessions(self.session))


Term = Callable[[Numbered], bool]


class History:
    """The session services. They number a device's sessions once, and again when its sessions have changed."""

    def __init__(self) -> None:
        self._numbered: dict[int, tuple[list[TrueSession], list[Numbered]]] = {}

    def query_sessions(self, device: FakeDevice, params: Params, now: datetime, faults: Faults) -> list[Row]:
        """What a storage node answers QuerySessions with."""
        terms = [_term(text) for text in params.get("query", "").split(" and ")]
        order = params.get("orderBy")
        if order not in ORDERS:
            raise RpcError(None, "bad query")
        listed = self._listed(device, now, faults)
        found = [one for one in listed if device.kind != "m365" and all(term(one) for term in terms)]
        if order.endswith("DESC") and not faults.ignores_order:
            found.reverse()
        return [_edited(_node_row(one, now, faults), one, faults) for one in _page(found, params, faults)]

    def enumerate_sessions(self, device: FakeDevice, params: Params, now: datetime, faults: Faults) -> list[Row]:
        """What the reporting service answers EnumerateSessions with."""
        wanted = params.get("filter") or {}
        found = [one for one in self._listed(device, now, faults) if _passes(one, wanted)][::-1]
        return [_edited(_report_row(one, now, faults), one, faults) for one in _page(found, params, faults)]

    def _listed(self, device: FakeDevice, now: datetime, faults: Faults) -> list[Numbered]:
        if device.account_id in faults.history_refused:
            raise forbidden()
        return [one for one in self.numbered(device) if one.is_listed(now, faults)]

    def numbered(self, device: FakeDevice) -> list[Numbered]:
        """All sessions that a device will ever have had, by start."""
        sessions = [*device.all_sessions()]
        known = self._numbered.get(device.account_id)
        if known is None or known[0] != sessions:
            known = self._numbered[device.account_id] = (sessions, _number(device, sessions))
        return known[1]


def _number(device: FakeDevice, sessions: Iterable[TrueSession]) -> list[Numbered]:
    backups = sorted(sessions, key=lambda session: (session.start, session.source))
    both = [(session, False) for session in backups]
    if device.kind != "m365":
        first = -device.account_id % SESSIONS_PER_RESTORE
        both += [(_restore_after(session), True) for session in backups[first::SESSIONS_PER_RESTORE]]
        both.sort(key=lambda one: one[0].start)
    return [_numbered(number, device, *one) for number, one in enumerate(both, start=1)]


def _restore_after(session: TrueSession) -> TrueSession:
    start = session.start + timedelta(seconds=1)
    return TrueSession(session.source, start, start + timedelta(seconds=30), SUCCESS)


def _numbered(number: int, device: FakeDevice, session: TrueSession, is_restore: bool) -> Numbered:
    start, end = (int(moment.timestamp()) for moment in (session.start, session.end))
    linux = session.source == "D02" and device.account_id % 2
    plugin = LINUX_SYSTEM_STATE if linux else PLUGIN_OF.get(session.source, 0)
    return Numbered(number, session, plugin, is_restore, start, end)


def _term(text: str) -> Term:
    """One term of the storage node's query language."""
    if text == "0 != 1":
        return lambda one: True
    if text == "(Type & 1) == 1":
        return lambda one: not one.is_restore
    match = COMPARISON.fullmatch(text)
    if not match:
        raise RpcError(None, "bad query")
    operation, number = match[1], int(match[2])
    if operation == "Plugin ==":
        return lambda one: one.plugin == number
    if operation == "BackupStartTime >=":
        return lambda one: one.start >= number
    return lambda one: one.start <= number


def _passes(one: Numbered, wanted: Params) -> bool:
    """Whether the reporting service's filter lets a session pass; what it does not name has no limit."""
    return (
        wanted.get("CreatedAfter", one.start) <= one.start <= wanted.get("CreatedBefore", one.start)
        and "Backup" in wanted.get("SessionTypes", ("Backup",))
        and _m365_name(one) in wanted.get("DataSources", (_m365_name(one),))
    )


def _m365_name(one: Numbered) -> str:
    return M365_NAMES.get(one.session.source, "Unknown")


def _page(found: Sequence[Numbered], params: Params, faults: Faults) -> Sequence[Numbered]:
    asked = params.get("range") or {}
    offset = 0 if faults.ignores_offset else asked.get("Offset", 0)
    size = asked.get("Size", len(found))
    return found[offset : offset + min(size, faults.session_page_cap or size)]


def _node_row(one: Numbered, now: datetime, faults: Faults) -> Row:
    size, count = 1_000_000 + one.start % 9973 * 1000, 100 + one.start % 97
    return {
        "Id": one.id,
        "PluginId": one.plugin if faults.plugin_as_number else PLUGINS.get(one.plugin, "Unknown"),
        "StartTime": one.start,
        "EndTime": 0 if one.is_running(now) else one.end,
        "Status": _status(one, now, faults),
        "Type": "Restore" if one.is_restore else "BatchBackup",
        "Flags": ["Synchronized", "Cleaned"] if now.timestamp() - one.end > CLEANED_AFTER else ["Synchronized"],
        "ErrorsCount": _errors(one, now),
        "SelectedSize": size,
        "ProcessedSize": size // 10,
        "SentSize": size // 50,
        "SelectedCount": count,
        "ProcessedCount": count // 10,
        "RemovedCount": 0,
    }


def _report_row(one: Numbered, now: datetime, faults: Faults) -> Row:
    end = int(now.timestamp()) if one.is_running(now) else one.end
    return {
        "Id": one.id,
        "Type": "Backup",
        "DataSourceType": _m365_name(one),
        "StartTime": one.start,
        "EndTime": 0 if one.is_running(now) else one.end,
        "Duration": end - one.start,
        "AccountsCount": 5 + one.start % 7,
        "Status": _status(one, now, faults),
        "ErrorsCount": _errors(one, now),
    }


def _status(one: Numbered, now: datetime, faults: Faults) -> int | str:
    code = IN_PROGRESS if one.is_running(now) else one.session.status
    if faults.session_status_as_number:
        return code
    if code == WITH_ERRORS and one.id % 2:
        return STATUS_WORDS[SUCCESS]  # with an ErrorsCount, which is what tells
    return STATUS_WORDS.get(code, code)


def _errors(one: Numbered, now: datetime) -> int:
    if one.is_running(now) or one.session.status == SUCCESS:
        return 0
    return max(one.session.errors, int(one.session.status == WITH_ERRORS))


def _edited(row: Row, one: Numbered, faults: Faults) -> Row:
    return faults.edit_session(row, one.session) if faults.edit_session and not one.is_restore else row


class Snapshots:
    """A device's columns, worked out once for each state that it was in, until device or reading have changed."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[object, dict[object, dict[str, str]]]] = {}

    def columns(self, device: FakeDevice, customer_name: str, at: datetime, reading: Reading) -> dict[str, str]:
        """A copy of all columns of a device as they were at a moment."""
        words = (customer_name, device.name, device.computer_name, device.kind, device.active, repr(reading))
        basis = (words, [*device.all_sessions()])
        known, by_state = self._known.get(device.account_id, (None, {}))
        if known != basis or len(by_state) > MOST_STATES:
            by_state = {}
            self._known[device.account_id] = (basis, by_state)
        state = _state(device, at, reading)
        if state not in by_state:
            by_state[state] = columns(device, customer_name, at, reading)
        return dict(by_state[state])


def _state(device: FakeDevice, at: datetime, reading: Reading) -> object:
    """All of a moment that a device's columns depend on."""
    sources = tuple(
        (source, len(ended(sessions, at)), running(sessions, at) is not None)
        for source, sessions in device.sessions.items()
    )
    clock = at if reading.running_duration == "running" else at.date()
    return sources, clock

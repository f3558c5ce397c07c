"""What goes wrong at the fake Cove when a test wants it to, and how Cove says no."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.world.fake_cove.fleet import FakeDevice, TrueSession

BAD_LOGIN, BAD_VISA, FORBIDDEN = 2100, 1701, 13501


class RpcError(Exception):
    def __init__(self, data: int | None, message: str, code: int = -32603) -> None:
        super().__init__(message)
        self.payload = {"code": code, "data": data, "message": message}


def forbidden() -> RpcError:
    return RpcError(FORBIDDEN, "Operation failed because of security reasons")


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
    meddle: Callable[[BaseHTTPRequestHandler, HttpAnswer], bool] | None = None  # True: it has answered in Cove's place
    slow_seconds: float = 0.0
    clock_ahead_seconds: float = 0.0  # what the Date header says, compared with the real time
    login_error: RpcError | None = None
    login_without_visa: bool = False
    forbidden_columns: Callable[[str], bool] | None = None
    forbidden_methods: frozenset[str] = frozenset()
    expire_visa_before: set[int] = field(default_factory=set)  # listing requests, counted from 1
    expire_visa_before_request: set[int] = field(default_factory=set)  # any that need a visa, counted from 1
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
    edit_listing: Callable[[dict[str, Any], dict[str, Any]], Any] | None = None  # (query, result) -> result
    tells_totals: bool = False  # how many rows there are in all, if that is asked

    # the statistics of the past
    history_forbidden: Callable[[str], bool] | None = None  # columns that may be listed, but not of the past
    history_filter_is_ignored: bool = False

    # where a device's sessions are
    node_host: Callable[[FakeDevice], str | None] | None = None  # None for a device without a home node
    endpoint_url: Callable[[FakeDevice], str] | None = None
    node_needs_visa: bool = False

    # the sessions
    history_refused: set[int] = field(default_factory=set)  # account ids
    session_page_cap: int | None = None
    ignores_offset: bool = False
    ignores_order: bool = False  # the oldest session comes first
    lost_sessions: Callable[[TrueSession], bool] | None = None  # what the service does not list
    edit_session: Callable[[dict[str, Any], TrueSession], dict[str, Any]] | None = None
    session_status_as_number: bool = False
    plugin_as_number: bool = False

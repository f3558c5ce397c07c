"""Devices, sources and polls as the overview has them, from literals."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from cove_poller.config.settings import Config
from cove_poller.records.health.device_state import DeviceState, SourceState
from cove_poller.records.health.overview import PLOT_STATUSES, Overview, PlotSessions, PollState, make_overview
from cove_poller.records.statuses import Status
from cove_poller.views.report_plot import plot_begin

NOW = datetime(2026, 3, 10, 8, tzinfo=UTC)
LIMIT = timedelta(minutes=90)
POLL = PollState("main", NOW, "ok", None, NOW - timedelta(minutes=5))
CONFIG = Config.model_validate({"database": {"url": "sqlite:///x"}, "logins": {"main": {"username": "x"}}})


def ago(hours: float) -> datetime:
    return NOW - timedelta(hours=hours)


def source(status: str = "success", code: int | None = 5, **changes: Any) -> SourceState:
    """Files and Folders after a session three hours ago."""
    values: dict[str, Any] = {
        "source": "D01", "status": Status(status), "status_code": code, "errors_count": None,
        "last_session_at": ago(3), "last_success_at": ago(3), "color_bar": "", "running": False, "problem": None,
        "known_since": ago(1000),
    }  # fmt: skip
    return SourceState(**{**values, **changes})


def state(**changes: Any) -> DeviceState:
    """A linked server that succeeded three hours ago; its sources did when it did, unless they are given."""
    values: dict[str, Any] = {
        "account_id": 1, "login": "main", "device_name": "srv1_x", "computer_name": "SRV1",
        "customer": "Example Bakery", "device_type": "Server", "status": Status.SUCCESS, "sources": (source(),),
        "color_bar": "5" * 28,
        "last_session_at": ago(3), "last_success_at": ago(3), "any_success_at": ago(3),
        "running_since": None, "first_seen_at": ago(1000),
        "last_seen_at": NOW, "job_id": 1, "ignored": False, "alert_after": timedelta(hours=48), "as_of": NOW,
    }  # fmt: skip
    if "last_success_at" in changes:
        told = {"last_success_at": changes["last_success_at"]}
        values |= {"any_success_at": changes["last_success_at"], "sources": (source(**told),)}
    return DeviceState(**{**values, **changes})


OFF: dict[str, Any] = {
    "device_type": "Workstation", "color_bar": "5" * 26 + "00", "last_success_at": ago(500),
    "alert_after": timedelta(hours=168),
}  # fmt: skip
NEVER: dict[str, Any] = {"last_success_at": None, "last_session_at": None, "status": Status.NONE, "sources": ()}
SILENT: dict[str, Any] = {
    "source": "D10",
    "last_session_at": ago(480),
    "last_success_at": ago(480),
    "silent_since": ago(1),
}


def plotted(account_id: int, source: str, ends: Iterable[tuple[datetime, str]], as_of: datetime = NOW) -> PlotSessions:
    """The sessions of a source, each with its end and status, as the database packs them."""
    begin = plot_begin(as_of)
    minutes = [(int((end - begin).total_seconds()) // 60, PLOT_STATUSES.index(Status(status))) for end, status in ends]
    return PlotSessions(account_id, source, [minute * 4 + status for minute, status in minutes])


def overview(*devices: DeviceState, polls: Sequence[PollState] = (POLL,), **more: Any) -> Overview:
    return make_overview(devices, polls, NOW, LIMIT, **more)

"""How devices are judged, from literals: conditions, buckets, order, thresholds. Pure."""

from datetime import timedelta
from typing import Any

import pytest

from cove_poller.config.settings import AlertSettings
from cove_poller.errors import WrongUsage
from cove_poller.records.health.device_state import Bucket, Condition
from cove_poller.records.health.news import Condition as Standing
from cove_poller.records.health.overview import alert_after, only
from cove_poller.records.health.source_states import source_states, worst_success
from cove_poller.records.source_history import Period, SourceHistory, to_json
from cove_poller.records.statuses import Status
from tests.world.states import NEVER, NOW, OFF, SILENT, ago, overview, source, state

LAPTOP = {"last_session_at": ago(30)}
WEEKLY = timedelta(days=17.5)
UNREAD: dict[str, Any] = {
    "status": "none", "code": None, "last_session_at": None, "last_success_at": None, "problem": "could not be read",
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "condition"),
    [
        ({}, Condition.SUCCESS),
        ({"status": Status.FAILED}, Condition.FAILED),
        ({"status": Status.FAILED, "last_success_at": ago(99), "running_since": NOW}, Condition.FAILED),
        ({"last_success_at": ago(48)}, Condition.SUCCESS),
        ({"last_success_at": ago(48.01)}, Condition.STALE),
        ({"last_success_at": ago(50), "status": Status.WARNING}, Condition.STALE),
        ({"status": Status.WARNING}, Condition.WARNING),
        ({"running_since": NOW}, Condition.RUNNING),
        ({**NEVER, "first_seen_at": ago(10)}, Condition.NEVER),
        ({**NEVER, "first_seen_at": ago(50)}, Condition.STALE),
        ({**NEVER, "first_seen_at": ago(10), "running_since": NOW}, Condition.RUNNING),
        (OFF, Condition.OFFLINE),
        ({**OFF, "color_bar": "5" * 26 + "77", "sources": (source("warning", 7),)}, Condition.OFFLINE),
        ({**OFF, "color_bar": "5" * 28, "sources": (source(not_started=True),), **LAPTOP}, Condition.OFFLINE),
        ({**OFF, "color_bar": "5" * 28, "sources": (source(not_started=True),)}, Condition.SUCCESS),
        ({**OFF, "color_bar": "0" * 28}, Condition.STALE),
        ({**OFF, "last_session_at": ago(4 * 168)}, Condition.OFFLINE),
        ({**OFF, "last_session_at": ago(4 * 168 + 1)}, Condition.STALE),
        ({"sources": (source(), source(**SILENT))}, Condition.STALE),
        ({"sources": (source(), source(**{**SILENT, "silent_since": None}))}, Condition.STALE),
        ({"sources": (source(), source(**{**SILENT, "silent_since": None, "rhythm": WEEKLY}))}, Condition.STALE),
        ({"sources": (source(last_success_at=ago(24 * 17), rhythm=WEEKLY),)}, Condition.SUCCESS),
        ({"sources": (source(last_success_at=None, known_since=ago(1000), active_since=ago(40)),)}, Condition.SUCCESS),
        ({"sources": (source(last_success_at=ago(900), active_since=ago(40)),)}, Condition.SUCCESS),
        ({"sources": (source(last_success_at=None, active_since=ago(50)),)}, Condition.STALE),
        ({"sources": (source(), source(source="D02", **UNREAD))}, Condition.WARNING),
        ({"sources": (source(problem="Cove no longer says anything of it"),)}, Condition.WARNING),
        ({"standing": (Standing("lost", NOW, NOW, is_failure=True),)}, Condition.WARNING),
        ({"standing": (Standing("a note", NOW, NOW),)}, Condition.SUCCESS),
        ({**OFF, "device_type": "Server"}, Condition.STALE),
        ({**OFF, "color_bar": "5" * 27 + "0"}, Condition.STALE),
        ({**OFF, "color_bar": "0"}, Condition.STALE),
        ({**OFF, "color_bar": ""}, Condition.STALE),
        ({**OFF, "running_since": NOW, "color_bar": "5" * 25 + "001"}, Condition.RUNNING),
        ({**OFF, "running_since": NOW, "color_bar": "5" * 25 + "011"}, Condition.STALE),
        ({**OFF, "sources": (source("warning", 6, last_success_at=ago(500)),)}, Condition.STALE),
        ({**OFF, "sources": (source(problem="could not be read", last_success_at=ago(500)),)}, Condition.STALE),
        ({**OFF, "status": Status.FAILED, "sources": (source("failed", 2),)}, Condition.FAILED),
    ],
)
def test_a_device_is_in_one_condition_the_worst_that_fits(changes: dict[str, Any], condition: Condition) -> None:
    assert state(**changes).condition is condition


@pytest.mark.parametrize(
    ("hours", "bucket"),
    [(0, Bucket.DAY), (24, Bucket.DAY), (24.1, Bucket.TWO_DAYS), (48, Bucket.TWO_DAYS), (48.1, Bucket.OLDER)],
)
def test_buckets_are_those_of_coves_console(hours: float, bucket: Bucket) -> None:
    assert state(last_success_at=ago(hours)).bucket is bucket
    assert state(last_success_at=None).bucket is Bucket.NEVER


def test_the_worst_devices_come_first_then_those_of_each_customer() -> None:
    devices = [
        state(account_id=1, customer="Alpha", computer_name="B"),
        state(account_id=2, customer="Beta", computer_name="A"),
        state(account_id=3, customer="Beta", computer_name="Z", status=Status.FAILED),
        state(account_id=4, customer="Alpha", computer_name="a"),
    ]
    found = overview(*devices)
    assert [one.account_id for one in found.devices] == [3, 4, 1, 2]
    assert (found.counts()[Condition.FAILED], found.counts()[Condition.SUCCESS]) == (1, 3)
    assert [one.account_id for one in overview(*devices, customer="ALP").devices] == [4, 1]
    with pytest.raises(WrongUsage, match="no customer has 'Alfa' in its name; there are: Alpha"):
        overview(*devices, customer="Alfa")
    assert only(overview(*devices, unpolled=["x"]), "failed").unpolled == ("x",)


def test_a_success_that_only_the_newest_session_tells_of_counts() -> None:
    raw = {
        "status": "success", "status_code": 5, "errors_count": 0, "last_session_at": int(ago(2).timestamp()),
        "last_success_at": None, "color_bar": None, "running": False, "problem": None,
    }  # fmt: skip
    failed = {**raw, "status": "failed", "status_code": 2}
    found = source_states({"D01": raw, "D10": failed}, {}, ago(1000))
    assert [(one.source, one.last_success_at) for one in found] == [("D10", None), ("D01", ago(2))]


def test_alert_hours_are_the_customers_own_by_any_of_its_names_else_those_of_the_type() -> None:
    alerts = AlertSettings.model_validate(
        {"workstation_hours": 200, "customers": {"Example Bakery": {"server_hours": 26}}}
    )
    names = ["Bakery Ltd", "example  BAKERY (it@example.com)"]
    assert alert_after(alerts, "Server", names) == timedelta(hours=26)
    assert alert_after(alerts, "Server", ["Other"]) == timedelta(hours=48)
    assert alert_after(alerts, "Workstation", names) == timedelta(hours=200)
    assert alert_after(alerts, "Microsoft 365", names) == timedelta(hours=48)
    assert alerts.shortest_hours() == 26


def test_the_sources_of_a_device_say_which_of_them_lacks_what_and_the_worst_is_its_last_success() -> None:
    history = {
        "D10": SourceHistory(active=(Period(ago(700), None),), recent=tuple(ago(7 * 24 * n) for n in (4, 3, 2, 1)))
    }
    raw = {
        "status": "success", "status_code": 5, "errors_count": 0, "last_session_at": int(ago(480).timestamp()),
        "last_success_at": None, "color_bar": None, "running": False, "problem": None,
        "silent_since": int(ago(60).timestamp()),
    }  # fmt: skip
    (sql,) = source_states({"D10": raw}, to_json(history), ago(1000))
    assert (sql.silent_since, sql.active_since, sql.rhythm) == (ago(60), ago(700), WEEKLY)
    found = state(sources=(source(), sql, source(source="D02", last_success_at=None, known_since=ago(50))))
    assert [one.source for one in found.stale_sources] == ["D10", "D02"]
    assert found.lacks() == "SQL Server has had no session for 20 days; System State has had no success yet in 50 hours"
    assert found.lacks(["D10"]) == "SQL Server has had no session for 20 days"
    assert (worst_success([source(), sql]), worst_success(found.sources)) == (ago(480), None)
    both = state(sources=(source(last_success_at=ago(72)), source(source="D02", last_success_at=ago(72))))
    assert both.lacks() == "Files and Folders, System State have had no success for 72 hours"
    assert state(**{**NEVER, "first_seen_at": ago(50)}).lacks() == "has had no success yet in 50 hours"


@pytest.mark.parametrize(
    ("name", "accounts"),
    [
        (None, [1, 2, 3, 4, 5, 6, 7, 8]), ("failed", [1]), ("warning", [2]), ("stale", [3]), ("running", [4]),
        ("unlinked", [5]), ("never", [6]), ("offline", [7]), ("success", [5, 8]), ("problem", [1, 2, 3, 5, 8]),
    ],
)  # fmt: skip
def test_a_filter_lets_only_its_devices_pass(name: str | None, accounts: list[int]) -> None:
    devices = [
        state(account_id=1, status=Status.FAILED), state(account_id=2, status=Status.WARNING),
        state(account_id=3, last_success_at=ago(49)), state(account_id=4, running_since=NOW),
        state(account_id=5, job_id=None), state(account_id=6, **NEVER, first_seen_at=ago(1)),
        state(account_id=7, **OFF), state(account_id=8, standing=(Standing("a note", NOW, NOW),)),
    ]  # fmt: skip
    assert sorted(one.account_id for one in only(overview(*devices), name).devices) == accounts


def test_a_device_is_called_by_its_computers_name_else_its_own() -> None:
    assert (state().name, state(computer_name=None).name) == ("SRV1", "srv1_x")

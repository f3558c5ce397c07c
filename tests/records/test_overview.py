"""How devices are judged, from literals: conditions, buckets, order, thresholds. Pure."""

from datetime import timedelta
from typing import Any

import pytest

from cove_poller.config.settings import AlertSettings
from cove_poller.records.overview import Bucket, Condition, alert_after, only, source_states
from cove_poller.records.statuses import Status
from tests.world.states import NEVER, NOW, OFF, ago, overview, source, state


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
        ({**OFF, "device_type": "Server"}, Condition.STALE),
        ({**OFF, "color_bar": "5" * 27 + "0"}, Condition.STALE),
        ({**OFF, "color_bar": "0"}, Condition.STALE),
        ({**OFF, "color_bar": ""}, Condition.STALE),
        ({**OFF, "running_since": NOW, "color_bar": "5" * 25 + "001"}, Condition.RUNNING),
        ({**OFF, "running_since": NOW, "color_bar": "5" * 25 + "011"}, Condition.STALE),
        ({**OFF, "sources": (source("warning", 6),)}, Condition.STALE),
        ({**OFF, "sources": (source(problem="could not be read"),)}, Condition.STALE),
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


def test_customers_come_with_the_worst_device_first_and_so_do_their_devices() -> None:
    devices = [
        state(account_id=1, customer="Alpha", computer_name="B"),
        state(account_id=2, customer="Beta", computer_name="A"),
        state(account_id=3, customer="Beta", computer_name="Z", status=Status.FAILED),
        state(account_id=4, customer="Alpha", computer_name="a"),
    ]
    found = overview(*devices)
    assert [one.account_id for one in found.devices] == [3, 2, 4, 1]
    assert list(found.by_customer()) == ["Beta", "Alpha"]
    assert (found.counts()[Condition.FAILED], found.counts()[Condition.SUCCESS]) == (1, 3)
    assert [one.account_id for one in overview(*devices, customer="ALP").devices] == [4, 1]
    assert only(overview(*devices, unpolled=["x"]), "failed").unpolled == ("x",)


def test_a_success_that_only_the_newest_session_tells_of_counts() -> None:
    raw = {
        "status": "success", "status_code": 5, "errors_count": 0, "last_session_at": int(ago(2).timestamp()),
        "last_success_at": None, "color_bar": None, "running": False, "problem": None,
    }  # fmt: skip
    failed = {**raw, "status": "failed", "status_code": 2}
    found = source_states({"D01": raw, "D10": failed})
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


@pytest.mark.parametrize(
    ("name", "accounts"),
    [(None, [1, 2, 3, 4, 5]), ("failed", [1]), ("warning", [2]), ("stale", [3]), ("running", [4]), ("unlinked", [5])],
)
def test_a_filter_lets_only_its_devices_pass(name: str | None, accounts: list[int]) -> None:
    devices = [
        state(account_id=1, status=Status.FAILED), state(account_id=2, status=Status.WARNING),
        state(account_id=3, last_success_at=ago(49)), state(account_id=4, running_since=NOW),
        state(account_id=5, job_id=None),
    ]  # fmt: skip
    assert sorted(one.account_id for one in only(overview(*devices), name).devices) == accounts


def test_a_device_is_called_by_its_computers_name_else_its_own() -> None:
    assert (state().name, state(computer_name=None).name) == ("SRV1", "srv1_x")

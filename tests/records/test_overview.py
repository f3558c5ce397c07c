"""How devices are judged, from literals: conditions, buckets, order, thresholds, and what is said of them. Pure."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cove_poller.config.settings import AlertSettings
from cove_poller.records.freshness import poll_warnings
from cove_poller.records.overview import (
    Bucket,
    Condition,
    DeviceState,
    PollState,
    SourceState,
    alert_after,
    make_overview,
    only,
    source_states,
)
from cove_poller.records.statuses import Status
from cove_poller.views.check_verdicts import Level, Thresholds, judged, parse_hours
from cove_poller.views.status_lines import bar_statuses

NOW = datetime(2026, 3, 10, 8, tzinfo=UTC)
POLL = PollState("main", NOW, "ok", None, NOW - timedelta(minutes=5))


def ago(hours: float) -> datetime:
    return NOW - timedelta(hours=hours)


def source(status: str = "success", code: int = 5, problem: str | None = None) -> SourceState:
    return SourceState("D01", Status(status), code, None, ago(3), ago(3), "", False, problem)


def state(**changes: Any) -> DeviceState:
    """A linked server that succeeded three hours ago."""
    values: dict[str, Any] = {
        "account_id": 1, "login": "main", "device_name": "srv1_x", "computer_name": "SRV1",
        "customer": "Example Bakery", "device_type": "Server", "status": Status.SUCCESS, "sources": (source(),),
        "color_bar": "5" * 28,
        "last_session_at": ago(3), "last_success_at": ago(3), "running_since": None, "first_seen_at": ago(1000),
        "last_seen_at": NOW, "job_id": 1, "ignored": False, "alert_after": timedelta(hours=48), "as_of": NOW,
    }  # fmt: skip
    return DeviceState(**{**values, **changes})


OFF: dict[str, Any] = {
    "device_type": "Workstation", "color_bar": "5" * 26 + "00", "last_success_at": ago(500),
    "alert_after": timedelta(hours=168),
}  # fmt: skip
NEVER: dict[str, Any] = {"last_success_at": None, "last_session_at": None, "status": Status.NONE, "sources": ()}


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
    overview = make_overview(devices, [POLL], NOW)
    assert [one.account_id for one in overview.devices] == [3, 2, 4, 1]
    assert list(overview.by_customer()) == ["Beta", "Alpha"]
    assert (overview.counts()[Condition.FAILED], overview.counts()[Condition.SUCCESS]) == (1, 3)
    assert [one.account_id for one in make_overview(devices, [], NOW, customer="ALP").devices] == [4, 1]
    assert only(replace(overview, unpolled=("x",)), "failed").unpolled == ("x",)


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
    ("changes", "level", "reason"),
    [
        ({}, Level.OK, "last success 3 hours ago"),
        (
            {"status": Status.FAILED, "sources": (source("failed", 2),)},
            Level.CRITICAL,
            "failed: Files and Folders Failed",
        ),
        ({"status": Status.WARNING}, Level.WARNING, "warning: says its total"),
        ({"last_success_at": ago(50)}, Level.WARNING, "no success for 50 hours"),
        ({"last_success_at": ago(97)}, Level.CRITICAL, "no success for 97 hours"),
        ({**NEVER, "first_seen_at": ago(60)}, Level.WARNING, "never a success, known for 60 hours"),
        ({**NEVER, "first_seen_at": ago(1)}, Level.OK, "never a success, known for 60 minutes"),
        ({"job_id": None}, Level.WARNING, "belongs to no job, so nobody sees its runs"),
        (OFF, Level.OK, "offline, no success for 20 days"),
        ({**OFF, "running_since": NOW, "color_bar": "0" * 27 + "1"}, Level.OK, "last success 20 days ago"),
        ({**OFF, "status": Status.WARNING}, Level.OK, "offline, no success for 20 days"),
    ],
)
def test_monitoring_hears_the_gravest_of_a_device(changes: dict[str, Any], level: Level, reason: str) -> None:
    (verdict,) = judged(make_overview([state(**changes)], [POLL], NOW), Thresholds()).devices
    assert (verdict.level, verdict.reason) == (level, reason)


def test_thresholds_are_by_type_and_critical_is_twice_the_warning_unless_it_is_set() -> None:
    thresholds = Thresholds(parse_hours(["26", "workstation=168"]), parse_hours(["m365=30"]))
    assert thresholds.warning_of(state()) == timedelta(hours=26)
    assert thresholds.critical_of(state()) == timedelta(hours=52)
    assert thresholds.warning_of(state(device_type="Workstation")) == timedelta(hours=168)
    assert thresholds.critical_of(state(device_type="Microsoft 365")) == timedelta(hours=30)
    assert Thresholds().warning_of(state(alert_after=timedelta(hours=7))) == timedelta(hours=7)


@pytest.mark.parametrize("text", ["", "x", "-1", "0", "server=", "desktop=3", "1e9", "26h", "nan", "server=1=2"])
def test_hours_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"hours|device type"):
        parse_hours([text])


@pytest.mark.parametrize(("minutes", "level"), [(90, Level.OK), (91, Level.CRITICAL)])
def test_a_poller_that_has_not_succeeded_for_too_long_is_critical(minutes: int, level: Level) -> None:
    poll = replace(POLL, last_success_at=NOW - timedelta(minutes=minutes))
    assert judged(make_overview([state()], [poll], NOW), Thresholds()).level is level


def test_nothing_known_is_unknown_and_a_login_never_polled_critical() -> None:
    assert judged(make_overview([], [POLL], NOW), Thresholds()).level is Level.UNKNOWN
    assert judged(make_overview([], [], NOW, unpolled=["main"]), Thresholds()).level is Level.CRITICAL


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, None),
        ({"last_success_at": NOW - timedelta(minutes=60)}, None),
        (
            {"last_success_at": NOW - timedelta(hours=9), "last_error": "Cove\nis down", "last_outcome": "error"},
            "As of 2026-03-09 23:00Z: the last successful poll of login main was 9 hours ago, so this is old"
            " (Cove is down)",
        ),
        (
            {"last_outcome": "error", "last_error": "x"},
            "As of 2026-03-10 07:55Z: the newest poll of login main failed; what is shown is from 5 minutes ago (x)",
        ),
        (
            {"last_outcome": "partial", "last_error": "x"},
            "As of 2026-03-10 07:55Z: the newest poll of login main broke off, so some of this may be old (x)",
        ),
        ({"last_outcome": "partial"}, None),
        (
            {"last_success_at": None, "last_outcome": "error"},
            "As of 2026-03-10 08:00Z: no poll of login main has ever been successful, so nothing is known",
        ),
    ],
)
def test_what_may_be_old_is_said_with_the_time_it_is_from(changes: dict[str, Any], said: str | None) -> None:
    overview = make_overview([], [replace(POLL, **changes)], NOW)
    assert poll_warnings(overview) == ([said] if said else [])


def test_a_bar_is_read_with_the_configured_meanings_and_what_is_no_digit_is_never_a_success() -> None:
    assert list(bar_statuses("0512678a²", {6: Status.FAILED})) == [
        Status.NONE, Status.SUCCESS, Status.RUNNING, Status.FAILED, Status.FAILED, Status.WARNING, Status.WARNING,
        Status.WARNING, Status.WARNING,
    ]  # fmt: skip

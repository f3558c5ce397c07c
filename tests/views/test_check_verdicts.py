"""What monitoring is to think of devices and polls, from literals. Pure."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from cove_poller.records.health.news import Condition
from cove_poller.records.statuses import Status
from cove_poller.views.check_verdicts import Level, Thresholds, judged, parse_hours
from tests.world.states import NEVER, NOW, OFF, POLL, SILENT, ago, overview, source, state


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
        ({"last_success_at": ago(50)}, Level.WARNING, "Files and Folders has had no success for 50 hours"),
        ({"last_success_at": ago(97)}, Level.CRITICAL, "Files and Folders has had no success for 97 hours"),
        ({**NEVER, "first_seen_at": ago(60)}, Level.WARNING, "has had no success yet in 60 hours"),
        ({**NEVER, "first_seen_at": ago(1)}, Level.OK, "never a success, known for 60 minutes"),
        ({"job_id": None}, Level.WARNING, "belongs to no job, so nobody sees its runs"),
        (OFF, Level.OK, "offline, no success for 20 days"),
        ({**OFF, "running_since": NOW, "color_bar": "0" * 27 + "1"}, Level.OK, "last success 20 days ago"),
        ({**OFF, "status": Status.WARNING}, Level.OK, "offline, no success for 20 days"),
        (
            {"status": Status.WARNING, "sources": (source(), source(**SILENT, rhythm=timedelta(days=11)))},
            Level.WARNING,
            "SQL Server has had no session for 20 days",
        ),
        ({"sources": (source(), source(**SILENT))}, Level.CRITICAL, "SQL Server has had no session for 20 days"),
        (
            {"status": Status.FAILED, "sources": (source("failed", 2), source(**SILENT))},
            Level.CRITICAL,
            "failed: Files and Folders Failed; SQL Server has had no session for 20 days",
        ),
        (
            {"sources": (source(), source(source="D02", problem="could not be read"))},
            Level.WARNING,
            "warning: System State could not be read",
        ),
        ({"standing": (Condition("row lost", NOW, NOW, is_failure=True),)}, Level.WARNING, "row lost"),
        ({"standing": (Condition("a gap", NOW, NOW),)}, Level.OK, "last success 3 hours ago; a gap"),
    ],
)
def test_monitoring_hears_the_gravest_of_a_device(changes: dict[str, Any], level: Level, reason: str) -> None:
    (verdict,) = judged(overview(state(**changes)), Thresholds()).devices
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
    assert judged(overview(state(), polls=[poll]), Thresholds()).level is level


def test_nothing_known_is_unknown_and_a_login_never_polled_critical() -> None:
    assert judged(overview(), Thresholds()).level is Level.UNKNOWN
    assert judged(overview(polls=[], unpolled=["main"]), Thresholds()).level is Level.CRITICAL


def test_a_poll_that_failed_after_a_good_one_wakes_nobody_yet() -> None:
    poll = replace(POLL, last_outcome="error", last_error="no")
    assert judged(overview(state(), polls=[poll]), Thresholds()).level is Level.OK


def test_the_gravest_devices_come_first_and_among_them_those_longest_without_a_success() -> None:
    devices = [
        state(account_id=1), state(account_id=2, job_id=None), state(account_id=3, status=Status.FAILED),
        state(account_id=4, status=Status.FAILED, last_success_at=ago(9)),
    ]  # fmt: skip
    verdicts = judged(overview(*devices, unpolled=["zebra"]), Thresholds())
    assert [one.device.account_id for one in verdicts.devices] == [4, 3, 2, 1]
    assert [one.login for one in verdicts.polls] == ["zebra", "main"]

"""`status --json`, from literals. Pure."""

from dataclasses import replace
from datetime import timedelta

from cove_poller.records.health.news import Condition
from cove_poller.views.status_json import status_json
from tests.world.states import NOW, POLL, SILENT, ago, overview, source, state


def test_everything_that_is_known_is_there_in_plain_json_values() -> None:
    standing = (Condition("it is unreadable", ago(3), NOW),)
    device_state = state(sources=(source("failed", 2, source="D10", errors_count=4),), standing=standing)
    known = overview(device_state, polls=[replace(POLL, standing=standing)], unpolled=["second"])
    content = status_json(known, NOW, NOW + timedelta(seconds=1.5))
    (device,), (poll,) = content.pop("devices"), content.pop("polls")
    (of_source,) = device.pop("sources")
    at, seen = "2026-03-10T05:00:00Z", "2026-03-10T08:00:00Z"
    assert content == {
        "command": "status", "outcome": "ok", "exit_code": 0, "started_at": seen, "duration_seconds": 1.5,
        "as_of": seen, "unpolled_logins": ["second"], "error": None,
        "warnings": [
            "As of 2026-03-10 08:00Z: login second: has never been polled, so nothing is known of its devices"
        ],
        "counts": {
            "failed": 0, "stale": 0, "warning": 0, "never": 0, "offline": 0, "running": 0, "success": 1,
        },
        "buckets": {"24h": 1, "48h": 0, "older": 0, "never": 0},
    }  # fmt: skip
    assert list(content) == [
        "command", "outcome", "exit_code", "started_at", "duration_seconds", "as_of", "warnings", "unpolled_logins",
        "counts", "buckets", "error",
    ]  # fmt: skip
    assert device == {
        "name": "SRV1", "condition": "success", "bucket": "24h", "is_linked": True, "is_stale": False,
        "is_offline": False, "success_age_seconds": 10800, "account_id": 1, "login": "main", "device_name": "srv1_x",
        "computer_name": "SRV1", "customer": "Example Bakery", "device_type": "Server", "status": "success",
        "color_bar": "5" * 28, "last_session_at": at, "last_success_at": at, "running_since": None,
        "first_seen_at": "2026-01-27T16:00:00Z", "last_seen_at": seen, "job_id": 1, "ignored": False,
        "alert_after_seconds": 172800, "as_of": seen, "any_success_at": at, "stale_since": None, "stale_sources": [],
        "standing": [{"what": "it is unreadable", "since": at}], "gaps": [],
    }  # fmt: skip
    assert of_source == {
        "name": "SQL Server", "source": "D10", "status": "failed", "status_code": 2, "errors_count": 4,
        "last_session_at": at, "last_success_at": at, "color_bar": "", "running": False, "problem": None,
        "not_started": False, "silent_since": None, "gap_since": None, "gap_why": None, "active_since": None,
        "is_stale": False, "failing_since": None, "limit_seconds": 172800,
    }  # fmt: skip
    assert poll == {
        "login": "main", "last_started_at": seen, "last_outcome": "ok", "last_error": None,
        "last_success_at": "2026-03-10T07:55:00Z", "is_old": False,
        "standing": [{"what": "it is unreadable", "since": at}],
        "last_exit_code": None, "last_runs_written": None, "last_sessions_written": None,
    }  # fmt: skip


def test_a_stale_source_is_marked_and_named() -> None:
    (device,) = status_json(overview(state(sources=(source(), source(**SILENT)))), NOW, NOW)["devices"]
    assert (device["condition"], device["is_stale"], device["stale_sources"]) == ("stale", True, ["D10"])
    assert {one["source"]: one["is_stale"] for one in device["sources"]} == {"D01": False, "D10": True}


def test_an_old_poll_is_said_to_be_old() -> None:
    content = status_json(overview(polls=[replace(POLL, last_success_at=ago(2))]), NOW, NOW)
    assert (content["polls"][0]["is_old"], len(content["warnings"])) == (True, 1)


def test_a_gap_is_told_with_its_source_since_when_and_why_it_is_not_closed() -> None:
    sources = (source(gap_since=ago(3)), source(source="D10", gap_since=ago(3), gap_why="Cove refuses"), source())
    (device,) = status_json(overview(state(sources=sources)), NOW, NOW)["devices"]
    assert device["gaps"] == [
        {"source": "D01", "since": "2026-03-10T05:00:00Z", "why": "they are still to be read"},
        {"source": "D10", "since": "2026-03-10T05:00:00Z", "why": "Cove refuses"},
    ]

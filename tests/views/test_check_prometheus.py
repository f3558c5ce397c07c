"""`check` as Prometheus reads it, from literals and by its own parser. Pure."""

from collections.abc import Mapping
from dataclasses import replace

from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from cove_poller.records.health.news import Condition
from cove_poller.records.statuses import Status
from cove_poller.redaction import remember
from cove_poller.views.check_prometheus import prometheus, prometheus_unknown
from cove_poller.views.check_verdicts import Thresholds, judged
from tests.world.states import NEVER, NOW, SILENT, ago, overview, source, state

HOSTILE = 'x"\\' + "y" * 300
DEVICES = (
    state(job_id=None, last_success_at=ago(50)),
    state(account_id=2, status=Status.FAILED, running_since=NOW, standing=(Condition("a note", NOW, NOW),)),
    state(account_id=7, **{**NEVER, "first_seen_at": ago(1)}),
    state(account_id=9, computer_name=HOSTILE, customer="[red]Evil|\u202egnp\tCo\nLtd"),
)


def families(text: str) -> Mapping[str, Metric]:
    found = {family.name: family for family in text_string_to_metric_families(text)}
    assert all(family.type == "gauge" and family.documentation for family in found.values())
    return found


def by_label(family: Metric, label: str = "account_id") -> dict[str, float]:
    return {sample.labels[label]: sample.value for sample in family.samples}


def test_every_device_condition_and_login_has_its_gauges() -> None:
    found = families(prometheus(judged(overview(*DEVICES, unpolled=["new"]), Thresholds())))
    assert found["cove_check_success"].samples[0].value == 1
    assert by_label(found["cove_device_level"]) == {"1": 1, "2": 2, "7": 0, "9": 0}
    assert by_label(found["cove_device_status"]) == {"1": 1, "2": 3, "7": 0, "9": 1}
    assert by_label(found["cove_device_stale"]) == {"1": 1, "2": 0, "7": 0, "9": 0}
    assert by_label(found["cove_device_running"]) == {"1": 0, "2": 1, "7": 0, "9": 0}
    assert by_label(found["cove_device_linked"]) == {"1": 0, "2": 1, "7": 1, "9": 1}
    assert by_label(found["cove_device_last_success_timestamp_seconds"]) == {
        "1": ago(50).timestamp(), "2": ago(3).timestamp(), "9": ago(3).timestamp(),
    }  # fmt: skip
    assert by_label(found["cove_device_any_success_timestamp_seconds"]).keys() == {"1", "2", "9"}
    assert by_label(found["cove_device_standing_conditions"]) == {"1": 0, "2": 1, "7": 0, "9": 0}
    assert by_label(found["cove_device_last_session_timestamp_seconds"]).keys() == {"1", "2", "9"}
    assert by_label(found["cove_poll_last_success_timestamp_seconds"], "login") == {
        "main": NOW.timestamp() - 300, "new": 0,
    }  # fmt: skip
    assert by_label(found["cove_devices"], "condition") == {
        "failed": 1, "stale": 1, "warning": 0, "never": 1, "offline": 0, "running": 0, "success": 1,
    }  # fmt: skip


def test_every_source_says_whether_it_is_stale_or_unreadable_and_when_it_last_succeeded() -> None:
    lost = source(source="D02", problem="lost", last_success_at=None, gap_since=ago(9))
    sources = (source(), source(**SILENT), lost)
    found = families(prometheus(judged(overview(state(sources=sources)), Thresholds())))
    stale = {"Files and Folders": 0, "SQL Server": 1, "System State": 1}
    assert by_label(found["cove_source_stale"], "source") == stale
    assert by_label(found["cove_source_unreadable"], "source") == {**dict.fromkeys(stale, 0), "System State": 1}
    assert by_label(found["cove_source_gap_timestamp_seconds"], "source") == {"System State": ago(9).timestamp()}
    assert by_label(found["cove_source_last_success_timestamp_seconds"], "source") == {
        "Files and Folders": ago(3).timestamp(), "SQL Server": ago(480).timestamp(),
    }  # fmt: skip


def test_a_device_carries_all_its_labels_hostile_ones_as_text_on_one_line() -> None:
    text = prometheus(judged(overview(*DEVICES), Thresholds()))
    labels = next(one.labels for one in families(text)["cove_device_level"].samples if one.labels["account_id"] == "9")
    assert labels == {
        "customer": "[red]Evil|gnp Co Ltd", "device": HOSTILE, "type": "Server", "account_id": "9", "login": "main",
    }  # fmt: skip


def test_no_label_shows_a_secret() -> None:
    remember('a"secret\\of ours')
    named = state(customer='Bakery a"secret\\of ours', computer_name="x")
    text = prometheus(judged(overview(named, unpolled=['a"secret\\of ours']), Thresholds()))
    (device,) = families(text)["cove_device_level"].samples
    assert device.labels["customer"] == "Bakery [redacted]"
    assert set(by_label(families(text)["cove_poll_last_success_timestamp_seconds"], "login")) == {"main", "[redacted]"}


def test_a_login_says_how_its_newest_poll_ended_and_what_that_wrote_where_it_is_known() -> None:
    known = overview(*DEVICES)
    polls = (
        replace(known.polls[0], last_exit_code=3, last_runs_written=12, last_sessions_written=0),
        replace(known.polls[0], login="old"),
    )
    found = families(prometheus(judged(replace(known, polls=polls), Thresholds())))
    assert by_label(found["cove_poll_last_exit_code"], "login") == {"main": 3}
    assert by_label(found["cove_poll_job_runs_written"], "login") == {"main": 12}
    assert by_label(found["cove_poll_sessions_written"], "login") == {"main": 0}


def test_where_nothing_is_known_no_old_value_stays() -> None:
    found = families(prometheus_unknown())
    assert (list(found), found["cove_check_success"].samples[0].value) == (
        ["cove_check_success", "cove_poller_build_info"], 0,
    )  # fmt: skip

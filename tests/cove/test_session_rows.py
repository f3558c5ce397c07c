"""Sessions as the session services list them: every spelling of a row, and what is said of unreadable ones."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cove_poller.cove.session_rows import ReadRows, SessionRow, read_rows, session_row
from cove_poller.records.columns import plugin_source
from cove_poller.records.session import Origin, TimeIs
from cove_poller.records.statuses import Status, Statuses
from cove_poller.records.window import Window

MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC)
WINDOW = Window(MIDNIGHT - timedelta(days=1), MIDNIGHT + timedelta(days=40))
BEGAN = 1772409600  # MIDNIGHT


def read(*rows: dict[str, Any], window: Window = WINDOW, statuses: Statuses | None = None) -> ReadRows:
    """What is made of rows that are of a backup of files and folders unless they say otherwise."""
    whole = [{"PluginId": "FileSystem", "StartTime": BEGAN, "EndTime": BEGAN + 600, "Status": 5, **row} for row in rows]
    parsed = [session_row({"Id": number, **row}) for number, row in enumerate(whole)]
    return read_rows(parsed, window, statuses or Statuses(), plugin_source)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"StartTime": 1772409600, "EndTime": 1772410200, "Status": "Completed", "ErrorsCount": 0}, (5, 600)),
        ({"StartTime": 1772409600, "EndTime": 1772410200, "Status": "Completed", "ErrorsCount": 3}, (8, 600)),
        ({"BackupStartTime": "1772409600", "EndTime": "1772410200", "Status": "8"}, (8, 600)),
        ({"StartTime": "2026-03-02T00:00:00Z", "EndTime": "2026-03-02T00:10:00", "Status": "Over quota"}, (10, 600)),
        ({"StartTime": 1772409600, "EndTime": 0, "Status": "NotStarted"}, (7, None)),
        ({"StartTime": 1772409600, "EndTime": 1772410200, "Status": None}, (None, 600)),
        ({"StartTime": 1772409600000, "EndTime": 1772410200000, "Status": "aborted"}, (3, 600)),
        ({"StartTime": 1772409600, "EndTime": 0, "Status": "InProcess"}, None),
        ({"StartTime": 1772409600, "EndTime": 1772410200, "Status": "Restarted"}, (12, 600)),
        ({"StartTime": 1772409600, "EndTime": 1772410200, "Status": "-1"}, (None, 600)),
        ({"StartTime": 1772409600, "EndTime": 1772410200, "Status": "5.0"}, (5, 600)),
        ({"BackupStartTime": 0, "StartTime": 1772409600, "EndTime": 1772410200, "Status": 5}, (5, 600)),
        ({"StartTime": 1772409600, "Duration": 600, "Status": "Completed"}, (5, 600)),
        ({"StartTime": "2026-03-02T01:00:00.417+01:00", "EndTime": 1772410200, "Status": 5}, (5, 600)),
        ({"StartTime": 1772409600, "EndTime": 0, "Status": "Running"}, None),
        ({"StartTime": 1772409600, "EndTime": 1772410200, "Status": 5, "Type": "Restore"}, None),
        ({"StartTime": 1772409600, "EndTime": 1772410200, "Status": 5, "Type": 2}, None),
        ({"StartTime": 1772409600, "EndTime": 1772410200, "Status": 5, "Type": 3}, (5, 600)),
    ],
)
def test_a_row_is_read_in_every_spelling(
    row: dict[str, object], expected: tuple[int | None, int | None] | None
) -> None:
    parsed = SessionRow.model_validate({"Id": 1, "PluginId": "FileSystem", **row})
    found = read_rows([parsed], WINDOW, Statuses(), lambda word: "D01").sessions
    assert [(one.status_code, one.duration_seconds) for one in found] == ([] if expected is None else [expected])


def test_a_completed_session_without_an_end_may_still_run_so_it_is_no_session_yet_and_named() -> None:
    found = read({"EndTime": 0, "Status": "Completed"})
    assert found.sessions == ()
    assert (*found.unreadable, len(found.failures)) == ("D01", 1)


WHOLE = (MIDNIGHT, MIDNIGHT + timedelta(minutes=10), TimeIs.END)
STARTED = (None, MIDNIGHT, TimeIs.START)
VALUES = [
    ({"EndTime": "N/A", "Duration": "00:10:00"}, WHOLE, 5, {"EndTime"}),
    ({"EndTime": "N/A", "Duration": 600}, WHOLE, 5, {"EndTime"}),
    ({"EndTime": None, "Duration": "600.4"}, WHOLE, 5, set()),
    ({"EndTime": 0, "Duration": "0.00:10:00", "Status": "Failed"}, WHOLE, 2, set()),
    ({"EndTime": BEGAN, "Duration": "00:00:00", "Status": "Failed"}, (MIDNIGHT, MIDNIGHT, TimeIs.END), 2, set()),
    ({"EndTime": 0, "Duration": 0, "Status": "Failed"}, (MIDNIGHT, MIDNIGHT, TimeIs.END), 2, set()),
    ({"Duration": "soon"}, WHOLE, 5, {"Duration"}),
    ({"Duration": -5}, WHOLE, 5, {"Duration"}),
    ({"ErrorsCount": "n/a"}, WHOLE, 5, {"ErrorsCount"}),
    ({"ErrorsCount": "n/a", "Status": "CompletedWithErrors"}, WHOLE, 8, {"ErrorsCount"}),
    ({"StartTime": "N/A"}, (None, MIDNIGHT + timedelta(minutes=10), TimeIs.END), 5, {"StartTime"}),
    ({"BackupStartTime": "N/A"}, WHOLE, 5, {"BackupStartTime"}),
    ({"EndTime": "0001-01-01T00:00:00", "Duration": "00:10:00"}, WHOLE, 5, set()),
    ({"EndTime": (BEGAN + 600) * 1000, "StartTime": BEGAN * 1000}, WHOLE, 5, set()),
    ({"EndTime": "2026-03-02T00:10", "StartTime": "2026-03-02 00:00"}, WHOLE, 5, set()),
    ({"EndTime": "N/A"}, STARTED, 5, {"EndTime"}),
    ({"EndTime": 0, "Status": "CompletedWithErrors", "ErrorsCount": 40}, STARTED, 8, set()),
    ({"EndTime": 0, "Status": "Completed", "ErrorsCount": 40}, STARTED, 8, set()),
    ({"EndTime": 0, "Status": "CompletedWithErrors", "Duration": "00:10:00"}, WHOLE, 8, set()),
    ({"Flags": ["Synchronized", "Cleaned"]}, WHOLE, 5, set()),
    ({"Status": 12}, WHOLE, 12, set()),
]


@pytest.mark.parametrize(("values", "times", "code", "odd"), VALUES)
def test_a_value_that_cannot_be_read_is_left_out_and_the_row_is_read_all_the_same(
    values: dict[str, Any], times: tuple[datetime | None, datetime, TimeIs], code: int, odd: set[str]
) -> None:
    found = read(values)
    (session,) = found.sessions
    assert (session.started_at, session.session_at, session.time_is) == times
    assert session.status_code == code
    assert {text.split()[1] for text in found.warnings} == odd
    assert found.unreadable == ({"D01"} if times is STARTED else set())
    assert found.is_whole


def test_what_cannot_be_read_is_the_trouble_of_its_source_alone() -> None:
    found = read({}, {"PluginId": "VmwareVirtualMachines", "StartTime": "?", "EndTime": "?", "Status": 2})
    assert [one.data_source for one in found.sessions] == ["D01"]
    assert (*found.unreadable, found.is_whole) == ("D08", True)


@pytest.mark.parametrize("row", [None, 5, "row", [], {"PluginId": "Novel"}, {"PluginId": None, "Status": 5}], ids=repr)
def test_of_a_row_that_does_not_tell_its_source_it_may_be_any(row: object) -> None:
    whole = {"StartTime": BEGAN, "EndTime": BEGAN + 600, "Status": 5}
    rows = [session_row({**whole, **row} if isinstance(row, dict) else row)]
    found = read_rows([*rows, session_row({**whole, "PluginId": 1})], WINDOW, Statuses(), plugin_source)
    assert [one.data_source for one in found.sessions] == ["D01"]
    assert (found.is_whole, len(found.failures)) == (False, 1)


@pytest.mark.parametrize(
    "row", [{"EndTime": 0, "Status": 1}, {"EndTime": 0, "Status": 12}, {"Type": "Restore"}], ids=repr
)
def test_what_runs_or_is_no_backup_leaves_a_list_whole_whoever_it_is_of(row: dict[str, Any]) -> None:
    found = read(row, {**row, "PluginId": "Novel"})
    assert found == ReadRows(())


def test_a_row_becomes_a_session_of_its_source_with_start_end_code_and_errors() -> None:
    (session,) = read({"PluginId": "VssSql", "Status": "Completed", "ErrorsCount": "3"}).sessions
    assert (session.data_source, session.started_at, session.session_at) == (
        "D10",
        MIDNIGHT,
        MIDNIGHT + timedelta(minutes=10),
    )
    assert (session.status, session.status_code, session.errors_count) == (Status.WARNING, 8, 3)
    assert session.origin is Origin.SESSIONS


def test_only_what_ended_in_the_window_counts() -> None:
    window = Window(MIDNIGHT + timedelta(minutes=5), MIDNIGHT + timedelta(minutes=10))
    found = read({}, {"EndTime": BEGAN + 601}, {"EndTime": BEGAN + 299}, window=window).sessions
    assert [one.session_at for one in found] == [window.until]


def test_of_two_sessions_of_a_source_that_ended_in_one_second_the_graver_is_the_record() -> None:
    good: dict[str, Any] = {}
    bad = {"Status": 2}
    for pair in ((good, bad), (bad, good)):
        assert [one.status for one in read(*pair).sessions] == [Status.FAILED]
    assert len(read({}, {"PluginId": "VssSql", "Status": 2}).sessions) == 2


def test_an_end_without_a_sensible_start_is_kept_without_one() -> None:
    (session,) = read({"StartTime": BEGAN + 900}).sessions
    assert (session.started_at, session.session_at) == (None, MIDNIGHT + timedelta(minutes=10))


@pytest.mark.parametrize(
    ("rows", "failures", "warnings"),
    [
        ([{"PluginId": "Novel"}] * 2, ["2 sessions with an unknown data source 'Novel' were left out"], []),
        ([{"StartTime": 0, "EndTime": 0}], ["1 sessions with the status '5' and no end were left out"], []),
        ([{"StartTime": 0, "EndTime": 0, "Status": 2}], ["1 sessions with no time were left out"], []),
        ([{"EndTime": 0, "Status": "Odd"}], ["1 sessions with the unknown status 'Odd' and no end were left out"], []),
        ([{"Status": "Odd"}], [], ["its sessions have the unknown status 'Odd', which counts as a warning"]),
        ([{"Status": 1}], [], []),
    ],
    ids=["source", "no end", "no time", "status and no end", "status", "running with an end"],
)
def test_what_could_not_be_read_is_said_and_an_unknown_status_is_no_success(
    rows: list[dict[str, Any]], failures: list[str], warnings: list[str]
) -> None:
    found = read(*rows)
    assert (list(found.failures), list(found.warnings)) == (failures, warnings)
    assert {one.status for one in found.sessions} <= {Status.WARNING}


def test_a_status_that_is_configured_to_mean_nothing_is_no_session() -> None:
    assert read({"Status": 5}, statuses=Statuses.from_config({5: "none"})).sessions == ()

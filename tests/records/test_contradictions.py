"""Devices of which Cove says two things at once: the graver counts, whichever comes first, and it is named once."""

from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest

from cove_poller.records.contradictions import LISTED_TWICE, device_gravity, listed_devices, rows_gravity
from cove_poller.records.device import Device, StatisticsRow, row_from_reply

NOW = datetime(2026, 3, 14, 12, tzinfo=UTC)


def seconds(days_ago: float = 0) -> str:
    return str(int((NOW - timedelta(days=days_ago)).timestamp()))


def make_row(*more: dict[str, Any], account_id: Any = 1, **settings: Any) -> StatisticsRow:
    """A row of columns; `more` are settings beside them, for columns that come twice."""
    whole = [{code: value} for code, value in {"I1": "srv1", "I8": "Bakery", "I78": "D01", **settings}.items()]
    return StatisticsRow(account_id, None, [*whole, *more])


def listed(*rows: StatisticsRow) -> Device:
    """The one device that the rows describe, in whatever order they come."""
    found = [listed_devices(order) for order in permutations(rows)]
    assert all(one == found[0] for one in found)
    (device,) = found[0]
    return device


FAILING = make_row(D01F00="2", D01F15=seconds(), D09F00="2")
GREEN = make_row(D01F00="5", D01F15=seconds(9), D01F09=seconds(9), D09F00="5")


def test_a_failing_row_counts_and_not_the_green_one_of_days_ago() -> None:
    device = listed(FAILING, GREEN)
    assert (device.sources["D01"].last_status, device.sources["D01"].last_success_at) == (2, None)
    assert device.sources["D09"].last_status == 2
    assert device.contradictions == (LISTED_TWICE,)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param({"D01F00": "2"}, {"D01F00": "5"}, id="failed before completed"),
        pytest.param({"D01F00": "8"}, {"D01F00": "5"}, id="with errors before without"),
        pytest.param({"D01F00": "5", "D01F06": "3"}, {"D01F00": "5"}, id="with counted errors"),
        pytest.param({"D01F00": "99"}, {"D01F00": "5"}, id="an unknown status before a success"),
        pytest.param({"D01F15": seconds()}, {"D01F00": "5"}, id="no status before a success"),
        pytest.param({"D01F00": "5"}, {"D01F00": "1"}, id="what ended before what runs"),
        pytest.param({"D01F00": "2", "D01F15": seconds(1)}, {"D01F00": "2", "D01F15": seconds(2)}, id="the newer"),
        pytest.param({"D01F00": "2", "D01F09": seconds(9)}, {"D01F00": "2", "D01F09": seconds(2)}, id="long failed"),
    ],
)
def test_of_a_source_the_graver_counts(one: dict[str, str], other: dict[str, str]) -> None:
    device = listed(make_row(**one), make_row(**other))
    assert device.sources == listed(make_row(**one)).sources


def test_each_source_counts_by_itself_and_one_that_is_active_anywhere_is_active() -> None:
    device = listed(make_row(D01F00="2", I78="D01"), make_row(D01F00="5", D02F00="3", I78="D02", I18="SRV1"))
    assert {code: one.last_status for code, one in device.sources.items()} == {"D01": 2, "D02": 3}
    assert device.active_sources == ("D01", "D02")
    assert device.fields.computer_name == "SRV1"


def test_rows_that_say_the_same_are_no_contradiction() -> None:
    assert listed(GREEN, GREEN, GREEN) == listed(GREEN)
    assert listed(GREEN).contradictions == ()


def test_devices_stay_apart_and_in_their_order() -> None:
    rows = [make_row(account_id=number, D01F00="5") for number in (7, 3, 5)]
    assert [one.account_id for one in listed_devices([*rows, rows[1]])] == [7, 3, 5]


@pytest.mark.parametrize("spellings", [*permutations(({"D9F00": "5"}, {"D09F00": "2"}, {"D9F0": 5}))])
def test_of_two_spellings_the_graver_counts_and_the_column_is_named(spellings: tuple[dict[str, Any], ...]) -> None:
    device = listed(make_row(*spellings, D01F00="5"))
    assert device.sources["D09"].last_status == 2
    assert device.sources["D01"].last_status == 5
    assert device.contradictions == ("Cove tells Total (D09F00) twice with different values; the gravest counts",)


@pytest.mark.parametrize("other", ["5", 5, ["5"], " 5 ", "", None], ids=repr)
def test_two_spellings_of_one_value_are_no_contradiction(other: object) -> None:
    device = listed(make_row({"D9F00": "5"}, {"D09F00": other}))
    assert (device.sources["D09"].last_status, device.contradictions) == (5, ())


def test_both_kinds_of_contradiction_are_named_beside_each_other() -> None:
    device = listed(make_row({"D9F00": "5"}, {"D09F00": "2"}), make_row(D09F00="3"))
    assert len(device.contradictions) == 2


@pytest.mark.parametrize(
    "settings",
    [
        [{"D01F00": "5"}, {"D01F15": "1772000000"}],
        [{"D01F00": "5", "D02F00": "2"}],
        [{"D1F00": "2"}, {"D01F15": "1772000000"}],
        [{"D1F0": "2"}],
        [{"D01F00": "2"}, {"D01F00": "5"}],
        [{"D01F00": "5"}, {"D1F00": "2"}],
        [{"D01F00": "5"}, {"D01F06": "3"}],
        [{"D01F00": "2"}, "x"],
        [{"D01F00": "2"}, None],
        [{"D01F00": ["2"]}],
        [{"D01F00": "2"}, {"D01F15": "soon"}],
        [{"D01F00": "2"}, {"D01F15": str(10**30)}],
        [{"I1": "srv"}],
        [],
    ],
)
def test_rows_are_as_grave_as_the_device_that_is_read_from_them(settings: list[Any]) -> None:
    row = row_from_reply({"AccountId": 1, "PartnerId": 1, "Settings": settings})
    assert isinstance(row, StatisticsRow)
    assert rows_gravity([row]) == device_gravity(listed_devices([row])[0])

"""Columns that Cove refuses: exactly those are found out, with few requests, and left out from then on."""

import math
from collections.abc import Callable
from typing import Any, cast

import pytest

from cove_poller.cove.client import CoveClient
from cove_poller.cove.column_query import NOTHING_LEARNT, ColumnQuery, Learnt
from cove_poller.cove.replies import Result
from cove_poller.errors import ApiError, ApiUnavailable, CovePollerError, PermissionDenied
from cove_poller.records.columns import canonical_code
from cove_poller.records.device import ALL_COLUMNS, OPTIONAL_COLUMNS, REQUIRED_COLUMNS, StatisticsRow

ROW = StatisticsRow(1, None, [])


class FakeClient:
    """Answers with one row, unless a column is refused. `asked` are the queries, `params` what stood beside them."""

    def __init__(self, is_refused: Callable[[str], bool], error: CovePollerError | None = None) -> None:
        self.is_refused = is_refused
        self.error = error or PermissionDenied("no")
        self.asked: list[dict[str, Any]] = []
        self.params: list[dict[str, Any]] = []
        self.totals: object = None

    def call_whole(self, method: str, params: dict[str, Any], inner: type) -> Result[list[Any]]:
        assert (method, inner) == ("Enumerate", list[Any])
        self.asked.append(params["query"])
        self.params.append({key: value for key, value in params.items() if key != "query"})
        if any(map(self.is_refused, params["query"]["Columns"])):
            raise self.error
        return Result(result=[{"AccountId": 1, "Settings": []}], totals=self.totals)

    def query(self, learnt: Learnt = NOTHING_LEARNT, **options: Any) -> ColumnQuery:
        return ColumnQuery(cast(CoveClient, self), "Enumerate", 1000, learnt, **options)


REFUSED: dict[str, Callable[[str], bool]] = {
    "a single column": lambda code: code == "D10F12",
    "the first column": lambda code: code == OPTIONAL_COLUMNS[0],
    "the last column": lambda code: code == OPTIONAL_COLUMNS[-1],
    "a source": lambda code: code.startswith("D02"),
    "a field of all sources": lambda code: code.endswith("F17"),
    "two columns far apart": lambda code: code in ("D01F18", "D20F06"),
    "a device column": lambda code: code == "I32",
    "every optional column": lambda code: code not in REQUIRED_COLUMNS,
}


@pytest.mark.parametrize("is_refused", REFUSED.values(), ids=REFUSED.keys())
@pytest.mark.parametrize("unpadded", [False, True], ids=["padded", "unpadded"])
def test_exactly_the_refused_columns_are_left_out_and_found_with_few_requests(
    is_refused: Callable[[str], bool], unpadded: bool
) -> None:
    wanted = {code for code in OPTIONAL_COLUMNS if is_refused(code)}
    client = FakeClient(lambda code: canonical_code(code) in wanted)
    query = client.query(Learnt(unpadded=unpadded))
    assert query.rows(0, 250) == [ROW]
    assert (set(query.refused), len(query.refused)) == (wanted, len(wanted))
    assert {canonical_code(code) for code in client.asked[-1]["Columns"]} == set(ALL_COLUMNS) - wanted
    trials = [one for one in client.asked if one["RecordsCount"] == 1]
    assert len(client.asked) - len(trials) == 2
    assert len(trials) <= 2 * len(wanted) * (math.log2(len(OPTIONAL_COLUMNS) / len(wanted)) + 2)


@pytest.mark.parametrize(("unpadded", "spellings"), [(False, {"D09F00"}), (True, {"D9F00", "D9F0"})])
def test_columns_are_asked_for_in_one_way_of_spelling(unpadded: bool, spellings: set[str]) -> None:
    client = FakeClient(lambda code: False)
    client.query(Learnt(unpadded=unpadded)).rows(0, 250)
    assert {code for code in client.asked[0]["Columns"] if canonical_code(code) == "D09F00"} == spellings


def test_rows_are_asked_for_in_a_stable_order_one_a_device_with_the_filter_and_what_stands_beside() -> None:
    client = FakeClient(lambda code: False)
    client.query(Learnt(("I32",))).rows(12, 7, filter="AU == 1", extra={"timeslice": 5})
    query = client.asked[0]
    assert {key: value for key, value in query.items() if key != "Columns"} == {
        "PartnerId": 1000,
        "SelectionMode": "Merged",
        "StartRecordNumber": 12,
        "RecordsCount": 7,
        "OrderBy": "I0 ASC",
        "Filter": "AU == 1",
    }
    assert client.params == [{"timeslice": 5}]
    assert set(query["Columns"]) == set(ALL_COLUMNS) - {"I32"}


@pytest.mark.parametrize("column", REQUIRED_COLUMNS)
def test_a_required_column_that_is_refused_ends_it_at_once(column: str) -> None:
    client = FakeClient(lambda code: code == column)
    with pytest.raises(PermissionDenied):
        client.query().rows(0, 250)
    assert len(client.asked) == 2


def test_what_is_refused_is_found_out_once_and_what_is_refused_after_that_ends_it() -> None:
    client = FakeClient(lambda code: False)
    query = client.query()
    query.rows(0, 7)
    client.is_refused = lambda code: code == "D01F12"  # a permission that is withdrawn between pages
    query.rows(6, 7)
    assert query.refused == ("D01F12",)
    count = len(client.asked)
    query.rows(12, 7)
    assert len(client.asked) == count + 1
    client.is_refused = lambda code: code.startswith("D01")
    with pytest.raises(PermissionDenied):
        query.rows(18, 7)


@pytest.mark.parametrize(
    ("error", "any_error_refuses", "is_refusal"),
    [
        (PermissionDenied("no"), False, True),
        (ApiError("no"), True, True),
        (ApiError("no"), False, False),
        (ApiUnavailable("no"), True, False),
    ],
)
def test_an_error_of_the_moment_is_no_refusal(
    error: CovePollerError, any_error_refuses: bool, is_refusal: bool
) -> None:
    query = FakeClient(lambda code: code == "D02F12", error).query(any_error_refuses=any_error_refuses)
    if is_refusal:
        assert query.rows(0, 7) == [ROW]
        assert query.refused == ("D02F12",)
    else:
        with pytest.raises(type(error)):
            query.rows(0, 7)
        assert query.refused == ()

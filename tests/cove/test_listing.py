"""The listing against a fake Cove: every device once, or an error, and never a short list that looks whole."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from cove_poller.config.settings import ApiSettings, LoginSettings
from cove_poller.cove.client import CoveClient
from cove_poller.cove.column_query import Learnt
from cove_poller.cove.listing import METHOD, Listing, Page
from cove_poller.errors import ApiError, ApiUnavailable, PermissionDenied
from cove_poller.records.columns import canonical_code
from cove_poller.records.device import OPTIONAL_COLUMNS, Device
from tests.world.fake_cove import FakeCove, FakeDevice, HttpAnswer, Reading, RpcError, make_fleet, serving
from tests.world.fake_cove.faults import forbidden
from tests.world.fake_cove.server import Request

BEGIN = datetime(2026, 3, 2, tzinfo=UTC)
PARTNER_ID = 1000

MakeCove = Callable[[int], FakeCove]
MakeListing = Callable[..., Listing]


@pytest.fixture
def make_cove() -> Iterator[MakeCove]:
    """Makes fake Coves with so many devices, each of which has run for two days."""
    with ExitStack() as stack:

        def make(devices: int) -> FakeCove:
            fleet = make_fleet(7, BEGIN, 2, devices + 1)
            fleet.devices.pop()  # the one that never ran
            return stack.enter_context(serving(FakeCove(fleet, BEGIN + timedelta(days=2))))

        yield make


@pytest.fixture
def cove(make_cove: MakeCove) -> FakeCove:
    """A fake Cove with 20 devices."""
    return make_cove(20)


@pytest.fixture
def make_client() -> Iterator[Callable[[FakeCove, int], CoveClient]]:
    """Makes clients that have logged in and never sleep."""
    with ExitStack() as stack:

        def make(cove: FakeCove, page_size: int) -> CoveClient:
            client = CoveClient(
                LoginSettings(username=cove.username),
                SecretStr(cove.password),
                ApiSettings(url=cove.url, page_size=page_size, requests_per_second=1000, max_attempts=3),
                sleep=lambda _: None,
            )
            stack.callback(client.close)
            client.login()
            return client

        yield make


@pytest.fixture
def make_listing(make_client: Callable[[FakeCove, int], CoveClient]) -> MakeListing:
    """Makes listings of a Cove's devices."""
    return lambda cove, page_size=250: Listing(make_client(cove, page_size), PARTNER_ID)


def read(listing: Listing) -> list[Device]:
    return [device for page in listing.iter_pages() for device in page.devices]


def account_ids(devices: list[Device] | list[FakeDevice]) -> list[int]:
    return sorted(device.account_id for device in devices)


def pages_asked(cove: FakeCove) -> list[Request]:
    """The requests for a page, without those that only try out columns."""
    return [request for request in cove.listing_requests() if request.params["query"]["RecordsCount"] > 1]


def sources(devices: list[Device]) -> dict[int, object]:
    return {device.account_id: device.sources for device in devices}


# Pages


@pytest.mark.parametrize(("count", "page_size"), [(0, 250), (1, 2), (20, 7), (250, 250)])
def test_every_device_is_listed_once(
    make_cove: MakeCove, make_listing: MakeListing, page_size: int, count: int
) -> None:
    cove = make_cove(count)
    listing = make_listing(cove, page_size)
    assert account_ids(read(listing)) == account_ids(cove.fleet.devices)
    assert listing.is_complete
    assert len(listing.seen_ids) == count
    assert len(pages_asked(cove)) <= count / (page_size - 1) + 2


def test_pages_are_asked_for_in_a_stable_order_with_one_row_per_device(
    cove: FakeCove, make_listing: MakeListing
) -> None:
    read(make_listing(cove, 7))
    queries = [request.params["query"] for request in cove.listing_requests()]
    assert {(query["OrderBy"], query["SelectionMode"], query["PartnerId"]) for query in queries} == {
        ("I0 ASC", "Merged", PARTNER_ID)
    }
    assert [query["StartRecordNumber"] for query in queries] == [0, 6, 12, 18, 19]


def test_a_device_that_never_ran_is_listed_among_others(cove: FakeCove, make_listing: MakeListing) -> None:
    new = FakeDevice(499_999, 1001, "new_abcde", None, "workstation", ())
    cove.fleet.devices.insert(0, new)
    devices = read(make_listing(cove))
    assert account_ids(devices) == account_ids(cove.fleet.devices)
    assert sources(devices)[new.account_id] == {}


def test_a_cove_that_sends_the_same_full_page_forever_is_an_error(cove: FakeCove, make_listing: MakeListing) -> None:
    cove.faults.ignores_start = True
    listing = make_listing(cove, 7)
    with pytest.raises(ApiError, match="same page of devices"):
        read(listing)
    assert not listing.is_complete


@pytest.mark.parametrize("cap", [None, 5], ids=["pages as asked for", "smaller pages"])
@pytest.mark.parametrize("fault", ["repeats_rows", "shuffles"])
def test_whatever_goes_while_devices_come_again_or_in_another_order_none_that_stays_is_missing(
    make_cove: MakeCove, make_listing: MakeListing, fault: str, cap: int | None
) -> None:
    cove = make_cove(40)
    before = account_ids(cove.fleet.devices)
    setattr(cove.faults, fault, True)
    cove.faults.page_cap = cap
    cove.faults.delete_before = {2: before[0], 3: before[6], 6: before[39]}
    listing = make_listing(cove, 7)
    devices = account_ids(read(listing))
    assert set(devices) >= set(account_ids(cove.fleet.devices))
    assert len(devices) == len(set(devices))
    assert listing.is_complete


def test_a_listing_that_breaks_off_keeps_what_was_read_and_is_not_complete(
    cove: FakeCove, make_listing: MakeListing
) -> None:
    listing = make_listing(cove, 7)
    pages = listing.iter_pages()
    devices = [*next(pages).devices, *next(pages).devices]
    cove.faults.answers.extend([HttpAnswer(503)] * 3)
    with pytest.raises(ApiUnavailable):
        next(pages)
    assert account_ids(devices) == sorted(listing.seen_ids) == account_ids(cove.fleet.devices)[:13]
    assert not listing.is_complete


@pytest.mark.parametrize("page", [1, 2, 3, 4, 5])
def test_a_visa_that_runs_out_before_any_page_costs_one_login(
    cove: FakeCove, make_listing: MakeListing, page: int
) -> None:
    listing = make_listing(cove, 7)
    cove.faults.expire_visa_before = {page}
    assert account_ids(read(listing)) == account_ids(cove.fleet.devices)
    assert listing.is_complete
    assert cove.faults.expire_visa_before == set()
    assert (cove.count("Login"), len(pages_asked(cove))) == (2, 6)


# The spelling of columns


@pytest.mark.parametrize(
    "only",
    [
        pytest.param(None, id="all sources"),
        pytest.param({"D01", "D02", "D04", "D06", "D08"}, id="sources below ten"),
        pytest.param({"D10", "D14", "D15", "D19", "D20", "D23"}, id="sources from ten on"),
    ],
)
@pytest.mark.parametrize(("spelling", "more"), [("padded", 0), ("both", 0), ("unpadded", 1)])
def test_every_source_is_read_whichever_spelling_cove_knows(
    cove: FakeCove, make_listing: MakeListing, spelling: str, more: int, only: set[str] | None
) -> None:
    for device in cove.fleet.devices:
        device.sessions = {code: found for code, found in device.sessions.items() if not only or code in only}
    padded = sources(read(make_listing(cove)))
    asked = len(pages_asked(cove))
    cove.reading = Reading(spelling=spelling)
    assert sources(read(make_listing(cove))) == padded
    assert len(pages_asked(cove)) == 2 * asked + more


@pytest.mark.parametrize("spelling", ["padded", "unpadded"])
@pytest.mark.parametrize("unpadded", [False, True])
def test_what_was_learnt_of_the_spelling_is_asked_first_and_the_other_where_that_no_longer_brings_anything(
    cove: FakeCove, make_client: Callable[[FakeCove, int], CoveClient], spelling: str, *, unpadded: bool
) -> None:
    cove.reading = Reading(spelling=spelling)
    listing = Listing(make_client(cove, 250), PARTNER_ID, Learnt(unpadded=unpadded))
    assert len(read(listing)) == 20
    assert listing.learnt == Learnt(unpadded=spelling == "unpadded")


@pytest.mark.parametrize("sent", ["D10F00", "D10F15"])
def test_a_column_that_is_spelt_alike_with_and_without_padding_does_not_hide_that_cove_ignores_padding(
    cove: FakeCove, make_listing: MakeListing, sent: str
) -> None:
    def answer_d10_whatever_else(row: dict[str, str], device: FakeDevice) -> dict[str, str]:
        return {**row, sent: "5"}

    cove.reading = Reading(spelling="unpadded")
    cove.faults.edit_row = answer_d10_whatever_else
    devices = read(make_listing(cove))
    assert all("D09" in device.sources for device in devices)
    assert "D09F15" in cove.listing_requests()[0].params["query"]["Columns"]
    assert "D9F15" in cove.listing_requests()[1].params["query"]["Columns"]


def test_a_cove_that_sends_no_source_column_at_all_is_an_error_and_no_device_is_believed(
    cove: FakeCove, make_listing: MakeListing
) -> None:
    cove.faults.edit_row = lambda row, _: {code: value for code, value in row.items() if code[0] == "I"}
    listing = make_listing(cove)
    pages: list[Page] = []
    with pytest.raises(ApiError, match="nothing is concluded"):
        pages.extend(listing.iter_pages())
    assert pages == []
    assert not listing.is_complete
    assert len(pages_asked(cove)) == 2


def test_rows_without_any_setting_are_an_error(cove: FakeCove, make_listing: MakeListing) -> None:
    cove.faults.null_settings = True
    listing = make_listing(cove)
    with pytest.raises(ApiError, match="none of 20 devices"):
        read(listing)
    assert not listing.is_complete


# Names


@pytest.mark.parametrize("page_size", [2, 7, 250])
@pytest.mark.parametrize("column", ["I1", "I8"], ids=["device", "customer"])
def test_a_list_without_names_is_an_error(
    cove: FakeCove, make_listing: MakeListing, column: str, page_size: int
) -> None:
    cove.faults.edit_row = lambda row, _: {code: value for code, value in row.items() if code != column}
    with pytest.raises(ApiError, match="has a name and a customer"):
        read(make_listing(cove, page_size))


@pytest.mark.parametrize("page_size", [2, 7, 250])
@pytest.mark.parametrize("column", ["I1", "I8", "all"], ids=["device", "customer", "no setting at all"])
def test_a_single_device_without_names_is_listed_with_the_others(
    cove: FakeCove, make_listing: MakeListing, column: str, page_size: int
) -> None:
    nameless = {cove.fleet.devices[position].account_id for position in (4, 11, 19)}

    def without_names(row: dict[str, str], device: FakeDevice) -> dict[str, str]:
        if device.account_id not in nameless:
            return row
        return {code: value for code, value in row.items() if column not in (code, "all")}

    cove.faults.edit_row = without_names
    listing = make_listing(cove, page_size)
    devices = read(listing)
    assert account_ids(devices) == account_ids(cove.fleet.devices)
    assert {one.account_id for one in devices if not (one.fields.name and one.fields.customer_name)} == nameless
    assert listing.is_complete


# Odd rows

EditRow = Callable[[dict[str, Any]], Any]
ODD: dict[str, EditRow] = {
    "null": lambda row: None,
    "a text": lambda row: "row",
    "AccountId null": lambda row: {**row, "AccountId": None},
    "AccountId a word": lambda row: {**row, "AccountId": "x"},
    "AccountId too large": lambda row: {**row, "AccountId": 2**63},
    "AccountId missing": lambda row: {key: value for key, value in row.items() if key != "AccountId"},
    "Settings an object": lambda row: {**row, "Settings": {"I1": "name"}},
    "Settings null": lambda row: {**row, "Settings": None},
}


def editing(account_id: int, edit: EditRow) -> Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]]:
    """Lets one device's row be another, wherever it is listed."""
    return lambda query, result: {
        **result,
        "result": [edit(row) if row["AccountId"] == account_id else row for row in result["result"]],
    }


@pytest.mark.parametrize("position", [0, 6, 7, 19])
@pytest.mark.parametrize("page_size", [7, 250])
@pytest.mark.parametrize("edit", ODD.values(), ids=ODD.keys())
def test_one_odd_row_costs_no_other_device_wherever_it_stands(
    cove: FakeCove, make_listing: MakeListing, edit: EditRow, page_size: int, position: int
) -> None:
    cove.faults.tells_totals = True
    odd = account_ids(cove.fleet.devices)[position]
    cove.faults.edit_listing = editing(odd, edit)
    listing = make_listing(cove, page_size)
    pages = [*listing.iter_pages()]
    devices = [device for page in pages for device in page.devices]
    assert account_ids(devices) == [one for one in account_ids(cove.fleet.devices) if one != odd]
    (row,) = [row for page in pages for row in page.unreadable]
    assert row.account_id in (None, odd)
    assert listing.is_complete
    assert (listing.unnamed, len(listing.seen_ids)) == ((1, 19) if row.account_id is None else (0, 20))


def test_a_page_of_which_no_row_can_be_read_is_an_error(cove: FakeCove, make_listing: MakeListing) -> None:
    cove.faults.edit_listing = lambda query, result: (
        {**result, "result": [None] * len(result["result"])} if query["StartRecordNumber"] else result
    )
    listing = make_listing(cove, 7)
    with pytest.raises(ApiError, match="none of 7 rows of the list of devices can be read"):
        read(listing)
    assert (listing.is_complete, len(listing.seen_ids)) == (False, 7)


def test_an_odd_row_at_the_top_does_not_hide_which_columns_are_refused(
    cove: FakeCove, make_listing: MakeListing
) -> None:
    cove.faults.forbidden_columns = lambda code: code == "D02F12"
    cove.faults.edit_listing = editing(account_ids(cove.fleet.devices)[0], lambda row: None)
    listing = make_listing(cove)
    assert len(read(listing)) == 19
    assert listing.refused == ("D02F12",)


# Rows that contradict each other


def failing(row: dict[str, Any]) -> dict[str, Any]:
    """The same row with a total that failed."""
    return {**row, "Settings": [*(one for one in row["Settings"] if "D09F00" not in one), {"D09F00": "2"}]}


def listing_more(make: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> Callable[..., dict[str, Any]]:
    """Lets Cove have another list than its devices, and page it as it does."""
    whole: list[dict[str, Any]] = []

    def edit(query: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
        whole.extend(make(result["result"]) if not whole else [])
        start, count = query["StartRecordNumber"], query["RecordsCount"]
        return {**result, "result": whole[start : start + count]}

    return edit


@pytest.mark.parametrize("failing_first", [True, False])
@pytest.mark.parametrize("behind", [0, 1, 4, 5, 6, 15])
def test_of_two_rows_of_a_device_the_graver_counts_on_one_page_and_on_two_and_it_is_named_once(
    cove: FakeCove, make_listing: MakeListing, behind: int, failing_first: bool
) -> None:
    def twice(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        pair = [failing(rows[3]), rows[3]] if failing_first else [rows[3], failing(rows[3])]
        return [*rows[:3], pair[0], *rows[4 : 4 + behind], pair[1], *rows[4 + behind :]]

    account = account_ids(cove.fleet.devices)[3]
    client_of_all = make_listing(cove)  # its page size is above the fleet
    cove.faults.edit_listing = listing_more(twice)
    read(client_of_all)  # so that the list is known
    listing = make_listing(cove, 7)
    pages = [*listing.iter_pages()]
    told = [device for page in pages for device in page.devices if device.account_id == account]
    assert told[-1].sources["D09"].last_status == 2
    notes = [note for device in told for note in device.contradictions] + [
        page.twice[account] for page in pages if account in page.twice
    ]
    assert len(notes) == 1
    assert set(account_ids([device for page in pages for device in page.devices])) == set(
        account_ids(cove.fleet.devices)
    )
    assert listing.is_complete


def test_the_row_by_which_pages_overlap_is_no_contradiction_though_it_has_changed(
    cove: FakeCove, make_listing: MakeListing
) -> None:
    last_of_the_first = account_ids(cove.fleet.devices)[6]
    edit = editing(last_of_the_first, failing)
    cove.faults.edit_listing = lambda query, result: edit(query, result) if query["StartRecordNumber"] else result
    pages = [*make_listing(cove, 7).iter_pages()]
    assert [page.twice for page in pages if page.twice] == []
    assert [device for page in pages for device in page.devices if device.contradictions] == []


# Lists that are none, or not all


@pytest.mark.parametrize("result", [{"result": None}, {}, {"totalStatistics": None}, None], ids=repr)
@pytest.mark.parametrize("page", [1, 2])
def test_a_page_that_is_no_list_is_an_error_and_not_the_end(
    cove: FakeCove, make_listing: MakeListing, page: int, result: object
) -> None:
    cove.faults.edit_listing = lambda query, whole: result if bool(query["StartRecordNumber"]) == page - 1 else whole
    listing = make_listing(cove, 7)
    with pytest.raises(ApiError):
        read(listing)
    assert (listing.is_complete, len(listing.seen_ids)) == (False, 7 * (page - 1))


@pytest.mark.parametrize("page_size", [7, 250])
def test_an_empty_page_behind_one_that_is_not_is_no_end(
    cove: FakeCove, make_listing: MakeListing, page_size: int
) -> None:
    cove.faults.page_cap = 7
    cove.faults.edit_listing = lambda query, result: {"result": []} if query["StartRecordNumber"] else result
    listing = make_listing(cove, page_size)
    with pytest.raises(ApiError):
        read(listing)
    assert (listing.is_complete, len(listing.seen_ids)) == (False, 7)


@pytest.mark.parametrize("total", ["20", "19", 20, None, "", "many", [20], {"COUNT(1)": 20}, [{"COUNT(1)": "20"}]])
def test_a_list_as_long_as_cove_counts_or_with_a_count_that_makes_no_sense_is_complete(
    cove: FakeCove, make_listing: MakeListing, total: object
) -> None:
    cove.faults.edit_listing = lambda query, result: {**result, "totalStatistics": total}
    listing = make_listing(cove, 7)
    assert len(read(listing)) == 20
    assert listing.is_complete


@pytest.mark.parametrize("total", [[{"COUNT(1)": "21"}], {"COUNT(1)": 21}, ["21"]])
def test_a_list_shorter_than_cove_counts_is_not_complete(
    cove: FakeCove, make_listing: MakeListing, total: object
) -> None:
    cove.faults.edit_listing = lambda query, result: {**result, "totalStatistics": total}
    listing = make_listing(cove, 7)
    with pytest.raises(ApiError, match="counts 21 devices and lists 20"):
        read(listing)
    assert (listing.is_complete, len(listing.seen_ids)) == (False, 20)


@pytest.mark.parametrize("error", [RpcError(None, "unknown parameter Totals"), forbidden()])
def test_a_cove_that_does_not_like_to_be_asked_for_the_count_is_not_asked_again(
    cove: FakeCove, make_listing: MakeListing, error: RpcError
) -> None:
    def refusing(query: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
        if "Totals" in query:
            raise error
        return result

    cove.faults.edit_listing = refusing
    listing = make_listing(cove, 7)
    assert len(read(listing)) == 20
    assert (listing.is_complete, listing.refused) == (True, ())
    assert ["Totals" in request.params["query"] for request in pages_asked(cove)].count(True) <= 2


# Columns that are refused


@pytest.mark.parametrize("spelling", ["padded", "unpadded"])
def test_refused_columns_are_left_out_and_all_devices_listed(
    cove: FakeCove, make_listing: MakeListing, spelling: str
) -> None:
    cove.reading = Reading(spelling=spelling)
    cove.faults.forbidden_columns = lambda code: canonical_code(code).startswith("D02")
    listing = make_listing(cove, 2)
    assert account_ids(read(listing)) == account_ids(cove.fleet.devices)
    assert set(listing.refused) == {code for code in OPTIONAL_COLUMNS if code.startswith("D02")}
    assert listing.is_complete
    counts = [request.params["query"]["RecordsCount"] for request in cove.listing_requests()]
    trials = counts.count(1)  # once a listing
    assert trials > 0
    assert counts[1 : 1 + trials] == [1] * trials


@pytest.mark.parametrize(
    ("columns", "methods", "said"),
    [({"D09F15"}, frozenset(), "D09F15"), (set(), frozenset({METHOD}), "give the API user a role")],
    ids=["a required column", "the list itself"],
)
def test_what_is_needed_and_refused_ends_it_with_what_the_user_lacks(
    cove: FakeCove, make_listing: MakeListing, columns: set[str], methods: frozenset[str], said: str
) -> None:
    cove.faults.forbidden_columns = lambda code: code in columns
    cove.faults.forbidden_methods = methods
    listing = make_listing(cove)
    with pytest.raises(PermissionDenied, match=said):
        read(listing)
    assert not listing.is_complete
    assert len(cove.listing_requests()) == 2


def test_a_permission_that_is_withdrawn_between_pages_hides_no_device_and_a_second_ends_the_listing(
    cove: FakeCove, make_listing: MakeListing
) -> None:
    listing = make_listing(cove, 7)
    pages = listing.iter_pages()
    devices = [*next(pages).devices]
    cove.faults.forbidden_columns = lambda code: code == "D01F12"
    devices += next(pages).devices
    assert account_ids(devices) == account_ids(cove.fleet.devices)[:13]
    assert listing.refused == ("D01F12",)
    cove.faults.forbidden_columns = lambda code: code.startswith("D01")
    with pytest.raises(PermissionDenied):
        next(pages)
    assert not listing.is_complete


def test_devices_are_listed_once_more_in_one_request_though_a_page_holds_fewer(
    cove: FakeCove, make_listing: MakeListing
) -> None:
    wanted = account_ids(cove.fleet.devices)[:9]
    listing = make_listing(cove, 4)
    before = len(cove.listing_requests())
    assert sorted(listing.again(wanted)) == sorted(wanted)
    assert len(cove.listing_requests()) - before == 1

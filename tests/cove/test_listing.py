"""The listing against a fake Cove: every device once, or an error, and never a short list that looks whole."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from cove_poller.config.settings import ApiSettings, LoginSettings
from cove_poller.cove.client import CoveClient
from cove_poller.cove.listing import METHOD, Listing, Page
from cove_poller.errors import ApiError, ApiUnavailable, PermissionDenied
from cove_poller.records.columns import canonical_code
from cove_poller.records.device import OPTIONAL_COLUMNS, Device
from tests.world.fake_cove import FakeCove, FakeDevice, HttpAnswer, Reading, make_fleet, serving
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
def test_a_single_device_without_names_is_told_by_its_id_and_the_others_are_listed(
    cove: FakeCove, make_listing: MakeListing, column: str, page_size: int
) -> None:
    nameless = {cove.fleet.devices[position].account_id for position in (4, 11, 19)}

    def without_names(row: dict[str, str], device: FakeDevice) -> dict[str, str]:
        if device.account_id not in nameless:
            return row
        return {code: value for code, value in row.items() if column not in (code, "all")}

    cove.faults.edit_row = without_names
    listing = make_listing(cove, page_size)
    pages = list(listing.iter_pages())
    assert {account_id for page in pages for account_id in page.nameless_ids} == nameless
    listed = {device.account_id for page in pages for device in page.devices}
    assert listed == set(account_ids(cove.fleet.devices)) - nameless
    assert listing.is_complete
    assert nameless < listing.seen_ids


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

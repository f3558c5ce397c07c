"""A row of the listing, read: every form of a value, and what is said of a device because of it."""

from datetime import UTC, datetime
from typing import Any

import pytest

from cove_poller.records.columns import DataSource, canonical_code, label, unpadded_spellings
from cove_poller.records.device import (
    ALL_COLUMNS,
    OPTIONAL_COLUMNS,
    REQUIRED_COLUMNS,
    Device,
    StatisticsRow,
    UnreadableRow,
    column_code,
    describe_columns,
    device_column,
    device_from_row,
    row_from_reply,
)

MOMENT = datetime(2026, 3, 2, 1, 30, tzinfo=UTC)
SECONDS = int(MOMENT.timestamp())


def make_device(**settings: Any) -> Device:
    """A device from its columns, in the shape that Cove sends them."""
    pairs = [{code: value} for code, value in sorted(settings.items())]
    return device_from_row(StatisticsRow(1, 1001, pairs))


# Values


@pytest.mark.parametrize("form", [str, int, float, lambda value: [value], lambda value: [str(value)], " {} ".format])
def test_numbers_and_times_are_read_as_text_number_or_list_of_one(form: Any) -> None:
    device = make_device(D01F00=form(5), D01F09=form(SECONDS), D01F06=form(128_849_018_880), I32=form(2))
    source = device.sources["D01"]
    assert (source.last_status, source.last_success_at, source.errors_count) == (5, MOMENT, 128_849_018_880)
    assert device.fields.os_type == 2
    assert device.malformed == frozenset()


@pytest.mark.parametrize("nothing", [None, "", "  ", [], [None], [""]], ids=repr)
def test_a_value_that_says_nothing_is_as_good_as_left_out(nothing: object) -> None:
    device = make_device(I1=nothing, I32=nothing, D01F00=nothing, D01F09=nothing, D02F00="5")
    assert (device.fields.name, device.fields.os_type) == (None, None)
    assert set(device.sources) == {"D02"}
    assert device.malformed == frozenset()


@pytest.mark.parametrize(
    ("value", "time"),
    [
        (SECONDS, MOMENT),
        (str(SECONDS), MOMENT),
        (f"{SECONDS}.75", MOMENT),
        (SECONDS * 1000, MOMENT),
        (f"{SECONDS * 1000 + 999}", MOMENT),
        (0, None),
        ("0", None),
        ("", None),
        ("-1", None),
    ],
)
def test_a_time_is_seconds_or_milliseconds_and_nought_is_never(value: object, time: datetime | None) -> None:
    device = make_device(D01F00="5", D01F15=value)
    assert device.sources["D01"].last_session_at == time
    assert device.malformed == frozenset()


@pytest.mark.parametrize(
    "value",
    ["yesterday", "2026-03-02", "nan", "inf", "1e300", 1e300, "9" * 30, "9" * 5000, 10**400, [[5]], {"time": 5}],
    ids=lambda value: repr(value)[:20],
)
def test_a_time_that_makes_no_sense_is_named_and_the_rest_of_the_device_is_read(value: object) -> None:
    device = make_device(I1="pc1", I4=value, D01F00="5", D01F15=value, D02F15=str(SECONDS))
    assert device.malformed == {"I4", "D01F15"}
    assert (device.name, device.fields.created_at) == ("pc1", None)
    assert (device.sources["D01"].last_status, device.sources["D01"].last_session_at) == (5, None)
    assert device.sources["D02"].last_session_at == MOMENT


@pytest.mark.parametrize(
    "value",
    ["many", "5.5", "0x5", "nan", "9" * 5000, 1e300, [[5]], {}, "9" * 30, 10**400],
    ids=lambda value: repr(value)[:20],
)
def test_a_number_that_makes_no_sense_is_named_and_the_rest_of_the_device_is_read(value: object) -> None:
    device = make_device(I1="pc1", I32=value, D01F00=value, D01F15=str(SECONDS), D01F12=value)
    assert device.malformed == {"I32", "D01F00", "D01F12"}
    assert (device.name, device.fields.os_type) == ("pc1", None)
    assert (device.sources["D01"].last_status, device.sources["D01"].last_session_at) == (None, MOMENT)


@pytest.mark.parametrize("seconds", [10**11, 10**15])
def test_a_duration_of_centuries_makes_no_sense_since_no_start_can_be_reckoned_from_it(seconds: int) -> None:
    device = make_device(D01F00="5", D01F12=str(seconds), D01F18=str(SECONDS))
    assert device.malformed == {"D01F12"}
    assert (device.sources["D01"].duration_seconds, device.sources["D01"].last_completed_at) == (None, MOMENT)


def test_a_text_is_read_without_nul_characters_and_outer_blanks() -> None:
    device = make_device(I1=" pc\0one\0 ", I8=["Example\0 Bakery"], I18=12345, D01F08="55\0")
    assert (device.name, device.fields.customer_name) == ("pcone", "Example Bakery")
    assert device.fields.computer_name == "12345"
    assert device.sources["D01"].color_bar == "55"


def test_a_device_without_a_name_is_called_by_its_id() -> None:
    assert make_device(I8="Example Bakery").name == "device 1"


def read_row(**parts: Any) -> Device | UnreadableRow:
    """What a row says, of a device with a name unless `parts` say otherwise."""
    whole = {"AccountId": 1, "Flags": None, "PartnerId": 1001, "Settings": [{"I1": "pc1"}], **parts}
    row = row_from_reply({key: value for key, value in whole.items() if value != "left out"})
    return device_from_row(row) if isinstance(row, StatisticsRow) else row


@pytest.mark.parametrize("account_id", [1, 2**63 - 1, "7", 7.0])
def test_an_account_id_is_any_number_that_the_database_takes(account_id: Any) -> None:
    assert read_row(AccountId=account_id).account_id == int(account_id)


@pytest.mark.parametrize(
    "account_id",
    [None, "x", "", 0, -1, 2**63, 10**400, 7.5, True, [7], {}, "left out"],
    ids=lambda value: repr(value)[:20],
)
def test_a_row_without_a_sensible_account_id_is_unreadable_and_nobodys(account_id: object) -> None:
    row = read_row(AccountId=account_id)
    assert isinstance(row, UnreadableRow)
    assert row.account_id is None
    assert "AccountId" in str(row)


@pytest.mark.parametrize("settings", [None, {}, {"I1": "pc1"}, "I1=pc1", 5, "left out"], ids=repr)
def test_a_row_whose_settings_are_no_list_is_unreadable_and_named_by_its_account(settings: object) -> None:
    row = read_row(Settings=settings)
    assert isinstance(row, UnreadableRow)
    assert (row.account_id, "device 1: Settings" in str(row)) == (1, True)


@pytest.mark.parametrize("row", [None, 5, "row", [], True])
def test_what_is_no_row_is_unreadable(row: object) -> None:
    assert isinstance(row_from_reply(row), UnreadableRow)


def test_a_setting_or_a_partner_that_cannot_be_read_is_left_out_and_named_and_the_rest_of_the_row_is_read() -> None:
    device = read_row(PartnerId="x", Settings=[None, "I8=Bakery", {"I1": "pc1", "I18": "PC1"}])
    assert isinstance(device, Device)
    assert (device.name, device.fields.computer_name, device.partner_id) == ("pc1", "PC1", None)
    assert device.malformed == {"PartnerId", "Settings"}
    assert describe_columns(sorted(device.malformed)) == "Device (PartnerId, Settings)"


def test_a_row_without_settings_is_a_device_of_which_nothing_is_known() -> None:
    row = row_from_reply({"AccountId": "7", "Flags": None, "Settings": []})
    assert isinstance(row, StatisticsRow)
    device = device_from_row(row)
    assert (device.account_id, device.partner_id, device.sources, device.active_sources) == (7, None, {}, ())


def test_settings_that_nobody_asked_for_do_no_harm() -> None:
    device = make_device(F00="2", AR="Example Bakery", D01F99="5", D01F00="5", D1F0X="2", I999="x")
    assert device.fields.name is None
    assert device.sources["D01"].last_status == 5
    assert set(device.sources) == {"D01"}


# Codes


@pytest.mark.parametrize("code", ["D01F09", "D1F09", "D1F9", "D01F9"])
def test_a_column_is_read_in_every_spelling(code: str) -> None:
    device = make_device(**{code: str(SECONDS)})
    assert device.sources["D01"].last_success_at == MOMENT


@pytest.mark.parametrize("code", ALL_COLUMNS)
def test_every_column_asked_for_is_canonical_and_so_are_its_other_spellings(code: str) -> None:
    assert {canonical_code(spelling) for spelling in [code, *unpadded_spellings(code)]} == {code}


def test_the_columns_asked_for_are_those_of_every_source_and_the_device() -> None:
    sources = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 15, 18, 19, 20, 23)
    fields = (0, 6, 8, 9, 12, 15, 16, 17, 18)
    assert set(ALL_COLUMNS) == {
        *(f"I{number}" for number in (0, 1, 4, 8, 18, 32, 59, 78)),
        *(f"D{source:02d}F{field:02d}" for source in sources for field in fields),
    }
    assert len(ALL_COLUMNS) == len(set(ALL_COLUMNS))
    assert set(REQUIRED_COLUMNS) == {"I1", "I8", "I78", "D09F00", "D09F15"}
    assert set(OPTIONAL_COLUMNS) == set(ALL_COLUMNS) - set(REQUIRED_COLUMNS)


def test_a_column_is_found_by_what_it_means() -> None:
    assert column_code(DataSource.SQL_SERVER, "last_success_at") == "D10F09"
    assert device_column("customer_name") == "I8"


def test_columns_are_described_by_the_names_of_their_sources() -> None:
    codes = ["I32", "D02F00", "D02F15", "D21F00"]
    assert describe_columns(codes) == "Device (I32); System State (D02F00, D02F15); D21 (D21F00)"
    assert label("D23") == "Microsoft 365 Teams"


# Active sources and kinds of devices


@pytest.mark.parametrize("active", [None, "", "garbage", "D16D17"])
def test_where_active_sources_say_nothing_those_with_sessions_count_but_not_their_total(active: str | None) -> None:
    device = make_device(I78=active, D02F00="5", D01F00="2", D09F00="2")
    assert device.active_sources == ("D01", "D02")


def test_active_sources_are_what_cove_lists_though_others_have_sessions() -> None:
    assert make_device(I78="D19D20D05", D01F00="5").active_sources == ("D05", "D19", "D20")


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        pytest.param({"I59": "2", "I18": "SRV1", "I32": "2", "I78": "D01"}, "Microsoft 365", id="account type 2"),
        pytest.param({"I59": "1", "I32": "0", "I78": "D19D05"}, "Microsoft 365", id="only 365 sources, no computer"),
        pytest.param({"I18": "", "I78": "D5,D23"}, "Microsoft 365", id="only 365 sources, an empty computer"),
        pytest.param({"D20F00": "5", "D09F00": "5"}, "Microsoft 365", id="only 365 sessions, no computer"),
        pytest.param({"I78": "D01D19", "I32": "2"}, "Server", id="365 among other sources"),
        pytest.param({"I18": "SRV1", "I78": "D19", "I32": "2"}, "Server", id="365 sources on a computer"),
        pytest.param({"I18": "SRV1", "I32": 2, "I59": "1"}, "Server", id="OS type 2"),
        pytest.param({"I18": "PC1", "I32": "1"}, "Workstation", id="OS type 1"),
        pytest.param({"I18": "PC1", "I32": "0"}, "Workstation", id="OS type 0"),
        pytest.param({"I18": "PC1", "I32": "unknown", "I59": "?"}, "Workstation", id="types that are words"),
        pytest.param({}, "Workstation", id="nothing known"),
    ],
)
def test_the_kind_of_a_device_follows_from_its_account_its_sources_and_its_system(
    settings: dict[str, Any], kind: str
) -> None:
    assert make_device(**settings).device_type == kind

"""What somebody names: found by id or name, else an error with those that may be meant."""

import pytest

from cove_poller.errors import WrongUsage
from cove_poller.records.named import given_id, the_one

KNOWN = [(("SRV1", "srv1_x"), "first"), (("SRV2", "srv2_x"), "second"), (("srv2", "srv2_y"), "third")]


def test_a_number_is_an_id_and_anything_else_a_name() -> None:
    assert [given_id(text, "--device") for text in ("4711", "0", "SRV1", "-1", "", "\u0663")] == [4711, 0, *[None] * 4]


@pytest.mark.parametrize("text", ["9223372036854775808", "9" * 5000])
def test_a_number_that_no_row_can_have_is_wrong(text: str) -> None:
    with pytest.raises(WrongUsage, match="too great for an id"):
        given_id(text, "--device")
    assert given_id("9223372036854775807", "--device") == 2**63 - 1


@pytest.mark.parametrize("text", ["SRV1", "srv1", " SRV1_X "])
def test_a_name_is_found_by_any_of_its_spellings(text: str) -> None:
    assert the_one(text, KNOWN, "device", "--device") == "first"


def test_a_name_of_several_is_refused_with_all_of_them() -> None:
    with pytest.raises(WrongUsage, match="2 devices are called 'Srv2': second; third; say which by its id") as caught:
        the_one("Srv2", KNOWN, "device", "--device")
    assert caught.value.option == "--device"


def test_a_name_that_nobody_has_is_refused_with_those_that_are_near() -> None:
    with pytest.raises(WrongUsage, match="no device is called 'srv1x'; near are: first"):
        the_one("srv1x", KNOWN, "device", "--device")
    with pytest.raises(WrongUsage, match="no device is called ''; `cove-poller devices list` shows all"):
        the_one("", KNOWN, "device", "--device")

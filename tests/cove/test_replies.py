"""Cove's replies, read: every form of the envelope, of an error, and of what is not a reply."""

import json
from typing import Any

import pytest

from cove_poller.cove.replies import LoginUser, Reply, decoded, parse_reply
from cove_poller.errors import ApiError
from cove_poller.records.device import StatisticsRow


def make_reply(inner: Any = LoginUser, **parts: Any) -> Reply[Any]:
    return parse_reply(json.dumps(parts).encode(), inner)


def inner_result(reply: Reply[Any]) -> Any:
    assert reply.result is not None
    return reply.result.result


def test_a_login_is_read_from_the_documented_reply() -> None:
    user = {"EmailAddress": None, "Flags": ["NonInteractive"], "Name": "api-poller", "PartnerId": 1000, "RoleId": 3}
    reply = make_reply(id="1", jsonrpc="2.0", result={"result": user}, visa="1000-50121-1-1-AB")
    assert reply.visa == "1000-50121-1-1-AB"
    assert reply.error is None
    assert inner_result(reply) == LoginUser(user_name="api-poller", partner_id=1000)


@pytest.mark.parametrize("partner_id", [1000, "1000", None])
def test_a_partner_id_is_read_as_number_or_text_or_not_at_all(partner_id: object) -> None:
    user = inner_result(make_reply(result={"result": {"PartnerId": partner_id}}))
    assert user.partner_id == (1000 if partner_id else None)


@pytest.mark.parametrize("result", [{"result": None}, {}, {"totalStatistics": None}])
def test_a_result_may_be_empty(result: object) -> None:
    reply = make_reply(list[StatisticsRow], result=result, visa="v")
    assert inner_result(reply) is None
    assert (reply.visa, reply.error) == ("v", None)


@pytest.mark.parametrize(
    ("data", "number"),
    [
        (1701, 1701),
        ("1701", 1701),
        (1701.0, 1701),
        (0, None),
        ("0", None),
        (None, None),
        ("", None),
        ("text", None),
        ([1701], None),
        ({"code": 1701}, None),
        (float("inf"), None),
        (float("nan"), None),
    ],
    ids=repr,
)
def test_the_number_of_an_error_is_read_in_any_form_and_the_visa_beside_it(data: object, number: int | None) -> None:
    reply = make_reply(error={"code": -32603, "data": data, "message": "no"}, visa="v")
    assert reply.error is not None
    assert (reply.error.cove_code, reply.error.message) == (number, "no")
    assert reply.visa == "v"


def test_an_error_may_be_empty_and_is_one_all_the_same() -> None:
    reply = make_reply(error={}, result=None)
    assert reply.error is not None
    assert (reply.error.cove_code, reply.error.message) == (None, None)


@pytest.mark.parametrize("name", ["Crème & Söhne", "日本", "naïve €"])
def test_a_reply_is_read_as_utf_8(name: str) -> None:
    body = json.dumps({"result": {"result": {"Name": name}}}, ensure_ascii=False).encode()
    assert inner_result(parse_reply(body, LoginUser)) == LoginUser(user_name=name)


def test_a_reply_that_is_not_utf_8_is_read_as_latin_1() -> None:
    body = '{"result": {"result": {"Name": "Crème & Söhne"}}}'.encode("latin-1")
    assert inner_result(parse_reply(body, LoginUser)) == LoginUser(user_name="Crème & Söhne")


NAME = "Bäckerei"


@pytest.mark.parametrize("end", range(1, 4))
def test_of_a_name_that_is_cut_within_a_letter_that_letter_is_lost_and_no_other_name(end: int) -> None:
    cut = "日本".encode()[: 3 + end]
    whole = cut.decode(errors="ignore")
    body = b'{"result": {"result": ["B\xc3\xa4ckerei", "' + cut + b'", "na\xc3\xafve"]}}'
    assert inner_result(parse_reply(body, list[str])) == [NAME, f"{whole}\ufffd" if end < 3 else "日本", "naïve"]


@pytest.mark.parametrize("letter", [b"\xc3\xa4", b"\xe6\x97\xa5", b"\xf0\x9f\x98\x80"], ids=["two", "three", "four"])
def test_one_letter_of_utf_8_is_enough_for_a_body_to_be_no_latin_1(letter: bytes) -> None:
    body = b'{"result": {"result": ["' + letter + b'", "\xe4"]}}'
    assert inner_result(parse_reply(body, list[str])) == [letter.decode(), "\ufffd"]


@pytest.mark.parametrize("body", [b"B\xe4r", b"B\xc3", b"\xe4\xf6\xfc", b"\xed\xa0", b"\xc0\xaf"], ids=repr)
def test_a_body_without_a_letter_of_utf_8_is_latin_1(body: bytes) -> None:
    assert decoded(body) == body.decode("latin-1")


@pytest.mark.parametrize(
    ("written", "name"),
    [
        (r"a\ud800b", "a\ufffdb"),
        (r"\uDFFF", "\ufffd"),
        (r"\udc00\ud800", "\ufffd\ufffd"),
        (r"\ud800\ud83d\ude00", "\ufffd\U0001f600"),
        (r"\ud83d\uDE00", "\U0001f600"),
        (r"\\ud800", r"\ud800"),
        (r"\\\ud800", "\\\ufffd"),
        (r"\u00e4\"", 'ä"'),
    ],
)
def test_half_a_letter_is_replaced_and_a_whole_one_and_what_only_looks_like_half_are_not(
    written: str, name: str
) -> None:
    body = b'{"result": {"result": ["' + written.encode() + b'"]}}'
    assert inner_result(parse_reply(body, list[str])) == [name]


def test_a_list_in_the_place_of_the_outer_result_is_the_inner_one() -> None:
    assert inner_result(make_reply(list[int], result=[1, 2], visa="v")) == [1, 2]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"secret",
        b'{"visa": "secret"',
        b'["secret"]',
        b'{"result": "secret"}',
        b'{"error": "secret"}',
        b"\xff\xfesecret",
    ],
    ids=repr,
)
def test_a_reply_of_another_shape_is_an_error_that_does_not_repeat_it(body: bytes) -> None:
    with pytest.raises(ApiError, match=r"an answer( of \d+ bytes .*)?$") as info:
        parse_reply(body, LoginUser)
    assert "secret" not in f"{info.value} {info.value.__cause__}"


@pytest.mark.parametrize(
    "body", [b"{}", b'{"id": 1}', b'{"message": "Forbidden", "visa": "v"}', b'{"error": null, "result": null}']
)
def test_a_reply_with_neither_result_nor_error_is_an_error(body: bytes) -> None:
    with pytest.raises(ApiError):
        parse_reply(body, LoginUser)

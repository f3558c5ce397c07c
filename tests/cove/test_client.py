"""A login and calls against the fake Cove: what is renewed, what is refused, and that no secret gets out."""

import gzip
import logging
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from cove_poller.cove.client import CoveClient
from cove_poller.cove.replies import Partner
from cove_poller.errors import (
    ApiError,
    ApiUnavailable,
    CovePollerError,
    LoginLocked,
    LoginRejected,
    PermissionDenied,
    VisaRefused,
)
from cove_poller.records.device import StatisticsRow
from tests.cove.conftest import ATTEMPTS, MakeClient, refusal, reply
from tests.world.fake_cove import FakeCove, Fleet, HttpAnswer, RpcError
from tests.world.fake_cove import Partner as FakePartner

STATISTICS = "EnumerateAccountStatistics"
PARTNER_NAME = "Example MSP (admin@example.com)"
VISA = f"1000-50121-1-1772409600-{'A9' * 32}"


@pytest.fixture
def fleet() -> Fleet:
    """Nobody but the partner itself: what devices there are does not matter here."""
    return Fleet([FakePartner(1000, PARTNER_NAME, None)], [])


def ask_partner(client: CoveClient) -> Partner | None:
    return client.call("GetPartnerInfoById", {"partnerId": 1000}, Partner)


def ask_statistics(client: CoveClient) -> list[StatisticsRow] | None:
    query = {"PartnerId": 1000, "RecordsCount": 5, "Columns": ["I1"]}
    return client.call(STATISTICS, {"query": query}, list[StatisticsRow])


def login(client: CoveClient) -> object:
    return client.login()


def caught(kind: type[CovePollerError], act: Callable[[CoveClient], object], client: CoveClient) -> CovePollerError:
    """The error that `act` ends with, which is exactly of this kind."""
    with pytest.raises(kind) as info:
        act(client)
    assert type(info.value) is kind
    return info.value


# The login and its partner name


@pytest.mark.parametrize("partner", ["", PARTNER_NAME])
def test_the_partner_is_sent_only_when_it_is_configured(cove: FakeCove, make_client: MakeClient, partner: str) -> None:
    user = make_client(partner).login()
    sent = {"username": cove.username, "password": cove.password}
    assert cove.requests[0].params == ({**sent, "partner": partner} if partner else sent)
    assert user.partner_id == 1000


@pytest.mark.parametrize("partner", ["", "Example MSP", PARTNER_NAME.lower(), f" {PARTNER_NAME}"])
def test_a_partner_name_that_differs_in_a_letter_is_rejected_with_a_hint_at_it(
    cove: FakeCove, make_client: MakeClient, partner: str
) -> None:
    cove.partner = PARTNER_NAME
    error = caught(LoginRejected, login, make_client(partner))
    assert "to the letter, the partner name" in str(error)
    assert (f"with partner {partner!r}" if partner else "with no partner name") in str(error)


def test_a_partner_name_that_is_right_to_the_letter_is_accepted(cove: FakeCove, make_client: MakeClient) -> None:
    cove.partner = PARTNER_NAME
    assert make_client(PARTNER_NAME).login().user_name == cove.username


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RpcError(2100, "Unknown partner/username or bad password"), LoginRejected),
        (RpcError(500, "The password has expired"), LoginRejected),
        (RpcError(None, "Invalid credentials"), LoginRejected),
        (RpcError(0, "Two-factor authentication is required"), LoginRejected),
        (RpcError(9, "This user has been disabled"), LoginRejected),
        (RpcError(None, "Account is disabled"), LoginRejected),
        (RpcError(None, "The account is temporarily locked"), LoginLocked),
        (RpcError(2100, "User is blocked after too many bad passwords"), LoginLocked),
        (RpcError(2777, "A number that nobody has documented"), ApiError),
        (RpcError(500, "Internal error"), ApiError),
        (RpcError(9999, "Something"), ApiError),
        (RpcError(-1, "Unknown error"), ApiError),
        (RpcError(500, "deadlock detected"), ApiError),
        (RpcError(None, "database is locked"), ApiError),
        (RpcError(None, "The user table is locked"), ApiError),
        (RpcError(None, "PasswordService unavailable"), ApiError),
        (RpcError(None, "The factory is closed"), ApiError),
        (RpcError(None, "Caching is disabled"), ApiError),
        (RpcError(None, "Access denied"), ApiError),
        (RpcError(13501, "Operation failed because of security reasons"), PermissionDenied),
        (RpcError(None, "Internal server error"), ApiError),
        (RpcError(0, "The backend is not available"), ApiError),
        (RpcError(1701, "Visa is inconsistent/corrupted."), VisaRefused),
    ],
    ids=lambda value: str(value) if isinstance(value, RpcError) else value.__name__,
)
def test_a_refused_login_is_told_from_server_trouble_and_is_tried_once(
    cove: FakeCove, client: CoveClient, pauses: list[float], error: RpcError, kind: type[CovePollerError]
) -> None:
    cove.faults.login_error = error
    assert str(error) in str(caught(kind, login, client))
    assert [request.method for request in cove.requests] == ["Login"]
    assert (client.request_count, client.login_count, pauses) == (1, 1, [])


def test_a_wrong_password_is_rejected_and_tried_once(
    cove: FakeCove, make_client: MakeClient, pauses: list[float]
) -> None:
    error = caught(LoginRejected, login, make_client(password="not the token"))
    assert "error 2100" in str(error)
    assert (cove.count("Login"), pauses) == (1, [])


def test_a_login_that_brings_no_visa_is_an_error_of_the_moment(cove: FakeCove, client: CoveClient) -> None:
    cove.faults.login_without_visa = True
    assert "without a visa" in str(caught(ApiError, login, client))
    assert cove.count("Login") == 1


# The visa


def test_every_request_carries_the_visa_of_the_answer_before_at_its_top_level(
    cove: FakeCove, client: CoveClient
) -> None:
    issued: list[str] = []
    for act in (login, ask_partner, ask_statistics, ask_partner):
        before = set(cove.visas)
        act(client)
        issued += cove.visas - before
    assert [request.visa for request in cove.requests] == [None, *issued[:-1]]
    assert all("visa" not in request.params for request in cove.requests)


def test_a_visa_that_stands_beside_an_error_is_the_newest_too(cove: FakeCove, client: CoveClient) -> None:
    client.login()
    newest = cove.answer({"method": "Login", "params": cove.requests[0].params})["visa"]
    cove.faults.answers.append(refusal("Something else", visa=newest))
    caught(ApiError, ask_partner, client)
    ask_partner(client)
    assert cove.requests[-1].visa == newest


@pytest.mark.parametrize("minutes", [14, 16])
def test_a_visa_that_has_run_out_costs_one_login_and_one_retry(
    cove: FakeCove, client: CoveClient, minutes: int
) -> None:
    client.login()
    cove.now += timedelta(minutes=minutes)
    assert ask_partner(client) == Partner(name=PARTNER_NAME)
    renewed = minutes > 15
    again = ["Login", "GetPartnerInfoById"] if renewed else []
    assert [request.method for request in cove.requests] == ["Login", "GetPartnerInfoById", *again]
    assert client.login_count == 1 + renewed


def test_a_visa_refused_in_words_only_is_renewed_too(cove: FakeCove, client: CoveClient) -> None:
    client.login()
    cove.faults.answers.append(refusal("Your visa has expired", None))
    assert ask_partner(client) == Partner(name=PARTNER_NAME)
    assert cove.count("Login") == 2


def test_a_visa_that_is_refused_again_after_the_new_login_ends_in_an_error(cove: FakeCove, client: CoveClient) -> None:
    client.login()
    cove.faults.every_visa_is_refused = True
    caught(VisaRefused, ask_partner, client)
    assert (cove.count("Login"), cove.count("GetPartnerInfoById")) == (2, 2)


def test_a_login_that_is_rejected_while_renewing_the_visa_ends_it(cove: FakeCove, client: CoveClient) -> None:
    client.login()
    cove.password, cove.now = "another token", cove.now + timedelta(hours=1)
    caught(LoginRejected, ask_partner, client)
    assert (cove.count("Login"), cove.count("GetPartnerInfoById")) == (2, 1)


def test_a_method_that_the_user_may_not_call_is_named_and_asked_for_once(
    cove: FakeCove, client: CoveClient, pauses: list[float]
) -> None:
    client.login()
    cove.faults.forbidden_methods = frozenset({"GetPartnerInfoById"})
    error = caught(PermissionDenied, ask_partner, client)
    assert "GetPartnerInfoById" in str(error)
    assert cove.username in str(error)
    assert (cove.count("GetPartnerInfoById"), cove.count("Login"), pauses) == (1, 1, [])


# Trouble


@pytest.mark.parametrize("act", [login, ask_partner])
def test_trouble_that_passes_is_not_noticed_and_one_that_stays_ends_after_so_many_attempts(
    cove: FakeCove, client: CoveClient, pauses: list[float], act: Callable[[CoveClient], object]
) -> None:
    cove.faults.answers.extend([HttpAnswer(503)] * (ATTEMPTS - 1))
    client.login()
    cove.faults.answers.extend([HttpAnswer(503)] * ATTEMPTS)
    caught(ApiUnavailable, act, client)
    assert (len(cove.requests), client.request_count, len(pauses)) == (2 * ATTEMPTS, 2 * ATTEMPTS, 2 * ATTEMPTS - 2)
    assert client.login_count == 1 + (act is login)


def test_threads_whose_visa_has_run_out_share_one_login(cove: FakeCove, client: CoveClient) -> None:
    client.login()
    cove.now += timedelta(hours=1)
    with ThreadPoolExecutor(4) as pool:
        assert {*pool.map(lambda _: ask_partner(client), range(8))} == {Partner(name=PARTNER_NAME)}
    assert cove.count("Login") == 2


# What is no JSON comes from somebody between Cove and here, or was cut: that may pass

GZIPPED = gzip.compress(b'{"jsonrpc":"2.0","result":{"result":{"Name":"x"}},"visa":"v"}')
NO_JSON = {
    "a page": (b"<html>Please log in to the Wi-Fi</html>", {}, "a web page in place"),
    "a page with a title": (
        b"<!DOCTYPE html><TITLE>\nDown for  maintenance</TITLE>",
        {},
        "page (Down for maintenance) in",
    ),
    "nothing": (b"", {}, "an empty page in place"),
    "blanks": (b" \r\n", {}, "an empty page in place"),
    "half a body": (b'{"jsonrpc":"2.0","result":{"result":{"Na', {}, "40 bytes that break off or are damaged"),
    "JSON and more": (b'{"result":{"result":{}},"visa":"v"}<!-- proxied -->', {}, "51 bytes that break off"),
    "deep nesting": (b"[" * 100_000, {}, "100000 bytes that break off"),
    "a word": (b"Maintenance", {}, "11 bytes that are no JSON"),
    "bytes": (b"\xff\xfe\x00\x01", {}, "4 bytes that are no JSON"),
    "gzip cut": (GZIPPED[:-20], {"Content-Encoding": "gzip"}, "bytes that break off or are damaged"),
    "gzip cut after its head": (GZIPPED[:10], {"Content-Encoding": "gzip"}, "an empty page"),
    "gzip damaged": (b"\x1f\x8bnonsense, and no gzip", {"Content-Encoding": "gzip"}, "its answer cannot be unpacked"),
    "no gzip at all": (b"<html>", {"Content-Encoding": "gzip"}, "its answer cannot be unpacked"),
}


@pytest.mark.parametrize(("body", "headers", "said"), NO_JSON.values(), ids=NO_JSON.keys())
@pytest.mark.parametrize("act", [login, ask_statistics])
def test_an_answer_that_is_no_json_is_tried_again_and_what_came_is_said(
    cove: FakeCove,
    client: CoveClient,
    caplog: pytest.LogCaptureFixture,
    act: Callable[[CoveClient], object],
    body: bytes,
    headers: dict[str, str],
    said: str,
) -> None:
    caplog.set_level(logging.INFO)
    if act is not login:
        client.login()
    before = len(cove.requests)
    cove.faults.answers.append(HttpAnswer(200, headers, body))
    act(client)
    assert len(cove.requests) == before + 2
    assert said in caplog.text


def test_a_cove_that_sends_pages_for_ever_is_not_available(cove: FakeCove, client: CoveClient) -> None:
    cove.faults.answers.extend([HttpAnswer(200, {}, b"<title>Blocked &amp; logged</title>")] * 9)
    error = caught(ApiUnavailable, login, client)
    assert str(error) == f"Cove at {client.host} sent a web page (Blocked & logged) in place of an answer"
    assert len(cove.requests) == ATTEMPTS


# What makes no sense is not tried again

NONSENSE = {
    "404": HttpAnswer(404),
    "a list": HttpAnswer(200, {}, b"[]"),
    "null": HttpAnswer(200, {}, b"null"),
    "a string": HttpAnswer(200, {}, b'"visa"'),
    "a result that is a number": reply(result=5, visa="v"),
    "an inner result that is a text": reply(result={"result": "text"}, visa="v"),
    "an error that is a text": reply(error="no", visa="v"),
    "neither result nor error": reply(message="Forbidden"),
}


@pytest.mark.parametrize("answer", NONSENSE.values(), ids=NONSENSE.keys())
@pytest.mark.parametrize("act", [login, ask_statistics])
def test_an_answer_that_is_nonsense_is_an_error_at_once(
    cove: FakeCove,
    client: CoveClient,
    pauses: list[float],
    act: Callable[[CoveClient], object],
    answer: HttpAnswer,
) -> None:
    cove.faults.answers.append(answer)
    caught(ApiError, act, client)
    assert (len(cove.requests), pauses) == (1, [])


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param({"AccountId": 1}, id="an object"),
        pytest.param([5], id="a row that is a number"),
        pytest.param([{"Settings": []}], id="a row without an id"),
        pytest.param([{"AccountId": "x"}], id="an id that is a word"),
        pytest.param([{"AccountId": 1, "Settings": {"I1": "name"}}], id="settings that are an object"),
    ],
)
def test_rows_of_another_shape_are_an_error_at_once(
    cove: FakeCove, client: CoveClient, pauses: list[float], rows: object
) -> None:
    cove.faults.answers.append(reply(result={"result": rows}))
    assert "is not what Cove documents, at result.result" in str(caught(ApiError, ask_statistics, client))
    assert (len(cove.requests), pauses) == (1, [])


# Text


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_names_are_read_from_utf_8_and_from_latin_1(cove: FakeCove, client: CoveClient, encoding: str) -> None:
    cove.faults.encoding = encoding
    cove.fleet.partners = [FakePartner(1000, "Bäckerei Crème & Söhne", None)]
    client.login()
    assert ask_partner(client) == Partner(name="Bäckerei Crème & Söhne")


@pytest.mark.parametrize("act", [login, ask_partner])
def test_an_error_text_is_decoded_from_html(
    cove: FakeCove, client: CoveClient, act: Callable[[CoveClient], object]
) -> None:
    cove.faults.answers.append(refusal("The name &quot;R&amp;D&quot; isn&apos;t known", None))
    assert 'The name "R&D" isn\'t known' in str(caught(ApiError, act, client))


@pytest.mark.parametrize("act", [login, ask_partner])
@pytest.mark.parametrize(
    "error",
    [
        {"message": "one\r\ntwo\tthree &#10;four\x1b[31m\x07" + "x" * 10_000},
        {"message": None, "code": "one\ntwo" * 1000},
        {"message": "word", "code": ["x" * 10_000]},
    ],
    ids=["a long message", "a long code", "a list as code"],
)
def test_an_error_text_is_one_short_line(
    cove: FakeCove, client: CoveClient, act: Callable[[CoveClient], object], error: dict[str, Any]
) -> None:
    cove.faults.answers.append(reply(error=error))
    text = str(caught(ApiError, act, client))
    assert text.isprintable()
    assert len(text) < 500


@pytest.mark.parametrize(
    "number", [2100, "2100", 2100.0, None, "", "word", [], {}, float("inf"), float("nan")], ids=repr
)
def test_an_error_number_is_read_in_any_form_and_without_one_a_login_is_not_taken_for_rejected(
    cove: FakeCove, client: CoveClient, number: object
) -> None:
    cove.faults.answers.append(refusal("Something else", number))
    caught(LoginRejected if str(number).startswith("2100") else ApiError, login, client)


@pytest.mark.parametrize(
    ("password", "echoed"),
    [
        pytest.param("k3y-of-an-api-user", "k3y-of-an-api-user", id="plain"),
        pytest.param("R&D<\"secret'", "R&amp;D&lt;&quot;secret&apos;", id="as HTML"),
        pytest.param("tom&amp;jerry&lt;", "tom&amp;jerry&lt;", id="one that looks like HTML"),
        pytest.param("two  blanks  in  it", "two  blanks  in  it", id="with double blanks"),
        pytest.param("zero\u200bwidth-and-more", "zero\u200bwidth-and-more", id="with an invisible letter"),
    ],
)
@pytest.mark.parametrize("act", [login, ask_partner])
def test_an_error_that_echoes_the_password_is_shown_without_it(
    cove: FakeCove, make_client: MakeClient, act: Callable[[CoveClient], object], password: str, echoed: str
) -> None:
    client = make_client(password=password)
    padding = "-" * 150  # so that the text is cut within a second echo
    cove.faults.answers.append(refusal(f"bad password {echoed} {padding} {echoed}"))
    with pytest.raises(CovePollerError) as info:
        act(client)
    shown = "".join(traceback.format_exception(info.value))
    words = [word for word in password.replace("&amp;", "&").replace("&lt;", "<").replace("\u200b", "").split() if word]
    assert "bad password" in shown
    assert password not in shown
    assert " ".join(words) not in shown


def test_an_error_code_that_echoes_the_password_is_shown_without_it(cove: FakeCove, client: CoveClient) -> None:
    cove.faults.answers.append(reply(error={"code": f"E {cove.password}", "message": "no"}))
    with pytest.raises(CovePollerError) as info:
        client.login()
    assert cove.password not in str(info.value)


@pytest.mark.parametrize(
    ("visa", "newer"),
    [
        pytest.param(VISA, {}, id="alone"),
        pytest.param(VISA, {"visa": VISA.replace("A9", "B8")}, id="beside a newer one"),
        pytest.param("of/quite+another form==", {}, id="of another form"),
    ],
)
def test_an_error_that_echoes_the_visa_is_shown_without_it(
    cove: FakeCove, client: CoveClient, visa: str, newer: dict[str, str]
) -> None:
    cove.faults.answers.append(reply(result={"result": {"Name": "api-poller"}}, visa=visa))
    client.login()
    cove.faults.answers.append(refusal(f"{visa} {newer.get('visa', '')} may not do this", 13501, **newer))
    error = str(caught(PermissionDenied, ask_partner, client))
    assert "may not do this" in error
    assert visa not in error
    assert newer.get("visa", visa) not in error


def test_nothing_secret_is_logged_at_any_level(
    cove: FakeCove, client: CoveClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    client.login()
    cove.faults.answers.extend([HttpAnswer(503), HttpAnswer(429, {"Retry-After": "1"})])
    ask_statistics(client)
    cove.now += timedelta(hours=1)
    ask_partner(client)
    cove.faults.answers.extend([refusal(f"no, {cove.password}!"), HttpAnswer(404), *[HttpAnswer(503)] * ATTEMPTS])
    for _ in range(3):
        try:
            ask_partner(client)
        except ApiError as error:
            logging.getLogger("cove_poller").debug("it failed", exc_info=error)
    assert "attempt 1 failed: Cove at 127.0.0.1" in caplog.text
    assert "the visa was refused, logging in again" in caplog.text
    assert "it failed" in caplog.text
    for secret in {cove.password, *cove.visas}:
        assert secret not in caplog.text


# Its end


@pytest.mark.parametrize("act", [login, ask_partner])
def test_a_closed_client_asks_for_nothing_more(
    cove: FakeCove, client: CoveClient, act: Callable[[CoveClient], object]
) -> None:
    client.login()
    client.close()
    caught(ApiError, act, client)
    assert len(cove.requests) == 1

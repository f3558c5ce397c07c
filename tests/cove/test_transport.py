"""One POST and its retries against a real HTTP server: what is tried again, what never is, and what bounds it."""

import gzip
import itertools
import random
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import requests
import trustme

from cove_poller.config.settings import ApiSettings
from cove_poller.cove import transport as transport_module
from cove_poller.cove.transport import Pacer, Service, ShowsVisa, Transport, retry_after
from cove_poller.errors import ApiError, ApiUnavailable, CovePollerError, PermissionDenied, VisaRefused
from tests.cove.conftest import ATTEMPTS, MakeServer, Respond, Server, answering, send_head

NOW = datetime(2026, 10, 21, 7, 28, tzinfo=UTC)


def send(
    server: Server | str, pauses: list[float], visa: ShowsVisa = ShowsVisa.IN_BODY, **api: Any
) -> tuple[bytes | CovePollerError, int]:
    """What comes of sending something, an answer or an error, and how many requests went over the wire."""
    url = server if isinstance(server, str) else server.url
    settings = ApiSettings(**{"requests_per_second": 1000, "max_attempts": ATTEMPTS, **api})
    ticks = itertools.count(0, 0.01)
    transport = Transport(settings, lambda: next(ticks), pauses.append)
    try:
        return transport.send(Service(url, visa, "; is it right?"), "Login", b"{}", {}), transport.request_count
    except CovePollerError as error:
        return error, transport.request_count
    finally:
        transport.close()


# What may pass by itself is tried again


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_trouble_that_passes_is_not_noticed(make_server: MakeServer, pauses: list[float], status: int) -> None:
    server = make_server(answering(b"", status, times=ATTEMPTS - 1))
    assert send(server, pauses) == (b"{}", ATTEMPTS)
    assert len(pauses) == ATTEMPTS - 1


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_trouble_that_stays_ends_after_so_many_attempts(
    make_server: MakeServer, pauses: list[float], status: int
) -> None:
    server = make_server(answering(b"", status))
    error, count = send(server, pauses)
    assert isinstance(error, ApiUnavailable)
    assert str(error) == f"Cove at {server.url.split('/')[2]} answers HTTP {status}"
    assert (count, len(server.received), len(pauses)) == (ATTEMPTS, ATTEMPTS, ATTEMPTS - 1)


def test_attempts_are_bounded_in_time_too(
    make_server: MakeServer, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport_module, "MAX_RETRY_SECONDS", 0.0)
    assert send(make_server(answering(b"", 503)), pauses)[1] == 1


def test_pauses_of_its_own_choice_differ_and_stay_short(make_server: MakeServer, pauses: list[float]) -> None:
    send(make_server(answering(b"", 503)), pauses, max_attempts=20)
    assert len(pauses) == 19
    assert len(set(pauses)) > 10
    assert max(pauses) <= 30


def slow(handler: BaseHTTPRequestHandler, _: bytes) -> None:
    time.sleep(0.3)
    send_head(handler, 200)


@pytest.mark.parametrize(
    ("respond", "said"),
    [(None, "cannot be reached (ConnectionError)"), (slow, "Timeout"), (answering(b"{", Content_Length="1000"), "")],
    ids=["nobody is there", "it is too slow", "it breaks off"],
)
def test_a_network_that_fails_is_tried_again_so_many_times(
    make_server: MakeServer, pauses: list[float], respond: Respond | None, said: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/jsonapi"
    error, count = send(make_server(respond) if respond else url, pauses, timeout_seconds=0.1)
    assert isinstance(error, ApiUnavailable)
    assert said in str(error)
    assert (count, len(pauses)) == (ATTEMPTS, ATTEMPTS - 1)


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        ("7", 7),
        ("0", 0),
        ("-30", 0),
        ("86400", 120),
        pytest.param("9" * 400, 120, id="absurd"),
        ("inf", 120),
        ("Wed, 21 Oct 2026 07:29:00 GMT", 60),
        ("Wed, 21 Oct 2026 08:28:40 +0100", 40),
        ("Tue, 20 Oct 2026 07:28:00 GMT", 0),
        ("Thu, 29 Oct 2026 07:28:00 GMT", 120),
        ("soon", None),
        ("Wed, 99 Foo 2026", None),
        ("Wed, 21 Oct 2026 07:28:00", None),
        ("Wed, 21 Oct 99999999999999999999 07:28:00 GMT", None),
        ("nan", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_read_as_seconds_or_a_date_and_clamped(asked: str | None, seconds: float | None) -> None:
    assert retry_after(asked, NOW) == seconds


@pytest.mark.parametrize(("asked", "shortest", "longest"), [("7", 7, 7), ("86400", 120, 120), ("soon", 0, 1)])
@pytest.mark.parametrize("status", [429, 503])
def test_the_pause_is_what_retry_after_asks_for_within_reason(
    make_server: MakeServer, pauses: list[float], status: int, asked: str, shortest: float, longest: float
) -> None:
    send(make_server(answering(b"", status, times=1, Retry_After=asked)), pauses)
    assert len(pauses) == 1
    assert shortest <= pauses[0] <= longest


# What will not pass is not tried again


@pytest.mark.parametrize(
    ("status", "visa", "kind"),
    [
        (204, ShowsVisa.IN_BODY, ApiError),
        (400, ShowsVisa.IN_BODY, ApiError),
        (401, ShowsVisa.IN_BODY, ApiError),
        (403, ShowsVisa.NOT_AT_ALL, ApiError),
        (404, ShowsVisa.AS_BEARER, ApiError),
        (401, ShowsVisa.AS_BEARER, VisaRefused),
        (403, ShowsVisa.AS_BEARER, PermissionDenied),
    ],
)
def test_any_other_status_is_an_error_at_once(
    make_server: MakeServer, pauses: list[float], status: int, visa: ShowsVisa, kind: type[CovePollerError]
) -> None:
    error, count = send(make_server(answering(b"", status)), pauses, visa)
    assert type(error) is kind
    assert f"answers HTTP {status}" in str(error)
    assert str(error).endswith("; is it right?") is (kind is ApiError)
    assert (count, pauses) == (1, [])


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_so_its_target_never_gets_the_password(
    make_server: MakeServer, pauses: list[float], status: int
) -> None:
    target = make_server()
    error, count = send(make_server(answering(b"", status, Location=target.url)), pauses)
    assert type(error) is ApiError
    assert f"redirects to {target.url}, which is not followed" in str(error)
    assert (target.received, count, pauses) == ([], 1, [])


@pytest.mark.parametrize(
    "location",
    [
        "/elsewhere",
        "",
        "http://[broken",
        "http://caf\xe9.example.com/",
        f"http://{'x' * 5000}.example.com/",
        "http://\x1b[31m.example.com/",
    ],
    ids=["a path", "nothing", "no address", "Latin-1", "endless", "control characters"],
)
def test_wherever_a_redirect_leads_it_is_one_short_line_of_error(
    make_server: MakeServer, pauses: list[float], location: str
) -> None:
    error = send(make_server(answering(b"", 302, Location=location)), pauses)[0]
    assert type(error) is ApiError
    assert str(error).isprintable()
    assert len(str(error)) < 500


# The size of an answer and the time for it


@pytest.mark.parametrize("size", [10, 500_000])
def test_a_compressed_answer_is_read_like_any_other(make_server: MakeServer, pauses: list[float], size: int) -> None:
    body = random.Random(1).randbytes(size).hex().encode()  # so that compressed it is still of many pieces
    server = make_server(answering(gzip.compress(body), Content_Encoding="gzip"))
    assert send(server, pauses) == (body, 1)


@pytest.mark.parametrize(
    ("body", "encoding"),
    [(b" " * 2_000_000, "identity"), (gzip.compress(b" " * 2_000_000), "gzip")],
    ids=["plain", "compressed"],
)
def test_an_answer_that_is_too_large_is_an_error_at_once(
    make_server: MakeServer,
    pauses: list[float],
    monkeypatch: pytest.MonkeyPatch,
    body: bytes,
    encoding: str,
) -> None:
    monkeypatch.setattr(transport_module, "MAX_REPLY_BYTES", 1 << 20)
    error, count = send(make_server(answering(body, Content_Encoding=encoding)), pauses)
    assert type(error) is ApiError
    assert "more than 1 MiB" in str(error)
    assert count == 1


@pytest.mark.parametrize("status", [200, 302, 404, 503])
def test_of_an_answer_without_an_end_only_so_much_is_read(
    make_server: MakeServer, pauses: list[float], monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    taken = 0

    def respond(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        nonlocal taken
        send_head(handler, status, Location="/elsewhere", Transfer_Encoding="chunked")
        for _piece in range(1024):
            handler.wfile.write(b"10000\r\n" + b" " * 65536 + b"\r\n")
            taken += 65536

    monkeypatch.setattr(transport_module, "MAX_REPLY_BYTES", 1 << 20)
    assert isinstance(send(make_server(respond), pauses, max_attempts=1)[0], ApiError)
    assert taken < 16 << 20  # what the sockets' buffers hold comes on top


@pytest.mark.parametrize("chunked", [True, False], ids=["in chunks", "of a known length"])
def test_an_answer_that_only_trickles_is_given_up(make_server: MakeServer, chunked: bool) -> None:
    def respond(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        send_head(handler, 200, **{"Transfer_Encoding": "chunked"} if chunked else {"Content_Length": "60"})
        for _piece in range(60):  # each well within the time-out, all of them well beyond it
            handler.wfile.write(b"1\r\n \r\n" if chunked else b" ")
            time.sleep(0.04)

    transport = Transport(ApiSettings(timeout_seconds=0.2, max_attempts=1))
    began = time.monotonic()
    with pytest.raises(ApiUnavailable, match="took too long"):
        transport.send(Service(make_server(respond).url), "Login", b"{}", {})
    assert time.monotonic() - began < 1.8


# TLS, .netrc


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """A certificate authority that nobody trusts yet."""
    return trustme.CA()


def make_tls(authority: trustme.CA, host: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host).configure_cert(context)
    return context


@pytest.fixture
def trusted(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The authority is one that this machine trusts."""
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))


def refused_certificate(server: Server, pauses: list[float]) -> bool:
    error = send(server, pauses)[0]
    assert str(error) == "the TLS certificate of " + server.url.split("/")[2] + " cannot be verified; nothing was sent"
    return type(error) is ApiError and server.received == [] and pauses == []


def test_a_certificate_of_an_unknown_authority_is_an_error_before_anything_is_sent(
    make_server: MakeServer, authority: trustme.CA, pauses: list[float]
) -> None:
    assert refused_certificate(make_server(tls=make_tls(authority, "127.0.0.1")), pauses)


@pytest.mark.usefixtures("trusted")
def test_a_certificate_of_another_host_is_an_error_before_anything_is_sent(
    make_server: MakeServer, authority: trustme.CA, pauses: list[float]
) -> None:
    assert refused_certificate(make_server(tls=make_tls(authority, "cove.example.com")), pauses)


@pytest.mark.usefixtures("trusted")
def test_an_authority_in_requests_ca_bundle_is_trusted(
    make_server: MakeServer, authority: trustme.CA, pauses: list[float]
) -> None:
    assert send(make_server(tls=make_tls(authority, "127.0.0.1")), pauses) == (b"{}", 1)


def test_a_requests_ca_bundle_that_is_not_there_is_an_error_that_names_it(
    pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = "/etc/ssl/certs/example-company/internal-authority-2026.pem"
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", file)
    assert file in str(send("https://127.0.0.1:9/jsonapi", pauses)[0])


def test_a_netrc_file_in_the_home_directory_is_not_used(
    make_server: MakeServer, pauses: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / ".netrc"
    file.write_text("machine 127.0.0.1 login somebody password else\n", encoding="ascii")
    file.chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("NETRC", raising=False)
    server = make_server()
    send(server, pauses)
    requests.post(server.url, timeout=5)  # which does use it
    assert ["Authorization" in headers for headers, _ in server.received] == [False, True]


# Pace and end


def test_callers_in_several_threads_are_spaced_evenly(pauses: list[float]) -> None:
    pacer = Pacer(10, lambda: 100.0, pauses.append)  # as if all of them came at once
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: pacer.wait(), range(13)))
    assert sorted(pauses) == pytest.approx([number / 10 for number in range(1, 13)])


def test_a_caller_after_a_long_time_does_not_wait(pauses: list[float]) -> None:
    times = itertools.count(100, 5)
    pacer = Pacer(1, lambda: next(times), pauses.append)
    for _ in range(3):
        pacer.wait()
    assert pauses == []


def test_each_attempt_waits_for_its_turn(make_server: MakeServer) -> None:
    waited: list[float] = []
    transport = Transport(ApiSettings(requests_per_second=10, max_attempts=2), lambda: 100.0, waited.append)
    server = make_server(answering(b"", 503, times=1, Retry_After="7"))
    transport.send(Service(server.url), "Login", b"{}", {})
    assert waited == [7, pytest.approx(0.1)]


def test_closing_ends_the_wait_for_another_attempt(make_server: MakeServer) -> None:
    server = make_server(answering(b"", 503, Retry_After="100"))
    transport = Transport(ApiSettings(requests_per_second=1000))
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(transport.send, Service(server.url), "Login", b"{}", {})
        deadline = time.monotonic() + 10
        while not server.received and time.monotonic() < deadline:
            time.sleep(0.005)
        transport.close()
        assert isinstance(future.exception(timeout=10), ApiError)
    assert len(server.received) == 1

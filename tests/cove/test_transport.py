"""One POST and its retries against a real HTTP server: what is tried again, what never is, and what bounds it."""

import contextlib
import gzip
import itertools
import os
import random
import socket
import ssl
import threading
import time
import traceback
import tracemalloc
from collections.abc import Callable
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
from cove_poller.errors import ApiError, ApiUnavailable, ConfigError, CovePollerError, PermissionDenied, VisaRefused
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
        return transport.send(Service(url, visa, "; is it right?"), "Login", b"{}", {}, bytes), transport.request_count
    except CovePollerError as error:
        return error, transport.request_count
    finally:
        transport.close()


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


def outcome(act: Callable[[], object]) -> object:
    """What something returns, or the error that it raises."""
    try:
        return act()
    except CovePollerError as error:
        return error


# What may pass by itself is tried again


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
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
    [
        (None, "cannot be reached: it refuses the connection"),
        (slow, "cannot be reached: no answer in time"),
        (answering(b"{", Content_Length="1000"), ""),
    ],
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
    monkeypatch.setattr(transport_module, "OTHER_BYTES", 1 << 20)
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

    monkeypatch.setattr(transport_module, "OTHER_BYTES", 1 << 20)
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
        transport.send(Service(make_server(respond).url), "Login", b"{}", {}, bytes)
    assert time.monotonic() - began < 1.8


def dripped(head: bytes, seconds: float = 60) -> Respond:
    """An answer that comes a byte at a time, each well within the time-out, and never comes to its end."""

    def respond(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        until = time.monotonic() + seconds
        handler.wfile.write(head)
        while time.monotonic() < until:
            handler.wfile.write(b"x")
            time.sleep(0.02)

    return respond


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"HTTP/1.1 2",
        b"HTTP/1.1 200 OK\r\nX-Endless: ",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
    ],
    ids=["nothing", "the status", "a header", "another answer first", "a body of no length"],
)
@pytest.mark.parametrize("is_secure", [False, True], ids=["http", "https"])
@pytest.mark.usefixtures("trusted")
def test_one_deadline_is_over_a_whole_request(
    make_server: MakeServer, authority: trustme.CA, head: bytes, is_secure: bool
) -> None:
    server = make_server(dripped(head), tls=make_tls(authority, "127.0.0.1") if is_secure else None)
    transport = Transport(ApiSettings(timeout_seconds=0.2, max_attempts=1))
    began = time.monotonic()
    with pytest.raises(ApiUnavailable, match="took too long to send its answer"):
        transport.send(Service(server.url), "Login", b"{}", {}, bytes)
    assert time.monotonic() - began < 5
    transport.close()


def dripping(context: ssl.SSLContext) -> Callable[[socket.socket], None]:
    """Answers over TLS, a byte at a time, for half a minute."""

    def answer(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as wrapped:
            wrapped.recv(1 << 16)
            wrapped.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            for _ in range(300):
                wrapped.sendall(b" ")
                time.sleep(0.1)

    return answer


def passing_on(context: ssl.SSLContext, port: int) -> Callable[[socket.socket], None]:
    """A proxy that is spoken to over TLS, and leads to a port of this machine."""

    def one_way(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(1 << 16):
                target.sendall(piece)

    def answer(connection: socket.socket) -> None:
        with (
            contextlib.suppress(OSError),
            context.wrap_socket(connection, server_side=True) as wrapped,
            socket.create_connection(("127.0.0.1", port)) as origin,
        ):
            wrapped.recv(1 << 16)
            wrapped.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            threading.Thread(target=one_way, args=(wrapped, origin), daemon=True).start()
            one_way(origin, wrapped)

    return answer


def listening(stack: contextlib.ExitStack, answer: Callable[[socket.socket], None]) -> int:
    """Answer whoever connects, each in a thread; return the port."""
    server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = server.accept()
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return int(server.getsockname()[1])


@pytest.mark.usefixtures("no_proxies", "trusted")
def test_the_deadline_is_over_a_request_through_a_proxy_that_is_spoken_to_over_tls_and_over_those_after_it(
    authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contextlib.ExitStack() as stack:
        origin = listening(stack, dripping(make_tls(authority, "cove.example.com")))
        proxy = listening(stack, passing_on(make_tls(authority, "localhost"), origin))
        monkeypatch.setenv("HTTPS_PROXY", f"https://localhost:{proxy}")
        transport = Transport(ApiSettings(timeout_seconds=0.3, max_attempts=1))
        stack.callback(transport.close)
        begun_at = time.monotonic()
        for _ in range(2):
            with pytest.raises(ApiUnavailable, match="took too long"):
                transport.send(Service("https://cove.example.com/jsonapi"), "Login", b"{}", {}, bytes)
        assert time.monotonic() - begun_at < 5


def test_a_request_after_one_that_took_too_long_has_its_own_time(make_server: MakeServer, pauses: list[float]) -> None:
    answers = iter([dripped(b"HTTP/1.1 2"), answering(b"{}")])
    server = make_server(lambda handler, body: next(answers)(handler, body))
    assert send(server, pauses, timeout_seconds=0.2) == (b"{}", 2)


@pytest.mark.parametrize(
    ("rows", "size", "is_read"),
    [(0, 1 << 20, True), (0, (1 << 20) + 1, False), (2, 1_097_728, True), (2, 1_097_729, False)],
)
def test_an_answer_may_be_as_large_as_so_many_rows_can_be(
    make_server: MakeServer, rows: int, size: int, is_read: bool
) -> None:
    transport = Transport(ApiSettings(max_attempts=1))
    service = Service(make_server(answering(b" " * size)).url)
    found = outcome(lambda: transport.send(service, "Login", b"{}", {}, len, rows=rows))
    assert found == size if is_read else "sent more than 1 MiB in one answer" in str(found)


def test_a_compressed_answer_that_would_fill_the_memory_is_never_unpacked_whole(
    make_server: MakeServer, pauses: list[float]
) -> None:
    bomb = gzip.compress(gzip.compress(b" " * (256 << 20), 1))
    server = make_server(answering(bomb, Content_Encoding="gzip, gzip"))
    tracemalloc.start()
    error = send(server, pauses)[0]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "more than 1 MiB" in str(error)
    assert peak < 16 << 20


# Why nothing came


def raw(answer: bytes) -> Respond:
    return lambda handler, _: (handler.wfile.write(answer), handler.connection.close())[1]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"", "it closed the connection without an answer"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "what answers there does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n", "its answer breaks off"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{", "its answer breaks off"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", "what answers there does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", "its answer breaks off"),
    ],
)
def test_an_answer_that_is_none_is_told_in_plain_words(
    make_server: MakeServer, pauses: list[float], answer: bytes, said: str
) -> None:
    server = make_server(raw(answer))
    error, count = send(server, pauses)
    assert str(error) == f"Cove at {server.url.split('/')[2]} cannot be reached: {said}"
    assert count == ATTEMPTS


def test_a_name_that_nobody_knows_is_told_in_plain_words(pauses: list[float]) -> None:
    error, _ = send("https://cove.invalid/jsonapi", pauses)
    assert str(error) in {
        "Cove at cove.invalid cannot be reached: its name is not known",
        "Cove at cove.invalid cannot be reached: the name server does not answer",
    }


def test_a_server_that_speaks_no_tls_is_told_in_plain_words(make_server: MakeServer, pauses: list[float]) -> None:
    error, _ = send(make_server().url.replace("http:", "https:"), pauses)
    assert str(error).endswith("cannot be reached: what answers there does not speak TLS")


# Proxies

PROXY_PASSWORD = "pr0xy-canary"


@pytest.fixture
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)


@pytest.mark.usefixtures("no_proxies")
@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_this_machine_is_asked_through_no_proxy(
    make_server: MakeServer, pauses: list[float], monkeypatch: pytest.MonkeyPatch, variable: str, host: str
) -> None:
    server, proxy = make_server(), make_server()
    monkeypatch.setenv(variable, proxy.url)
    assert send(server.url.replace("127.0.0.1", host), pauses) == (b"{}", 1)
    assert proxy.received == []


@pytest.mark.usefixtures("no_proxies")
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
@pytest.mark.parametrize(
    "proxy",
    [
        f"http://me:{PROXY_PASSWORD}#x@proxy.example.com:3128",
        f"http://me:12#{PROXY_PASSWORD}@proxy.example.com:3128",
        f"http://me:12/{PROXY_PASSWORD}@proxy.example.com:3128",
        f"http://me:x?{PROXY_PASSWORD}@proxy.example.com:3128",
        f"http://me:{PROXY_PASSWORD}@proxy.example.com:port",
        f"http://me:{PROXY_PASSWORD}@",
        f"http://me:{PROXY_PASSWORD} x@proxy.example.com:3128",
        f"me:{PROXY_PASSWORD}#@proxy.example.com:3128",
        f"ftp://me:{PROXY_PASSWORD}@proxy.example.com:3128",
        f"http://me:{PROXY_PASSWORD}@[::1:3128",
    ],
)
def test_a_proxy_that_cannot_be_understood_is_named_by_its_variable_and_never_shown(
    pauses: list[float], monkeypatch: pytest.MonkeyPatch, variable: str, proxy: str
) -> None:
    monkeypatch.setenv(variable, proxy)
    error, count = send("https://cove.invalid/jsonapi", pauses)
    assert type(error) is ConfigError
    assert str(error).startswith(f"the proxy in {variable} cannot be understood; nothing was sent")
    assert "canary" not in "".join(traceback.format_exception(error))
    assert (count, pauses) == (1, [])


@pytest.mark.usefixtures("no_proxies")
@pytest.mark.parametrize(
    ("status", "said"),
    [
        (407, "the proxy wants another user or password"),
        (503, "the proxy does not help: it answers HTTP 503"),
        (None, "the proxy does not help: it refuses the connection"),
    ],
)
def test_a_proxy_that_does_not_help_is_told_as_that(
    make_server: MakeServer,
    pauses: list[float],
    monkeypatch: pytest.MonkeyPatch,
    status: int | None,
    said: str,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
    if status:
        address = make_server(answering(b"", status)).url.split("/")[2]
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:{PROXY_PASSWORD}@{address}")
    error, _ = send("https://cove.invalid/jsonapi", pauses)
    assert f"cannot be reached: {said}" in str(error)
    assert "canary" not in str(error)


# TLS, .netrc


def refused_certificate(server: Server, pauses: list[float], why: str) -> bool:
    error = send(server, pauses)[0]
    host = server.url.split("/")[2]
    assert str(error) == f"the TLS certificate of {host} cannot be verified: {why}; nothing was sent"
    return type(error) is ApiError and server.received == [] and pauses == []


def test_a_certificate_of_an_unknown_authority_is_an_error_before_anything_is_sent(
    make_server: MakeServer, authority: trustme.CA, pauses: list[float]
) -> None:
    assert refused_certificate(
        make_server(tls=make_tls(authority, "127.0.0.1")), pauses, "it is signed by an unknown authority"
    )


@pytest.mark.usefixtures("trusted")
def test_a_certificate_of_another_host_is_an_error_before_anything_is_sent(
    make_server: MakeServer, authority: trustme.CA, pauses: list[float]
) -> None:
    assert refused_certificate(
        make_server(tls=make_tls(authority, "cove.example.com")), pauses, "it is for another host"
    )


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


def test_each_request_is_sent_with_its_own_body_and_headers_and_what_cove_set_as_cookie(
    make_server: MakeServer,
) -> None:
    server = make_server(answering(b"{}", Set_Cookie="node=7"))
    transport = Transport(ApiSettings(requests_per_second=1000))
    for body, headers in ((b"first", {"Authorization": "Bearer v"}), (b"2", {}), (b"third one", {})):
        transport.send(Service(server.url), "Login", body, headers, bytes)
    transport.close()
    heads = [headers for headers, _ in server.received]
    assert [body for _, body in server.received] == [b"first", b"2", b"third one"]
    assert [head.get("Authorization") for head in heads] == ["Bearer v", None, None]
    assert [head.get("Cookie") for head in heads] == [None, "node=7", "node=7"]


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
    transport.send(Service(server.url), "Login", b"{}", {}, bytes)
    assert waited == [7, pytest.approx(0.1)]


def test_closing_ends_the_wait_for_another_attempt(make_server: MakeServer) -> None:
    server = make_server(answering(b"", 503, Retry_After="100"))
    transport = Transport(ApiSettings(requests_per_second=1000))
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(transport.send, Service(server.url), "Login", b"{}", {}, bytes)
        deadline = time.monotonic() + 10
        while not server.received and time.monotonic() < deadline:
            time.sleep(0.005)
        transport.close()
        assert isinstance(future.exception(timeout=10), ApiError)
    assert len(server.received) == 1

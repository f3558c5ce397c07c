"""Secrets of each kind that nothing may show: every command at -vv, in each failure, whatever the server echoes."""

import gzip
import html
import json
import threading
import time
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
import tomli_w

from tests.conftest import Cli
from tests.faults.meddling import Meddling, meddle, refuses, sends
from tests.faults.scene import new_cove
from tests.world.fake_cove import FakeCove, serving

PASSWORD = 'c4nary-l0gin"ä/\\&<x%#end'
DATABASE = "c4nary-d4tabase/#?é+end"
PROXY = "c4nary-pr0xy#:/%end"
VISA = "c4nary-v1sa/+of\nanother&form=="
PING = "c4nary-p1ng-uuid"
TOKEN = 'c4nary-t0ken/"+of a\\device&end'
SECRETS = (PASSWORD, DATABASE, PROXY, VISA, PING, TOKEN)


def in_base64(secret: str) -> Iterator[str]:
    """What of a secret is the same in base64 whatever stands before and behind it."""
    for before in range(3):
        packed = b64encode(b"." * before + secret.encode()).decode().rstrip("=")
        whole = packed[(0, 2, 3)[before] : len(packed) - 1]  # the last letter may be of what stands behind it too
        yield from (whole, whole.replace("+", "-").replace("/", "_"))


def spellings(secret: str) -> Iterator[str]:
    yield from (secret, " ".join(secret.split()), repr(secret)[1:-1], repr(secret.encode())[2:-1])
    yield from (quote(secret), quote(secret, safe=""), quote_plus(secret), quote(quote(secret)))
    yield from (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1])
    yield from (json.dumps(json.dumps(secret))[3:-3], html.escape(secret), html.escape(json.dumps(secret)[1:-1]))
    yield from (quote(json.dumps(secret)[1:-1], safe=""), json.dumps(quote_plus(json.dumps(secret)[1:-1]))[1:-1])
    yield from (html.escape(quote(html.escape(secret), safe="%")), quote(repr(json.dumps(secret)[1:-1])[1:-1]))
    yield from in_base64(secret)


def hits(text: str) -> list[str]:
    """The spellings of secrets in a text; a part that tells much of one is a hit too."""
    found = [spelt for secret in SECRETS for spelt in spellings(secret) if spelt in text]
    return found + [text[at : at + 60] for at in range(len(text)) if text.startswith("c4nary", at)]


def echo(*secrets: str) -> str:
    """All spellings of secrets, as a server may send them back."""
    in_words = [spelt for secret in secrets for spelt in spellings(secret) if spelt not in in_base64(secret)]
    pairs = [
        f"{before}{secret}{after}".encode() for secret in secrets for before in ("", "a:", "me:") for after in "?!"
    ]
    return " ".join([*in_words, *(pack(one).decode() for one in pairs for pack in (b64encode, urlsafe_b64encode))])


def on_a_line(text: str) -> str:
    """As much of a text as a header takes."""
    return " ".join(text.split()).encode("latin-1", "ignore").decode("latin-1")


def raw(line: str) -> Meddling:
    """Send a status line, and nothing else."""

    def send(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        handler.wfile.write(f"{line}\r\n\r\n".encode("latin-1"))
        handler.close_connection = True

    return send


Meddle = Callable[[str], Meddling]
"""Sends secrets back, given in all spellings."""

ECHOES: dict[str, Meddle] = {
    "Location": lambda said: sends(b"", 302, Location=f"https://elsewhere.example.com/?q={on_a_line(said)}"),
    "a bad status line": lambda said: raw(f"HTP/1.1 {on_a_line(said)}"),
    "the reason of a status": lambda said: raw(f"HTTP/1.1 500 {on_a_line(said)}"),
    "headers": lambda said: sends(b"", 503, Retry_After=on_a_line(said), Date=on_a_line(said)),
    "the packing": lambda said: sends(b"x", Content_Encoding=on_a_line(said)),
    "a page's title": lambda said: sends(f"<html><title>{said}</title>".encode()),
    "a page's title as HTML": lambda said: sends(f"<html><title>{html.escape(said)}</title>".encode()),
    "an error's message": lambda said: refuses(99, said),
    "a rejection": lambda said: refuses(2100, f"bad password {said}"),
    "a refusal": lambda said: refuses(13501, said),
    "an error's number": lambda said: refuses({said: 1}, {said: 1}),
    "another shape": lambda said: sends(json.dumps({"result": {"result": {said: said}}}).encode()),
    "half of an answer": lambda said: sends(json.dumps({"error": said}).encode()[:-9]),
}
BROKEN = """
import urllib.parse, base64
from cove_poller.cove.listing import Listing
def broken(self):
    secrets = [self._client._password.get_secret_value(), self._client._held.visa]
    try:
        raise ValueError(secrets)
    except ValueError as error:
        raise ZeroDivisionError("".join(map(urllib.parse.quote, secrets)) + "\\n".join(secrets)) from error
Listing.iter_pages = broken
"""
ASKING = [["sync"], ["sync", "--json"], ["test-login"], ["doctor", "--json"]]
OTHERS = [
    ["backfill", "--since", "2d", "--yes"], ["check"], ["check", "--format", "checkmk"],
    ["check", "--format", "prometheus"], ["config", "check"], ["config", "show"], ["devices", "list"],
    ["devices", "ignore", "1", "--yes"], ["devices", "link", "1", "--job", "1", "--yes"], ["doctor"],
    ["migrate", "--dry-run"], ["prune", "--keep", "4w"], ["report", "--output", "report.html"], ["status", "--all"],
    ["status", "--json"], ["status", "--csv"], ["sync", "--dry-run"], ["test-login", "--json"],
]  # fmt: skip


class Pinged(BaseHTTPRequestHandler):
    """Keeps what a monitoring is told, as a file in the directory that is looked through."""

    directory: Path

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        (self.directory / f"told-{time.monotonic_ns()}").write_bytes(body)
        self.send_response(500)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Stay quiet."""


@pytest.fixture
def pinged(cli: Cli) -> Iterator[str]:
    """The URL of a monitoring, with a secret in it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Pinged,), {"directory": cli.directory}))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/{PING}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def cove(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCove]:
    for module in ("history", "cove"):
        monkeypatch.setattr(f"tests.world.fake_cove.{module}.token_of_account", lambda _: TOKEN)
    cove = new_cove()
    cove.password = PASSWORD
    cove.visas = {VISA}
    with serving(cove) as served:
        served._new_visa = lambda: VISA  # type: ignore[method-assign]
        served._check_visa = lambda visa: None  # type: ignore[method-assign]
        yield served


@pytest.fixture
def cli(cli: Cli, cove: FakeCove) -> Cli:
    cli.environ = {"HTTPS_PROXY": f"http://user:{quote(PROXY, safe='')}@127.0.0.1:1"}
    return cli


def configure(cli: Cli, cove: FakeCove, *, url: str = "", database: str = "", ping: str = "") -> None:
    api = {"url": url or cove.url, "requests_per_second": 1000, "max_attempts": 1, "timeout_seconds": 5}
    content = {
        "database": {"url": database or f"sqlite:///{cli.directory / 'cove.db'}"},
        "api": api,
        "logins": {"main": {"username": cove.username, "password": PASSWORD}},
        "healthchecks": {"url": ping or f"http://127.0.0.1:1/{PING}"},
    }
    cli.write_config(tomli_w.dumps(content))


def looked_through(cli: Cli, commands: Sequence[Sequence[str]], forms: Sequence[str] = ("text", "json")) -> int:
    """Run the commands with logs in the `forms`; no secret may be in what they say and leave. Count those texts."""
    texts = {}
    for command in commands:
        for form in forms:
            done = cli("-vv", "--log-format", form, *command)
            texts[f"{command} {form}"] = done.stdout + done.stderr
    for file in cli.directory.rglob("*"):
        if file.is_file() and file.name != "cove.toml":
            texts[file.name] = content_of(file)
    found = {name: hits(text) for name, text in texts.items()}
    assert {name: some for name, some in found.items() if some} == {}
    return len(texts)


def content_of(file: Path) -> str:
    content = file.read_bytes()
    return (gzip.decompress(content) if file.suffix == ".gz" else content).decode(errors="replace")


Record = Callable[[str, object], None]


@pytest.mark.parametrize("number", [1, 2], ids=["login", "page"])
@pytest.mark.parametrize("what", ECHOES)
def test_what_a_server_echoes_is_nowhere(
    what: str, number: int, cli: Cli, cove: FakeCove, record_property: Record
) -> None:
    configure(cli, cove)
    said = echo(PASSWORD) if number == 1 else echo(PASSWORD, VISA)
    found = 0
    for command, form in ((["sync"], "text"), (["test-login", "--json"], "json")):
        meddle(cove, number, ECHOES[what](said), once=False)
        found += looked_through(cli, [command], [form])
    record_property("canaries", found)


@pytest.mark.parametrize("number", [4, 5], ids=["account", "sessions"])
@pytest.mark.parametrize("what", ECHOES)
def test_what_is_echoed_while_histories_are_read_is_nowhere_not_even_in_what_a_monitoring_is_told(
    what: str, number: int, cli: Cli, cove: FakeCove, pinged: str, record_property: Record
) -> None:
    configure(cli, cove, ping=pinged)
    meddle(cove, number, ECHOES[what](echo(PASSWORD, VISA, TOKEN, PING)), once=False)
    record_property("canaries", looked_through(cli, [["backfill", "--since", "2d", "--yes"]], ["text"]))
    assert cove.count("GetAccountInfoById")
    assert [*cli.directory.glob("told-*")]


def test_no_traceback_shows_one(cli: Cli, cove: FakeCove, pinged: str, record_property: Record) -> None:
    configure(cli, cove, ping=pinged)
    cli.before = BROKEN
    assert cli("sync").returncode == 1
    assert "ZeroDivisionError" in cli("-vv", "test-login").stderr
    record_property("canaries", looked_through(cli, [*ASKING, ["sync", "--dry-run"]]))


AWAY = f"postgresql://user:{quote(DATABASE, safe='')}@127.0.0.1:1/nothing"


@pytest.mark.parametrize(
    ("database", "url"),
    [
        pytest.param("", "", id="all is well"),
        pytest.param(AWAY, "", id="the database is away"),
        pytest.param(f"postgresql://user:{DATABASE}@127.0.0.1:1/nothing", "", id="its address is not understood"),
        pytest.param("", "https://nowhere.invalid/jsonapi", id="the proxy is away"),
    ],
)
def test_no_command_shows_one(database: str, url: str, cli: Cli, cove: FakeCove, record_property: Record) -> None:
    configure(cli, cove, database=database, url=url)
    if not database:
        cli.environ["COVE_POLLER_DATABASE_PASSWORD"] = DATABASE
    record_property("canaries", looked_through(cli, [*ASKING, *OTHERS] if not url else ASKING))


def test_the_search_finds_what_it_looks_for() -> None:
    assert all(hits(spelt) for secret in SECRETS for spelt in spellings(secret))

"""The faults on the wire: what Cove's answer is replaced by, at the login, the first page and the second one."""

from collections.abc import Iterator
from functools import partial

from tests.faults.meddling import (
    PAGE,
    Meddling,
    babbles,
    breaks_off,
    drips,
    half,
    half_of_gzip,
    hangs_up,
    is_silent,
    meddle,
    refuses,
    resets,
    result,
    says,
    sends,
)
from tests.faults.scene import Ran, Scene
from tests.faults.table import Fault

Numbers = tuple[int, int, int]
"""Exit code, job runs, requests."""

MOMENTS = ("login", "page 1", "page 2")
PASSES = ((0, 3, 5), (0, 3, 5), (0, 3, 5))
TWICE = ((13, 0, 2), (13, 0, 3), (3, 2, 4))
"""It is tried twice, then given up."""

AT_ONCE = ((13, 0, 1), (13, 0, 3), (3, 2, 3))
"""It is not tried again, but for the first page: there without the question how many devices there are."""

OF_ROWS = ((13, 0, 1), (13, 0, 3), (3, 2, 4))
SHAPE = "is not what Cove documents"
NOTHING = "has neither a result nor an error"
READ = "be read"

ONCE: dict[str, tuple[Meddling, tuple[Numbers, ...], str]] = {
    "a web page in place of JSON, once": (sends(PAGE), PASSES, ""),
    "nothing, once": (sends(b""), PASSES, ""),
    "half of the JSON, once": (half, PASSES, ""),
    "a body that breaks off, once": (breaks_off, PASSES, ""),
    "gzip that is cut, once": (half_of_gzip, PASSES, ""),
    "HTTP 500, once": (sends(PAGE, 500), PASSES, ""),
    "HTTP 502, once": (sends(PAGE, 502), PASSES, ""),
    "HTTP 503, once": (sends(PAGE, 503), PASSES, ""),
    "HTTP 429 with Retry-After, once": (sends(b"", 429, Retry_After="0"), PASSES, ""),
    "HTTP 408, once": (sends(b"", 408), PASSES, ""),
    "a connection that is reset, once": (resets, PASSES, ""),
    "a connection that is closed, once": (hangs_up, PASSES, ""),
    "silence, once": (is_silent, PASSES, ""),
    "error 1701, once": (
        refuses(1701, "Visa is inconsistent/corrupted."), ((13, 0, 1), (0, 3, 6), (0, 3, 6)), "answers the login with",
    ),
}  # fmt: skip

ALWAYS: dict[str, tuple[Meddling, tuple[Numbers, ...], str | tuple[str, ...]]] = {
    "a web page in place of JSON": (sends(PAGE), TWICE, "sent a web page (Maintenance) in place of an answer"),
    "nothing": (sends(b""), TWICE, "sent an empty page in place of an answer"),
    "half of the JSON": (half, TWICE, "bytes that break off or are damaged in place of an answer"),
    "a body that breaks off": (breaks_off, TWICE, "cannot be reached: its answer breaks off"),
    "gzip that is cut": (half_of_gzip, TWICE, "bytes that break off or are damaged in place of an answer"),
    "what says it is gzip": (sends(PAGE, Content_Encoding="gzip"), TWICE, "its answer cannot be unpacked"),
    "HTTP 500": (sends(PAGE, 500), TWICE, "answers HTTP 500"),
    "HTTP 429 with Retry-After": (sends(b"", 429, Retry_After="0"), TWICE, "answers HTTP 429"),
    "a connection that is reset": (resets, TWICE, "it closed the connection without an answer"),
    "another protocol": (babbles, TWICE, "what answers there does not speak HTTP"),
    "silence": (is_silent, TWICE, "no answer in time"),
    "a header that drips": (drips, TWICE, "took too long to send its answer"),
    "JSON nested 100,000 deep": (sends(b"[" * 100_000 + b"]" * 100_000), TWICE, "break off or are damaged"),
    "bytes that are no text": (sends(bytes(range(128, 256))), TWICE, "128 bytes that are no JSON"),
    "HTTP 401": (sends(PAGE, 401), AT_ONCE, "answers HTTP 401; is api.url right?"),
    "HTTP 403": (sends(PAGE, 403), AT_ONCE, "answers HTTP 403; is api.url right?"),
    "HTTP 404": (sends(PAGE, 404), AT_ONCE, "answers HTTP 404; is api.url right?"),
    "HTTP 204": (sends(b"", 204), AT_ONCE, "answers HTTP 204; is api.url right?"),
    "a redirect": (
        sends(PAGE, 302, Location="https://login.example.com/?from=cove"), AT_ONCE,
        "redirects to https://login.example.com/?from=cove, which is not followed",
    ),
    "3 MiB": (sends(b'{"result": "' + b"x" * (3 << 20) + b'"}'), AT_ONCE, "sent more than 1 MiB in one answer"),
    "`null`": (says(None), AT_ONCE, SHAPE),
    "`[]`": (says([]), AT_ONCE, SHAPE),
    "a text": (says("ok"), AT_ONCE, SHAPE),
    "neither result nor error": (says({"jsonrpc": "2.0", "id": 1}), AT_ONCE, NOTHING),
    "`result: null`": (says({"result": None, "visa": "a-visa"}), AT_ONCE, NOTHING),
    "an inner result of null": (result(None), AT_ONCE, ("without a visa", "without a list", "without a list")),
    "an inner result that is a number": (result(7), AT_ONCE, SHAPE),
    "an inner result that is a text": (result("ok"), AT_ONCE, SHAPE),
    "an empty inner object": (result({}), AT_ONCE, ("names no partner", SHAPE, SHAPE)),
    "an inner list of null": (result([None]), OF_ROWS, (SHAPE, "has any backup column", READ)),
    "an inner list of lists": (result([[]]), OF_ROWS, (SHAPE, "has any backup column", READ)),
    "rows without an account": (
        result([{"Settings": [{"D09F00": "5"}]}]), OF_ROWS, (SHAPE, "has any backup column", READ),
    ),
    "`NaN`": (sends(b'{"result": {"result": NaN}, "visa": "a-visa"}'), AT_ONCE, SHAPE),
    "error 2100": (
        refuses(2100, "Unknown partner/username or bad password"), ((11, 0, 1), *AT_ONCE[1:]),
        ("Cove rejects user", "with error 2100", "with error 2100"),
    ),
    "a user that is locked": (
        refuses(5, "User is locked"), ((11, 0, 1), *AT_ONCE[1:]), ("Cove has locked", "with error 5", "with error 5"),
    ),
    "error 13501": (refuses(13501, "No"), ((12, 0, 1), (12, 0, 3), (3, 2, 4)), "Cove does not allow"),
    "error 1701": (refuses(1701, "Visa is inconsistent."), OF_ROWS, "Cove answers the login with error 1701"),
    "an error that is not known": (refuses(99, "The database is locked"), AT_ONCE, 'error 99, "The database is lock'),
    "an error without words": (refuses(None, None), AT_ONCE, 'error -32603, "no message"'),
    "an error that is a text": (says({"error": "no"}), AT_ONCE, "is not what Cove documents, at error"),
}  # fmt: skip


def meddled(scene: Scene, number: int, meddling: Meddling, *, once: bool) -> Ran:
    if meddling in (is_silent, drips):
        scene.timeout_seconds = 0.6
        scene.configure()
    meddle(scene.cove, number, meddling, once=once)
    return scene.run()


def faults() -> Iterator[Fault]:
    """Each of them at each of the moments; what is not read on page 2 is read by the next run."""
    for cases, once in ((ONCE, True), (ALWAYS, False)):
        for name, (meddling, expected, said) in cases.items():
            for place, (code, runs, requests) in enumerate(expected):
                piece = said if isinstance(said, str) else said[place]
                cause = partial(meddled, number=place + 1, meddling=meddling, once=once)
                told = piece if code else ""
                heals = code == 3 or name == "a web page in place of JSON"
                yield Fault("wire", name, MOMENTS[place], code, runs, requests, told, cause, heals)

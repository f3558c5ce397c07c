"""Keeps secrets out of every text that is shown, logged or stored: what is fetched or received as one is remembered.

A secret is found in each spelling that may come back: as it is, escaped as JSON, in a URL, as HTML or as Python shows
it, each letter by itself, and with other blanks in it; in base64 too, whatever stands before and behind it there. Where
one escape is wrapped in another, as JSON in a URL, the whole line is hidden. What looks like a visa or a token is never
shown.
"""

import functools
import html
import re
import threading
from base64 import b64encode
from collections import deque
from collections.abc import Iterable, Sequence
from html.entities import codepoint2name
from typing import Any
from urllib.parse import unquote

from cove_poller.text import fitted, one_line

REDACTED = "[redacted]"
SHORTEST_REDACTED = 4  # shorter ones would tear holes into ordinary words
SHORTEST_PACKED = 8  # what is left of a shorter secret in base64 may be anything
MAX_TEXT_LENGTH = 200
MAX_READ_LENGTH = 20_000  # of a text that somebody else sent
LONGEST_SPELT = 1000  # longer ones are no passwords, and would take long to look for in each spelling
PASSING_KEPT = 16  # visas: each answer may bring another one
ESCAPE_MARKS = "\\%&"  # of JSON and Python, of URLs, of HTML
MOST_LAYERS = 10
ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})|(.))", re.DOTALL)
"""JSON's and Python's."""

CONTROLS = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}

VISA = re.compile(r"[\d-]*[0-9A-Fa-f]{32,}|[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
"""A visa's looks, and a token's."""
SHORTEST_VISA = 32
HARMLESS = frozenset({int, float, bool, type(None)})

_lasting: dict[str, None] = {}
_passing: deque[str] = deque(maxlen=PASSING_KEPT)
_changing = threading.Lock()


def remember(*secrets: str | None, passing: bool = False) -> None:
    """Let no text of this process show the secrets from now on; `passing` ones make room for newer ones."""
    with _changing:
        for secret in filter(None, secrets):
            if not passing:
                _lasting[secret] = None
            elif secret not in _passing:
                _passing.append(secret)


def forget_all() -> None:
    """Forget what was remembered, as at the start of a process."""
    with _changing:
        _lasting.clear()
        _passing.clear()


def remembered() -> list[str]:
    """Return the secrets that no text may show, the longest first: one may be a part of another."""
    with _changing:
        return sorted({*_lasting, *_passing}, key=len, reverse=True)


def redacted(text: str, secrets: Iterable[str] = ()) -> str:
    """Return the text without any remembered secret or one of `secrets`, in whatever spelling, and without visas."""
    bare = None if any(mark in text for mark in ESCAPE_MARKS) else _squeezed(text)
    for secret in (*secrets, *remembered()):
        if len(secret) > LONGEST_SPELT:
            text = text.replace(secret, REDACTED)
        elif len(secret) >= SHORTEST_REDACTED and (bare is None or _is_in(bare, secret)):
            text = _spellings(secret).sub(REDACTED, text)
            for packed in _in_base64(secret):
                text = text.replace(packed, REDACTED)
    if bare is None:
        text = _without_wrapped(text, (*secrets, *remembered()))
    return VISA.sub(REDACTED, text) if len(text) >= SHORTEST_VISA else text


def redacted_values(content: Any, known: dict[str, str] | None = None) -> Any:
    """Return what is to become JSON with every text in it redacted; keys stay, or programs would not find them.

    `known` are texts that were redacted before, to which these are added: the same few occur again and again.
    """
    known = {} if known is None else known
    if isinstance(content, str):
        found = known.get(content)
        if found is None:
            found = known[content] = redacted(content)
        return found
    if isinstance(content, dict):
        return {
            key: value if value.__class__ in HARMLESS else redacted_values(value, known)
            for key, value in content.items()
        }
    if isinstance(content, (list, tuple)):
        return [redacted_values(value, known) for value in content]
    return content


def fit_to_show(text: str, limit: int = MAX_TEXT_LENGTH) -> str:
    """Return somebody else's text fit for a mail: one line, not long, no secret, not even a part of one at its end."""
    return fitted(one_line(redacted(html.unescape(text[:MAX_READ_LENGTH]))), limit)


def _without_wrapped(text: str, secrets: Sequence[str]) -> str:
    """Return the text without the lines in which a secret is escaped in several ways at once; maybe without any."""
    if not _wraps(text, secrets):
        return text
    left = "\n".join(REDACTED if _wraps(line, secrets) else line for line in text.split("\n"))
    return REDACTED if _wraps(left, secrets) else left


def _wraps(text: str, secrets: Iterable[str]) -> bool:
    """Whether one of the secrets stands in a text once its escapes are taken off, as many as there are."""
    plain = _plain(text)
    if plain == text:
        return False
    bare = _squeezed(plain)
    return any(
        word in (bare if len(word) >= SHORTEST_PACKED else plain)  # a shorter one may come about without the blanks
        for secret in secrets
        for word in (_squeezed(_plain(secret)),)
        if SHORTEST_REDACTED <= len(word) <= LONGEST_SPELT
    )


def _plain(text: str) -> str:
    """Return a text with all its layers of escapes taken off, also of what only looks like one."""
    for _ in range(MOST_LAYERS):
        before = text
        text = ESCAPE.sub(_escaped, text)
        text = unquote(html.unescape(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")))
        if text == before:
            break
    return text


def _escaped(found: re.Match[str]) -> str:
    code = found[1] or found[2]
    return chr(int(code, 16)) if code else CONTROLS.get(found[3], found[3])


def _is_in(bare: str, secret: str) -> bool:
    """Whether a secret may stand in a text without escapes, given squeezed: the pattern of its spellings takes long."""
    return any(one in bare for one in _squeezed_spellings(secret))


@functools.lru_cache(maxsize=64)
def _squeezed_spellings(secret: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(_squeezed, (secret, html.unescape(secret), *_in_base64(secret)))))


def _squeezed(text: str) -> str:
    """Return a text without what may come and go between the letters of a secret."""
    bare = "".join(text.split()).replace("+", "")
    return bare if bare.isprintable() else "".join(filter(str.isprintable, bare))


@functools.lru_cache(maxsize=64)
def _in_base64(secret: str) -> list[str]:
    """Return what of a secret is the same in base64 whatever stands before it: it may fall in three ways."""
    found: dict[str, None] = {}
    content = secret.encode("utf-8", "surrogatepass")
    for before, shared in ((0, 0), (1, 2), (2, 3)):  # how many bytes stand before it, and what letters they have in
        bits = 8 * (before + len(content))
        packed = b64encode(b"\0" * before + content).decode()[shared : bits // 6]
        if len(packed) >= SHORTEST_PACKED:
            found |= dict.fromkeys((packed, packed.replace("+", "-").replace("/", "_")))
    return list(found)


@functools.lru_cache(maxsize=64)
def _spellings(secret: str) -> re.Pattern[str]:
    """Return what matches a secret however each of its letters is escaped."""
    words = html.unescape(secret).split()
    if not "".join(words):
        return re.compile(r"(?!)")
    return re.compile("|".join(dict.fromkeys((_spelling(secret.strip()), _spelling(html.unescape(secret).strip())))))


def _spelling(text: str) -> str:
    pieces = re.split(r"(\s+)", text)
    return "".join(_BLANKS if piece.isspace() else "".join(map(_letter, piece)) for piece in pieces)


_BLANK_CODES = "(?:20|0[9AaDd])"
_BLANKS = (
    rf"(?:\s|\+|%(?:25){{0,3}}{_BLANK_CODES}|\\{{1,8}}[nrt]|\\{{1,8}}u00{_BLANK_CODES}|\\{{1,8}}x{_BLANK_CODES}"
    r"|&#(?:[xX]0{0,6}(?:20|[9AaDd])|0{0,6}(?:32|9|1[03]));){0,9}"
)


def _letter(letter: str) -> str:
    """Return a pattern for one letter as it is and in each of its escapes, whose own mark may be escaped once more.

    Each way begins with a plain character, which makes the search quick.
    """
    code = ord(letter)
    in_bytes = letter.encode("utf-8", "surrogatepass")
    in_units = letter.encode("utf-16-be", "surrogatepass").hex()
    units = [in_units[at : at + 4] for at in range(0, len(in_units), 4)]
    ways = [
        re.escape(letter),
        "".join(rf"\\{{1,8}}u{_hex(unit)}" for unit in units),
        "".join(rf"\\{{1,8}}x{_hex(f'{byte:02x}')}" for byte in in_bytes),
        "".join(rf"%(?:25){{0,3}}{_hex(f'{byte:02x}')}" for byte in in_bytes),
        rf"&(?:amp;)?#(?:0{{0,6}}{code}|[xX]0{{0,6}}{_hex(f'{code:x}')});",
    ]
    if code < 0x100:
        ways.append(rf"\\{{1,8}}x{_hex(f'{code:02x}')}")
    names = [f"&(?:amp;)?{name};" for name in (codepoint2name.get(code), "apos" if letter == "'" else None) if name]
    ways += names
    if letter in "\"'/\\":  # as JSON and Python have it
        ways += [rf"\\{{1,8}}(?:{way})" for way in (ways[0], *names, ways[4])]
    if not letter.isprintable():
        ways.append("")  # it may have been left out
    return f"(?:{'|'.join(dict.fromkeys(ways))})"


def _hex(digits: str) -> str:
    """Return a pattern for hexadecimal digits in either case."""
    return "".join(f"[{digit}{digit.upper()}]" if digit.isalpha() else digit for digit in digits)

"""Secrets in texts of other people's making."""

import html
import itertools
import json
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest

from cove_poller.redaction import REDACTED, VISA, fit_to_show, redacted, remember


@pytest.mark.parametrize(
    ("text", "secrets", "expected"),
    [
        ("bad password hunter22!", ["hunter22"], f"bad password {REDACTED}!"),
        ("hunter22 and hunter22", ["hunter22"], f"{REDACTED} and {REDACTED}"),
        ("user pass, visa VVVVV", ["pass", "VVVVV"], f"user {REDACTED}, visa {REDACTED}"),
        ("PIN 1234", ["1234"], f"PIN {REDACTED}"),  # of four characters: the shortest that is hidden
        ("an abc of it", ["abc"], "an abc of it"),  # of three: it would tear holes into ordinary words
        ("nothing", ["", "hunter22"], "nothing"),
        ("Hunter22", ["hunter22"], "Hunter22"),
    ],
)
def test_every_secret_of_four_characters_or_more_is_hidden_wherever_it_stands(
    text: str, secrets: list[str], expected: str
) -> None:
    assert redacted(text, secrets) == expected


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        (f"1000-50121-1-1772409600-{'A9' * 32}", True),
        ("a9" * 16, True),
        ("0f8fad5b-d9cb-469f-a165-70867728950e", True),
        ("a9" * 15, False),
        ("2026-03-02T01:30:00", False),
        ("node-12.cloudbackup.management", False),
    ],
)
def test_what_looks_like_a_visa_or_a_token_is_known_without_having_seen_it(text: str, is_one: bool) -> None:
    assert (VISA.fullmatch(text) is not None) is is_one


ODD = "p\"ä/\\ ß&<x'\n€𝄞+%#end"
SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "on one line": lambda text: " ".join(text.split()),
    "JSON": json.dumps,
    "JSON with all letters": lambda text: json.dumps(text, ensure_ascii=False),
    "JSON in JSON": lambda text: json.dumps(json.dumps(text)),
    "Python": repr,
    "bytes": lambda text: repr(text.encode()),
    "URL": quote,
    "URL, all of it": lambda text: quote(text, safe=""),
    "URL, twice": lambda text: quote(quote(text)),
    "a form": quote_plus,
    "lower case": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "HTML": html.escape,
    "HTML of JSON": lambda text: html.escape(json.dumps(text)),
    "HTML by number": lambda text: "".join(f"&#{ord(letter)};" for letter in text),
    "HTML by hexadecimal number": lambda text: "".join(f"&#x{ord(letter):X};" for letter in text),
}


@pytest.mark.parametrize("spell", SPELLINGS.values(), ids=SPELLINGS.keys())
def test_a_remembered_secret_is_hidden_in_every_spelling(spell: Callable[[str], str]) -> None:
    remember(ODD)
    said = redacted(f"<{spell(ODD)}>")
    assert REDACTED in said
    assert "end" not in said


WRAPS: dict[str, Callable[[str], str]] = {
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON in Unicode": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "a URL": lambda text: quote(text, safe=""),
    "a form": quote_plus,
    "HTML": html.escape,
    "Python": lambda text: repr(text)[1:-1],
}


@pytest.mark.parametrize("ways", [*itertools.product(WRAPS, repeat=3)], ids=" in ".join)
def test_a_remembered_secret_is_hidden_where_its_spellings_are_wrapped_in_each_other(ways: tuple[str, ...]) -> None:
    remember(ODD)
    spelt = ODD
    for way in ways:
        spelt = WRAPS[way](spelt)
    said = redacted(f"before\n<{spelt}>\nafter %20")
    assert REDACTED in said
    assert "end" not in said
    assert "\n" in spelt or (said.splitlines()[0], said.splitlines()[-1]) == ("before", "after %20")


def test_a_short_secret_takes_no_line_where_its_letters_only_happen_to_follow_each_other() -> None:
    assert redacted("100 %25 of route stop", ["test"]) == "100 %25 of route stop"


def test_a_text_is_cut_after_its_secrets_are_hidden() -> None:
    remember("a-secret-of-some-length")
    assert fit_to_show("x" * 15 + "a-secret-of-some-length", 20) == "x" * 15 + "[red…"

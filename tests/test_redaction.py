"""Secrets in texts of other people's making."""

import pytest

from cove_poller.redaction import REDACTED, VISA, redacted


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

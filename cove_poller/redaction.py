"""Keeps secrets out of every text that is shown, logged or stored."""

import re
from collections.abc import Iterable

REDACTED = "[redacted]"
SHORTEST_REDACTED = 4  # shorter ones would tear holes into ordinary words
VISA = re.compile(r"[\d-]*[0-9A-Fa-f]{32,}|[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
"""A visa's looks, and a token's."""


def redacted(text: str, secrets: Iterable[str]) -> str:
    """Return the text without any of the secrets, should somebody else have put one into it."""
    for secret in secrets:
        if len(secret) >= SHORTEST_REDACTED:
            text = text.replace(secret, REDACTED)
    return text

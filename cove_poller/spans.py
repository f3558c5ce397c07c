"""Spans of time as a person writes them: `90m`, `2h`, `1d`, `4w`, on the command line as in the configuration."""

import re
from datetime import timedelta
from typing import Annotated

from pydantic import PlainSerializer, PlainValidator

SPAN = re.compile(r"(\d{1,5})([mhdw])", re.ASCII)
UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
SHOWN_UNITS = ("d", "h", "m")  # not in weeks: whoever wrote 28d is shown 28d


def parse_span(text: object) -> timedelta:
    """Return the span that the text means, `90m` for instance.

    Raise ValueError if it means none, or no time at all. Its text goes on after what was written, which only the
    caller may know how to show: in the configuration it might be a password.
    """
    found = SPAN.fullmatch(text.strip()) if isinstance(text, str) else None
    if found is None or not int(found[1]):
        raise ValueError("is no span of time; write 90m, 2h, 1d or 4w")
    return int(found[1]) * UNITS[found[2]]


def parse_option(name: str, text: str) -> timedelta:
    """Return the span that an option was given. Raise ValueError, which says both, if it is none."""
    try:
        return parse_span(text)
    except ValueError as error:
        raise ValueError(f"{name} {text!r} {error}") from None


def span_text(span: timedelta) -> str:
    """Return whole minutes, hours or days in the largest unit that fits, so that `parse_span` reads it again."""
    letter = next(letter for letter in SHOWN_UNITS if not span % UNITS[letter])
    return f"{span // UNITS[letter]}{letter}"


Interval = Annotated[timedelta, PlainValidator(parse_span), PlainSerializer(span_text)]

"""Durations as a person writes them: `30m`, `4h`, `1d`. Pure."""

import re
from datetime import timedelta
from typing import Annotated

from pydantic import PlainSerializer, PlainValidator

DURATION = re.compile(r"([1-9]\d{0,4})([mhd])")
UNITS = {"d": timedelta(days=1), "h": timedelta(hours=1), "m": timedelta(minutes=1)}


def parse_duration(text: object) -> timedelta:
    """Raise ValueError, whose text is for people, if it is none."""
    found = DURATION.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise ValueError('must be a time like "30m", "4h" or "1d"')
    return int(found[1]) * UNITS[found[2]]


def duration_text(duration: timedelta) -> str:
    """Whole minutes, hours or days in the largest unit that fits."""
    letter = next(letter for letter, unit in UNITS.items() if not duration % unit)
    return f"{duration // UNITS[letter]}{letter}"


Interval = Annotated[timedelta, PlainValidator(parse_duration), PlainSerializer(duration_text)]

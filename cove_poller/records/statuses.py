"""Cove's session status codes and what they mean for a person. Nothing unknown is ever a success.

Codes 1 to 12 are N-able's (page "Column codes"); 0, 4 and 13 were seen by public clients, and are not in the
table on purpose: what is not known for certain is a warning.
"""

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum


class Status(StrEnum):
    """What became of a session. Only the first three are ever recorded of one."""

    SUCCESS = "success"
    WARNING = "warning"
    FAILED = "failed"
    RUNNING = "running"
    NONE = "none"


SEVERITY = {Status.NONE: 0, Status.RUNNING: 0, Status.SUCCESS: 1, Status.WARNING: 2, Status.FAILED: 3}

CODE_NAMES = {
    1: "In process",
    2: "Failed",
    3: "Aborted",
    5: "Completed",
    6: "Interrupted",
    7: "Not started",
    8: "Completed with errors",
    9: "In progress with faults",
    10: "Over quota",
    11: "No selection",
    12: "Restarted",
}

NUMBER = re.compile(r"([0-9]{1,9})(\.0+)?")

WORDS = {
    **{"".join(name.lower().split()): code for code, name in CODE_NAMES.items()},
    "inprogress": 1,
    "blocked": 13,
    "unknown": 4,
}
"""How the session services say a status, without case and spaces."""

DEFAULT_STATUSES: Mapping[int, Status] = {
    1: Status.RUNNING,
    2: Status.FAILED,
    3: Status.FAILED,
    5: Status.SUCCESS,
    6: Status.WARNING,
    7: Status.WARNING,
    8: Status.WARNING,
    9: Status.RUNNING,
    10: Status.FAILED,
    11: Status.WARNING,
    12: Status.RUNNING,
}


def code_name(code: int | None) -> str:
    """What a status code is called; an unknown one is named by its number."""
    if code is None:
        return "Status not known"
    return CODE_NAMES.get(code, f"Unknown status {code}")


def code_of_word(word: str | None) -> int | None:
    """The code of a status that is said as a word or as a number; None if no table has it."""
    if number := NUMBER.fullmatch(word or ""):
        return int(number[1])
    return WORDS.get("".join(letter for letter in (word or "").lower() if letter.isalpha()))


def status_of(code: int | None, overrides: Mapping[int, Status]) -> Status:
    """The meaning of a code under the configured `overrides`; what is in no table is a warning."""
    if code is None:
        return Status.WARNING
    return overrides.get(code) or DEFAULT_STATUSES.get(code, Status.WARNING)


def worst(statuses: Iterable[Status]) -> Status:
    """The gravest of `statuses`; NONE if there are none."""
    return max(statuses, key=SEVERITY.__getitem__, default=Status.NONE)

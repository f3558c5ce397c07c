"""Cove's session status codes: what each is called and means, in one table. Nothing unknown is ever a success.

Codes 1 to 12 are N-able's (page "Column codes"). 0, 4 and 13 were seen by public clients only, so nothing is
known for certain of them, and they are warnings.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache


class Status(StrEnum):
    """What became of a session. Only the first three are ever recorded of one."""

    SUCCESS = "success"
    WARNING = "warning"
    FAILED = "failed"
    RUNNING = "running"
    NONE = "none"


SEVERITY = {Status.NONE: 0, Status.RUNNING: 0, Status.SUCCESS: 1, Status.WARNING: 2, Status.FAILED: 3}


@dataclass(frozen=True)
class SessionStatus:
    """A row of the table. `words` are what the session services say for it, without case and spaces.

    `tells_an_end` is for codes that only an ended session can have, even where its time is not told.
    """

    code: int
    name: str
    meaning: Status
    tells_an_end: bool = False
    words: tuple[str, ...] = ()


NO_BACKUP, COMPLETED, INTERRUPTED, NOT_STARTED, COMPLETED_WITH_ERRORS, RESTARTED = 0, 5, 6, 7, 8, 12
SUCCESSFUL_CODES = frozenset({COMPLETED, COMPLETED_WITH_ERRORS})
"""Cove's "successful" certainly has 5 and perhaps 8 in it."""

TABLE = {
    row.code: row
    for row in (
        SessionStatus(1, "In process", Status.RUNNING, words=("inprogress",)),
        SessionStatus(2, "Failed", Status.FAILED, tells_an_end=True),
        SessionStatus(3, "Aborted", Status.FAILED, tells_an_end=True),
        SessionStatus(4, "Unknown status 4", Status.WARNING, words=("unknown",)),
        SessionStatus(COMPLETED, "Completed", Status.SUCCESS),
        SessionStatus(INTERRUPTED, "Interrupted", Status.WARNING, tells_an_end=True),
        SessionStatus(NOT_STARTED, "Not started", Status.WARNING, tells_an_end=True),
        SessionStatus(COMPLETED_WITH_ERRORS, "Completed with errors", Status.WARNING),
        SessionStatus(9, "In progress with faults", Status.RUNNING),
        SessionStatus(10, "Over quota", Status.FAILED, tells_an_end=True),
        SessionStatus(11, "No selection", Status.WARNING, tells_an_end=True),
        SessionStatus(RESTARTED, "Restarted", Status.RUNNING),
        SessionStatus(13, "Unknown status 13", Status.WARNING, tells_an_end=True, words=("blocked",)),
    )
}
WORDS = {word: row.code for row in TABLE.values() for word in ("".join(row.name.lower().split()), *row.words)}
NUMBER = re.compile(r"([0-9]{1,9})(\.0+)?")


def code_name(code: int | None) -> str:
    """Return what a status code is called; an unknown one is named by its number."""
    if code is None:
        return "Status not known"
    return TABLE[code].name if code in TABLE else f"Unknown status {code}"


@lru_cache(maxsize=256)
def code_of_word(word: str | None) -> int | None:
    """Return the code of a status that is said as a word or as a number; None if no table has it."""
    if number := NUMBER.fullmatch(word or ""):
        return int(number[1])
    return WORDS.get("".join(letter for letter in (word or "").lower() if letter.isalpha()))


def tells_an_end(code: int | None) -> bool:
    """Return whether only an ended session has this code."""
    return code in TABLE and TABLE[code].tells_an_end


@dataclass(frozen=True)
class Statuses:
    """What the codes mean here: the table's meanings, but for those that `[status]` configures."""

    configured: Mapping[int, Status] = field(default_factory=dict)

    @classmethod
    def from_config(cls, words: Mapping[int, str]) -> "Statuses":
        """Return the meanings under `[status]` of the configuration, code -> word."""
        return cls({code: Status(word) for code, word in words.items()})

    def meaning(self, code: int | None) -> Status:
        """Return what a code means; a code that is not known, or in no table, is a warning."""
        if code is None:
            return Status.WARNING
        return self.configured.get(code) or (TABLE[code].meaning if code in TABLE else Status.WARNING)


def worst(statuses: Iterable[Status]) -> Status:
    """Return the gravest of `statuses`; NONE if there are none."""
    return max(statuses, key=SEVERITY.__getitem__, default=Status.NONE)


def status_of(code: int | None, overrides: Mapping[int, Status]) -> Status:
    """Return what a code means under `overrides`."""
    return Statuses(overrides).meaning(code)

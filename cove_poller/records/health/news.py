"""What is wrong is a condition: said when it begins, when it changes and when it ends, else once a day. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any


@dataclass(frozen=True)
class Trouble:
    """What is wrong right now. It `is_failure` where something could not be read or saved: the run is partial then."""

    what: str
    is_failure: bool = False
    reminds: bool = True
    """Whether it is said again while it lasts; what nobody can change is said once."""


@dataclass(frozen=True)
class Condition:
    """What has been wrong since some moment, and when somebody was last told."""

    what: str
    since: datetime
    told_at: datetime
    is_failure: bool = False


ERROR = "error "
"""How the key of a login's condition begins that an error ended its run; the error's code follows."""

OVER, STILL = "over: ", "still, since "
"""How the lines on what has ended, and on what lasts, begin."""

Conditions = Mapping[str, Condition]
"""By a key that stays the same while the condition lasts, such as `D02 unreadable`."""


@dataclass(frozen=True)
class News:
    """What there is to say now, and the conditions that stand from now on."""

    standing: Conditions = field(default_factory=dict)
    begun: tuple[Condition, ...] = ()
    ended: tuple[Condition, ...] = ()
    reminded: tuple[Condition, ...] = ()

    @property
    def told(self) -> tuple[Condition, ...]:
        """Return what stands and is said now; all else that stands was said before."""
        return (*self.begun, *self.reminded)

    def lines(self) -> Iterator[tuple[bool, str]]:
        """Return each line to be said, and whether it is a failure that is new."""
        yield from ((one.is_failure, one.what) for one in self.begun)
        yield from ((False, f"{OVER}{one.what}") for one in self.ended)
        yield from ((False, still(one.since) + one.what) for one in self.reminded)

    def beginnings(self) -> dict[str, datetime]:
        """Return since when that stands which is said now, by the line that says it."""
        reminded = {still(one.since) + one.what: one.since for one in self.reminded}
        return {one.what: one.since for one in self.begun} | reminded


def still(since: datetime) -> str:
    """Return how a line on what lasts begins."""
    return f"{STILL}{since:%Y-%m-%d %H:%M}Z: "


def news(before: Conditions, present: Mapping[str, Trouble], now: datetime, remind: timedelta) -> News:
    """Return what is to be said of the troubles at `present`, after what stood `before`.

    A trouble that says something else than before is news again.
    """
    begun, reminded, standing = [], [], {}
    for key, trouble in present.items():
        old = before.get(key)
        condition = Condition(trouble.what, old.since if old else now, now, trouble.is_failure)
        if old is None or old.what != trouble.what:
            begun.append(condition)
        elif trouble.reminds and now - old.told_at >= remind:
            reminded.append(condition)
        else:
            condition = replace(condition, told_at=old.told_at)
        standing[key] = condition
    ended = [condition for key, condition in before.items() if key not in present]
    return News(standing, tuple(begun), tuple(ended), tuple(reminded))


def to_json(conditions: Conditions) -> dict[str, Any]:
    """Return the conditions ready for JSON; times are Unix seconds."""
    return {
        key: [one.what, int(one.since.timestamp()), int(one.told_at.timestamp()), one.is_failure]
        for key, one in conditions.items()
    }


def from_json(content: Mapping[str, Any] | None) -> dict[str, Condition]:
    """Return what `to_json` made."""
    return {
        key: Condition(what, datetime.fromtimestamp(since, UTC), datetime.fromtimestamp(told_at, UTC), is_failure)
        for key, (what, since, told_at, is_failure) in (content or {}).items()
    }

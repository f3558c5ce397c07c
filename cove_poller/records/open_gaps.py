"""The gaps in the record of a device: since when sessions may be missing, what is to be read. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cove_poller.records.past import Span
from cove_poller.records.source_history import NOTHING, Histories
from cove_poller.records.window import Window

DAY = timedelta(days=1)
LONGEST = timedelta(days=31)


@dataclass(frozen=True)
class OpenGap:
    """A time of which sessions of a source may be missing. `why` says why it is not closed; empty if it is to be read.

    One that could not be read is tried again at `retry_at`; without that, at each run that may read histories.
    """

    since: datetime
    why: str = ""
    retry_at: datetime | None = None

    def to_json(self) -> dict[str, Any]:
        """Return what is kept of it with its source; times are Unix seconds."""
        return {
            "gap_since": int(self.since.timestamp()),
            "gap_why": self.why or None,
            "gap_retry_at": int(self.retry_at.timestamp()) if self.retry_at else None,
        }


@dataclass(frozen=True)
class Verdict:
    """Why gaps stay open: of all of a login's devices, or of one whose history was tried, until `retry_at`."""

    why: str
    retry_at: datetime | None = None


def open_gaps(
    sources: Histories, active: Iterable[str], before: Mapping[str, Mapping[str, Any]], verdict: Verdict | None
) -> dict[str, OpenGap]:
    """Return the gaps of the active sources; what was kept of each `before` stands without another verdict."""
    found = {}
    for code in active:
        begins = [one.since for one in sources.get(code, NOTHING).missing if one.since]
        if not begins:
            continue
        kept = before.get(code, {})
        retry = kept.get("gap_retry_at")
        old = Verdict(kept.get("gap_why") or "", datetime.fromtimestamp(retry, UTC)) if retry else Verdict("")
        said = verdict or old
        found[code] = OpenGap(min(begins), said.why, said.retry_at)
    return found


@dataclass(frozen=True)
class Missing:
    """What is missing of a device and may be read now: since when, and how far back its history is to be read."""

    since: datetime
    begun_after: datetime

    def span(self, now: datetime) -> Span:
        return Span(Window(self.since, max(now, self.since)), self.begun_after)


def missing(
    gaps: Mapping[str, OpenGap], before: Histories, running_since: datetime | None, now: datetime
) -> Missing | None:
    """Return what is to be read of a device with these gaps; None if nothing is, or not yet.

    Sessions that ended after a moment and had begun more than a day before it were seen to run by the look then. Of
    gaps that stood `before` this look nobody knows that any more.
    """
    if not gaps or any(one.retry_at and now < one.retry_at for one in gaps.values()):
        return None
    if any(one.why and not one.retry_at for one in gaps.values()):
        return None
    since = min(one.since for one in gaps.values())
    is_left_over = any(before.get(code, NOTHING).missing for code in gaps)
    back_to = since - LONGEST if is_left_over else min([since, *([running_since] if running_since else [])]) - DAY
    return Missing(since, back_to)

"""Small pieces of text that more than one module says."""

from collections.abc import Sequence
from datetime import datetime, timedelta, tzinfo


def age(span: timedelta) -> str:
    """Return a span of time in the one unit that fits: "45 minutes", "30 hours", "3 days"."""
    minutes = max(int(span.total_seconds()) // 60, 0)
    if minutes < 120:
        return counted(minutes, "minute")
    if minutes < 48 * 60:
        return counted(minutes // 60, "hour")
    return counted(minutes // 1440, "day")


def long_age(span: timedelta) -> str:
    """Return the same, but in hours also where they make some days: "50 hours", "5 days"."""
    hours = int(span.total_seconds()) // 3600
    return counted(hours, "hour") if 48 <= hours < 100 else age(span)


def zoned(moment: datetime, zone: tzinfo | None) -> str:
    """Return a moment as people read it in their zone, None being this machine's own: "2026-03-10 09:00 CET"."""
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M %Z}"


def counted(count: int, noun: str) -> str:
    """Return a number with its noun: "1 device", "2 devices"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def device_called(customer: str, name: str, account_id: int) -> str:
    """Return a device as messages name it, as `status` does, with its id: "Example Bakery, SRV1 (device 4711)"."""
    return f"{customer or 'no customer'}, {name or 'no name'} (device {account_id})"


def fitted(text: str, limit: int | None) -> str:
    """Return the text cut to `limit` characters, with a mark where something is missing."""
    return text if limit is None or len(text) <= limit else text[: limit - 1] + "…"


def one_line(text: str) -> str:
    """Return the text without line breaks and control characters, fit for a log line."""
    joined = " ".join(text.split())
    return joined if joined.isprintable() else "".join(filter(str.isprintable, joined))


def listed(names: Sequence[str], limit: int = 10, between: str = ", ") -> str:
    """Return the first names, and how many more there are: "a, b and 3 more"."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return between.join(names[:limit]) + more


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the rows as lines, the cells of each column below each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]

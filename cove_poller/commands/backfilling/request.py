"""What a backfill is asked for, from options as they were written."""

from collections.abc import Sequence
from datetime import datetime

from cove_poller.commands.installation import utc_now
from cove_poller.errors import WrongUsage
from cove_poller.records.past import WAYS, Request
from cove_poller.records.window import Window, parse_when


def make_request(
    since: str, until: str | None, *, way: str, devices: Sequence[int], reviewed: bool, dry_run: bool
) -> Request:
    """Return what the options ask for, given as they were written. Raise WrongUsage that names the wrong one."""
    now = utc_now().replace(microsecond=0)
    begin = parse_option("--since", since, now)
    end = now if until is None else parse_option("--until", until, now)
    try:
        window = Window.asked(begin, end, now)
    except ValueError as error:
        raise WrongUsage(f"{since} is {error}", "--since") from None
    return Request(window, end >= now, WAYS.get(way), frozenset(devices), reviewed=reviewed, dry_run=dry_run)


def parse_option(option: str, text: str, now: datetime) -> datetime:
    """Return the moment that an option's text means. Raise WrongUsage if it means none."""
    try:
        return parse_when(text, now)
    except ValueError as error:
        raise WrongUsage(str(error), option) from None

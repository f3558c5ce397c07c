"""What is wrong with a poll as a whole, each by a key that stays while it lasts: its rows, its columns, the clocks."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from cove_poller.commands.results import LoginResult
from cove_poller.config.settings import Config
from cove_poller.cove.listing import Listing, Page
from cove_poller.database.store import Store
from cove_poller.records.device import describe_columns
from cove_poller.records.health.news import Trouble
from cove_poller.text import age, counted

SKEWS = (timedelta(days=30), timedelta(days=1), timedelta(hours=1), timedelta(minutes=10))
"""How far two clocks may be apart, in words that stay the same while they do; less is not worth a word."""

RECENT = timedelta(days=7)


def page_troubles(page: Page, noted: Collection[int] = ()) -> dict[str, Trouble]:
    """Return what is wrong with a page's rows, by a key that stays; but for the devices of which that is noted."""
    unreadable = [row for row in page.unreadable if row.account_id not in noted]
    rows = {f"row {row.account_id or row.what}": Trouble(str(row), is_failure=True) for row in unreadable}
    return rows | {f"twice {one}": Trouble(f"device {one}: {text}") for one, text in page.twice.items()}


def listing_troubles(listing: Listing) -> dict[str, Trouble]:
    """Return what is wrong with a login's listing as a whole, by a key that stays while it lasts."""
    return {"columns": Trouble(refusal_warning(listing.refused))} if listing.refused else {}


def clock_troubles(ahead: timedelta) -> dict[str, Trouble]:
    """Return what is wrong with the clocks where Cove's is `ahead` of this machine's, or behind."""
    skew = next((span for span in SKEWS if abs(ahead) > span), None)
    if skew is None:
        return {}
    where = "behind" if ahead > timedelta() else "ahead of"
    text = f"this machine's clock is {where} Cove's by more than {age(skew)}; what Cove tells is compared with its own"
    return {"clock": Trouble(f"{text}. Set the clock, best by NTP")}


def no_devices(config: Config, result: LoginResult) -> dict[str, Trouble]:
    """Return that a login's partner has no device, and the key that may be wrong."""
    login = result.login
    key = f"; check logins.{login}.partner_id, or leave it out for the login's own"
    hint = key if config.logins[login].partner_id else ""
    return {"no devices": Trouble(f"Cove lists no device for partner {result.partner_id}{hint}")}


def same_tenant(config: Config, result: LoginResult, others: Sequence[LoginResult]) -> dict[str, Trouble]:
    """Return that another login has polled the same partner before in this run, if one has."""

    def listed(one: LoginResult) -> tuple[str, int | None]:
        return config.api_of(one.login).url, one.partner_id

    for one in others:
        if one is not result and one.is_listed and listed(one) == listed(result):
            text = f"polls partner {result.partner_id} as login {one.login} does, so each device is read twice"
            return {"same tenant": Trouble(f"{text}; keep one of the two in the configuration")}
    return {}


def other_writers(store: Store, now: datetime) -> str:
    """Return what is to be said of jobs that get runs from others than the poller too; empty if there are none.

    Backupchecks' own importer for instance: two writers double the work list.
    """
    count = store.runs.written_by_others(now - RECENT)
    if not count:
        return ""
    jobs = f"{counted(count, 'job')} of polled devices also got runs from somebody else in the last {RECENT.days} days"
    return f"{jobs}, Backupchecks' own importer perhaps: two writers double the work list, so switch one of them off"


def refusal_warning(refused: Sequence[str]) -> str:
    return (
        f"Cove refuses {counted(len(refused), 'column')} to this user: {describe_columns(refused)};"
        " a source whose status cannot be read is never shown as a success"
    )

"""What the report says: notices, tiles, a row per device, and the details that the browser unfolds. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cove_poller.records.columns import LABELS
from cove_poller.records.overview import Bucket, Condition, DeviceState, Overview, PollState, SourceState
from cove_poller.records.statuses import Status, code_name
from cove_poller.text import age, counted
from cove_poller.views.report_plot import LETTERS, bar_letters, bar_lines, bar_text, packed_sessions, plot_begin

OLD = timedelta(hours=2)
"""After this time without a successful poll, what is shown is no longer the present: four polls of cron were missed."""

CONDITIONS: dict[Condition, tuple[str, str]] = {
    Condition.FAILED: ("Failed", "the newest backup failed"),
    Condition.STALE: ("Stale", "too long without a success"),
    Condition.WARNING: ("Warning", "the newest backup has errors"),
    Condition.NEVER: ("Never ran", "no backup yet"),
    Condition.OFFLINE: ("Offline", "workstation switched off"),
    Condition.RUNNING: ("Running", "a backup runs now"),
    Condition.SUCCESS: ("Success", "all is well"),
}

BUCKETS = {
    Bucket.DAY: "within 24 hours",
    Bucket.TWO_DAYS: "24 to 48 hours ago",
    Bucket.OLDER: "over 48 hours ago",
    Bucket.NEVER: "never",
}


@dataclass(frozen=True)
class Notice:
    """Something to know before reading on: `is_loud` where what is shown may not be so any more."""

    text: str
    is_loud: bool


@dataclass(frozen=True)
class Tile:
    """A number of devices; `name` is what the browser filters by."""

    name: str
    count: int
    word: str
    hint: str = ""


@dataclass(frozen=True)
class Row:
    """A device in the table, as text."""

    customer: str
    name: str
    device_type: str
    condition: Condition
    condition_word: str
    last_session: str
    last_success: str
    success_age: str
    bar_text: str
    bar_lines: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Report:
    """Everything on the page. `details` becomes JSON: what the browser needs to sort, filter and unfold the rows."""

    as_of: str
    data_at: str
    notices: Sequence[Notice]
    polls: Sequence[str]
    conditions: Sequence[Tile]
    buckets: Sequence[Tile]
    rows: Sequence[Row]
    details: Mapping[str, Any]


def make_report(
    overview: Overview,
    sessions: Iterable[Mapping[Any, Any]],
    logins: Sequence[str],
    overrides: Mapping[int, Status],
) -> Report:
    """The report of an overview, of the sessions since `plot_begin`, and of the configured logins."""
    polls = {poll.login: poll for poll in overview.polls}
    conditions, buckets = overview.counts(), overview.buckets()
    return Report(
        as_of=shown(overview.as_of),
        data_at=_data_at(overview, logins),
        notices=[notice for login in logins for notice in notices_of(login, polls.get(login), overview.as_of)],
        polls=[_poll_text(polls[login], overview.as_of) for login in logins if login in polls],
        conditions=[Tile(one.value, conditions[one], *words) for one, words in CONDITIONS.items()],
        buckets=[Tile(one.value, buckets[one], word) for one, word in BUCKETS.items()],
        rows=[_row(device, overrides) for device in overview.devices],
        details=_details(overview, sessions, overrides),
    )


def shown(moment: datetime | None) -> str:
    """A time as the page shows it; the page names the zone."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}" if moment else "never"


def _data_at(overview: Overview, logins: Sequence[str]) -> str:
    """The time to which all of the page is true: that of the login that was polled the longest ago."""
    good = [poll.last_success_at for poll in overview.polls if poll.last_success_at]
    return f"{shown(min(good))} UTC" if good and len(good) == len(logins) else "unknown time"


def notices_of(login: str, poll: PollState | None, as_of: datetime) -> Iterator[Notice]:
    """What is to be said of a login's polls: nothing, if its last one went well and not long ago."""
    if poll is None:
        yield Notice(f"Login {login} was never polled: nothing is known of its devices. Run cove-poller sync.", True)
        return
    seen = poll.last_success_at
    since = f"is as it was at {shown(seen)} UTC, {age(as_of - seen)} ago" if seen else "is not known"
    if poll.last_outcome == "error":
        reason = f": {poll.last_error}" if poll.last_error else ""
        text = f"The last poll of login {login}, at {shown(poll.last_started_at)} UTC, failed{reason}."
        yield Notice(f"{text} The state of its devices {since}.", True)
    elif seen is None or as_of - seen > OLD:
        yield Notice(f"Login {login} is not polled any more: the state of its devices {since}. Does cron run?", True)
    elif poll.last_outcome == "partial":
        text = f"The last poll of login {login} could not read everything; see what cove-poller sync says."
        yield Notice(text, False)


def _poll_text(poll: PollState, as_of: datetime) -> str:
    seen = poll.last_success_at
    return f"{poll.login}: {shown(seen)} UTC, {age(as_of - seen)} ago" if seen else f"{poll.login}: never"


def _row(device: DeviceState, overrides: Mapping[int, Status]) -> Row:
    letters = bar_letters(device.color_bar, overrides)
    return Row(
        customer=device.customer,
        name=device.name,
        device_type=device.device_type,
        condition=device.condition,
        condition_word=CONDITIONS[device.condition][0],
        last_session=shown(device.last_session_at),
        last_success=shown(device.last_success_at),
        success_age=f"{age(device.success_age)} ago" if device.success_age is not None else "",
        bar_text=bar_text(letters),
        bar_lines=bar_lines(letters),
    )


def _details(
    overview: Overview, sessions: Iterable[Mapping[Any, Any]], overrides: Mapping[int, Status]
) -> dict[str, Any]:
    """Compact on purpose: lists where there is one per device or source, times as Unix seconds, days as letters."""
    begin = plot_begin(overview.as_of)
    packed = packed_sessions(sessions, [device.account_id for device in overview.devices], begin)
    return {
        "asOf": _seconds(overview.as_of),
        "oldSeconds": int(OLD.total_seconds()),
        "begin": _seconds(begin),
        "sources": LABELS,
        "devices": [_device_details(device, packed[device.account_id], overrides) for device in overview.devices],
    }


def _device_details(device: DeviceState, packed: Mapping[str, str], overrides: Mapping[int, Status]) -> list[Any]:
    return [
        _seconds(device.last_session_at),
        _seconds(device.last_success_at),
        device.bucket.value,
        _seconds(device.last_seen_at),
        _facts(device),
        [_source_details(source, overrides) for source in device.sources],
        packed,
    ]


def _facts(device: DeviceState) -> list[str]:
    """What else is worth knowing of a device."""
    hours = device.alert_after.total_seconds() / 3600
    running = [f"Running since {shown(device.running_since)} UTC."] if device.running_since else []
    linked = f"Job {device.job_id} in Backupchecks." if device.is_linked else "Not linked to a job in Backupchecks yet."
    return [
        *running,
        f"{device.device_name}, account {device.account_id}, login {device.login}.",
        linked,
        f"Stale after {counted(round(hours), 'hour')} without a success.",
        f"Last seen {shown(device.last_seen_at)} UTC.",
    ]


def _source_details(source: SourceState, overrides: Mapping[int, Status]) -> list[Any]:
    letter = LETTERS[Status.WARNING if source.problem and source.status is not Status.FAILED else source.status]
    return [
        source.source,
        letter,
        _status_words(source),
        _seconds(source.last_success_at),
        source.errors_count,
        bar_letters(source.color_bar, overrides),
    ]


def _status_words(source: SourceState) -> str:
    if source.problem:
        return f"Not known: {source.problem}"
    known = source.last_session_at is not None or source.status_code is not None
    words = code_name(source.status_code) if known else "Never ran"
    return f"{words}; running now" if source.running else words


def _seconds(moment: datetime | None) -> int | None:
    return int(moment.timestamp()) if moment else None

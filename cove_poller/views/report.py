"""What the report says: notices, tiles, a row per device, and the details that the browser unfolds. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cove_poller.config.settings import Config
from cove_poller.records.columns import LABELS
from cove_poller.records.health import news
from cove_poller.records.health.device_state import Bucket, Condition, DeviceState, SourceState
from cove_poller.records.health.freshness import Freshness, PollFreshness, all_freshness, poll_line
from cove_poller.records.health.overview import Overview, PlotSessions, PollState
from cove_poller.records.statuses import Status, Statuses
from cove_poller.text import age, counted, listed
from cove_poller.views.findings import findings
from cove_poller.views.report_plot import LETTERS, PackedSessions, bar_letters, plot_begin, sessions_by_source
from cove_poller.views.source_words import gap_text, source_words

CONDITIONS: dict[Condition, tuple[str, str]] = {
    Condition.FAILED: ("Failed", "the newest backup failed"),
    Condition.STALE: ("Stale", "a data source waits for too long"),
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
    """A device in the table, as text; `what` is wrong with it, by its sources."""

    customer: str
    name: str
    what: str
    device_type: str
    condition: Condition
    condition_word: str
    last_session: str
    last_success: str
    success_age: str
    bar: str


@dataclass(frozen=True)
class Report:
    """Everything on the page. `details` becomes JSON: what the browser needs to sort, filter and unfold the rows.

    `of` names the customers, where the page is of those alone.
    """

    of: str
    as_of: str
    data_at: str
    notices: Sequence[Notice]
    polls: Sequence[str]
    conditions: Sequence[Tile]
    buckets: Sequence[Tile]
    rows: Sequence[Row]
    details: Mapping[str, Any]


def make_report(
    overview: Overview, sessions: Iterable[PlotSessions], config: Config, *, for_customer: bool = False
) -> Report:
    """Return the report of an overview and of the sessions since `plot_begin`.

    One `for_customer` says nothing of Backupchecks, and of the logins only how old it is.
    """
    statuses, polls = Statuses.from_config(config.status), all_freshness(overview)
    conditions, buckets = overview.counts(), overview.buckets()
    customers = sorted({device.customer for device in overview.devices})
    page_of = (lambda _: None) if for_customer else config.backupchecks.page_of
    return Report(
        of=f" of {listed(customers, 3)}" if for_customer else "",
        as_of=shown(overview.as_of),
        data_at=_data_at(polls),
        notices=[
            *(
                _customer_notice(one) if for_customer else _notice(one, overview.as_of)
                for one in polls
                if one.freshness is not Freshness.FRESH
            ),
            *(
                Notice(_standing(poll, one), is_loud=False)
                for poll in overview.polls
                for one in poll.standing
                if not for_customer
            ),
        ],
        polls=[_polled(one) if for_customer else f"{one.login}: {_polled(one)}" for one in polls],
        conditions=[Tile(one.value, conditions[one], *words) for one, words in CONDITIONS.items()],
        buckets=[Tile(one.value, buckets[one], word) for one, word in BUCKETS.items()],
        rows=[_row(device, statuses) for device in overview.devices],
        details=_details(overview, sessions, statuses, page_of, for_customer=for_customer),
    )


def shown(moment: datetime | None) -> str:
    """Return a time as the page shows it; the page names the zone."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}" if moment else "never"


def _data_at(polls: Sequence[PollFreshness]) -> str:
    """Return the time to which all of the page is true: that of the login that was polled the longest ago."""
    good = [poll.last_success_at for poll in polls if poll.last_success_at]
    return f"{shown(min(good))} UTC" if good and len(good) == len(polls) else "unknown time"


def _notice(poll: PollFreshness, as_of: datetime) -> Notice:
    return Notice(poll_line(poll, as_of), is_loud=poll.is_old or poll.freshness is Freshness.FAILED)


def _customer_notice(poll: PollFreshness) -> Notice:
    is_loud = poll.is_old or poll.freshness is Freshness.FAILED
    return Notice(f"Not everything could be asked anew since {shown(poll.last_success_at)} UTC.", is_loud)


def _standing(poll: PollState, one: news.Condition) -> str:
    return f"Login {poll.login}: since {shown(one.since)} UTC: {one.what}"


def _polled(poll: PollFreshness) -> str:
    return f"{shown(poll.last_success_at)} UTC, {age(poll.age)} ago" if poll.age is not None else "never"


def _row(device: DeviceState, statuses: Statuses) -> Row:
    return Row(
        customer=device.customer,
        name=device.name,
        what="; ".join(one.text for one in findings(device)),
        device_type=device.device_type,
        condition=device.condition,
        condition_word=CONDITIONS[device.condition][0],
        last_session=shown(device.last_session_at),
        last_success=shown(device.last_success_at),
        success_age=f"{age(device.success_age)} ago" if device.success_age is not None else "",
        bar=bar_letters(device.color_bar, statuses),
    )


def _details(
    overview: Overview,
    sessions: Iterable[PlotSessions],
    statuses: Statuses,
    page_of: Callable[[int | None], str | None],
    *,
    for_customer: bool,
) -> dict[str, Any]:
    """Compact on purpose: lists where there is one per device or source, times as Unix seconds, days as letters."""
    begin, packed = plot_begin(overview.as_of), PackedSessions()
    known = sessions_by_source(sessions, [device.account_id for device in overview.devices])
    return {
        "asOf": _seconds(overview.as_of),
        "oldSeconds": int(overview.max_poll_age.total_seconds()),
        "begin": _seconds(begin),
        "sources": LABELS,
        "devices": [
            [
                *_device_details(device, statuses, for_customer),
                {source: packed.add(one.numbers) for source, one in known[device.account_id].items()},
                page_of(device.job_id),
            ]
            for device in overview.devices
        ],
        "runs": packed.texts(),
    }


def _device_details(device: DeviceState, statuses: Statuses, for_customer: bool) -> list[Any]:
    return [
        _seconds(device.last_session_at),
        _seconds(device.last_success_at),
        device.bucket.value,
        _seconds(device.last_seen_at),
        _facts(device, for_customer),
        [_source_details(device, source, statuses) for source in device.sources],
    ]


def _facts(device: DeviceState, for_customer: bool) -> list[str]:
    """Return what else is worth knowing of a device; its customer need not know how it is watched."""
    hours = device.alert_after.total_seconds() / 3600
    running = [f"Running since {shown(device.running_since)} UTC."] if device.running_since else []
    linked = f"Job {device.job_id} in Backupchecks." if device.is_linked else "Not linked to a job in Backupchecks yet."
    login = "" if for_customer else f", login {device.login}"
    return [
        *running,
        f"{device.device_name}, account {device.account_id}{login}.",
        *([] if for_customer else [linked]),
        *([f"Stale: {device.lacks()}."] if device.is_stale else []),
        *(f"Since {shown(one.since)} UTC: {one.what}." for one in device.standing),
        f"Stale after {counted(round(hours), 'hour')} without a success.",
        f"Last seen {shown(device.last_seen_at)} UTC.",
    ]


def _source_details(device: DeviceState, source: SourceState, statuses: Statuses) -> list[Any]:
    running = "running" if source.running else ""
    words = ", ".join(filter(None, [source_words(source), device.lack_of(source), gap_text(source), running]))
    letter = LETTERS[Status.WARNING if source.problem and source.status is not Status.FAILED else source.status]
    return [
        source.source,
        letter,
        words,
        _seconds(source.last_success_at),
        source.errors_count,
        bar_letters(source.color_bar, statuses),
    ]


def _seconds(moment: datetime | None) -> int | None:
    return int(moment.timestamp()) if moment else None

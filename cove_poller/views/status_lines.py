"""`status` as plain lines: a header, then a line per device with fixed fields, for grep, cut and awk. Pure."""

from datetime import datetime

from cove_poller.config.settings import Config
from cove_poller.records.health import news
from cove_poller.records.health.device_state import Bucket, DeviceState
from cove_poller.records.health.freshness import poll_warnings
from cove_poller.records.health.overview import Overview
from cove_poller.records.statuses import Status, Statuses
from cove_poller.text import age, one_line
from cove_poller.views.bar_days import bar_signs
from cove_poller.views.source_words import source_text

HEADER = (
    "CONDITION", "CUSTOMER", "DEVICE", "TYPE", "ACCOUNT", "LOGIN", "LAST_SESSION", "LAST_SUCCESS", "AGE", "SOURCES",
    "LAST_28_DAYS", "STANDING",
)  # fmt: skip
MARKS = {
    Status.SUCCESS: "+",
    Status.WARNING: "!",
    Status.FAILED: "X",
    Status.RUNNING: ">",
    Status.NONE: "-",
}
"""A day of the colour bar, told apart without any colour."""

BUCKET_WORDS = {
    Bucket.DAY: "within 24 h",
    Bucket.TWO_DAYS: "within 48 h",
    Bucket.OLDER: "longer ago",
    Bucket.NEVER: "never",
}


def status_lines(overview: Overview, config: Config) -> str:
    """Return the whole of it; what is old is said before everything else."""
    statuses = Statuses.from_config(config.status)
    rows = [HEADER, *(device_fields(device, statuses) for device in overview.devices)]
    ahead = [*poll_warnings(overview), *login_lines(overview)]
    return "\n".join([*ahead, *("\t".join(row) for row in rows)])


def device_fields(device: DeviceState, statuses: Statuses) -> tuple[str, ...]:
    """Return what is said of a device, without a character that could be taken for anything but text."""
    return (
        device.condition.value,
        clean(device.customer),
        clean(device.name),
        device.device_type,
        str(device.account_id),
        clean(device.login),
        moment(device.last_session_at),
        moment(device.last_success_at),
        success_age(device),
        source_texts(device),
        bar_signs(device.color_bar, statuses, MARKS),
        standing_texts(device),
    )


def source_texts(device: DeviceState) -> str:
    """Return all sources of a device, the worst first."""
    return "; ".join(source_text(one, device.lack_of(one)) for one in device.sources) or "none"


def standing_texts(device: DeviceState) -> str:
    """Return what has been wrong with a device since when, whether or not a mail said so."""
    return "; ".join(standing_text(one) for one in device.standing) or "none"


def standing_text(one: news.Condition) -> str:
    """Return what has been wrong since when: "since 2026-03-02 12:00Z: System State could not be read"."""
    return f"since {one.since:%Y-%m-%d %H:%M}Z: {one_line(one.what)}"


def login_lines(overview: Overview) -> list[str]:
    """Return what has been wrong with the logins themselves, a line each."""
    return [f"login {one_line(poll.login)}: {standing_text(one)}" for poll in overview.polls for one in poll.standing]


def clean(text: str) -> str:
    """Return a name that others chose as harmless text on one line; a question mark where nothing is left of it."""
    return one_line(text) or "?"


def moment(at: datetime | None) -> str:
    return f"{at:%Y-%m-%dT%H:%MZ}" if at else "never"


def success_age(device: DeviceState) -> str:
    return "never" if device.success_age is None else age(device.success_age)


def legend() -> str:
    """Return what the marks of the bar mean."""
    return "Days, today on the right: " + ", ".join(f"{mark} {status}" for status, mark in MARKS.items())

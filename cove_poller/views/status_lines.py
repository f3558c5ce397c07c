"""`status` as plain lines: a header, then a line per device with fixed fields, for grep, cut and awk. Pure."""

from collections.abc import Iterator, Mapping
from datetime import datetime

from cove_poller.records.freshness import poll_warnings
from cove_poller.records.overview import Bucket, Condition, DeviceState, Overview, SourceState
from cove_poller.records.statuses import Status, code_name, status_of
from cove_poller.text import age, counted, one_line

NO_BACKUP = 0
HEADER = (
    "CONDITION", "CUSTOMER", "DEVICE", "TYPE", "ACCOUNT", "LOGIN", "LAST_SESSION", "LAST_SUCCESS", "AGE", "SOURCES",
    "LAST_28_DAYS",
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


def status_lines(overview: Overview, overrides: Mapping[int, Status]) -> str:
    """The whole of it; what is old is said before everything else."""
    rows = [HEADER, *(device_fields(device, overrides) for device in overview.devices)]
    return "\n".join([*poll_warnings(overview), *("\t".join(row) for row in rows)])


def device_fields(device: DeviceState, overrides: Mapping[int, Status]) -> tuple[str, ...]:
    """What is said of a device, without a character that could be taken for anything but text."""
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
        "; ".join(source_text(source) for source in device.sources) or "none",
        "".join(MARKS[status] for status in bar_statuses(device.color_bar, overrides)),
    )


def clean(text: str) -> str:
    """A name that others chose, as harmless text on one line; a question mark where nothing is left of it."""
    return one_line(text) or "?"


def moment(at: datetime | None) -> str:
    return f"{at:%Y-%m-%dT%H:%MZ}" if at else "never"


def success_age(device: DeviceState) -> str:
    return "never" if device.success_age is None else age(device.success_age)


def source_text(source: SourceState) -> str:
    """A source, and what is wrong with it if anything is."""
    if source.problem:
        state = clean(source.problem)
    elif source.status in (Status.WARNING, Status.FAILED):
        state = code_name(source.status_code)
        state += f" ({counted(source.errors_count, 'error')})" if source.errors_count else ""
    else:
        state = "never ran" if source.status is Status.NONE else ""
    said = f"{source.name}: {state}" if state else source.name
    return f"{said}, running" if source.running else said


def bar_statuses(bar: str, overrides: Mapping[int, Status]) -> Iterator[Status]:
    """The days of a colour bar, the oldest first. What is no digit is not known, so it is a warning."""
    for letter in bar:
        if not (letter.isascii() and letter.isdigit()):
            yield Status.WARNING
        else:
            yield Status.NONE if int(letter) == NO_BACKUP else status_of(int(letter), overrides)


def legend() -> str:
    """What the marks of the bar mean."""
    return "Last 28 days, today on the right: " + ", ".join(f"{mark} {status}" for status, mark in MARKS.items())


def summary(overview: Overview) -> tuple[str, str]:
    """How long ago the last successes were, and how many devices are in which condition; none is left out."""
    buckets, counts = overview.buckets(), overview.counts()
    ages = ", ".join(f"{buckets[bucket]} {words}" for bucket, words in BUCKET_WORDS.items())
    conditions = ", ".join(f"{counts[condition]} {condition}" for condition in Condition)
    return f"{counted(len(overview.devices), 'device')}. Last success: {ages}.", f"Condition: {conditions}."

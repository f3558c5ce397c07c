"""The verdicts as Nagios and Checkmk read them. Pure.

Sources: the Monitoring Plugins Development Guidelines, sections "Plugin Output" and "Performance data"; Checkmk's
manual, "Local checks".
"""

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

from cove_poller.records.health.device_state import DeviceState
from cove_poller.records.health.freshness import PollFreshness
from cove_poller.text import counted, fitted, one_line
from cove_poller.views.check_verdicts import DeviceVerdict, Level, Verdicts, poll_level

SHOWN_DEVICES = 5
LONGEST_NAME = 60
LONGEST_REASON = 200
NOT_IN_SERVICE_NAMES = str.maketrans(dict.fromkeys("`;~!$%^&*|\\'\"<>?,()=", "_"))


def nagios(verdicts: Verdicts) -> str:
    """Return one line: the gravest few in words, then the performance data."""
    logins = [f"login {_name(one.login)}: {_reason(one.text)}" for one in verdicts.polls if poll_level(one)]
    said = "; ".join([*logins, f"as last known, {_devices(verdicts)}" if logins else _devices(verdicts)])
    return f"COVE {verdicts.level.name}: {said} | {' '.join(_perfdata(verdicts))}"


def unknown(message: str) -> str:
    """Return the one line of a check that can say nothing."""
    return f"COVE UNKNOWN: {plain(message)}"


def _devices(verdicts: Verdicts) -> str:
    """Return how many devices are in trouble, and which first of all."""
    if not verdicts.devices:
        return "no device is known"
    bad = [one for one in verdicts.devices if one.level]
    if not bad:
        return f"{counted(len(verdicts.devices), 'device')}, none in trouble"
    levels = Counter(one.level for one in bad)
    counts = [f"{levels[one]} {one.name.lower()}" for one in (Level.CRITICAL, Level.WARNING) if levels[one]]
    named = [f"{called(one.device)} {_reason(one.reason)}" for one in bad[:SHOWN_DEVICES]]
    more = [f"and {len(bad) - SHOWN_DEVICES} more"] if len(bad) > SHOWN_DEVICES else []
    return f"{', '.join(counts)} of {counted(len(verdicts.devices), 'device')}: {'; '.join([*named, *more])}"


def called(device: DeviceState) -> str:
    """Return a device as an alert names it."""
    return f"{_name(device.name)} ({_name(device.customer)})"


def _name(text: str) -> str:
    return fitted(plain(text), LONGEST_NAME)


def _reason(text: str) -> str:
    return fitted(plain(text), LONGEST_REASON)


def plain(text: str) -> str:
    """Return text on one line, without the bar that begins performance data."""
    return one_line(text).replace("|", "/")


def _perfdata(verdicts: Verdicts) -> Iterator[str]:
    total = len(verdicts.devices)
    yield f"devices={total};;;0"
    for condition, count in verdicts.overview.counts().items():
        yield f"{condition}={count};;;0;{total}"
    unlinked = sum(not one.device.is_linked for one in verdicts.devices)
    yield f"unlinked={unlinked};;;0;{total}"
    for poll in verdicts.polls:
        value = "U" if poll.age is None else f"{_seconds(poll.age)}s"
        yield f"{_label(f'poll_age_{poll.login}')}={value};;{_seconds(verdicts.overview.max_poll_age)};0"


def _label(text: str) -> str:
    """Return a label, in quotes where it needs some; it may not hold an equals sign or a quote."""
    label = plain(text).replace("=", "_").replace("'", "_")
    return f"'{label}'" if " " in label else label


def _seconds(span: timedelta) -> int:
    return int(span.total_seconds())


def checkmk(verdicts: Verdicts) -> str:
    """Return a line for the polls of each login and one per device, each a service of its own."""
    names = Counter(_called(one.device) for one in verdicts.devices)
    lines = [_checkmk_poll(poll, verdicts.overview.max_poll_age) for poll in verdicts.polls]
    lines += [_checkmk_device(one, is_unique=names[_called(one.device)] == 1) for one in verdicts.devices]
    return "\n".join(lines)


def checkmk_unknown(message: str) -> str:
    """Return the one line of a check that can say nothing."""
    return f'3 "Cove poller" - {plain(message)}'


def _checkmk_poll(poll: PollFreshness, max_age: timedelta) -> str:
    perf = "-" if poll.age is None else f"poll_age={_seconds(poll.age)};;{_seconds(max_age)};0"
    return f'{int(poll_level(poll))} "Cove poller {_service(poll.login)}" {perf} {_reason(poll.text)}'


def _called(device: DeviceState) -> str:
    """A device by its customer and name, as its service is called; two of one name have Cove's name behind that."""
    return f"{device.customer} {device.name}"


def _checkmk_device(verdict: DeviceVerdict, *, is_unique: bool) -> str:
    device, age = verdict.device, verdict.device.success_age
    name = _called(device) if is_unique else f"{_called(device)} {device.device_name}"
    levels = f"{_seconds(verdict.warning)};{_seconds(verdict.critical)}"
    perf = "-" if age is None else f"success_age={_seconds(age)};{levels};0"
    return f'{int(verdict.level)} "Cove {_service(name)}" {perf} {_reason(verdict.reason)}'


def _service(text: str) -> str:
    """Return a name without what Checkmk does not take in the name of a service."""
    return one_line(text).translate(NOT_IN_SERVICE_NAMES)

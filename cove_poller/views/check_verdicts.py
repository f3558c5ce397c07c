"""What monitoring is to think of each device and of the poller itself: fine, a warning, critical, not known. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import IntEnum

from cove_poller.records.health.device_state import DeviceState, SourceState
from cove_poller.records.health.freshness import PollFreshness, all_freshness
from cove_poller.records.health.overview import Overview
from cove_poller.records.statuses import Status
from cove_poller.text import age, long_age, one_line
from cove_poller.views.source_words import source_words

TYPES = {"server": "Server", "workstation": "Workstation", "m365": "Microsoft 365"}
CRITICAL_FACTOR = 2  # a device is critical after so many times the span after which it is a warning


class Level(IntEnum):
    """As monitoring plugins end."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


GRAVITY = {Level.OK: 0, Level.UNKNOWN: 1, Level.WARNING: 2, Level.CRITICAL: 3}


@dataclass(frozen=True)
class Thresholds:
    """After how long without a success a device is a warning, and critical; by device type where that is set.

    The whole is a warning, or critical, from so many devices on.
    """

    warning: Mapping[str, timedelta] = field(default_factory=dict)
    critical: Mapping[str, timedelta] = field(default_factory=dict)
    warning_count: int = 1
    critical_count: int = 1

    def warning_of(self, device: DeviceState) -> timedelta:
        return self.warning.get(device.device_type, device.alert_after)

    def of_source(self, device: DeviceState, source: SourceState) -> tuple[timedelta, timedelta]:
        """Return both for one of its sources, whose own rhythm may allow it longer than is configured."""
        warning = self.warning.get(device.device_type, max(device.alert_after, source.rhythm))
        return warning, self.critical.get(device.device_type, CRITICAL_FACTOR * warning)

    def critical_of(self, device: DeviceState) -> timedelta:
        return self.critical.get(device.device_type, CRITICAL_FACTOR * self.warning_of(device))


@dataclass(frozen=True)
class DeviceVerdict:
    """A device with what is to be thought of it, and why in a few words."""

    device: DeviceState
    level: Level
    reason: str
    warning: timedelta
    critical: timedelta


@dataclass(frozen=True)
class Verdicts:
    """What is to be thought of everything; the gravest first."""

    overview: Overview
    devices: tuple[DeviceVerdict, ...]
    polls: tuple[PollFreshness, ...]
    thresholds: Thresholds = Thresholds()

    @property
    def level(self) -> Level:
        return max([self._of_devices, *map(poll_level, self.polls)], key=GRAVITY.__getitem__)

    @property
    def _of_devices(self) -> Level:
        if not self.devices:
            return Level.UNKNOWN
        critical = sum(one.level is Level.CRITICAL for one in self.devices)
        troubled = sum(one.level is not Level.OK for one in self.devices)
        if critical >= self.thresholds.critical_count:
            return Level.CRITICAL
        return Level.WARNING if troubled >= self.thresholds.warning_count else Level.OK


def poll_level(poll: PollFreshness) -> Level:
    """Return what is to be thought of a login's polls: one that fails now and then is no reason to wake anybody."""
    return Level.CRITICAL if poll.is_old else Level.OK


def judged(overview: Overview, thresholds: Thresholds) -> Verdicts:
    """Return the verdicts over everything that is known."""
    devices = [_device_verdict(device, thresholds) for device in overview.devices]
    devices.sort(key=lambda one: (-GRAVITY[one.level], -one.device.without_success_for))
    polls = sorted(all_freshness(overview), key=lambda one: (-GRAVITY[poll_level(one)], one.login))
    return Verdicts(overview, tuple(devices), tuple(polls), thresholds)


def _device_verdict(device: DeviceState, thresholds: Thresholds) -> DeviceVerdict:
    warning, critical = thresholds.warning_of(device), thresholds.critical_of(device)
    findings = list(_findings(device, thresholds))
    level = max((found for found, _ in findings), key=GRAVITY.__getitem__)
    reasons = dict.fromkeys(reason for found, reason in findings if found is level)
    return DeviceVerdict(device, level, one_line("; ".join(reasons)), warning, critical)


def _findings(device: DeviceState, thresholds: Thresholds) -> Iterator[tuple[Level, str]]:
    """Yield what there is to say of a device, each with what is to be thought of it."""
    counts = not device.is_excused
    warning, critical = _overdue(device, thresholds) if counts else ("", "")
    if device.status is Status.FAILED:
        yield Level.CRITICAL, f"failed: {_blamed(device, Status.FAILED)}"
    if critical:
        yield Level.CRITICAL, critical
    if counts and (blamed := _blamed(device, Status.WARNING)):
        yield Level.WARNING, f"warning: {blamed}"
    if warning:
        yield Level.WARNING, warning
    if not device.is_linked:
        yield Level.WARNING, "belongs to no job, so nobody sees its runs"
    if device.is_offline:
        yield Level.OK, f"offline, {without_success(device)}"
    elif device.last_success_at is None:
        yield Level.OK, without_success(device)
    else:
        yield Level.OK, f"last success {age(device.without_success_for)} ago"
    yield from ((Level.WARNING if one.is_failure else Level.OK, one.what) for one in device.standing)


def _overdue(device: DeviceState, thresholds: Thresholds) -> tuple[str, str]:
    """Which sources have been without a success for too long, in words: for a warning, and for being critical."""
    if not device.sources:
        span, said = device.without_success_for, device.lacks([])
        return said * (span > thresholds.warning_of(device)), said * (span > thresholds.critical_of(device))
    late, too_late = set(), set()
    for one in device.sources:
        span, (warning, critical) = one.without_success_for(device.as_of), thresholds.of_source(device, one)
        if span > warning or one.silent_since:
            late.add(one.source)
            too_late |= {one.source} if span > critical else set()
    return device.lacks(late) if late else "", device.lacks(too_late) if too_late else ""


def without_success(device: DeviceState) -> str:
    """Return how long a device has been without a success, in words."""
    span = long_age(device.without_success_for)
    return f"no success for {span}" if device.last_success_at else f"never a success, known for {span}"


def _blamed(device: DeviceState, status: Status) -> str:
    """Return which sources of a device have a status or are unreadable; the total where nothing else explains it."""
    blamed = [f"{one.name} {source_words(one)}" for one in device.sources if one.problem or one.status is status]
    is_silent = status is Status.WARNING and any(one.silent_since for one in device.sources)
    of_total = "says its total" if device.status is status and not is_silent else ""
    return ", ".join(blamed) or of_total


def parse_hours(texts: Iterable[str]) -> dict[str, timedelta]:
    """Return `26` for all device types, `server=26` for one, as spans by Backupchecks' type. Raise ValueError."""
    common: dict[str, timedelta] = {}
    own: dict[str, timedelta] = {}
    for text in texts:
        kind, mark, number = text.rpartition("=")
        if mark and kind not in TYPES:
            raise ValueError(f"{kind!r} is no device type; there are {', '.join(TYPES)}")
        if not re.fullmatch(r"\d{1,5}(\.\d{1,3})?", number, re.ASCII) or not float(number):
            raise ValueError(f"{text!r} is no number of hours; write 26 or server=26")
        span = timedelta(hours=float(number))
        if mark:
            own[TYPES[kind]] = span
        else:
            common = dict.fromkeys(TYPES.values(), span)
    return common | own

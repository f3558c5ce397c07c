"""What is known of all devices right now, as people look at it: who is fine, who is not, and since when. Pure.

Everything that people see (status, report, check, the alerts of sync) is made from this, so that all say the same.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cached_property

from cove_poller.config.settings import AlertSettings
from cove_poller.records.columns import label
from cove_poller.records.job_matching import simplified
from cove_poller.records.statuses import NO_BACKUP, NOT_STARTED, SEVERITY, Status

DAY = timedelta(days=1)
OFF_DIGITS = f"{NO_BACKUP}{NOT_STARTED}"
OFF_DAYS = 2


class Condition(StrEnum):
    """How a device is, in one word, the worst first."""

    FAILED = "failed"
    STALE = "stale"
    WARNING = "warning"
    NEVER = "never"
    OFFLINE = "offline"
    RUNNING = "running"
    SUCCESS = "success"


RANK = {condition: rank for rank, condition in enumerate(Condition)}


class Bucket(StrEnum):
    """How long ago the last success was, as Cove's console counts."""

    DAY = "24h"
    TWO_DAYS = "48h"
    OLDER = "older"
    NEVER = "never"


@dataclass(frozen=True)
class SourceState:
    """The newest state of one data source of a device. `problem` says why its health is not known, if so."""

    source: str
    status: Status
    status_code: int | None
    errors_count: int | None
    last_session_at: datetime | None
    last_success_at: datetime | None
    color_bar: str
    running: bool
    problem: str | None

    @property
    def name(self) -> str:
        return label(self.source)


@dataclass(frozen=True)
class DeviceState:
    """The newest state of a device. `customer` is Backupchecks' name where it is linked, else Cove's.

    `alert_after` is how long it may be without a success.
    """

    account_id: int
    login: str
    device_name: str
    computer_name: str | None
    customer: str
    device_type: str
    status: Status
    sources: tuple[SourceState, ...]
    color_bar: str
    last_session_at: datetime | None
    last_success_at: datetime | None
    running_since: datetime | None
    first_seen_at: datetime
    last_seen_at: datetime
    job_id: int | None
    ignored: bool
    alert_after: timedelta
    as_of: datetime

    @property
    def name(self) -> str:
        """What people call it: the computer, or the tenant."""
        return self.computer_name or self.device_name

    @property
    def is_linked(self) -> bool:
        return self.job_id is not None

    @property
    def success_age(self) -> timedelta | None:
        """How long ago the last success was; None if there never was one."""
        return None if self.last_success_at is None else self.as_of - self.last_success_at

    @property
    def bucket(self) -> Bucket:
        age = self.success_age
        if age is None:
            return Bucket.NEVER
        return Bucket.DAY if age <= DAY else Bucket.TWO_DAYS if age <= 2 * DAY else Bucket.OLDER

    @property
    def is_offline(self) -> bool:
        """Whether it is a workstation that is merely switched off: nothing ran for days, and nothing failed."""
        return not self.running_since and self._was_off(self.color_bar)

    @property
    def is_back(self) -> bool:
        """Whether it is a workstation that was merely off, and now runs the first backup since then."""
        return self.running_since is not None and self._was_off(self.color_bar[:-1])

    @property
    def is_excused(self) -> bool:
        """Whether its being without a success says nothing against it."""
        return self.is_offline or self.is_back

    def _was_off(self, bar: str) -> bool:
        last_days = bar[-OFF_DAYS:]
        is_off = len(last_days) == OFF_DAYS and all(digit in OFF_DIGITS for digit in last_days)
        return self.device_type == "Workstation" and is_off and self._is_harmless

    @property
    def _is_harmless(self) -> bool:
        """Whether every source can be read and went well the last time, but for sessions that did not start."""
        return all(
            one.problem is None and (one.status in (Status.SUCCESS, Status.NONE) or one.status_code == NOT_STARTED)
            for one in self.sources
        )

    @property
    def without_success_for(self) -> timedelta:
        """How long it has been without a success: since the last one, else since it is known."""
        return self.as_of - (self.last_success_at or self.first_seen_at)

    @property
    def is_stale(self) -> bool:
        """Whether it has been without a success for longer than it may be; one that is off may be."""
        return self.without_success_for > self.alert_after and not self.is_excused

    @cached_property
    def condition(self) -> Condition:
        if self.status is Status.FAILED:
            return Condition.FAILED
        if self.is_stale:
            return Condition.STALE
        if self.is_offline:
            return Condition.OFFLINE
        if self.is_back:
            return Condition.RUNNING
        if self.status is Status.WARNING:
            return Condition.WARNING
        if self.last_session_at is None and self.last_success_at is None and not self.running_since:
            return Condition.NEVER
        return Condition.RUNNING if self.running_since else Condition.SUCCESS


@dataclass(frozen=True)
class PlotSession:
    """A recorded session, as far as it is drawn."""

    account_id: int
    data_source: str
    session_at: datetime
    status: str


@dataclass(frozen=True)
class PollState:
    """How the poller itself is doing with one login: its newest sync, and the newest one that brought something."""

    login: str
    last_started_at: datetime
    last_outcome: str
    last_error: str | None
    last_success_at: datetime | None


@dataclass(frozen=True)
class Overview:
    """All devices that count (none that is ignored or gone), grouped by customer, the worst first; and the polls.

    `unpolled` are the logins of which no poll has come to its end yet; a successful one counts for `max_poll_age`.
    """

    as_of: datetime
    max_poll_age: timedelta
    devices: tuple[DeviceState, ...]
    polls: tuple[PollState, ...]
    unpolled: tuple[str, ...] = ()

    def counts(self) -> dict[Condition, int]:
        found = Counter(device.condition for device in self.devices)
        return {condition: found[condition] for condition in Condition}

    def buckets(self) -> dict[Bucket, int]:
        found = Counter(device.bucket for device in self.devices)
        return {bucket: found[bucket] for bucket in Bucket}

    def by_customer(self) -> dict[str, tuple[DeviceState, ...]]:
        """The devices of each customer, the customer with the worst device first."""
        found: dict[str, list[DeviceState]] = {}
        for device in self.devices:
            found.setdefault(device.customer, []).append(device)
        return {customer: tuple(devices) for customer, devices in found.items()}


def make_overview(
    devices: Iterable[DeviceState],
    polls: Iterable[PollState],
    as_of: datetime,
    max_poll_age: timedelta,
    *,
    customer: str | None = None,
    unpolled: Iterable[str] = (),
) -> Overview:
    """The overview in its order; only of one customer (any part of its name will do) if that is given."""
    wanted = simplified(customer) if customer else ""
    chosen = [one for one in devices if wanted in simplified(one.customer)]
    worst_of: dict[str, int] = {}
    for one in chosen:
        worst_of[one.customer] = min(worst_of.get(one.customer, len(RANK)), RANK[one.condition])
    chosen.sort(
        key=lambda one: (
            worst_of[one.customer], one.customer.casefold(), RANK[one.condition], one.name.casefold(), one.account_id,
        )
    )  # fmt: skip
    in_order = sorted(polls, key=lambda one: one.login)
    return Overview(as_of, max_poll_age, tuple(chosen), tuple(in_order), tuple(sorted(unpolled)))


ONLY = {
    "failed": lambda device: device.status is Status.FAILED,
    "warning": lambda device: device.status is Status.WARNING,
    "stale": lambda device: device.is_stale,
    "running": lambda device: device.running_since is not None,
    "unlinked": lambda device: not device.is_linked,
}
"""The filters of `status --only`."""


def only(overview: Overview, name: str | None) -> Overview:
    """The overview with the devices that a filter of `ONLY` lets pass."""
    return replace(overview, devices=tuple(filter(ONLY[name], overview.devices))) if name else overview


def source_states(states: Mapping[str, Mapping[str, object]]) -> tuple[SourceState, ...]:
    """The sources as `cove_devices.data_sources` has them, the worst first."""
    found = map(_source_state, states.keys(), states.values())
    return tuple(sorted(found, key=lambda one: (one.problem is None, -SEVERITY[one.status], one.source)))


def newest_success(reported: datetime | None, sessions: Iterable[tuple[Status, datetime | None]]) -> datetime | None:
    """Return the last success: what Cove reports, or the newest session where that was one.

    The former may be hidden from the API's user.
    """
    known = (at for status, at in sessions if at and status is Status.SUCCESS)
    return max([*([reported] if reported else []), *known], default=None)


def _source_state(code: str, state: Mapping[str, object]) -> SourceState:
    status, last_session_at = Status(str(state["status"])), _moment(state["last_session_at"])
    return SourceState(
        source=code,
        status=status,
        status_code=_number(state["status_code"]),
        errors_count=_number(state["errors_count"]),
        last_session_at=last_session_at,
        last_success_at=newest_success(_moment(state["last_success_at"]), [(status, last_session_at)]),
        color_bar=str(state["color_bar"] or ""),
        running=bool(state["running"]),
        problem=str(state["problem"]) if state["problem"] else None,
    )


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _moment(value: object) -> datetime | None:
    return datetime.fromtimestamp(value, UTC) if isinstance(value, int) else None


def alert_after(alerts: AlertSettings, device_type: str, customers: Iterable[str]) -> timedelta:
    """How long a device of this type may be without a success; `customers` are all names of its customer."""
    names = {simplified(name) for name in customers}
    own = next((hours for name, hours in alerts.customers.items() if simplified(name) in names), alerts)
    return timedelta(hours=own.hours_of(device_type) or alerts.hours_of(device_type) or 0)

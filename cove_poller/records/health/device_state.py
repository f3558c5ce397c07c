"""The newest state of a device and of each of its data sources: how it is in one word, and since when. Pure."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cached_property

from cove_poller.records.columns import label
from cove_poller.records.health import news
from cove_poller.records.health.silence import is_lost, is_switched_off
from cove_poller.records.statuses import NOT_STARTED, Status
from cove_poller.text import long_age

DAY = timedelta(days=1)
FIRST = datetime.min.replace(tzinfo=UTC)


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


@dataclass(frozen=True, slots=True)
class SourceState:
    """The newest state of one data source of a device. `problem` says why its health is not known, if so.

    `known_since` is when the device was first seen, `active_since` when the source was switched on, if that was later.
    `rhythm` is what its own rhythm allows it to be without a session, `silent_since` when that or the configured limit
    was over. Since `gap_since` sessions of it may be missing, `gap_why` says why; since `failing_since` all went wrong.
    """

    source: str
    status: Status
    status_code: int | None
    errors_count: int | None
    last_session_at: datetime | None
    last_success_at: datetime | None
    color_bar: str
    running: bool
    problem: str | None
    not_started: bool = False
    silent_since: datetime | None = None
    gap_since: datetime | None = None
    gap_why: str | None = None
    known_since: datetime = FIRST
    active_since: datetime | None = None
    rhythm: timedelta = timedelta()
    failing_since: datetime | None = None

    @property
    def name(self) -> str:
        return label(self.source)

    def without_success_for(self, as_of: datetime) -> timedelta:
        """Return how long it has been without a success, at most since it is active."""
        return as_of - max(self.last_success_at or self.known_since, self.active_since or FIRST)

    def is_stale(self, as_of: datetime, alert_after: timedelta) -> bool:
        """Return whether it is silent, or without a success for longer than it may be.

        Of one that could never be read nobody knows.
        """
        if self.problem and not self.last_session_at and not self.last_success_at:
            return False
        return self.silent_since is not None or self.without_success_for(as_of) > max(alert_after, self.rhythm)

    def lack(self, as_of: datetime) -> str:
        """Return what it has not had for how long: "no session for 20 days", "no success yet in 50 hours"."""
        what, last = ("session", self.last_session_at) if self.silent_since else ("success", self.last_success_at)
        span = long_age(as_of - (last or self.active_since or self.known_since))
        return f"no {what} for {span}" if last else f"no {what} yet in {span}"


@dataclass(frozen=True)
class DeviceState:
    """The newest state of a device. `customer` is Backupchecks' name where it is linked, else Cove's.

    `alert_after` is how long it may be without a success. `last_success_at` is that of the source that has been without
    one for the longest, None where one never had any; `any_success_at` is the newest of all. `standing` is what has
    been wrong with it since when.
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
    any_success_at: datetime | None
    running_since: datetime | None
    first_seen_at: datetime
    last_seen_at: datetime
    job_id: int | None
    ignored: bool
    alert_after: timedelta
    as_of: datetime
    standing: tuple[news.Condition, ...] = ()
    stale_since: datetime | None = None

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
        if self.device_type != "Workstation" or not self._is_harmless:
            return False
        idle_for = self.as_of - (self.last_session_at or self.first_seen_at)
        limit = max([self.alert_after, *(one.rhythm for one in self.sources)])
        not_started = any(one.not_started for one in self.sources)
        is_off = is_switched_off(bar, idle_for, not_started=not_started)
        return is_off and not is_lost(self.color_bar, idle_for, limit)

    @property
    def _is_harmless(self) -> bool:
        """Whether every source can be read and went well the last time, but for sessions that did not start."""
        return all(
            one.problem is None and (one.status in (Status.SUCCESS, Status.NONE) or one.status_code == NOT_STARTED)
            for one in self.sources
        )

    @cached_property
    def without_success_for(self) -> timedelta:
        """How long its worst source has been without a success; without any source, itself."""
        of_itself = self.as_of - (self.last_success_at or self.first_seen_at)
        return max((one.without_success_for(self.as_of) for one in self.sources), default=of_itself)

    @cached_property
    def stale_sources(self) -> tuple[SourceState, ...]:
        """The sources that are silent, or without a success for too long; none of a device that is merely off."""
        if self.is_excused:
            return ()
        return tuple(one for one in self.sources if one.is_stale(self.as_of, self.alert_after))

    def lack_of(self, source: SourceState) -> str:
        """Return what a source of it has not had for how long; empty where it is not stale."""
        return source.lack(self.as_of) if source in self.stale_sources else ""

    def lacks(self, sources: Collection[str] | None = None) -> str:
        """Return what its stale sources, or some `sources`, have not had for how long.

        For example "SQL Server has had no session for 20 days; Files and Folders, System State have had no success for
        3 days"; of a device without any source "has had no success for 50 hours".
        """
        chosen = self.stale_sources if sources is None else [one for one in self.sources if one.source in sources]
        found: dict[str, list[str]] = {}
        for one in chosen:
            found.setdefault(one.lack(self.as_of), []).append(one.name)
        by_source = [
            f"{', '.join(names)} {'has' if len(names) == 1 else 'have'} had {lack}" for lack, names in found.items()
        ]
        span = long_age(self.without_success_for)
        of_itself = f"no success for {span}" if self.last_success_at else f"no success yet in {span}"
        return "; ".join(by_source) or f"has had {of_itself}"

    @property
    def is_stale(self) -> bool:
        """Whether one of its sources is stale, or, where none is known, it has been without a success for too long."""
        if self.sources or self.is_excused:
            return bool(self.stale_sources)
        return self.without_success_for > self.alert_after

    @property
    def has_unreadable(self) -> bool:
        """Whether something of it could not be read, so that it is a warning at best."""
        return any(one.problem for one in self.sources) or any(one.is_failure for one in self.standing)

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
        if self.status is Status.WARNING or self.has_unreadable:
            return Condition.WARNING
        if self.last_session_at is None and self.any_success_at is None and not self.running_since:
            return Condition.NEVER
        return Condition.RUNNING if self.running_since else Condition.SUCCESS

    @property
    def is_problem(self) -> bool:
        """Whether a person should look at it."""
        is_bad = self.condition in (Condition.FAILED, Condition.STALE, Condition.WARNING)
        return is_bad or not self.is_linked or bool(self.standing)

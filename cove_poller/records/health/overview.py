"""What is known of all devices right now, as people look at it: who is fine, who is not, and since when. Pure.

Everything that people see (status, report, check, the alerts of sync) is made from this, so that all say the same.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from difflib import get_close_matches

from cove_poller.config.settings import AlertSettings
from cove_poller.errors import WrongUsage
from cove_poller.records.health import news
from cove_poller.records.health.device_state import RANK, Bucket, Condition, DeviceState
from cove_poller.records.job_matching import simplified
from cove_poller.records.statuses import Status
from cove_poller.text import listed, one_line

PLOT_STATUSES = (Status.SUCCESS, Status.WARNING, Status.FAILED)


@dataclass(frozen=True)
class PlotSessions:
    """The recorded sessions of a source of a device, as far as they are drawn, in no order.

    Of each there is a number: the minute since the plot's begin, times four, and its status's place in `PLOT_STATUSES`.
    """

    account_id: int
    data_source: str
    numbers: Sequence[int]


@dataclass(frozen=True)
class PollState:
    """How the poller itself is doing with one login: its newest sync, and the newest one that brought something."""

    login: str
    last_started_at: datetime
    last_outcome: str
    last_error: str | None
    last_success_at: datetime | None
    standing: tuple[news.Condition, ...] = ()
    """What has been wrong with the login itself, but for an error: that is `last_error`."""

    last_exit_code: int | None = None
    last_runs_written: int | None = None
    """How many job runs the newest sync wrote or changed."""

    last_sessions_written: int | None = None
    """How many sessions the newest sync wrote that were not known before."""


@dataclass(frozen=True)
class Overview:
    """All devices that count (none that is ignored or gone), the worst first, then by customer; and the polls.

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


def make_overview(
    devices: Iterable[DeviceState],
    polls: Iterable[PollState],
    as_of: datetime,
    max_poll_age: timedelta,
    *,
    customer: str | None = None,
    unpolled: Iterable[str] = (),
) -> Overview:
    """Return the overview in its order; only of one customer (any part of its name will do) if that is given.

    Raise WrongUsage if nobody is called so.
    """
    wanted = simplified(customer) if customer else ""
    known = list(devices)
    chosen = [one for one in known if wanted in simplified(one.customer)]
    if customer and not chosen:
        raise WrongUsage(_nobody(customer, {one.customer for one in known}), "--customer")
    chosen.sort(
        key=lambda one: (
            RANK[one.condition], not one.is_problem, one.customer.casefold(), one.name.casefold(), one.account_id,
        )
    )  # fmt: skip
    in_order = sorted(polls, key=lambda one: one.login)
    return Overview(as_of, max_poll_age, tuple(chosen), tuple(in_order), tuple(sorted(unpolled)))


def _nobody(customer: str, names: set[str]) -> str:
    """Return that nobody is called so, and the names that come near, else the first of all."""
    near = get_close_matches(customer, sorted(names), cutoff=0.5) or sorted(names, key=str.casefold)
    known = f"there are: {listed([one_line(name) for name in near], 5)}" if near else "no device is known yet"
    return f"no customer has {customer!r} in its name; {known}"


ONLY = {
    "problem": lambda device: device.is_problem,
    "failed": lambda device: device.status is Status.FAILED,
    "warning": lambda device: device.status is Status.WARNING or device.condition is Condition.WARNING,
    "stale": lambda device: device.is_stale,
    "never": lambda device: device.condition is Condition.NEVER,
    "offline": lambda device: device.is_offline,
    "running": lambda device: device.running_since is not None,
    "success": lambda device: device.condition is Condition.SUCCESS,
    "unlinked": lambda device: not device.is_linked,
}
"""The filters of `status --only`."""


def only(overview: Overview, name: str | None) -> Overview:
    """The overview with the devices that a filter of `ONLY` lets pass."""
    return replace(overview, devices=tuple(filter(ONLY[name], overview.devices))) if name else overview


def of_login(overview: Overview, login: str) -> Overview:
    """Return the overview of one login. Raise WrongUsage if there is none of that name."""
    known = sorted({*(poll.login for poll in overview.polls), *overview.unpolled})
    if login not in known:
        raise WrongUsage(f"there is no login {login!r}; there are: {listed(known)}", "--login")
    return replace(
        overview,
        devices=tuple(one for one in overview.devices if one.login == login),
        polls=tuple(one for one in overview.polls if one.login == login),
        unpolled=tuple(one for one in overview.unpolled if one == login),
    )


def with_own_polls(overview: Overview) -> Overview:
    """Return the overview with no polls but those of its devices' logins."""
    logins = {device.login for device in overview.devices}
    polls = tuple(one for one in overview.polls if one.login in logins)
    return replace(overview, polls=polls, unpolled=tuple(one for one in overview.unpolled if one in logins))


def alert_after(alerts: AlertSettings, device_type: str, customers: Iterable[str]) -> timedelta:
    """How long a device of this type may be without a success; `customers` are all names of its customer."""
    names = {simplified(name) for name in customers}
    own = next((hours for name, hours in alerts.customers.items() if simplified(name) in names), alerts)
    return timedelta(hours=own.hours_of(device_type) or alerts.hours_of(device_type) or 0)

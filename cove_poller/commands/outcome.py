"""What became of devices so far, and what is to be said of them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cove_poller.commands.record_runs import Tally
from cove_poller.records.health import news
from cove_poller.records.job_matching import CreatedCustomer, near_names
from cove_poller.records.open_gaps import Missing
from cove_poller.text import counted


@dataclass(frozen=True)
class Standing:
    """What has been wrong with a device, or with the login itself, since some moment; `is_told` if it is said now."""

    account_id: int | None
    what: str
    since: datetime
    is_told: bool = False

    @classmethod
    def of(cls, account_id: int | None, condition: news.Condition, found: news.News) -> "Standing":
        return cls(account_id, condition.what, condition.since, condition in found.told)


@dataclass(frozen=True)
class About:
    """What a line that is said is about: since when that stands, and its device's job, or that of several devices."""

    since: datetime | None = None
    job_id: int | None = None
    is_of_several: bool = False


SourceAndOrigin = tuple[str, str]


@dataclass
class Outcome:
    """What became of the devices so far. `failures` make a run partial, `warnings` do not.

    `gap_ids` are the devices of whose sessions some may be missing, `missing` those of them, only of the page itself,
    whose histories may be read to find out. `about` has by a line what it is about.
    """

    devices: int = 0
    running: int = 0
    unlinked: int = 0
    sessions: Tally = field(default_factory=Tally)
    new_by_source: Counter[SourceAndOrigin] = field(default_factory=Counter)
    job_runs: Tally = field(default_factory=Tally)
    new_customers: list[CreatedCustomer] = field(default_factory=list)
    new_jobs: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    standing: list[Standing] = field(default_factory=list)
    about: dict[str, About] = field(default_factory=dict)
    gaps_closed: int = 0
    gap_ids: set[int] = field(default_factory=set)
    missing: Mapping[int, Missing] = field(default_factory=dict)

    def say(self, lines: Iterable[tuple[bool, str]]) -> None:
        """Add lines to be said, each with whether it is a failure."""
        for is_failure, text in lines:
            (self.failures if is_failure else self.warnings).append(text)

    def add(self, other: "Outcome") -> None:
        """Count what became of further devices."""
        self.devices += other.devices
        self.running += other.running
        self.unlinked += other.unlinked
        self.sessions.add(other.sessions)
        self.new_by_source.update(other.new_by_source)
        self.job_runs.add(other.job_runs)
        self.gaps_closed += other.gaps_closed
        self.gap_ids |= other.gap_ids
        self.about |= other.about
        for name in ("new_customers", "new_jobs", "failures", "warnings", "standing"):
            getattr(self, name).extend(getattr(other, name))


@dataclass(frozen=True)
class Noted:
    """What is to be said of devices whose row cannot be read, and which of them are recorded."""

    outcome: Outcome
    account_ids: frozenset[int]


def said(told: Mapping[int, news.News], jobs: Mapping[int, int]) -> Outcome:
    """What is to be said of devices, by account, as their jobs are."""
    by_account = {account: [*found.lines()] for account, found in told.items()}
    lines = [line for found in by_account.values() for line in found]
    begun = {account: found.beginnings() for account, found in told.items()}
    return Outcome(
        about={
            text: About(begun[account].get(text), jobs.get(account))
            for account, found in by_account.items()
            for _, text in found
        },
        failures=[text for is_failure, text in lines if is_failure],
        warnings=[text for is_failure, text in lines if not is_failure],
        standing=[
            Standing.of(account, condition, found)
            for account, found in told.items()
            for condition in found.standing.values()
        ],
    )


@dataclass(frozen=True)
class Preview:
    """How many devices belong to jobs that are there, and what would be new."""

    devices: int
    unlinked: int
    new_jobs: tuple[str, ...]
    new_customers: tuple[CreatedCustomer, ...]

    @property
    def matched(self) -> int:
        return self.devices - self.unlinked - len(self.new_jobs)

    def as_text(self) -> str:
        """Return the totals as one line."""
        return (
            f"{counted(self.devices, 'device')}: {self.matched} with a job in Backupchecks, {self.unlinked} unlinked;"
            f" {counted(len(self.new_jobs), 'new job')}, {counted(len(self.new_customers), 'new customer')}"
        )

    def to_json(self) -> dict[str, Any]:
        """Return the totals, and of each new customer the line for the map and the names that it may be meant for."""
        customers = [
            {"cove_name": one.cove_name, "name": one.name, "near": [*near_names(one.name, one.others)],
             "toml": one.as_toml()}
            for one in self.new_customers
        ]  # fmt: skip
        return {
            "devices": self.devices,
            "matched": self.matched,
            "unlinked": self.unlinked,
            "new_jobs": [*self.new_jobs],
            "new_customers": customers,
        }


def preview_of(outcomes: Sequence[Outcome]) -> Preview:
    """Return what the outcomes of a dry run come to."""
    return Preview(
        sum(one.devices for one in outcomes),
        sum(one.unlinked for one in outcomes),
        tuple(name for one in outcomes for name in one.new_jobs),
        tuple(customer for one in outcomes for customer in one.new_customers),
    )

"""What a first sync would make in Backupchecks, as totals and as lines to correct it by."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cove_poller.commands.outcome import Outcome
from cove_poller.records.job_matching import CreatedCustomer, near_names
from cove_poller.text import counted


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

"""Which Backupchecks customer and job a Cove device belongs to. Pure. What is ambiguous is never guessed."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

MAIL_ADDRESS = re.compile(r"\s*\([^()]*@[^()]*\)\s*$")


def without_mail_address(name: str) -> str:
    """Cove's customer name without the trailing `(mail address)` that it often carries."""
    return MAIL_ADDRESS.sub("", name).strip() or name.strip()


def simplified(name: str) -> str:
    """A name for comparing: case, spaces and a trailing mail address do not count."""
    return "".join(without_mail_address(name).casefold().split())


@dataclass(frozen=True)
class Unlinked:
    """A device that belongs nowhere, and why."""

    reason: str


@dataclass(frozen=True)
class NewCustomer:
    """A customer that has to be created."""

    name: str


@dataclass(frozen=True)
class NewJob:
    """A job that has to be created."""

    job_name: str


@dataclass(frozen=True)
class Job:
    """A job of the poller's backup software."""

    id: int
    customer_id: int
    job_name: str
    cove_account_id: int | None


class Customers:
    """Backupchecks' customers by name, and which Cove partners have devices with them."""

    def __init__(self, customers: Iterable[tuple[int, str]], partners: Iterable[tuple[int, int | None]]) -> None:
        self._exact: dict[str, list[int]] = defaultdict(list)
        self._simplified: dict[str, list[int]] = defaultdict(list)
        self._partners: dict[int, set[int | None]] = defaultdict(set)
        for customer_id, name in customers:
            self.add(customer_id, name)
        for customer_id, partner_id in partners:
            self.add_partner(customer_id, partner_id)

    def add(self, customer_id: int, name: str) -> None:
        self._exact[name].append(customer_id)
        self._simplified[simplified(name)].append(customer_id)

    def add_partner(self, customer_id: int, partner_id: int | None) -> None:
        """Remember that a device of this partner is with this customer."""
        self._partners[customer_id].add(partner_id)

    def find(
        self, cove_name: str, partner_id: int | None, mapped: Mapping[str, str], *, may_create: bool
    ) -> int | NewCustomer | Unlinked:
        """The customer for Cove's `cove_name`: by the configured map, the exact name, or the simplified one.

        A customer found by its simplified name only must not already serve another Cove partner: two companies
        may differ by nothing but the mail address behind their names.
        """
        name = mapped.get(cove_name, cove_name)
        if exact := self._exact.get(name):
            return exact[0] if len(exact) == 1 else Unlinked(f"{len(exact)} customers are called {name!r}")
        similar = self._simplified.get(simplified(name), [])
        if len(similar) > 1:
            return Unlinked(f"{len(similar)} customers have names like {name!r}")
        if similar:
            others = self._partners[similar[0]] - {partner_id}
            if others and cove_name not in mapped:
                return Unlinked(f"the customer with a name like {name!r} has devices of another Cove customer")
            return similar[0]
        if not may_create:
            return Unlinked(f"there is no customer {name!r}")
        return NewCustomer(name if cove_name in mapped else without_mail_address(name))


def job_names(account_id: int, device_name: str, computer_name: str | None, device_type: str) -> Iterator[str]:
    """The names that a device's job may have, the best first; the later ones serve when others have taken it."""
    if computer_name and device_type != "Microsoft 365":
        yield computer_name
    yield device_name
    yield f"{device_name} ({account_id})"


def find_job(names: Iterable[str], jobs: Iterable[Job], *, may_create: bool) -> Job | NewJob | Unlinked:
    """Of a customer's `jobs`, the free one with the first of the `names` that no other device has taken."""
    by_name: dict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        by_name[job.job_name.casefold()].append(job)
    for name in names:
        called_so = by_name[name.casefold()]
        free = [job for job in called_so if job.cove_account_id is None]
        if len(free) > 1:
            return Unlinked(f"{len(free)} jobs are called {name!r}")
        if free:
            return free[0]
        if not called_so:
            return NewJob(name) if may_create else Unlinked(f"there is no job {name!r}")
    return Unlinked("all names for its job are taken")

"""Which Backupchecks customer and job a Cove device belongs to. Pure. What is ambiguous is never guessed."""

import difflib
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from cove_poller.config.settings import Config
from cove_poller.records.health.news import Trouble

MAIL_ADDRESS = re.compile(r"\s*\([^()]*@[^()]*\)\s*$")
NEAR = 0.6
"""How alike two names are, of 1, that a person may have meant as one: "Bakkerij A" and "Bakker" are 0.8."""


def without_mail_address(name: str) -> str:
    """Cove's customer name without the trailing `(mail address)` that it often carries."""
    return MAIL_ADDRESS.sub("", name).strip() or name.strip()


def simplified(name: str) -> str:
    """A name for comparing: case, spaces and a trailing mail address do not count."""
    return "".join(without_mail_address(name).casefold().split())


def is_called(cove_name: str, name: str) -> bool:
    """Return whether somebody may call a Cove customer `name`.

    One without a mail address stands for every customer who is called so, with whatever address behind it.
    """
    return name == cove_name or (
        name.strip() == without_mail_address(name) and simplified(name) == simplified(cove_name)
    )


def mapped_name(cove_name: str, mapped: Mapping[str, str]) -> str | None:
    """Return what the configured map has for a Cove customer, by its name with or without the mail address."""
    return mapped.get(cove_name, mapped.get(without_mail_address(cove_name)))


def near_names(name: str, names: Iterable[str]) -> tuple[str, ...]:
    """Return up to three of the `names` that are most like `name`, the nearest first."""
    by_simplified: dict[str, str] = {}
    for one in names:
        by_simplified.setdefault(simplified(one), one)
    near = difflib.get_close_matches(simplified(name), by_simplified, cutoff=NEAR)
    return tuple(by_simplified[one] for one in near)


def has_moved(before: tuple[int | None, str], now: tuple[int | None, str]) -> bool:
    """Return whether a device has another Cove customer than `before`, each given as partner id and name.

    A customer that got another name is still the same; only where Cove tells no id the name decides.
    """
    if before[0] is not None and now[0] is not None:
        return before[0] != now[0]
    return bool(before[1] and now[1]) and simplified(before[1]) != simplified(now[1])


def is_same_customer(one: tuple[int | None, str], other: tuple[int | None, str]) -> bool:
    """Return whether two devices, whose customers are given as partner id and name, are of one Cove customer."""
    if one[0] is not None and one[0] == other[0]:
        return True
    return bool(one[1] and other[1]) and simplified(one[1]) == simplified(other[1])


def moved(device: str, account_id: int, old_customer: str, job: str, target_id: int | None) -> str:
    """Return what is said of a device that has another Cove customer than before; `target_id` is a job for it there."""
    hint = "" if target_id else " (JOB_ID is a job of the new customer; make one in Backupchecks if there is none)"
    return (
        f"{device} has moved in Cove; before, its customer was {old_customer}. Its runs stay with job {job};"
        f" to move it: cove-poller devices link {account_id} --job {target_id or 'JOB_ID'}{hint}"
    )


def returned(device: str, old_device: str) -> str:
    """Return what is said of a computer that comes back under a new account."""
    return (
        f"{device} is the computer of {old_device}, which Cove no longer lists, under a new account;"
        " its earlier runs are in the job of the old one"
    )


def unused_names(config: Config, cove_names: Iterable[str], other_names: Iterable[str] = ()) -> dict[str, Trouble]:
    """Return the customers' names in the configuration that nobody has, by keys that stay the same.

    `cove_names` are all that the logins list together; `other_names` are what Backupchecks calls these customers, as
    far as it has them. Where Cove lists nobody, nothing is known.
    """
    listed = set(cove_names)
    mapped = config.backupchecks.customers
    spelled = {*listed, *map(without_mail_address, listed)}
    alike = {simplified(one) for one in (*listed, *other_names, *(mapped_name(name, mapped) or "" for name in listed))}
    unused = {
        "backupchecks": [name for name in mapped if name not in spelled],
        "intervals": [name for name in config.intervals.customers if not any(is_called(one, name) for one in listed)],
        "alerts": [name for name in config.alerts.customers if simplified(name) not in alike],
    }
    return {
        f"unused {section} {name}": Trouble(_unused(section, name, near_names(name, listed)))
        for section, names in unused.items()
        for name in names
        if listed
    }


def _unused(section: str, name: str, near: Iterable[str]) -> str:
    likely = ", ".join(map(quoted, near))
    return f"[{section}.customers] {quoted(name)}: no customer is called so{f'; near are: {likely}' if likely else ''}"


def quoted(name: str) -> str:
    """Return a name as a string of TOML."""
    return json.dumps(name, ensure_ascii=False)


@dataclass(frozen=True)
class Unlinked:
    """A device that belongs nowhere, and why."""

    reason: str


@dataclass(frozen=True)
class NewCustomer:
    """A customer that has to be created."""

    name: str


@dataclass(frozen=True)
class CreatedCustomer:
    """A customer that was created for Cove's `cove_name`, beside the `others` that Backupchecks had."""

    name: str
    cove_name: str
    others: tuple[str, ...] = field(default=(), repr=False)

    def as_toml(self) -> str:
        """Return the line for the configured map, with the others that may have been meant.

        Those are not looked for before: among thousands of names that takes a while.
        """
        near = near_names(self.name, self.others)
        likely = f"  # like: {', '.join(map(quoted, near))}" if near else ""
        return f"{quoted(self.cove_name)} = {quoted(self.name)}{likely}"


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


Partner = tuple[int, int | None, str]
"""A customer's id, and the partner id and the name of a Cove customer that has devices with it."""


class Customers:
    """Backupchecks' customers by name, and which Cove customers have devices with them."""

    def __init__(self, customers: Iterable[tuple[int, str]], partners: Iterable[Partner]) -> None:
        self._exact: dict[str, list[int]] = defaultdict(list)
        self._simplified: dict[str, list[int]] = defaultdict(list)
        self._partners: dict[int, set[tuple[int | None, str]]] = defaultdict(set)
        for customer_id, name in customers:
            self._exact[name].append(customer_id)
            self._simplified[simplified(name)].append(customer_id)
        for partner in partners:
            self.add_partner(*partner)

    def add_partner(self, customer_id: int, partner_id: int | None, cove_name: str) -> None:
        """Remember that a device of this Cove customer is with this customer."""
        self._partners[customer_id].add((partner_id, cove_name))

    def find(
        self, cove_name: str, partner_id: int | None, mapped: Mapping[str, str], *, may_create: bool
    ) -> int | NewCustomer | Unlinked:
        """Return the customer for Cove's `cove_name`: by the configured map, the exact name, or the simplified one.

        Two companies may differ by nothing but the mail address behind their names: they share no customer unless the
        map names both in full. Where nothing but a simplified name speaks for a customer, it must not serve another
        Cove customer at all.
        """
        in_map = mapped_name(cove_name, mapped)
        name = in_map or cove_name
        exact, similar = self._exact.get(name, []), self._simplified.get(simplified(name), [])
        if len(exact) > 1:
            return Unlinked(f"{len(exact)} customers are called {name!r}")
        if not exact and len(similar) > 1:
            return Unlinked(f"{len(similar)} customers have names like {name!r}")
        if exact or similar:
            found = (exact or similar)[0]
            others = {other for other in self._partners[found] if other[0] != partner_id}
            if any(_is_taken_for(cove_name, other, mapped) for _, other in others):
                return Unlinked(
                    f"the customer {name!r} has devices of another Cove customer whose name differs by the mail address"
                    " only; map both by their full names"
                )
            if others and not exact and not in_map:
                return Unlinked(f"the customer with a name like {name!r} has devices of another Cove customer")
            return found
        if not may_create:
            return Unlinked(f"there is no customer {name!r}")
        return NewCustomer(in_map or without_mail_address(name))


def _is_taken_for(cove_name: str, other: str, mapped: Mapping[str, str]) -> bool:
    """Whether two names of Cove's differ in what does not count, and nobody has said in full whom they mean."""
    return other != cove_name and simplified(other) == simplified(cove_name) and not {cove_name, other} <= mapped.keys()


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

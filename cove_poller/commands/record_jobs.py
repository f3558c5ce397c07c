"""Links devices to Backupchecks jobs: asks what is there, lets `job_matching` decide, writes what is new."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any

from cove_poller.config.settings import BackupchecksSettings
from cove_poller.database.bulk import Row
from cove_poller.database.jobs import LinkedJob
from cove_poller.database.store import Store
from cove_poller.records.device import Device
from cove_poller.records.health.device_troubles import device_name
from cove_poller.records.job_matching import (
    CreatedCustomer,
    Customers,
    Job,
    NewCustomer,
    NewJob,
    Unlinked,
    find_job,
    has_moved,
    is_same_customer,
    job_names,
    moved,
    returned,
    simplified,
)

NOT_RECORDED: Mapping[int, Row] = MappingProxyType({})


@dataclass
class Links:
    """The job of each device by account id, why the others have none, what was created, and what is said once."""

    jobs: dict[int, int] = field(default_factory=dict)
    unlinked: dict[int, str] = field(default_factory=dict)
    new_customers: list[CreatedCustomer] = field(default_factory=list)
    new_jobs: list[str] = field(default_factory=list)
    events: list[str] = field(default_factory=list)


@dataclass
class Plan:
    """What is found for the devices of a page, and what is to be made for the others."""

    linked: dict[int, Job] = field(default_factory=dict)
    unlinked: dict[int, str] = field(default_factory=dict)
    customers: dict[str, CreatedCustomer] = field(default_factory=dict)
    claims: dict[int, int] = field(default_factory=dict)
    jobs: list[dict[str, Any]] = field(default_factory=list)
    job_labels: list[str] = field(default_factory=list)

    @property
    def writes(self) -> bool:
        return bool(self.customers or self.claims or self.jobs)


class Linker:
    """Links page after page; remembers which customers it made itself, as nobody can have meant those."""

    def __init__(self, settings: BackupchecksSettings) -> None:
        self._settings = settings
        self._made: set[str] = set()

    def link(self, store: Store, devices: Sequence[Device], before: Mapping[int, Row] = NOT_RECORDED) -> Links:
        """Find or make the job of every device; `before` are their rows of `cove_devices`, where they have any.

        What looks missing is looked up again once nobody else can make it: another run may have done so meanwhile.
        """
        links = Links()
        plan = self._plan(store, devices)
        if plan.writes:
            store.jobs.hold_creation()
            plan = self._plan(store, devices)
        if plan.customers:
            links.new_customers = self._create_customers(store, plan.customers.values())
            plan = self._plan(store, devices)  # again: two Cove customers may have asked for one name
        links.jobs = {account: job.id for account, job in plan.linked.items()}
        links.jobs |= store.jobs.claim(plan.claims) | store.jobs.create(plan.jobs)
        links.new_jobs = plan.job_labels
        left = {one.account_id for one in devices} - links.jobs.keys()
        links.unlinked = {one: plan.unlinked.get(one, "its job was not made; the next run tries again") for one in left}
        links.events = [*self._moves(store, devices, plan.linked, before), *_returns(store, devices, before)]
        return links

    def _plan(self, store: Store, devices: Sequence[Device]) -> Plan:
        """Look up what there is, and decide what is missing. Nothing is written."""
        plan = Plan()
        for account, jobs in _by_account(store.jobs.of_devices(device.account_id for device in devices)).items():
            if len(jobs) == 1:
                plan.linked[account] = jobs[0]
            else:
                plan.unlinked[account] = f"{len(jobs)} jobs have its cove_account_id"
        if left := [one for one in devices if one.account_id not in {*plan.linked, *plan.unlinked}]:
            self._plan_jobs(store, left, self._plan_customers(store, left, plan), plan)
        return plan

    def _plan_customers(self, store: Store, devices: Iterable[Device], plan: Plan) -> dict[int, int]:
        """Return the customer of each device by account id, of those whose customer is there."""
        known, limit = self._known_customers(store), store.jobs.customer_name_limit()
        found: dict[int, int] = {}
        for device in devices:
            match = self._find_customer(known, device)
            if isinstance(match, NewCustomer) and limit and len(match.name) > limit:
                match = Unlinked(f"{match.name!r} is too long a name for Backupchecks; map it to a shorter one")
            if isinstance(match, NewCustomer):
                created = CreatedCustomer(match.name, device.fields.customer_name or "")
                plan.customers.setdefault(simplified(match.name), created)
            elif isinstance(match, Unlinked):
                plan.unlinked[device.account_id] = match.reason
            else:
                found[device.account_id] = match
                known.add_partner(match, device.partner_id, device.fields.customer_name or "")
        return found

    def _known_customers(self, store: Store) -> Customers:
        return Customers(store.jobs.customers(), store.jobs.partners_of_customers())

    def _find_customer(self, known: Customers, device: Device) -> int | NewCustomer | Unlinked:
        name, settings = device.fields.customer_name, self._settings
        if not name or not device.fields.name:
            return Unlinked(f"Cove sends no {'customer' if device.fields.name else 'name'} for it")
        return known.find(name, device.partner_id, settings.customers, may_create=settings.create_customers)

    def _create_customers(self, store: Store, wanted: Iterable[CreatedCustomer]) -> list[CreatedCustomer]:
        """Create customers. Return them beside those that were there before this run."""
        others = tuple(name for _, name in store.jobs.customers() if name not in self._made)
        made = store.jobs.create_customers(one.name for one in wanted)
        self._made |= made.keys()
        return [replace(one, others=others) for one in wanted if one.name in made]

    def _plan_jobs(self, store: Store, devices: Iterable[Device], customers: Mapping[int, int], plan: Plan) -> None:
        """Find the jobs of the devices whose customer is known: free ones to be claimed, others to be created."""
        jobs = _by_customer(store.jobs.of_customers(set(customers.values())))
        for device in (device for device in devices if device.account_id in customers):
            account, customer_id = device.account_id, customers[device.account_id]
            match = self._find_job(device, jobs[customer_id])
            if isinstance(match, Unlinked):
                plan.unlinked[account] = match.reason
                continue
            if isinstance(match, Job):
                plan.claims[match.id] = account
                jobs[customer_id].remove(match)
            else:
                plan.jobs.append(
                    {
                        "customer_id": customer_id,
                        "job_name": match.job_name,
                        "backup_type": device.device_type,
                        "cove_account_id": account,
                    }
                )
                plan.job_labels.append(f"{match.job_name} ({device.fields.customer_name})")
            jobs[customer_id].append(Job(0, customer_id, match.job_name, account))

    def _find_job(self, device: Device, jobs: Iterable[Job]) -> Job | NewJob | Unlinked:
        names = job_names(device.account_id, device.name, device.fields.computer_name, device.device_type)
        return find_job(names, jobs, may_create=self._settings.create_jobs)

    def _moves(
        self, store: Store, devices: Iterable[Device], linked: Mapping[int, Job], before: Mapping[int, Row]
    ) -> Iterator[str]:
        """Name the linked devices that have another Cove customer than before, unless their job is with that one."""
        gone_over = [
            one for one in devices if one.account_id in linked.keys() & before.keys() and _has_moved(one, before)
        ]
        if not gone_over:
            return
        known, shown = self._known_customers(store), store.jobs.linked()
        matches = {one.account_id: self._find_customer(known, one) for one in gone_over}
        jobs = _by_customer(store.jobs.of_customers({one for one in matches.values() if isinstance(one, int)}))
        for device in gone_over:
            account, customer = device.account_id, matches[device.account_id]
            if customer != linked[account].customer_id:
                job = self._find_job(device, jobs[customer]) if isinstance(customer, int) else None
                target = job.id if isinstance(job, Job) else None
                old = before[account]["customer_name"]
                yield moved(device_name(device), account, old, str(_shown(shown, account)), target)


def _shown(jobs: Mapping[int, Sequence[LinkedJob]], account_id: int) -> LinkedJob:
    return jobs[account_id][0]


def _has_moved(device: Device, before: Mapping[int, Row]) -> bool:
    row = before[device.account_id]
    return has_moved((row["partner_id"], row["customer_name"]), (device.partner_id, device.fields.customer_name or ""))


def _returns(store: Store, devices: Iterable[Device], before: Mapping[int, Row]) -> Iterator[str]:
    """Name the devices not seen before that are a computer which Cove no longer lists under another account."""
    new = {one.account_id: one for one in devices if one.account_id not in before and one.fields.computer_name}
    gone = store.jobs.gone_computers(one.fields.computer_name or "" for one in new.values()) if new else []
    for device in new.values():
        computer = (device.fields.computer_name or "").lower()
        customer = device.partner_id, device.fields.customer_name or ""
        for old in gone:
            is_same = is_same_customer(customer, (old.partner_id, old.customer_name))
            if is_same and computer == (old.computer_name or "").lower():
                yield returned(device_name(device), str(old))
                break


def replaced_devices(store: Store, gone_at: datetime) -> list[str]:
    """Name the devices marked as gone at that moment whose computer has come back under a new account since.

    Where the old account was gone before the new one came, `Linker.link` has named it.
    """
    pairs = store.jobs.successors(gone_at)
    return [
        returned(str(new), str(old))
        for old, new in pairs
        if is_same_customer((old.partner_id, old.customer_name), (new.partner_id, new.customer_name))
    ]


def _by_account(jobs: Iterable[Job]) -> dict[int, list[Job]]:
    found: dict[int, list[Job]] = defaultdict(list)
    for job in jobs:
        found[job.cove_account_id or 0].append(job)
    return found


def _by_customer(jobs: Iterable[Job]) -> dict[int, list[Job]]:
    found: dict[int, list[Job]] = defaultdict(list)
    for job in jobs:
        found[job.customer_id].append(job)
    return found

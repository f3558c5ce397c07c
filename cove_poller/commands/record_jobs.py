"""Links devices to Backupchecks jobs: asks what is there, lets `linking` decide, writes what is new."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from cove_poller.config.settings import BackupchecksSettings
from cove_poller.database.store import Store
from cove_poller.records.device import Device
from cove_poller.records.job_matching import Customers, Job, NewCustomer, Unlinked, find_job, job_names


@dataclass
class Links:
    """The job of each device by account id, why the others have none, and what was created."""

    jobs: dict[int, int] = field(default_factory=dict)
    unlinked: dict[int, str] = field(default_factory=dict)
    new_customers: list[str] = field(default_factory=list)
    new_jobs: list[str] = field(default_factory=list)


class Linker:
    """Links page after page; knows Backupchecks' customers from the first page on."""

    def __init__(self, settings: BackupchecksSettings) -> None:
        self._settings = settings
        self._customers: Customers | None = None

    def link(self, store: Store, devices: Sequence[Device]) -> Links:
        """Find or make the job of every device."""
        links = Links()
        for account, jobs in _by_account(store.jobs.of_devices(device.account_id for device in devices)).items():
            if len(jobs) == 1:
                links.jobs[account] = jobs[0].id
            else:
                links.unlinked[account] = f"{len(jobs)} jobs have its cove_account_id"
        left = [device for device in devices if device.account_id not in {*links.jobs, *links.unlinked}]
        customers = self._find_customers(store, left, links)
        self._find_jobs(store, left, customers, links)
        return links

    def _find_customers(self, store: Store, devices: Iterable[Device], links: Links) -> dict[int, int]:
        """The customer of each device by account id; customers are created as needed."""
        if self._customers is None:
            self._customers = Customers(store.jobs.customers(), store.jobs.partners_of_customers())
        found: dict[int, int] = {}
        to_create: dict[str, list[Device]] = defaultdict(list)
        for device in devices:
            match = self._find_customer(device)
            if isinstance(match, NewCustomer) and len(match.name) > (
                store.jobs.customer_name_limit() or len(match.name)
            ):
                match = Unlinked(f"{match.name!r} is too long a name for Backupchecks; map it to a shorter one")
            if isinstance(match, NewCustomer):
                to_create[match.name].append(device)
            elif isinstance(match, Unlinked):
                links.unlinked[device.account_id] = match.reason
            else:
                found[device.account_id] = match
                self._customers.add_partner(match, device.partner_id)
        for name, customer_id in store.jobs.create_customers(to_create).items():
            self._customers.add(customer_id, name)
            self._customers.add_partner(customer_id, to_create[name][0].partner_id)
            links.new_customers.append(name)
        for device in (device for group in to_create.values() for device in group):
            match = self._find_customer(device)  # again: two Cove customers may have asked for one name
            if isinstance(match, int):
                found[device.account_id] = match
            else:
                links.unlinked[device.account_id] = match.reason if isinstance(match, Unlinked) else "no customer"
        return found

    def _find_customer(self, device: Device) -> int | NewCustomer | Unlinked:
        assert self._customers is not None  # noqa: S101 - for the type checker
        return self._customers.find(
            device.fields.customer_name or "",
            device.partner_id,
            self._settings.customers,
            may_create=self._settings.create_customers,
        )

    def _find_jobs(self, store: Store, devices: Iterable[Device], customers: Mapping[int, int], links: Links) -> None:
        """The jobs of the devices whose customer is known; jobs are claimed or created as needed."""
        jobs: dict[int, list[Job]] = defaultdict(list)
        for job in store.jobs.of_customers(set(customers.values())):
            jobs[job.customer_id].append(job)
        claims: dict[int, int] = {}
        to_create = []
        for device in (device for device in devices if device.account_id in customers):
            account, customer_id = device.account_id, customers[device.account_id]
            names = job_names(account, device.name, device.fields.computer_name, device.device_type)
            match = find_job(names, jobs[customer_id], may_create=self._settings.create_jobs)
            if isinstance(match, Unlinked):
                links.unlinked[account] = match.reason
                continue
            if isinstance(match, Job):
                claims[match.id] = account
                jobs[customer_id].remove(match)
                name = match.job_name
            else:
                name = match.job_name
                to_create.append(
                    {
                        "customer_id": customer_id,
                        "job_name": name,
                        "backup_type": device.device_type,
                        "cove_account_id": account,
                    }
                )
                links.new_jobs.append(f"{name} ({device.fields.customer_name})")
            jobs[customer_id].append(Job(0, customer_id, name, account))
        links.jobs |= store.jobs.claim(claims)
        links.jobs |= store.jobs.create(to_create)


def _by_account(jobs: Iterable[Job]) -> dict[int, list[Job]]:
    found: dict[int, list[Job]] = defaultdict(list)
    for job in jobs:
        found[job.cove_account_id or 0].append(job)
    return found

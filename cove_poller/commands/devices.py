"""`devices`: which device belongs to which job of Backupchecks, and why the others belong to none; by hand, too."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cove_poller.commands.installation import Installation
from cove_poller.commands.record_runs import Subject, planned_runs, recorded_histories, run_policy
from cove_poller.commands.results import in_json
from cove_poller.config.settings import BackupchecksSettings
from cove_poller.database.devices import RecordedDevice
from cove_poller.database.engine import Mode
from cove_poller.database.jobs import LinkedJob
from cove_poller.database.store import Store
from cove_poller.errors import WrongUsage
from cove_poller.records.job_matching import Customers, Job, Unlinked, find_job, job_names
from cove_poller.records.named import given_id, the_one
from cove_poller.text import counted, listed

Agree = Callable[[str], bool]


@dataclass(frozen=True)
class ListedDevice:
    """A device with its job. `state` is linked, unlinked, ignored or gone, `reason` why it has no job."""

    device: RecordedDevice
    state: str
    job: LinkedJob | None = None
    reason: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            **device_to_json(self.device),
            "state": self.state,
            "job": job_to_json(self.job),
            "reason": self.reason,
        }


@dataclass(frozen=True)
class Change:
    """What linking or ignoring a device means, in sentences: `plan` before it is done, `outcome` when it is.

    `sessions` are recorded and part of no run yet; `job_runs` is how many runs they make.
    """

    device: RecordedDevice
    is_needed: bool
    plan: Sequence[str]
    outcome: str
    job: LinkedJob | None = None
    previous_job: LinkedJob | None = None
    sessions: int = 0
    job_runs: int = 0
    is_done: bool = False

    def to_json(self) -> dict[str, Any]:
        return {
            "device": device_to_json(self.device),
            "job": job_to_json(self.job),
            "previous_job": job_to_json(self.previous_job),
            "waiting": {"sessions": self.sessions, "job_runs": self.job_runs},
            "changed": self.is_done,
        }


def device_to_json(device: RecordedDevice) -> dict[str, Any]:
    return {
        "account_id": device.account_id,
        "login": device.login,
        "device": device.device_name,
        "computer": device.computer_name,
        "customer": device.customer_name,
        "type": device.device_type,
        "ignored": device.ignored,
        "gone_at": in_json(device.gone_at) if device.gone_at else None,
    }


def job_to_json(job: LinkedJob | None) -> dict[str, Any] | None:
    return {"id": job.id, "name": job.name, "customer": job.customer} if job else None


class Directory:
    """What one transaction shows of devices and jobs."""

    def __init__(self, store: Store, settings: BackupchecksSettings) -> None:
        self.store = store
        self._settings = settings

    def listed(self) -> list[ListedDevice]:
        """Return all devices."""
        devices, jobs = self.store.devices.all(), self.store.jobs.linked()
        customers = Customers(self.store.jobs.customers(), self.store.jobs.partners_of_customers())
        return [self._listed(device, jobs.get(device.account_id, []), customers) for device in devices]

    def _listed(self, device: RecordedDevice, jobs: Sequence[LinkedJob], customers: Customers) -> ListedDevice:
        job = jobs[0] if len(jobs) == 1 else None
        if device.ignored:
            return ListedDevice(device, "ignored", job)
        if device.gone_at:
            return ListedDevice(device, "gone", job)
        if job:
            return ListedDevice(device, "linked", job)
        reason = f"{len(jobs)} jobs have its cove_account_id" if jobs else self._why_unlinked(device, customers)
        return ListedDevice(device, "unlinked", reason=reason)

    def _why_unlinked(self, device: RecordedDevice, customers: Customers) -> str:
        """Say what `sync` finds when it looks for the device's job."""
        settings = self._settings
        customer = customers.find(
            device.customer_name, device.partner_id, settings.customers, may_create=settings.create_customers
        )
        if isinstance(customer, Unlinked):
            return customer.reason
        jobs = self.store.jobs.of_customers([customer]) if isinstance(customer, int) else []
        names = job_names(device.account_id, device.device_name, device.computer_name, device.device_type)
        job = find_job(names, jobs, may_create=settings.create_jobs)
        if isinstance(job, Unlinked):
            return job.reason
        return f"the next sync {'links it to' if isinstance(job, Job) else 'creates'} job {job.job_name}"

    def device(self, account_id: int) -> RecordedDevice:
        """Return a device. Raise WrongUsage if it is not recorded."""
        if device := self.store.devices.find(account_id):
            return device
        raise WrongUsage(f"there is no device {account_id}; `cove-poller devices list` shows those that were polled")

    def linked_to(self, account_id: int) -> list[LinkedJob]:
        """Return the jobs that are linked to a device."""
        return self.store.jobs.linked_to(account_id)

    def job_for(self, device: RecordedDevice, job_id: int) -> LinkedJob:
        """Return the job, found fit to be linked to the device. Raise WrongUsage if it is not."""
        job, ours = self.store.jobs.find(job_id), self._settings.backup_software
        if job is None:
            raise WrongUsage(f"there is no job {job_id}; {self._free_jobs()}")
        if job.backup_software != ours:
            raise WrongUsage(
                f"job {job} is one of the backup software {job.backup_software!r}, not of {ours!r}; {self._free_jobs()}"
            )
        if job.account_id not in (None, device.account_id):
            other = self.store.devices.find(job.account_id or 0) or f"device {job.account_id}"
            raise WrongUsage(f"job {job} is linked to {other}; link that one to another job first, or choose another")
        return job

    def _free_jobs(self) -> str:
        jobs = [str(job) for job in self.store.jobs.free()]
        return f"free are: {listed(jobs)}" if jobs else "there is no free job; make one in Backupchecks first"

    def waiting(self, device: RecordedDevice) -> tuple[int, int]:
        """Count the recorded sessions that are part of no run yet though they would make one, and those runs."""
        row = self.store.devices.rows([device.account_id])[device.account_id]
        subject = Subject(0, recorded_histories(row, {}))
        return planned_runs(self.store, device.account_id, subject, run_policy(self._settings), row["last_seen_at"])


def list_devices(installation: Installation) -> list[ListedDevice]:
    """Return all devices that were ever polled, as the database has them. Raise DatabaseError."""
    with installation.open(Mode.READ) as database, database.store() as store:
        return Directory(store, installation.config.backupchecks).listed()


def list_free_jobs(installation: Installation) -> list[LinkedJob]:
    """Return the jobs that a device can be linked to. Raise DatabaseError."""
    with installation.open(Mode.READ) as database, database.store() as store:
        return store.jobs.free()


def device_id(installation: Installation, text: str, option: str) -> int:
    """Return the account id of the device that an option names by its id, computer name or name in Cove.

    An id need not be known yet. Raise WrongUsage that names those that may be meant, or DatabaseError.
    """
    number = given_id(text, option)
    if number is not None:
        return number
    with installation.open(Mode.READ) as database, database.store() as store:
        known = store.devices.all()
    named = [((one.computer_name or "", one.device_name), one) for one in known]
    return the_one(text, named, "device", option).account_id


def job_id(installation: Installation, text: str, option: str) -> int:
    """Return the id of the job that an option names by its id or, one of this backup software, by its name."""
    number = given_id(text, option)
    if number is not None:
        return number
    with installation.open(Mode.READ) as database, database.store() as store:
        known = [*store.jobs.free(), *(one for found in store.jobs.linked().values() for one in found)]
    return the_one(text, [((one.name, f"{one.name} ({one.customer})"), one) for one in known], "job", option).id


def link_device(installation: Installation, account_id: int, job_id: int, agree: Agree) -> Change:
    """Link a device to a job, if somebody agrees to what that means. Its runs are left to the next sync.

    Raise WrongUsage if it cannot be, LockHeld if a run is busy with the device's login, or DatabaseError.
    """

    def plan(directory: Directory) -> Change:
        device = directory.device(account_id)
        if device.ignored:
            undo = f"cove-poller devices ignore --undo {account_id}"
            raise WrongUsage(f"{device} is ignored, so no runs are written of it; take that back first: {undo}")
        job = directory.job_for(device, job_id)
        before = [one for one in directory.linked_to(account_id) if one.id != job.id]
        return _link_change(device, job, before, directory.waiting(device))

    def write(store: Store) -> None:
        if not store.jobs.link(account_id, job_id):
            raise WrongUsage(f"job {job_id} was linked to another device in this very moment; nothing was changed")

    return changed(installation, account_id, plan, write, agree)


def changed(
    installation: Installation,
    account_id: int,
    plan: Callable[[Directory], Change],
    write: Callable[[Store], None],
    agree: Agree,
) -> Change:
    """Plan, ask and write while no other run is busy with the device's login."""
    settings = installation.config.backupchecks
    with installation.open(Mode.WRITE) as database:
        with database.store() as store:
            login = Directory(store, settings).device(account_id).login
        with database.lock(login), database.lock(login, "backfill"):
            with database.store() as store:
                change = plan(Directory(store, settings))
            if not change.is_needed or not agree("\n".join(change.plan)):
                return change
            with database.recording() as store:  # a page of another login may have the device too
                write(store)
    return replace(change, is_done=True)


def _link_change(
    device: RecordedDevice, job: LinkedJob, before: Sequence[LinkedJob], waiting: tuple[int, int]
) -> Change:
    is_needed = bool(before) or job.account_id is None
    plan = [f"{device}, in Cove {device.device_name}, will be linked to job {job}."]
    if not job.is_active:
        plan.append("That job is not active in Backupchecks.")
    for other in before:
        plan.append(f"So far it is linked to job {other}: runs that are there stay with that one, new ones come here.")
    plan.append(next_runs(device, waiting))
    return Change(
        device,
        is_needed,
        plan,
        f"{device} is linked to job {job}. {plan[-1]}" if is_needed else f"{device} is linked to job {job} already.",
        job=job,
        previous_job=before[0] if before else None,
        sessions=waiting[0],
        job_runs=waiting[1],
    )


def next_runs(device: RecordedDevice, waiting: tuple[int, int]) -> str:
    """Return what becomes of the sessions that wait for a run, as (sessions, runs)."""
    if device.gone_at:
        return "Cove no longer lists it, so no runs are written unless it comes back."
    if not waiting[1]:
        return "No recorded session waits for a run; the next sync goes on from here."
    return f"The next sync writes what waits: {runs(waiting)}."


def runs(waiting: tuple[int, int]) -> str:
    """Return how many runs wait, from how many sessions."""
    return f"{counted(waiting[1], 'job run')} from {counted(waiting[0], 'recorded session')}"

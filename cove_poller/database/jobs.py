"""The statements about Backupchecks' customers and jobs, and about which device each job is linked to."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Column, Table, Text, func, select, update

from cove_poller.config.backupchecks_columns import JOBS
from cove_poller.database.bulk import Row
from cove_poller.database.devices import COLUMNS, RecordedDevice
from cove_poller.database.kept import not_kept
from cove_poller.database.statements import Statements, lock_key, named
from cove_poller.records.job_matching import Job, Partner

CREATION = lock_key("cove-poller: customers and jobs")
"""The key of the lock under which customers and jobs are made."""

T = TypeVar("T")

COMPUTER = Column("computer", Text)


@dataclass(frozen=True)
class LinkedJob:
    """A job as it is shown: with its customer's name and the device that it is linked to, if any."""

    id: int
    name: str
    customer: str
    backup_software: str
    is_active: bool
    account_id: int | None

    def __str__(self) -> str:
        return f"{self.name} (id {self.id}) of {self.customer}"


class Jobs(Statements):
    """Reads and writes jobs and customers."""

    def customers(self) -> list[tuple[int, str]]:
        """Return all customers as (id, name)."""
        customers = self._tables.customers
        found = self._mappings(select(*named(customers, ("id", "name"))))
        return [(row["id"], row["name"]) for row in found]

    def partners_of_customers(self) -> list[Partner]:
        """Return which Cove customers have devices with which customers."""
        jobs, devices = self._tables.jobs, self._tables.devices
        columns = [*named(jobs, ("customer_id",)), devices.c.partner_id, devices.c.customer_name]
        query = select(*columns).join_from(devices, jobs, jobs.c.cove_account_id == devices.c.account_id)
        return [
            (row["customer_id"], row["partner_id"], row["customer_name"]) for row in self._mappings(query.distinct())
        ]

    def hold_creation(self) -> None:
        """Wait until nobody else makes or links customers or jobs, and keep others from it until this is committed.

        What was looked up before is to be looked up again. On SQLite every transaction that may write has this anyway.
        """
        if self._dialect.name == "postgresql":
            self._connection.execute(select(func.pg_advisory_xact_lock(CREATION)))

    def gone_computers(self, computers: Iterable[str]) -> list[RecordedDevice]:
        """Return the devices with one of these computer names that Cove no longer lists, the last one first."""
        devices = self._tables.devices
        wanted = self._rows("computers", [COMPUTER], [{"computer": one.lower()} for one in {*computers}])
        is_wanted = wanted.c.computer == func.lower(devices.c.computer_name)
        query = select(*(devices.c[name] for name in COLUMNS)).join_from(devices, wanted, is_wanted)
        query = query.where(devices.c.gone_at.is_not(None)).order_by(devices.c.gone_at.desc(), devices.c.account_id)
        return [RecordedDevice(**row) for row in self._mappings(query)]

    def successors(self, gone_at: datetime) -> list[tuple[RecordedDevice, RecordedDevice]]:
        """Return the devices marked as gone at that moment, each with those listed of the same computer name that
        were first seen after it was last seen."""
        old, new = self._tables.devices.alias("old"), self._tables.devices.alias("new")
        both = [one.c[name].label(f"{one.name}_{name}") for one in (old, new) for name in COLUMNS]
        is_same = func.lower(old.c.computer_name) == func.lower(new.c.computer_name)
        query = select(*both).join_from(old, new, is_same).order_by(old.c.account_id, new.c.account_id)
        query = query.where(
            old.c.gone_at == gone_at, new.c.gone_at.is_(None), new.c.first_seen_at >= old.c.last_seen_at
        )
        return [
            (
                RecordedDevice(**{name: row[f"old_{name}"] for name in COLUMNS}),
                RecordedDevice(**{name: row[f"new_{name}"] for name in COLUMNS}),
            )
            for row in self._mappings(query)
        ]

    def of_devices(self, account_ids: Iterable[int]) -> list[Job]:
        """Return the jobs that are linked to devices among `account_ids`.

        Not by a join: SQLite has no index for it, and would look through the accounts once for each job that there is.
        """
        jobs, wanted = self._tables.jobs, self._accounts(account_ids)
        return self._matched(self._job_columns().where(jobs.c.cove_account_id.in_(select(wanted.c.account_id))))

    def of_customers(self, customer_ids: Iterable[int]) -> list[Job]:
        """Return all jobs of the poller's backup software that these customers have."""
        if not (rows := [{"customer_id": one} for one in customer_ids]):
            return []
        jobs = self._tables.jobs
        wanted = self._rows("wanted", [jobs.c.customer_id], rows)
        ours = jobs.c.backup_software == self._settings.backup_software
        mine = jobs.c.customer_id.in_(select(wanted.c.customer_id))
        return self._matched(self._job_columns().where(mine, ours))

    def _job_columns(self) -> Any:
        return select(*named(self._tables.jobs, ("id", "customer_id", "job_name", "cove_account_id")))

    def _matched(self, query: Any) -> list[Job]:
        return [Job(**row) for row in self._mappings(query.order_by(self._tables.jobs.c.id))]

    def create_customers(self, names: Iterable[str]) -> dict[str, int]:
        """Create customers. Return their ids by name."""
        customers, wanted = self._tables.customers, list(names)
        rows = [{"name": name, "active": True} for name in wanted]
        made = self._insert_live("customers", customers, ("name", "active"), rows, ("id", "name"))
        found = {row["name"].rstrip(): row["id"] for row in made}
        offered = {name: name.rstrip() for name in wanted}
        return self._as_offered(customers, offered, found, "name")

    def create(self, jobs: Iterable[Row]) -> dict[int, int]:
        """Create jobs, each with customer_id, job_name, backup_type and cove_account_id. Return ids by account."""
        common = {"active": True, "backup_software": self._settings.backup_software}
        rows = [{**common, **job} for job in jobs]
        table = self._tables.jobs
        made = self._insert_live("jobs", table, JOBS[1:], rows, ("id", "cove_account_id"))
        found = {row["cove_account_id"]: row["id"] for row in made}
        accounts = {row["cove_account_id"]: row["cove_account_id"] for row in rows}
        return self._as_offered(table, accounts, found, "cove_account_id")

    def _as_offered(self, table: Table, offered: Mapping[T, T], found: Mapping[T, int], column: str) -> dict[T, int]:
        """Return the ids by what was offered, each with how it has to be found. Raise DatabaseError if it is not."""
        if lost := [one for one in offered.values() if one not in found]:
            raise not_kept(self._connection, table, len(lost), len(offered), column)
        return {key: found[one] for key, one in offered.items()}

    def claim(self, accounts_by_job: Mapping[int, int]) -> dict[int, int]:
        """Link jobs that have no device yet. Return the job ids by account, of those that still had none."""
        jobs = self._tables.jobs
        rows = [{"id": job_id, "cove_account_id": account} for job_id, account in accounts_by_job.items()]
        free = jobs.c.cove_account_id.is_(None)
        return {
            row["cove_account_id"]: row["id"]
            for row in self._update(jobs, ["cove_account_id"], rows, free, returning=("id", "cove_account_id"))
        }

    def customer_name_limit(self) -> int | None:
        """Return how many characters a customer's name may have; None if as many as it likes."""
        return getattr(self._tables.customers.c.name.type, "length", None)

    def linked(self) -> dict[int, list[LinkedJob]]:
        """Return the jobs that are linked to devices, by account id; there should be one for each."""
        found: dict[int, list[LinkedJob]] = {}
        for job in self._shown(self._tables.jobs.c.cove_account_id.is_not(None)):
            found.setdefault(job.account_id or 0, []).append(job)
        return found

    def linked_to(self, account_id: int) -> list[LinkedJob]:
        """Return the jobs that are linked to a device; there should be one at most."""
        return self._shown(self._tables.jobs.c.cove_account_id == account_id)

    def find(self, job_id: int) -> LinkedJob | None:
        """Return a job of any backup software; None if there is none with this id."""
        return next(iter(self._shown(self._tables.jobs.c.id == job_id)), None)

    def free(self) -> list[LinkedJob]:
        """Return the jobs of the poller's backup software that no device is linked to."""
        jobs = self._tables.jobs
        return self._shown(jobs.c.cove_account_id.is_(None), jobs.c.backup_software == self._settings.backup_software)

    def _shown(self, *conditions: Any) -> list[LinkedJob]:
        jobs, customers = self._tables.jobs, self._tables.customers
        columns = [
            jobs.c.id.label("id"),
            jobs.c.job_name.label("name"),
            customers.c.name.label("customer"),
            jobs.c.backup_software.label("backup_software"),
            jobs.c.active.label("is_active"),
            jobs.c.cove_account_id.label("account_id"),
        ]
        query = select(*columns).join_from(jobs, customers, customers.c.id == jobs.c.customer_id).where(*conditions)
        query = query.order_by(customers.c.name, jobs.c.job_name, jobs.c.id)
        return [LinkedJob(**row) for row in self._mappings(query)]

    def link(self, account_id: int, job_id: int) -> bool:
        """Link a device to this job and to no other. Return whether the job was still free."""
        self.hold_creation()
        jobs, devices = self._tables.jobs, self._tables.devices
        mine = jobs.c.cove_account_id == account_id
        self._connection.execute(update(jobs).where(mine, jobs.c.id != job_id).values(cove_account_id=None))
        free = jobs.c.cove_account_id.is_(None) | mine
        linked = update(jobs).where(jobs.c.id == job_id, free).values(cove_account_id=account_id)
        if self._connection.execute(linked).rowcount != 1:
            return False
        self._connection.execute(
            update(devices).where(devices.c.account_id == account_id).values(job_id=job_id, row_digest=None)
        )
        return True

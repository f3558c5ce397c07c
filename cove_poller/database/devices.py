"""The statements about devices, and about the customers and jobs that they belong to."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update

from cove_poller.config.backupchecks_columns import JOBS
from cove_poller.database.bulk import Row, insert_rows
from cove_poller.database.statements import Statements, named
from cove_poller.records.job_matching import Job


class DeviceStore(Statements):
    """Reads and writes devices, customers and jobs."""

    def devices(self, account_ids: Iterable[int]) -> dict[int, Row]:
        """The recorded devices among `account_ids`."""
        devices, wanted = self._tables.devices, self._accounts(account_ids)
        found = self._mappings(select(devices).join(wanted, wanted.c.account_id == devices.c.account_id))
        return {row["account_id"]: dict(row) for row in found}

    def save_devices(self, new: Sequence[Row], changed: Sequence[Row]) -> None:
        """Write devices that are not there yet, and those of which something differs."""
        devices = self._tables.devices
        self._connection.execute(insert_rows(devices, list(devices.c), new, self._dialect, key=["account_id"]))
        self._update(devices, [column.key for column in devices.c if not column.primary_key], changed, key="account_id")

    def mark_gone(self, login: str, seen_ids: Iterable[int], now: datetime) -> list[str]:
        """Mark the devices of a login that a complete listing did not have. Return their names."""
        devices, seen = self._tables.devices, self._accounts(seen_ids)
        statement = (
            update(devices)
            .where(devices.c.login == login, devices.c.gone_at.is_(None))
            .where(devices.c.account_id.not_in(select(seen.c.account_id)))
            .values(gone_at=now, running_since=None, stale_since=None)
            .returning(devices.c.device_name)
        )
        return sorted(self._connection.scalars(statement))

    def save_stale(self, since: Mapping[int, datetime | None]) -> None:
        """Note since when devices are known to be stale, by account; None of those that are not any more."""
        rows = [{"account_id": account, "stale_since": at} for account, at in since.items()]
        self._update(self._tables.devices, ["stale_since"], rows, key="account_id")

    def count_devices(self, login: str) -> int:
        """How many devices of a login are recorded and not gone."""
        devices = self._tables.devices
        mine = select(func.count()).where(devices.c.login == login, devices.c.gone_at.is_(None))
        return self._connection.scalar(mine) or 0

    def devices_by_customer(self, login: str) -> dict[str, int]:
        """How many devices of a login are recorded and not gone, by Cove's name of their customer."""
        devices = self._tables.devices
        name = devices.c.customer_name
        query = select(name, func.count().label("devices")).group_by(name)
        mine = query.where(devices.c.login == login, devices.c.gone_at.is_(None))
        return {row["customer_name"]: row["devices"] for row in self._mappings(mine)}

    def customers(self) -> list[tuple[int, str]]:
        customers = self._tables.customers
        found = self._mappings(select(*named(customers, ("id", "name"))))
        return [(row["id"], row["name"]) for row in found]

    def partners_of_customers(self) -> list[tuple[int, int | None]]:
        """Which Cove partners have devices with which customers."""
        jobs, devices = self._tables.jobs, self._tables.devices
        columns = [*named(jobs, ("customer_id",)), devices.c.partner_id]
        query = select(*columns).join_from(devices, jobs, jobs.c.cove_account_id == devices.c.account_id)
        return [(row["customer_id"], row["partner_id"]) for row in self._mappings(query.distinct())]

    def jobs_of_devices(self, account_ids: Iterable[int]) -> list[Job]:
        """The jobs that are linked to devices among `account_ids`."""
        jobs, wanted = self._tables.jobs, self._accounts(account_ids)
        return self._jobs(self._job_columns().join(wanted, wanted.c.account_id == jobs.c.cove_account_id))

    def jobs_of_customers(self, customer_ids: Iterable[int]) -> list[Job]:
        """All jobs of the poller's backup software that these customers have."""
        jobs = self._tables.jobs
        wanted = self._rows("wanted", [jobs.c.customer_id], [{"customer_id": one} for one in customer_ids])
        ours = jobs.c.backup_software == self._settings.backup_software
        return self._jobs(self._job_columns().join(wanted, wanted.c.customer_id == jobs.c.customer_id).where(ours))

    def _job_columns(self) -> Any:
        return select(*named(self._tables.jobs, ("id", "customer_id", "job_name", "cove_account_id")))

    def _jobs(self, query: Any) -> list[Job]:
        return [Job(**row) for row in self._mappings(query.order_by(self._tables.jobs.c.id))]

    def create_customers(self, names: Iterable[str]) -> dict[str, int]:
        """Create customers. Return their ids by name."""
        rows = [{"name": name, "active": True} for name in names]
        made = self._insert_live("customers", self._tables.customers, ("name", "active"), rows, ("id", "name"))
        return {row["name"]: row["id"] for row in made}

    def create_jobs(self, jobs: Iterable[Row]) -> dict[int, int]:
        """Create jobs, each with customer_id, job_name, backup_type and cove_account_id. Return ids by account."""
        common = {"active": True, "backup_software": self._settings.backup_software}
        rows = [{**common, **job} for job in jobs]
        made = self._insert_live("jobs", self._tables.jobs, JOBS[1:], rows, ("id", "cove_account_id"))
        return {row["cove_account_id"]: row["id"] for row in made}

    def claim_jobs(self, accounts_by_job: Mapping[int, int]) -> dict[int, int]:
        """Link jobs that have no device yet. Return the job ids by account, of those that still had none."""
        jobs = self._tables.jobs
        rows = [{"id": job_id, "cove_account_id": account} for job_id, account in accounts_by_job.items()]
        free = jobs.c.cove_account_id.is_(None)
        return {
            row["cove_account_id"]: row["id"]
            for row in self._update(jobs, ["cove_account_id"], rows, free, returning=("id", "cove_account_id"))
        }

    def customer_name_limit(self) -> int | None:
        """How many characters a customer's name may have; None if as many as it likes."""
        return getattr(self._tables.customers.c.name.type, "length", None)

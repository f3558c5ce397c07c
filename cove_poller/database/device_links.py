"""The SQL of the devices and the jobs that they are linked to. Lives as long as one transaction, as `store` does."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, update

from cove_poller.config.settings import BackupchecksSettings
from cove_poller.database.bulk import Row
from cove_poller.database.sessions import recorded_session
from cove_poller.database.tables import Tables
from cove_poller.records.session import RecordedSession


@dataclass(frozen=True)
class LinkedJob:
    """A job of Backupchecks' with its customer's name and the device that it is linked to, if any."""

    id: int
    name: str
    customer: str
    backup_software: str
    is_active: bool
    account_id: int | None

    def __str__(self) -> str:
        return f"{self.name} (id {self.id}) of {self.customer}"


@dataclass(frozen=True)
class DeviceRow:
    """A device as it was last polled."""

    account_id: int
    login: str
    partner_id: int | None
    name: str
    computer_name: str | None
    customer: str
    device_type: str
    data_sources: dict[str, Any]
    is_ignored: bool
    gone_at: datetime | None

    def __str__(self) -> str:
        return f"device {self.account_id} {self.name} ({self.customer})"


class DeviceLinks:
    """Reads and writes on one connection."""

    def __init__(self, connection: Connection, tables: Tables, settings: BackupchecksSettings) -> None:
        self._connection = connection
        self._tables = tables
        self._settings = settings

    def devices(self) -> list[DeviceRow]:
        """All devices, those of a customer together."""
        devices = self._tables.devices
        query = select(devices).order_by(devices.c.customer_name, devices.c.device_name, devices.c.account_id)
        return [_device(dict(row)) for row in self._connection.execute(query).mappings()]

    def device(self, account_id: int) -> DeviceRow | None:
        devices = self._tables.devices
        row = self._connection.execute(select(devices).where(devices.c.account_id == account_id)).mappings().first()
        return _device(dict(row)) if row else None

    def linked_jobs(self) -> dict[int, list[LinkedJob]]:
        """The jobs that are linked to devices, by account id; there should be one for each."""
        found: dict[int, list[LinkedJob]] = {}
        for job in self._jobs(self._tables.jobs.c.cove_account_id.is_not(None)):
            found.setdefault(job.account_id or 0, []).append(job)
        return found

    def jobs_of(self, account_id: int) -> list[LinkedJob]:
        return self._jobs(self._tables.jobs.c.cove_account_id == account_id)

    def job(self, job_id: int) -> LinkedJob | None:
        return next(iter(self._jobs(self._tables.jobs.c.id == job_id)), None)

    def free_jobs(self) -> list[LinkedJob]:
        """The jobs of the poller's backup software that no device is linked to."""
        jobs = self._tables.jobs
        return self._jobs(jobs.c.cove_account_id.is_(None), jobs.c.backup_software == self._settings.backup_software)

    def _jobs(self, *conditions: Any) -> list[LinkedJob]:
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
        return [LinkedJob(**row) for row in self._connection.execute(query).mappings()]

    def sessions(self, account_id: int) -> list[RecordedSession]:
        """All recorded sessions of a device."""
        sessions = self._tables.sessions
        query = select(sessions).where(sessions.c.account_id == account_id)
        return [recorded_session(row) for row in self._connection.execute(query).mappings()]

    def link(self, account_id: int, job_id: int) -> bool:
        """Link a device to this job and to no other. Return whether the job was still free."""
        jobs, devices = self._tables.jobs, self._tables.devices
        mine = jobs.c.cove_account_id == account_id
        self._connection.execute(update(jobs).where(mine, jobs.c.id != job_id).values(cove_account_id=None))
        free = jobs.c.cove_account_id.is_(None) | mine
        linked = update(jobs).where(jobs.c.id == job_id, free).values(cove_account_id=account_id)
        if self._connection.execute(linked).rowcount != 1:
            return False
        self._connection.execute(update(devices).where(devices.c.account_id == account_id).values(job_id=job_id))
        return True

    def ignore(self, account_id: int, *, ignored: bool) -> None:
        """Mark a device as ignored, or no longer so."""
        devices = self._tables.devices
        self._connection.execute(update(devices).where(devices.c.account_id == account_id).values(ignored=ignored))


def _device(row: Row) -> DeviceRow:
    return DeviceRow(
        account_id=row["account_id"],
        login=row["login"],
        partner_id=row["partner_id"],
        name=row["device_name"],
        computer_name=row["computer_name"],
        customer=row["customer_name"],
        device_type=row["device_type"],
        data_sources=row["data_sources"],
        is_ignored=bool(row["ignored"]),
        gone_at=row["gone_at"],
    )

"""The statements about recorded devices."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Select, String, func, literal, or_, select, union, update

from cove_poller.database.bulk import Row, insert_rows
from cove_poller.database.connecting import limits
from cove_poller.database.statements import ACCOUNT, Statements, lock_key
from cove_poller.text import device_called


@dataclass(frozen=True)
class RecordedDevice:
    """A device as it was last polled: columns of `cove_devices` under their names."""

    account_id: int
    login: str
    partner_id: int | None
    device_name: str
    computer_name: str | None
    customer_name: str
    device_type: str
    data_sources: dict[str, Any]
    ignored: bool
    gone_at: datetime | None

    def __str__(self) -> str:
        return device_called(self.customer_name, self.computer_name or self.device_name, self.account_id)


COLUMNS = [one.name for one in fields(RecordedDevice)]
DIGEST = Column("row_digest", String)
RECORDING = lock_key("cove-poller devices")


class Devices(Statements):
    """Reads and writes devices."""

    def hold_recording(self) -> None:
        """Wait until no other run records devices, and keep others from it until this is committed.

        On SQLite every transaction that may write has this anyway.
        """
        if self._dialect.name == "postgresql":
            turn, lock = (f"{one * 1000:.0f}ms" for one in (limits.TURN, limits.LOCK))
            limited, as_before = (func.set_config("lock_timeout", one, True) for one in (turn, lock))
            self._connection.execute(select(limited, func.pg_advisory_xact_lock(RECORDING), as_before))

    def are_polled_since(self, account_ids: Iterable[int], login: str, moment: datetime) -> bool:
        """Return whether the newest sync that lists the devices came to its end after a moment, or not yet.

        That is the newest of the login, and of each login by which one of the devices was recorded last.
        """
        polls, devices = self._tables.polls, self._tables.devices
        wanted = self._accounts(account_ids)
        theirs = select(devices.c.login).join_from(wanted, devices, devices.c.account_id == wanted.c.account_id)
        logins = union(select(literal(login).label("login")), theirs).subquery("logins")
        syncs = select(polls.c.id).where(polls.c.login == logins.c.login, polls.c.command == "sync")
        newest = syncs.order_by(polls.c.id.desc()).limit(1).correlate(logins).scalar_subquery()
        ended = select(polls.c.finished_at).join_from(logins, polls, polls.c.id == newest)
        return any(row.finished_at is None or row.finished_at > moment for row in self._connection.execute(ended))

    def all(self) -> list[RecordedDevice]:
        """Return all devices, those of a customer together."""
        devices = self._tables.devices.c
        return self._found(self._query().order_by(devices.customer_name, devices.device_name, devices.account_id))

    def find(self, account_id: int) -> RecordedDevice | None:
        """Return a device; None if it was never polled."""
        found = self._found(self._query().where(self._tables.devices.c.account_id == account_id))
        return found[0] if found else None

    def _query(self) -> Select[Any]:
        return select(*(self._tables.devices.c[name] for name in COLUMNS))

    def _found(self, query: Select[Any]) -> list[RecordedDevice]:
        return [RecordedDevice(**row) for row in self._mappings(query)]

    def rows(self, account_ids: Iterable[int]) -> dict[int, Row]:
        """Return the rows of the devices among `account_ids`, by account."""
        if not (account_ids := [*account_ids]):
            return {}
        devices, wanted = self._tables.devices, self._accounts(account_ids)
        found = self._mappings(select(devices).join(wanted, wanted.c.account_id == devices.c.account_id))
        return {row["account_id"]: dict(row) for row in found}

    def quiet(self, login: str, digests: Mapping[int, str], now: datetime) -> list[Row]:
        """Return the devices, by account with the digest of their row, of which nothing can be new at `now`.

        Their mark says so, and they are listed, wanted, and linked to the job that they had, and to no other.
        """
        devices, jobs = self._tables.devices, self._tables.jobs
        rows = [{"account_id": account, "row_digest": digest} for account, digest in digests.items()]
        wanted = self._rows("wanted", [ACCOUNT, DIGEST], rows)
        shown = (devices.c.account_id, devices.c.last_seen_at, devices.c.shown_count)
        query = (
            select(*shown)
            .join_from(wanted, devices, devices.c.account_id == wanted.c.account_id)
            .join(jobs, jobs.c.cove_account_id == devices.c.account_id)
            .where(
                devices.c.row_digest == wanted.c.row_digest,
                devices.c.due_at > now,
                devices.c.login == login,
                devices.c.last_seen_at <= now,
                devices.c.gone_at.is_(None),
                devices.c.missing_since.is_(None),
                devices.c.replan_since.is_(None),
                devices.c.ignored.is_(False),
            )
            .group_by(*shown, devices.c.job_id)
            .having(func.count() == 1, func.min(jobs.c.id) == devices.c.job_id)
        )
        return [dict(row) for row in self._mappings(query)]

    def touch(self, account_ids: Iterable[int], now: datetime) -> None:
        """Write of devices that nothing is new of that they were seen."""
        rows = [{"account_id": account, "last_seen_at": now} for account in account_ids]
        self._update(self._tables.devices, ["last_seen_at"], rows, key="account_id")

    def save(self, new: Sequence[Row], changed: Sequence[Row]) -> None:
        """Write devices that are not there yet, and those of which something differs."""
        devices = self._tables.devices
        if new:
            self._connection.execute(insert_rows(devices, list(devices.c), new, self._dialect, key=["account_id"]))
        self._update(devices, [column.key for column in devices.c if not column.primary_key], changed, key="account_id")

    def not_listed(self, login: str, seen_ids: Iterable[int]) -> list[Row]:
        """Return the rows of a login's devices that a complete listing did not have and that were not gone before."""
        devices, seen = self._tables.devices, self._accounts(seen_ids)
        query = select(devices).where(
            devices.c.login == login,
            devices.c.gone_at.is_(None),
            devices.c.account_id.not_in(select(seen.c.account_id)),
        )
        return [dict(row) for row in self._mappings(query.order_by(devices.c.device_name))]

    def mark_gone(self, account_ids: Collection[int], now: datetime) -> None:
        """Mark devices that Cove no longer lists."""
        gone = {
            "gone_at": now,
            "running_since": None,
            "stale_since": None,
            "stale_sources": None,
            "missing_since": None,
        }
        self._mark(account_ids, gone)

    def mark_missing(self, account_ids: Collection[int], now: datetime) -> None:
        """Note devices that a listing lacked, though it is not believed yet."""
        self._mark(account_ids, {"missing_since": now})

    def _mark(self, account_ids: Collection[int], values: Row) -> None:
        if not account_ids:
            return
        devices, wanted = self._tables.devices, self._accounts(account_ids)
        chosen = devices.c.account_id.in_(select(wanted.c.account_id))
        self._connection.execute(update(devices).where(chosen).values(**values))

    def save_stale(self, stale: Mapping[int, Collection[str]], now: datetime) -> None:
        """Write which sources of devices have become known as stale, by account; none where they no longer are."""
        rows = [
            {"account_id": account, "stale_since": now if codes else None, "stale_sources": " ".join(sorted(codes))}
            for account, codes in stale.items()
        ]
        self._update(self._tables.devices, ["stale_since", "stale_sources"], rows, key="account_id")

    def gone_and_waiting(self, login: str, gone_at: datetime) -> dict[int, Row]:
        """Return the linked devices of a login that are gone since `gone_at`, or that are to be planned anew."""
        devices = self._tables.devices
        is_due = or_(devices.c.gone_at == gone_at, devices.c.replan_since.is_not(None))
        mine = (devices.c.login == login, devices.c.gone_at.is_not(None), devices.c.job_id.is_not(None))
        found = self._mappings(select(devices).where(*mine, devices.c.ignored.is_(False), is_due))
        return {row["account_id"]: dict(row) for row in found}

    def note_replanned(self, account_ids: Iterable[int]) -> None:
        """Write of devices that their runs are as the rules of this version make them."""
        rows = [{"account_id": account, "replan_since": None} for account in account_ids]
        self._update(self._tables.devices, ["replan_since"], rows, key="account_id")

    def note_histories(self, notes: Mapping[int, Mapping[str, Any]]) -> None:
        """Write what is kept of devices' histories, by account."""
        rows = [{"account_id": account, "history": note} for account, note in notes.items()]
        self._update(self._tables.devices, ["history"], rows, key="account_id")

    def count(self, login: str) -> int:
        """Count the devices of a login that are recorded and not gone."""
        devices = self._tables.devices
        mine = select(func.count()).where(devices.c.login == login, devices.c.gone_at.is_(None))
        return self._connection.scalar(mine) or 0

    def count_by_customer(self, login: str) -> dict[str, int]:
        """Count the devices of a login that are recorded and not gone, by Cove's name of their customer."""
        devices = self._tables.devices
        name = devices.c.customer_name
        query = select(name, func.count().label("devices")).group_by(name)
        mine = query.where(devices.c.login == login, devices.c.gone_at.is_(None))
        return {row["customer_name"]: row["devices"] for row in self._mappings(mine)}

    def save_source_history(self, account_id: int, content: Mapping[str, Any]) -> None:
        """Write what is kept of a device's sources."""
        devices = self._tables.devices
        mine = update(devices).where(devices.c.account_id == account_id)
        self._connection.execute(mine.values(source_history=dict(content), row_digest=None))

    def ignore(self, account_id: int, *, ignored: bool) -> None:
        """Mark a device as ignored, or no longer so."""
        devices = self._tables.devices
        mine = update(devices).where(devices.c.account_id == account_id)
        self._connection.execute(mine.values(ignored=ignored, row_digest=None))

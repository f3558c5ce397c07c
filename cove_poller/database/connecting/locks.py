"""What keeps two runs apart that work for one login: a lock of PostgreSQL's, or of a file beside SQLite's."""

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import filelock
from sqlalchemy import Connection, Engine, text

from cove_poller.database.connecting import limits
from cove_poller.database.connecting.faults import database_errors
from cove_poller.database.connecting.signals import undisturbed
from cove_poller.errors import DatabaseAway, DatabaseError, LockHeld

TAKE = text("SELECT pg_try_advisory_lock(:key)")
IS_HELD = """
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND (classid::bigint << 32) + objid::bigint = :key
"""
IS_MINE = text(f"{IS_HELD} AND pid = pg_backend_pid()")
IS_ANYBODYS = text(IS_HELD)

log = logging.getLogger(__name__)


def held(login: str) -> LockHeld:
    return LockHeld(f"another run is busy with login {login}; nothing was done")


@contextmanager
def file_lock(database: Path, login: str, *, leaves_no_file: bool = False) -> Iterator[None]:
    """Hold the lock of an SQLite file. One that is to leave no file behind takes a lock that is there already only."""
    name = quote(login, safe="")
    lock = filelock.FileLock(f"{database}.{name}.lock")
    if leaves_no_file and not Path(lock.lock_file).exists():
        yield
        return
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise held(login) from None
    except OSError as error:
        raise DatabaseError(f"the lock file {lock.lock_file} cannot be used: {error.strerror}") from error
    try:
        yield
    finally:
        lock.release()


class AdvisoryLock:
    """The lock of a login, which PostgreSQL holds as long as its connection lasts."""

    def __init__(self, connect: Callable[[], Connection], login: str) -> None:
        self._connect = connect
        self._login = login
        self._connection: Connection | None = None

    def take(self) -> None:
        """Take it. Raise LockHeld if another run has it."""
        with undisturbed(), database_errors():
            self._connection = self._connect().execution_options(isolation_level="AUTOCOMMIT")
            if not self._connection.scalar(TAKE, {"key": lock_key(self._login)}):
                raise held(self._login)
            if (self._connection.dialect.server_version_info or ()) >= (14,):
                self._connection.exec_driver_sql(f"SET idle_session_timeout = '{limits.IDLE_LOCK * 1000:.0f}ms'")

    def assure(self) -> None:
        """Take it again if it is lost. Raise LockHeld if another run has it by now."""
        if self._is_there():
            return
        self.release()
        try:
            self.take()
        except LockHeld as error:
            text = (
                f"another run is busy with login {self._login}: this one had lost its lock, so it ends; what it saved"
            )
            raise LockHeld(f"{text} is right") from error
        log.info("login %s: the lock was lost, and is taken again", self._login)

    def _is_there(self) -> bool:
        if self._connection is None or self._connection.closed or self._connection.invalidated:
            return False
        try:
            with undisturbed(), database_errors():
                return bool(self._connection.scalar(IS_MINE, {"key": lock_key(self._login)}))
        except DatabaseAway:
            return False

    def release(self) -> None:
        """Give it back, as also happens when the process dies."""
        if self._connection is not None:
            with undisturbed():
                self._connection.close()
            self._connection = None


def lock_key(login: str) -> int:
    """Return the number by which PostgreSQL knows the lock of a login."""
    digest = hashlib.sha256(f"cove-poller:{login}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def refuse_if_all_are_busy(engine: Engine, logins: Sequence[str]) -> None:
    """Raise LockHeld if other runs are busy with all these logins, where the database cannot even be looked at."""
    if not logins or engine.dialect.name != "postgresql":
        return
    with engine.connect() as connection:
        if all(connection.scalar(IS_ANYBODYS, {"key": lock_key(one)}) for one in logins):
            raise held(", ".join(logins))

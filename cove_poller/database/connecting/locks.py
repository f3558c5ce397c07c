"""What keeps two runs apart that work for one login: a lock of PostgreSQL's, or of a file beside SQLite's."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import filelock
from sqlalchemy import Connection, Engine, text

from cove_poller.database.connecting import limits
from cove_poller.database.connecting.faults import database_errors
from cove_poller.database.connecting.signals import undisturbed
from cove_poller.database.statements import lock_key
from cove_poller.errors import DatabaseAway, DatabaseError, LockHeld

TAKE = text("SELECT pg_try_advisory_lock(:key)")
GIVE_BACK = text("SELECT pg_advisory_unlock(:key)")
IS_HELD = """
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND (classid::bigint << 32) + objid::bigint = :key
"""
IS_MINE = text(f"{IS_HELD} AND pid = pg_backend_pid()")
IS_ANYBODYS = text(IS_HELD)

log = logging.getLogger(__name__)


def held(login: str, command: str = "sync") -> LockHeld:
    return LockHeld(f"another {command} is busy with login {login}; nothing was done")


def suffix(command: str) -> str:
    """Return what a command's locks are called by beside the login; a sync's have its name alone."""
    return "" if command == "sync" else f"+{command}"  # no login's name has a plus once it is quoted


def lock_of(login: str, command: str = "sync") -> int:
    """Return the number by which PostgreSQL knows the lock of a command with a login."""
    return lock_key(f"cove-poller{suffix(command)}:{login}")


@contextmanager
def file_lock(file: str, held: LockHeld, *, leaves_no_file: bool = False) -> Iterator[None]:
    """Hold a lock by a file. Raise `held` if another process does, DatabaseError if the file cannot be used.

    One that is to leave no file behind takes a lock that is there already only.
    """
    lock = filelock.FileLock(file)
    if leaves_no_file and not Path(lock.lock_file).exists():
        yield
        return
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise held from None
    except OSError as error:
        raise DatabaseError(f"the lock file {lock.lock_file} cannot be used: {error.strerror}") from error
    try:
        yield
    finally:
        lock.release()


class AdvisoryLock:
    """The lock of a login, which PostgreSQL holds as long as its connection lasts."""

    def __init__(self, connect: Callable[[], Connection], login: str, command: str) -> None:
        self._connect = connect
        self._login = login
        self._command = command
        self._key = lock_of(login, command)
        self._connection: Connection | None = None

    def take(self) -> None:
        """Take it. Raise LockHeld if another run has it."""
        with undisturbed(), database_errors():
            self._connection = self._connect()
            self._connection.detach()  # so that it ends with the lock, and the lock with it
            self._connection.connection.dbapi_connection.autocommit = True  # type: ignore[union-attr]
            if not self._connection.scalar(TAKE, {"key": self._key}):
                raise held(self._login, self._command)
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
            text = f"another {self._command} is busy with login {self._login}"
            raise LockHeld(f"{text}: this one had lost its lock, so it ends; what it saved is right") from error
        log.info("login %s: the lock was lost, and is taken again", self._login)

    def _is_there(self) -> bool:
        if self._connection is None or self._connection.closed or self._connection.invalidated:
            return False
        try:
            with undisturbed(), database_errors():
                return bool(self._connection.scalar(IS_MINE, {"key": self._key}))
        except DatabaseAway:
            return False

    def give_back(self) -> None:
        """Give it back at once: the server ends a session that was closed in its own time."""
        if self._connection is not None and self._is_there():
            with undisturbed(), database_errors():
                self._connection.scalar(GIVE_BACK, {"key": self._key})

    def release(self) -> None:
        """Leave it to the server, as also happens when the process dies."""
        if self._connection is not None:
            with undisturbed():
                self._connection.close()
            self._connection = None


def refuse_if_all_are_busy(engine: Engine, logins: Sequence[str]) -> None:
    """Raise LockHeld if other syncs are busy with all these logins, where the database cannot even be looked at."""
    if not logins or engine.dialect.name != "postgresql":
        return
    with engine.connect() as connection:
        if all(connection.scalar(IS_ANYBODYS, {"key": lock_of(one)}) for one in logins):
            raise held(", ".join(logins))

"""An installation of the poller: its configuration, its passwords, its clock, and how its database is opened."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime

from cove_poller.config.credentials import Credentials
from cove_poller.config.settings import Config
from cove_poller.database.engine import Database, Mode, open_database


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Installation:
    """What every command works with.

    Its database is opened to *write*: what a transaction writes stays; *dry*: every transaction does what it would
    and is undone; or to *read*: the database refuses to write, and waits for nobody who writes.
    """

    config: Config
    credentials: Credentials
    now: Callable[[], datetime] = utc_now

    def open(self, mode: Mode) -> AbstractContextManager[Database]:
        """Open the database as it is. Raise DatabaseError if it is not there or not ready, and make nothing."""
        return open_database(self.config, self.credentials.database_password(), mode)

    def open_prepared(self, mode: Mode, logins: Sequence[str] = ()) -> AbstractContextManager[Database]:
        """Open the database for the commands that poll: SQLite is made ready first, file and all.

        Raise LockHeld where other runs are busy with all the `logins`.
        """
        password = self.credentials.database_password()
        return open_database(self.config, password, mode, prepare=True, logins=logins)

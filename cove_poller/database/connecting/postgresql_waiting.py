"""Waiting for PostgreSQL: no longer than is right, with an ear for signals and an eye on who is in the way.

The driver hands every wait to `wait`, so Python runs meanwhile. Imported only where PostgreSQL is used.
"""

import codecs
import math
import selectors
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psycopg2
from psycopg2 import extensions

from cove_poller.database.connecting import limits, signals
from cove_poller.text import age

SLICE = 0.25

TEXT_CODEC = "cove_poller_text"
"""Of text in a database that knows no encoding (SQL_ASCII): it keeps whatever bytes a program writes."""

WHO_BLOCKS = """
WITH RECURSIVE blocking (waiting, blocker) AS (
    SELECT %(pid)s, unnest(pg_blocking_pids(%(pid)s))
    UNION SELECT blocker, unnest(pg_blocking_pids(blocker)) FROM blocking
)
SELECT blocker, application_name, usename, extract(epoch FROM clock_timestamp() - xact_start),
    (SELECT string_agg(DISTINCT relation::regclass::text, ', ') FROM pg_locks
        WHERE pid = ANY (array_agg(waiting)) AND NOT granted AND relation IS NOT NULL)
FROM blocking LEFT JOIN pg_stat_activity AS activity ON activity.pid = blocker
WHERE cardinality(pg_blocking_pids(blocker)) = 0
GROUP BY blocker, application_name, usename, xact_start
ORDER BY xact_start NULLS LAST
"""
"""Who waits for nobody: one that is in the way may be another poller that waits as well."""


@dataclass(frozen=True)
class Blocker:
    """A process of the server that holds what was waited for; process 0 stands for a prepared transaction."""

    process: int
    application: str
    user: str
    seconds: float | None
    relation: str

    def __str__(self) -> str:
        what = f"{self.relation} is held by" if self.relation else "what it waits for is held by"
        if not self.process:
            return f"{what} a prepared transaction (see pg_prepared_xacts)"
        since = "" if self.seconds is None else f", for {_rounded(self.seconds)}"
        return f'{what} process {self.process} (application "{self.application}", user "{self.user}"){since}'


def _rounded(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 120 else age(timedelta(seconds=seconds))


class Connection(extensions.connection):
    """A connection that knows how long to wait for an answer, how to connect once more, and who was in its way."""

    answer: float | None = None
    blockers: tuple[Blocker, ...] = ()
    is_kept = False

    def __init__(self, dsn: str, *args: Any, **options: Any) -> None:
        self._again = dsn
        super().__init__(dsn, *args, **options)

    def wait_for_ever(self) -> None:
        """Let statements take as long as they like."""
        self.answer = math.inf

    def look_who_blocks(self) -> None:
        """Ask the server who is in the way of the statement that waits."""
        with suppress(psycopg2.Error), closing(psycopg2.connect(self._again)) as other, other.cursor() as cursor:
            cursor.execute(WHO_BLOCKS, {"pid": self.info.backend_pid})
            found = cursor.fetchall()
            self.blockers = tuple(Blocker(p, a or "", u or "", s and float(s), r or "") for p, a, u, s, r in found)

    def cancel_statement(self) -> None:
        """Let the server end the statement that waits; without its connection it would go on."""
        with suppress(psycopg2.Error), closing(psycopg2.connect(self._again)) as other, other.cursor() as cursor:
            cursor.execute("SELECT pg_cancel_backend(%s)", [self.info.backend_pid])


def wait(connection: Any) -> None:
    """Wait until the server has answered. Raise OperationalError, which closes the connection, if that takes too long.

    The driver's own limit for connecting does not count where it hands over its waits.
    """
    begun_at = time.monotonic()
    is_new = connection.status == extensions.STATUS_SETUP or getattr(connection, "is_kept", False)
    most = limits.CONNECT if is_new else getattr(connection, "answer", None) or limits.ANSWER
    has_looked = is_new or not isinstance(connection, Connection)
    while (state := connection.poll()) != extensions.POLL_OK:
        waited = time.monotonic() - begun_at
        if signals.is_time_up(begun_at):
            if not is_new and isinstance(connection, Connection):
                connection.cancel_statement()
            raise psycopg2.OperationalError("not waited for any longer, since the process was told to end")
        if waited > most:
            raise psycopg2.OperationalError(f"no answer within {most:g} seconds")
        if not has_looked and waited > limits.LOCK * limits.LOOK_WHO_BLOCKS:
            has_looked = True
            connection.look_who_blocks()
            continue
        _wait_for(connection.fileno(), state, min(SLICE, max(most - waited, 0.01)))


def keep(connection: Connection | None, _: Any) -> None:
    """Let a connection that is kept be waited for as a new one is: the next answer says whether it still holds."""
    if connection is not None:
        connection.is_kept = True


def begin_anew(connection: Connection, *_: Any) -> None:
    """Let a connection that still holds wait as long as any, and know of nobody who was in its way before."""
    connection.answer, connection.blockers, connection.is_kept = None, (), False


def _wait_for(descriptor: int, state: int, seconds: float) -> None:
    event = selectors.EVENT_READ if state == extensions.POLL_READ else selectors.EVENT_WRITE
    with selectors.DefaultSelector() as waiting:
        waiting.register(descriptor, event)
        waiting.select(seconds)


def prepare_driver() -> None:
    """Let the driver wait by `wait`, and read text of a database that knows no encoding."""
    register_codec()
    extensions.encodings["SQL_ASCII"] = extensions.encodings["SQLASCII"] = TEXT_CODEC
    extensions.set_wait_callback(wait)


def register_codec() -> None:
    """Make `TEXT_CODEC` known: it writes UTF-8, and reads what is no UTF-8 as Latin-1, which old programs wrote."""
    codecs.register(_found)


def _found(name: str) -> codecs.CodecInfo | None:
    return codecs.CodecInfo(codecs.utf_8_encode, _decode, name=TEXT_CODEC) if name == TEXT_CODEC else None


def _decode(data: Any, errors: str = "strict", /) -> tuple[str, int]:
    del errors
    content = bytes(data)
    try:
        return content.decode(), len(content)
    except UnicodeDecodeError:
        return content.decode("latin-1"), len(content)

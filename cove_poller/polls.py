"""The audit trail `cove_polls`, a row per run and login, and the rejected logins that it remembers."""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import SecretStr
from sqlalchemy import func, insert, select, update

from cove_poller.config import LoginSettings
from cove_poller.database import Database

ACCEPTED = ""
"""In the place of a fingerprint: the login was accepted."""

SALT_BYTES = 8
DIGEST_BYTES = 8  # short on purpose: enough to tell a change, too little to find a password by trying


@dataclass(frozen=True)
class Rejection:
    """A login that Cove rejected: when, in which words, and the fingerprint of what was tried."""

    at: datetime
    message: str
    fingerprint: str


def fingerprint(url: str, login: LoginSettings, password: SecretStr, salt: bytes | None = None) -> str:
    """What identifies the credentials that were tried, without giving them away."""
    salt = salt or os.urandom(SALT_BYTES)
    tried = "\0".join([url, login.username, login.partner, password.get_secret_value()])
    digest = hashlib.scrypt(tried.encode(), salt=salt, n=2**14, r=8, p=1, dklen=DIGEST_BYTES)
    return f"{salt.hex()}:{digest.hex()}"


def is_same(recorded: str, url: str, login: LoginSettings, password: SecretStr) -> bool:
    """Whether the credentials are still those that `recorded` was made from."""
    salt = bytes.fromhex(recorded.partition(":")[0])
    return fingerprint(url, login, password, salt) == recorded


def last_rejection(database: Database, login: str) -> Rejection | None:
    """The rejection of a login that has not been accepted since. A run that never came to log in changes nothing."""
    polls = database.tables.polls
    query = select(polls).where(polls.c.login == login, polls.c.login_fingerprint.is_not(None))
    query = query.order_by(polls.c.id.desc())
    with database.transaction() as connection:
        row = connection.execute(query.limit(1)).mappings().first()
        if row is None or row["login_fingerprint"] == ACCEPTED:
            return None
        same = polls.c.login_fingerprint == row["login_fingerprint"]
        first = connection.execute(select(polls).where(same).order_by(polls.c.id).limit(1)).mappings().one()
    return Rejection(first["started_at"], first["error"] or "", first["login_fingerprint"])


def last_poll(database: Database, command: str, login: str) -> dict[str, Any] | None:
    """The newest row of a command and login; None if there is none."""
    polls = database.tables.polls
    query = select(polls).where(polls.c.command == command, polls.c.login == login).order_by(polls.c.id.desc()).limit(1)
    with database.transaction() as connection:
        row = connection.execute(query).mappings().first()
    return dict(row) if row else None


@contextmanager
def audited(database: Database, command: str, login: str, now: Callable[[], datetime]) -> Iterator[dict[str, Any]]:
    """A row for this run, there from its start. What is put into the yielded dict is written at its end."""
    polls = database.tables.polls
    begin = insert(polls).values(command=command, login=login, started_at=now(), outcome="running")
    with database.transaction() as connection:
        poll_id = connection.execute(begin.returning(polls.c.id)).scalar_one()
    result: dict[str, Any] = {"outcome": "error", "exit_code": 1}
    try:
        yield result
    finally:
        with database.transaction() as connection:
            connection.execute(update(polls).where(polls.c.id == poll_id).values(**result, finished_at=now()))


def unfinished_since(database: Database, command: str, login: str) -> datetime | None:
    """When the first of the runs began that have not come to their end since one last did; None if there is none.

    The newest row is that of the run which asks.
    """
    polls = database.tables.polls
    mine = (polls.c.command == command, polls.c.login == login)
    finished = select(func.max(polls.c.id)).where(*mine, polls.c.outcome.in_(("ok", "partial"))).scalar_subquery()
    newest = select(func.max(polls.c.id)).where(*mine).scalar_subquery()
    since = select(func.min(polls.c.started_at)).where(
        *mine, polls.c.id > func.coalesce(finished, 0), polls.c.id < newest
    )
    with database.transaction() as connection:
        return connection.execute(since).scalar()

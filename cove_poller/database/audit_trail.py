"""The audit trail `cove_polls`, a row per run and login, and the rejected logins that it remembers."""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median_low
from typing import Any

from pydantic import SecretStr
from sqlalchemy import func, insert, select, update

from cove_poller.config.settings import LoginSettings
from cove_poller.database.engine import Database

ACCEPTED = ""
"""In the place of a fingerprint: the login was accepted."""

LOCKED = ":locked"
"""Behind a fingerprint: Cove said that the user is locked, which passes."""

LONGEST_WAIT_HOURS = 24
SALT_BYTES = 8
MOST_UNFINISHED = 100
MOST_SPOOLED = 1000
"""How many polls at most are written behind a later one: of a week, one every ten minutes."""
DIGEST_BYTES = 8  # short on purpose: enough to tell a change, too little to find a password by trying


@dataclass(frozen=True)
class Rejection:
    """A login that Cove rejected: when, in which words, and the fingerprint of what was tried.

    One whose user is locked may be tried again at `retry_at`.
    """

    at: datetime
    message: str
    fingerprint: str
    retry_at: datetime | None = None


def fingerprint(url: str, login: LoginSettings, password: SecretStr, salt: bytes | None = None) -> str:
    """Return what identifies the credentials that were tried, without giving them away."""
    salt = salt or os.urandom(SALT_BYTES)
    tried = "\0".join([url, login.username, login.partner, password.get_secret_value()])
    digest = hashlib.scrypt(tried.encode(), salt=salt, n=2**14, r=8, p=1, dklen=DIGEST_BYTES)
    return f"{salt.hex()}:{digest.hex()}"


def is_same(recorded: str, url: str, login: LoginSettings, password: SecretStr) -> bool:
    """Return whether the credentials are still those that `recorded` was made from."""
    salt = bytes.fromhex(recorded.partition(":")[0])
    return fingerprint(url, login, password, salt) == recorded.removesuffix(LOCKED)


def last_rejection(database: Database, login: str) -> Rejection | None:
    """Return the rejection of a login that has not been accepted since. A run that did not log in changes nothing."""
    polls = database.tables.polls
    query = select(polls).where(polls.c.login == login, polls.c.login_fingerprint.is_not(None))
    query = query.order_by(polls.c.id.desc())
    with database.transaction() as connection:
        row = connection.execute(query.limit(1)).mappings().first()
        if row is None or row["login_fingerprint"] == ACCEPTED:
            return None
        if row["login_fingerprint"].endswith(LOCKED):
            accepted = select(func.max(polls.c.id)).where(polls.c.login == login, polls.c.login_fingerprint == ACCEPTED)
            tried = query.where(
                polls.c.id > func.coalesce(accepted.scalar_subquery(), 0),
                polls.c.login_fingerprint.like(f"%{LOCKED}"),
                func.coalesce(polls.c.requests, 1) > 0,
            )
            return locked_rejection([dict(one) for one in connection.execute(tried).mappings()])
        same = polls.c.login_fingerprint == row["login_fingerprint"]
        first = connection.execute(select(polls).where(same).order_by(polls.c.id).limit(1)).mappings().one()
    return Rejection(first["started_at"], first["error"] or "", first["login_fingerprint"])


def locked_rejection(tries: Sequence[Mapping[str, Any]]) -> Rejection | None:
    """Return the rejection of a locked user from the rows of the tries, the newest first; None if there are none.

    It may be tried again after an hour, then after two, four and so on hours, and at least once a day.
    """
    if not tries:
        return None
    newest = tries[0]
    at = newest["started_at"]
    return Rejection(at, newest["error"] or "", newest["login_fingerprint"], at + wait_of_locked(len(tries)))


def wait_of_locked(tries: int) -> timedelta:
    """Return how long a user who is locked is left alone after so many tries."""
    return timedelta(hours=min(2 ** min(tries - 1, 10), LONGEST_WAIT_HOURS))


class AuditRow(dict[str, Any]):
    """What is to be written into the row of a run, and the row's id."""

    poll_id: int


def last_poll(database: Database, command: str, login: str) -> dict[str, Any] | None:
    """Return the newest row of a command and login; None if there is none."""
    polls = database.tables.polls
    query = select(polls).where(polls.c.command == command, polls.c.login == login).order_by(polls.c.id.desc()).limit(1)
    with database.transaction() as connection:
        row = connection.execute(query).mappings().first()
    return dict(row) if row else None


@contextmanager
def audited(database: Database, command: str, login: str, now: Callable[[], datetime]) -> Iterator[AuditRow]:
    """Keep a row for this run, there from its start. What is put into the given dict is written at its end."""
    polls = database.tables.polls
    begin = insert(polls).values(command=command, login=login, started_at=now(), outcome="running")
    with database.transaction() as connection:
        poll_id = connection.execute(begin.returning(polls.c.id)).scalar_one()
    result = AuditRow({"outcome": "error", "exit_code": 1})
    result.poll_id = poll_id
    try:
        yield result
    finally:
        with database.transaction() as connection:
            connection.execute(update(polls).where(polls.c.id == poll_id).values(**result, finished_at=now()))


def note_past_run(database: Database, command: str, login: str, at: datetime, **values: Any) -> None:
    """Write the row of a run that could not write it itself, unless it is there."""
    polls = database.tables.polls
    row = {"command": command, "login": login, "started_at": at}
    same = select(polls.c.id).where(*(polls.c[name] == value for name, value in row.items()))
    with database.transaction() as connection:
        if connection.execute(same).first() is None:
            connection.execute(insert(polls).values(**row, finished_at=at, **values))


def knows_fingerprint(database: Database, login: str, fingerprint: str) -> bool:
    """Return whether a run has noted this very rejection of a login: no two have the same salt."""
    polls = database.tables.polls
    same = select(polls.c.id).where(polls.c.login == login, polls.c.login_fingerprint == fingerprint)
    with database.transaction() as connection:
        return connection.execute(same.limit(1)).first() is not None


def login_conditions(database: Database, login: str) -> dict[str, Any]:
    """Return the conditions of a login, as its newest sync that told any left them."""
    polls = database.tables.polls
    mine = (polls.c.command == "sync", polls.c.login == login, polls.c.conditions.is_not(None))
    query = select(polls.c.conditions).where(*mine)
    with database.transaction() as connection:
        return connection.execute(query.order_by(polls.c.id.desc()).limit(1)).scalar() or {}


def last_sync_before(database: Database, login: str, began: datetime) -> datetime | None:
    """Return when the last sync of a login began, before one that `began` now, that went through to its end.

    A clock that was ahead once leaves rows from the future behind: they count for nothing.
    """
    polls = database.tables.polls
    mine = (polls.c.command == "sync", polls.c.login == login)
    went_through = (polls.c.outcome.in_(("ok", "partial")), polls.c.error.is_(None), polls.c.started_at <= began)
    with database.transaction() as connection:
        return connection.execute(select(func.max(polls.c.started_at)).where(*mine, *went_through)).scalar()


@dataclass(frozen=True)
class CompleteSyncs:
    """When the last syncs of a login began that saw all of its devices, the newest first."""

    times: Sequence[datetime]

    @property
    def last(self) -> datetime | None:
        """When the last one began; None if there was none."""
        return self.times[0] if self.times else None

    @property
    def rhythm(self) -> timedelta | None:
        """How far apart they began; None before there are two. One long pause, an outage, is not their rhythm."""
        pauses = [later - earlier for later, earlier in pairwise(self.times[:4])]
        return median_low(pauses) if pauses else None


def complete_syncs(database: Database, login: str) -> CompleteSyncs:
    """Return when the last syncs of a login began that saw all of its devices.

    Looked for by when they were written: one that was spooled is written later than it began, but not by many polls.
    """
    polls = database.tables.polls
    mine = (polls.c.command == "sync", polls.c.login == login, polls.c.is_complete.is_(True))
    newest = select(polls.c.started_at).where(*mine).order_by(polls.c.id.desc()).limit(MOST_SPOOLED)
    with database.transaction() as connection:
        return CompleteSyncs(sorted(connection.execute(newest).scalars(), reverse=True))


def last_learnt(database: Database, login: str) -> dict[str, Any] | None:
    """Return what the newest run of a login that kept such a thing had learnt of its columns; None if none has."""
    polls = database.tables.polls
    query = select(polls.c.learnt).where(polls.c.login == login, polls.c.learnt.is_not(None))
    with database.transaction() as connection:
        learnt = connection.execute(query.order_by(polls.c.id.desc()).limit(1)).scalar()
    return dict(learnt) if learnt else None


def unfinished_request(database: Database, command: str, login: str, before: int) -> dict[str, Any] | None:
    """Return what the newest run `before` a row was asked for, if none has come to its end since; None if one has.

    A run that an error ended has not come to its end, though some of it may be saved.
    """
    polls = database.tables.polls
    mine = (polls.c.command == command, polls.c.login == login, polls.c.id < before)
    done = select(func.max(polls.c.id)).where(*mine, polls.c.outcome.in_(("ok", "partial")), polls.c.error.is_(None))
    unfinished = select(polls.c.id, polls.c.request).where(*mine, polls.c.id > func.coalesce(done.scalar_subquery(), 0))
    with database.transaction() as connection:
        rows = connection.execute(unfinished.order_by(polls.c.id.desc()).limit(MOST_UNFINISHED)).mappings()
        return next((dict(row["request"]) for row in rows if row["request"]), None)


def note_request(database: Database, poll_id: int, request: Mapping[str, Any]) -> None:
    """Write into the row of a run what it was asked for."""
    polls = database.tables.polls
    with database.transaction() as connection:
        connection.execute(update(polls).where(polls.c.id == poll_id).values(request=request))

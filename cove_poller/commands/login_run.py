"""A login's life: its lock, its row in the audit trail, the rejection that is remembered of it, its client, its news.

What is wrong with a login itself is said as of devices: when it begins, changes and ends, and else once a day.
"""

import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta

from pydantic import SecretStr

from cove_poller.commands.installation import Installation
from cove_poller.commands.outages.spool import Spool
from cove_poller.commands.outcome import About, Standing
from cove_poller.commands.results import LoginResult
from cove_poller.config.settings import ApiSettings
from cove_poller.cove.client import CoveClient
from cove_poller.cove.replies import LoginUser
from cove_poller.database.audit_trail import (
    ACCEPTED,
    LOCKED,
    Rejection,
    audited,
    fingerprint,
    is_same,
    last_rejection,
    login_conditions,
)
from cove_poller.database.connecting import signals
from cove_poller.database.engine import Database, Mode
from cove_poller.errors import (
    ApiError,
    ApiUnavailable,
    CovePollerError,
    DatabaseUnavailable,
    LoginLocked,
    LoginRejected,
    PermissionDenied,
    Terminated,
)
from cove_poller.records.health.news import ERROR, Condition, Conditions, News, Trouble, from_json, news, still, to_json

SYNC = "sync"

log = logging.getLogger(__name__)


def always() -> bool:
    """For work that is never left out."""
    return True


def run_login(
    command: str,
    installation: Installation,
    database: Database,
    result: LoginResult,
    work: Callable[[CoveClient], None],
    is_needed: Callable[[], bool] = always,
) -> None:
    """Log in, do the `work`, which adds to the `result`, and keep both in the audit trail, while no other run may.

    Work that is not needed is left out, and the login with it. What ends it early is the result's error. Raise
    Terminated if the process is to end.
    """
    began = installation.now()
    try:
        lock = database.lock(result.login, command)
        with lock, audited(database, command, result.login, installation.now) as audit:
            result.poll_id = audit.poll_id
            try:
                password = installation.credentials.login_password(result.login)
                refuse_what_was_rejected(installation, database, result, password)
                if is_needed():
                    with logged_in(installation, result, password) as (client, _):
                        work(client)
            except CovePollerError as error:
                log.debug("login %s ended early", result.login, exc_info=error)
                result.error = error
            if isinstance(result.error, Terminated):
                signals.hurry()
            else:
                _say(command, installation, database, result)
            audit |= audit_row(result)
            log.info("%s", result.in_a_line(installation.now() - began))
    except CovePollerError as error:
        if not isinstance(result.error, Terminated):  # that it was told to stop is not for the audit trail to hide
            result.error = error
    if isinstance(result.error, Terminated):
        raise result.error


def _say(command: str, installation: Installation, database: Database, result: LoginResult) -> None:
    """Say what is wrong with the login itself: of a sync, which cron repeats, only the news."""
    if command == SYNC:
        before = from_json(login_conditions(database, result.login))
        result.conditions = say_news(result, before, installation.now(), installation.config.alerts.remind)
    else:
        say_all(result)


def refuse_what_was_rejected(
    installation: Installation, database: Database, result: LoginResult, password: SecretStr
) -> None:
    """Raise LoginRejected, in Cove's words of that time, where it has rejected these very credentials before.

    A user who was locked is tried again after some hours.
    """
    if rejection := last_rejection(database, result.login):
        refuse(installation, result, password, rejection)


def refuse(installation: Installation, result: LoginResult, password: SecretStr, rejection: Rejection) -> None:
    """Raise LoginRejected if these are the credentials that were rejected, and it is too early to try them again."""
    config, login = installation.config, result.login
    if not is_same(rejection.fingerprint, config.api_of(login).url, config.logins[login], password):
        return
    if rejection.retry_at and installation.now() >= rejection.retry_at:
        return
    result.login_fingerprint = rejection.fingerprint
    test = f"change the configuration of login {login}, or run: cove-poller test-login --login {login}"
    if rejection.retry_at:
        raise LoginLocked(f"{rejection.message} (not tried again before {rejection.retry_at:%Y-%m-%d %H:%M}Z; {test})")
    raise LoginRejected(
        f"{rejection.message} (not tried again since {rejection.at:%Y-%m-%d %H:%M}Z, as Cove may lock a user who"
        f" keeps trying; {test})"
    )


@contextmanager
def logged_in(
    installation: Installation, result: LoginResult, password: SecretStr, api: ApiSettings | None = None
) -> Iterator[tuple[CoveClient, LoginUser]]:
    """Give a client that has logged in, and as whom; note in the `result` what Cove said of the credentials."""
    settings, api = installation.config.logins[result.login], api or installation.config.api_of(result.login)
    client = CoveClient(settings, password, api)
    spool = Spool.of(installation, result.login)
    try:
        user = client.login()
        result.login_fingerprint = ACCEPTED
        spool.forget_rejection()
        result.partner_id = settings.partner_id or user.partner_id
        with _named_partner(settings.partner_id, user.partner_id, result):
            yield client, user
    except LoginRejected as error:
        locked = LOCKED if isinstance(error, LoginLocked) else ""
        result.login_fingerprint = fingerprint(api.url, settings, password) + locked
        spool.keep_rejection(installation.now(), str(error), result.login_fingerprint)
        raise
    finally:
        result.request_count, result.login_count = client.request_count, client.login_count
        client.close()


@contextmanager
def _named_partner(wanted: int, own: int | None, result: LoginResult) -> Iterator[None]:
    """Name the key partner_id in an error that a wrong one would cause: where nothing below that partner was read."""
    try:
        yield
    except (ApiError, PermissionDenied) as error:
        if not wanted or wanted == own or result.outcome.devices or type(error) not in (ApiError, PermissionDenied):
            raise
        raise type(error)(
            f"{error}. Asked below logins.{result.login}.partner_id = {wanted}: check that key, or leave it out for the"
            f" login's own partner, {own}"
        ) from error


def audit_row(result: LoginResult) -> dict[str, object]:
    """Return what the audit trail keeps of a login's run."""
    return {
        "outcome": result.word,
        "exit_code": result.exit_code,
        "devices": result.outcome.devices,
        "sessions_new": result.outcome.sessions.new,
        "job_runs_new": result.outcome.job_runs.new,
        "job_runs_updated": result.outcome.job_runs.updated,
        "requests": result.request_count,
        "error": str(result.error) if result.error else None,
        "login_fingerprint": result.login_fingerprint,
        "is_complete": result.is_complete,
        **({} if result.conditions is None else {"conditions": to_json(result.conditions)}),
        **({"learnt": result.learnt} if result.learnt else {}),
    }


def remember_rejections(command: str, installation: Installation, results: Sequence[LoginResult]) -> None:
    """After a dry run, which leaves nothing else behind: the next one must not try a rejected login again either."""
    rejected = [result for result in results if isinstance(result.error, LoginRejected)]
    if rejected:
        with installation.open_prepared(Mode.WRITE) as database:
            for result in rejected:
                with audited(database, command, result.login, installation.now) as audit:
                    audit |= audit_row(result)


def say_news(result: LoginResult, before: Conditions, now: datetime, remind: timedelta) -> Conditions:
    """Add to a login's result what there is to say of its own troubles, after what stood `before`.

    Return what stands from now on. What a run that did not come to its end could not look at stands as before.
    """
    before = _without_other_errors(before, result.error)
    unseen = {} if result.is_listed else {key: Trouble(one.what, one.is_failure) for key, one in before.items()}
    found = news(before, {**unseen, **result.troubles, **_error_trouble(result.error, before)}, now, remind)
    said = found
    if result.error:
        error = found.standing[_key(result.error)]
        result.error_note, said = _without_error(found, error)
        if result.error_note:  # what fails for the first time fails now
            result.outcome.about[f"{result.error_note}{result.error}"] = About(error.since)
    result.outcome.say(said.lines())
    result.outcome.about |= {line: About(since) for line, since in said.beginnings().items()}
    result.outcome.standing += [Standing.of(None, one, found) for one in found.standing.values()]
    return found.standing


def say_all(result: LoginResult) -> None:
    """Add to a login's result all of its own troubles, where a person asked for the run and reads the answer."""
    result.outcome.say((one.is_failure, one.what) for one in result.troubles.values())


def _without_other_errors(before: Conditions, error: CovePollerError | None) -> dict[str, Condition]:
    """What stood before, but for an error in whose place another one has come: nobody knows whether it is over."""
    mine = error and _key(error)
    return {key: one for key, one in before.items() if not error or not key.startswith(ERROR) or key == mine}


def _error_trouble(error: CovePollerError | None, before: Mapping[str, Condition]) -> dict[str, Trouble]:
    """The error as a trouble; in the words of before, where it is the same but for numbers or what became of it.

    How exactly Cove fails to give a usable answer differs from run to run: that is one trouble.
    """
    if error is None:
        return {}
    old = before.get(_key(error))
    is_same = old and (
        isinstance(error, ApiUnavailable | DatabaseUnavailable) or _plain(str(error)).startswith(_plain(old.what))
    )
    return {_key(error): Trouble(old.what if old and is_same else str(error))}


def _key(error: CovePollerError) -> str:
    return f"{ERROR}{error.code}"


def _plain(text: str) -> str:
    return re.sub(r"\d+", "0", text)


def _without_error(found: News, error: Condition) -> tuple[str | None, News]:
    """What is to be said before the error's text, and the rest of the news."""
    begun, reminded = (tuple(one for one in told if one is not error) for told in (found.begun, found.reminded))
    return _note(found, error), replace(found, begun=begun, reminded=reminded)


def _note(found: News, error: Condition) -> str | None:
    if error in found.begun:
        return ""
    return still(error.since) if error in found.reminded else None

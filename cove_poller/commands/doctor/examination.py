"""`doctor`: looks at everything once and says of each thing how it is, and what to do. Nothing raises out of it.

Each step returns its checks, and beside them what the steps behind it need: None, or nothing, where it failed.
"""

import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from cove_poller.commands.doctor.checks import (
    FIX_FIRST,
    NEVER_POLLED,
    Check,
    Report,
    Verdict,
    attempted,
    completed,
    fine,
    not_tried,
    tried,
    warning,
)
from cove_poller.commands.doctor.cove_checks import CLOCK, COLUMNS, LOGIN, TLS, host_checks, login_checks
from cove_poller.commands.doctor.database_checks import CONTRACT, DATABASE, RIGHTS, TABLES, TRIAL, database_checks
from cove_poller.commands.installation import Installation, utc_now
from cove_poller.config.credentials import Credentials
from cove_poller.config.file import load_config
from cove_poller.database.audit_trail import last_poll
from cove_poller.database.engine import Database, Mode
from cove_poller.database.overview import read_poll
from cove_poller.records.health.freshness import Freshness, poll_freshness
from cove_poller.records.health.overview import PollState
from cove_poller.text import age

CONFIGURATION, PASSWORD, FILES, LAST_POLL = "configuration", "password", "secret files", "last poll"
OF_DATABASE = (DATABASE, CONTRACT, TABLES, RIGHTS, TRIAL)
DEPENDENT = (PASSWORD, FILES, *OF_DATABASE, TLS, CLOCK, LOGIN, COLUMNS, LAST_POLL)
FIX_CONFIGURATION = "Fix each line; `cove-poller config check` looks again."
FIX_SOURCE = "Fix that key, file or command."


def examine(find: Callable[[], Path], environ: Mapping[str, str], now: Callable[[], datetime] = utc_now) -> Report:
    """Return what a look at everything shows. `find` gives the configuration file, or raises ConfigError."""
    started_at = now()
    checks, installation = tried(CONFIGURATION, lambda: _configuration(find(), environ, now), FIX_CONFIGURATION)
    if installation:
        checks += _examined(installation)
    else:
        checks += [not_tried(name, "there is no configuration to go by") for name in DEPENDENT]
    return Report(started_at, now(), checks)


def _examined(installation: Installation) -> list[Check]:
    """Return all checks of an installation whose configuration is understood, whatever becomes of each."""
    credentials, logins = installation.credentials, installation.config.logins
    for_database, password = _database_password(credentials)
    for_logins, passwords = _login_passwords(credentials, list(logins))
    files = attempted(FILES, lambda: [_secret_files(credentials)])
    of_database, clock_ahead = _database(installation, for_database, password)
    of_hosts, unsafe = _hosts(installation, clock_ahead)
    with ExitStack() as stack:
        opening, database = _opened(stack, installation, of_database)
        of_logins = [
            check.about(login)
            for login in logins
            for check in _login(installation, login, passwords.get(login), unsafe, database)
        ]
    return [*for_database, *for_logins, *files, *of_database, *of_hosts, *opening, *of_logins]


def _configuration(
    file: Path, environ: Mapping[str, str], now: Callable[[], datetime]
) -> tuple[list[Check], Installation]:
    config = load_config(file, environ)
    checks = [fine(CONFIGURATION, f"{file.absolute()} is understood; logins: {', '.join(config.logins)}")]
    return checks, Installation(config, Credentials(config, file, environ), now)


def _database_password(credentials: Credentials) -> tuple[list[Check], SecretStr | None]:
    def fetch() -> tuple[list[Check], SecretStr | None]:
        password = credentials.database_password()
        apart = "can be had" if password else "none is set apart from the URL, so none is needed"
        return [fine(PASSWORD, apart)], password

    checks, password = tried(PASSWORD, fetch, FIX_SOURCE)
    return [check.about("database") for check in checks], password


def _login_passwords(credentials: Credentials, logins: Sequence[str]) -> tuple[list[Check], dict[str, SecretStr]]:
    def fetch(login: str) -> tuple[list[Check], SecretStr]:
        password = credentials.login_password(login)
        return [fine(PASSWORD, "can be had")], password

    found = {login: tried(PASSWORD, partial(fetch, login), FIX_SOURCE) for login in logins}
    checks = [check.about(f"login {login}") for login, (checks, _) in found.items() for check in checks]
    return checks, {login: password for login, (_, password) in found.items() if password}


def _secret_files(credentials: Credentials) -> Check:
    files = credentials.secret_files()
    if not files:
        return fine(FILES, "no file of the configuration holds a secret")
    if os.name != "posix":
        return not_tried(FILES, "this system has no file modes", "See who may read them by its own means.")
    if exposed := credentials.warnings():
        return warning(FILES, "others may read what only the poller should", "\n".join(exposed))
    unseen = [str(file) for file in files if not _can_be_seen(file)]
    if unseen:
        return not_tried(FILES, f"{', '.join(unseen)} cannot be looked at", "See the check of that password.")
    return fine(FILES, f"only their owner may read {', '.join(map(str, files))}")


def _database(
    installation: Installation, for_database: Sequence[Check], password: SecretStr | None
) -> tuple[list[Check], timedelta | None]:
    """Return the checks of the database, and how far its clock is ahead of this machine's, if it tells."""
    if not for_database[0].is_usable:
        return [not_tried(name, "its password cannot be had") for name in OF_DATABASE], None
    look = partial(database_checks, installation.config, password, installation.now)
    checks, clock_ahead = tried(DATABASE, look)
    return completed(checks, OF_DATABASE), clock_ahead


def _hosts(installation: Installation, clock_ahead: timedelta | None) -> tuple[list[Check], dict[str, str]]:
    """Return the checks of each API host, and by URL why no password may be sent there, if none may."""
    config, checks, unsafe = installation.config, list[Check](), dict[str, str]()
    for url, api in {api.url: api for api in map(config.api_of, config.logins)}.items():
        found, reason = tried(TLS, partial(host_checks, api, installation.now, clock_ahead))
        checks += completed(found, [CLOCK])
        if reason:
            unsafe[url] = reason
    return checks, unsafe


def _opened(
    stack: ExitStack, installation: Installation, of_database: Sequence[Check]
) -> tuple[list[Check], Database | None]:
    """Return the database, open until the stack ends, if it is ready; a check only if it cannot be opened after all."""
    needed = [check.verdict is Verdict.OK for check in of_database if check.name in (DATABASE, TABLES, RIGHTS)]
    if not all(needed):
        return [], None
    return tried(DATABASE, lambda: ([], stack.enter_context(installation.open(Mode.WRITE))))


def _login(
    installation: Installation,
    login: str,
    password: SecretStr | None,
    unsafe: Mapping[str, str],
    database: Database | None,
) -> list[Check]:
    """Return the checks of a login, of the columns that it may see, and of its last poll."""
    reason, advice = _obstacle(login, password, unsafe.get(installation.config.api_of(login).url, ""), database)
    if reason or database is None or password is None:
        checks = [not_tried(LOGIN, reason, advice), not_tried(COLUMNS, "the login was not tried")]
    else:
        checks = completed(attempted(LOGIN, partial(login_checks, installation, login, password, database)), [COLUMNS])
    if database is None:
        return [*checks, not_tried(LAST_POLL, "the database is not ready")]
    return [*checks, *attempted(LAST_POLL, lambda: [_last_poll(installation, database, login)])]


def _obstacle(login: str, password: SecretStr | None, unsafe: str, database: Database | None) -> tuple[str, str]:
    """Return why the login cannot be tried, and what to do; empty if it can."""
    if password is None:
        return "its password cannot be had", FIX_FIRST
    if unsafe:
        return unsafe, FIX_FIRST
    if database is None:
        remember = "a rejection could not be remembered, and Cove may lock a user who keeps trying"
        return remember, f"Fix the database first, or try once with `cove-poller test-login --login {login}`."
    return "", ""


def _last_poll(installation: Installation, database: Database, login: str) -> Check:
    poll, newest = read_poll(database, login), last_poll(database, "sync", login)
    return judged_poll(login, poll, newest, installation.now(), installation.config.alerts.max_poll_age)


def _can_be_seen(file: Path) -> bool:
    try:
        return stat.S_ISREG(file.stat().st_mode)
    except OSError:
        return False


def judged_poll(
    login: str, poll: PollState | None, newest: Mapping[str, Any] | None, now: datetime, limit: timedelta
) -> Check:
    """Return the check of the polls of a login; `newest` is the audit trail's row of the one that may still run."""
    found = poll_freshness(login, poll, now, limit)
    message = "; ".join([found.text, *_unfinished(newest, now, limit)])
    if poll and newest and newest["outcome"] == "error":
        advice = "When everything else here is ok, run `cove-poller sync`."
        exit_code = newest["exit_code"] or 1
        return Check(LAST_POLL, Verdict.FAILED, message, advice, code="poll", exit_code=exit_code)
    if poll is None and newest is None:
        return Check(LAST_POLL, Verdict.WARNING, message, "Run `cove-poller sync --dry-run` first.", code=NEVER_POLLED)
    if found.is_old:
        return warning(LAST_POLL, message, "Run `cove-poller sync`, and look at its cron job or timer.")
    if found.freshness is not Freshness.FRESH:
        return warning(LAST_POLL, message, "Run `cove-poller sync`; it says what is missing.")
    return fine(LAST_POLL, message)


def _unfinished(newest: Mapping[str, Any] | None, now: datetime, limit: timedelta) -> Iterator[str]:
    if newest and newest["finished_at"] is None:
        since = now - newest["started_at"]
        yield f"one began {age(since)} ago and {'never came to its end' if since > limit else 'is at work'}"

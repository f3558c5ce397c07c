"""`doctor`: looks at everything once and says of each thing how it is, and what to do. Nothing raises out of it."""

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from cove_poller.commands.doctor_cove import CLOCK, COLUMNS, LOGIN, TLS, HostLook, login_checks
from cove_poller.commands.doctor_database import CONTRACT, DATABASE, RIGHTS, TABLES, TRIAL, DatabaseLook
from cove_poller.commands.doctor_report import Check, Report, Verdict, attempted, completed, fine, not_tried, warning
from cove_poller.commands.installation import Installation, utc_now
from cove_poller.config.credentials import Credentials
from cove_poller.config.file import load_config
from cove_poller.config.settings import Config
from cove_poller.database.audit_trail import last_poll
from cove_poller.database.engine import Database, Mode, open_database
from cove_poller.database.overview import read_poll
from cove_poller.records.freshness import Freshness, poll_freshness
from cove_poller.records.overview import PollState
from cove_poller.text import age

CONFIGURATION, PASSWORD, FILES, LAST_POLL = "configuration", "password", "secret files", "last poll"
OF_DATABASE = (DATABASE, CONTRACT, TABLES, RIGHTS, TRIAL)
DEPENDENT = (PASSWORD, FILES, *OF_DATABASE, TLS, CLOCK, LOGIN, COLUMNS, LAST_POLL)
MEND_CONFIGURATION = "Mend each line; `cove-poller config check` looks again."


def examine(find: Callable[[], Path], environ: Mapping[str, str], now: Callable[[], datetime] = utc_now) -> Report:
    """Look at everything. `find` gives the configuration file, or raises ConfigError."""
    started_at = now()
    loaded: list[tuple[Config, Credentials]] = []

    def load() -> Iterator[Check]:
        file = find()
        config = load_config(file, environ)
        loaded.append((config, Credentials(config, file, environ)))
        yield fine(CONFIGURATION, f"{file} is understood; logins: {', '.join(config.logins)}")

    checks = attempted(CONFIGURATION, load, MEND_CONFIGURATION)
    if loaded:
        checks += Examination(*loaded[0], now).checks()
    else:
        checks += [not_tried(name, "there is no configuration to go by") for name in DEPENDENT]
    return Report(started_at, now(), checks)


class Examination:
    """Looks at an installation whose configuration is understood."""

    def __init__(self, config: Config, credentials: Credentials, now: Callable[[], datetime]) -> None:
        self._installation = Installation(config, credentials, now)
        self._config = config
        self._credentials = credentials
        self._now = now
        self._passwords: dict[str, SecretStr] = {}

    def checks(self) -> list[Check]:
        """All checks, whatever becomes of each."""
        for_database, database_password = self._database_password()
        found = [*for_database, *self._login_passwords()]
        found += attempted(FILES, lambda: [self._secret_files()])
        look = DatabaseLook(self._config, database_password, self._now)
        if for_database[0].is_usable:
            of_database = completed(attempted(DATABASE, look.checks), OF_DATABASE)
        else:
            of_database = [not_tried(name, "its password cannot be had") for name in OF_DATABASE]
        found += of_database
        hosts: dict[str, HostLook] = {}
        for api in {api.url: api for api in map(self._config.api_of, self._config.logins)}.values():
            hosts[api.url] = host = HostLook(api, self._now, look.clock_ahead)
            found += completed(attempted(TLS, host.checks), [CLOCK])
        is_ready = all(check.verdict is Verdict.OK for check in of_database if check.name in (DATABASE, TABLES, RIGHTS))
        with ExitStack() as stack:
            database: list[Database] = []

            def open_it() -> Iterator[Check]:
                database.append(stack.enter_context(open_database(self._config, database_password, Mode.WRITE)))
                yield from ()

            found += attempted(DATABASE, open_it) if is_ready else []
            for login in self._config.logins:
                of_login = self._of_login(login, hosts, database[0] if database else None)
                found += [check.about(login) for check in of_login]
        return found

    def _database_password(self) -> tuple[list[Check], SecretStr | None]:
        had: list[SecretStr | None] = []

        def fetch() -> Iterator[Check]:
            had.append(self._credentials.database_password())
            apart = "can be had" if had[0] else "none is set apart from the URL, so none is needed"
            yield fine(PASSWORD, apart)

        checks = attempted(PASSWORD, fetch, "Mend that key, file or command.")
        return [check.about("database") for check in checks], had[0] if had else None

    def _login_passwords(self) -> Iterator[Check]:
        for login in self._config.logins:

            def fetch(login: str = login) -> Iterator[Check]:
                self._passwords[login] = self._credentials.login_password(login)
                yield fine(PASSWORD, "can be had")

            for check in attempted(PASSWORD, fetch, "Mend that key, file or command."):
                yield check.about(f"login {login}")

    def _secret_files(self) -> Check:
        files = self._credentials.secret_files()
        if not files:
            return fine(FILES, "no file of the configuration holds a secret")
        if os.name != "posix":
            return not_tried(FILES, "this system has no file modes", "See who may read them by its own means.")
        if exposed := self._credentials.warnings():
            return warning(FILES, "others may read what only the poller should", "\n".join(exposed))
        unseen = [str(file) for file in files if not _can_be_seen(file)]
        if unseen:
            return not_tried(FILES, f"{', '.join(unseen)} cannot be looked at", "See the check of that password.")
        return fine(FILES, f"only their owner may read {', '.join(map(str, files))}")

    def _of_login(self, login: str, hosts: Mapping[str, HostLook], database: Database | None) -> list[Check]:
        reason, advice = self._obstacle(login, hosts[self._config.api_of(login).url], database)
        if reason or database is None:
            checks = [not_tried(LOGIN, reason, advice), not_tried(COLUMNS, "the login was not tried")]
        else:
            look = partial(login_checks, self._installation, login, self._passwords[login], database)
            checks = completed(attempted(LOGIN, look), [COLUMNS])
        if database is None:
            return [*checks, not_tried(LAST_POLL, "the database is not ready")]
        return [*checks, *attempted(LAST_POLL, lambda: [self._last_poll(database, login)])]

    def _last_poll(self, database: Database, login: str) -> Check:
        poll, newest = read_poll(database, login), last_poll(database, "sync", login)
        return judged_poll(login, poll, newest, self._now(), self._config.alerts.max_poll_age)

    def _obstacle(self, login: str, host: HostLook, database: Database | None) -> tuple[str, str]:
        """Why the login cannot be tried, and what to do; empty if it can."""
        if login not in self._passwords:
            return "its password cannot be had", "Mend that first."
        if host.reason:
            return host.reason, "Mend that first."
        if database is None:
            remember = "a rejection could not be remembered, and Cove may lock a user who keeps trying"
            return remember, f"Mend the database first, or try once with `cove-poller test-login --login {login}`."
        return "", ""


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
    if found.is_old:
        return warning(LAST_POLL, message, "Run `cove-poller sync`, and look at its cron job or timer.")
    if found.freshness is not Freshness.FRESH:
        return warning(LAST_POLL, message, "Run `cove-poller sync`; it says what is missing.")
    return fine(LAST_POLL, message)


def _unfinished(newest: Mapping[str, Any] | None, now: datetime, limit: timedelta) -> Iterator[str]:
    if newest and newest["finished_at"] is None:
        since = now - newest["started_at"]
        yield f"one began {age(since)} ago and {'never came to its end' if since > limit else 'is at work'}"

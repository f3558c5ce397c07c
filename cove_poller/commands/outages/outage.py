"""The database's outages: what is polled meanwhile goes into the spool, and from there into the database.

The next run records each poll as if it were now when it was, before its own. Its file goes when all of it is
recorded, so a run that dies in the middle is gone on with; what is recorded a second time changes nothing.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial

from cove_poller.commands.gone_devices import record_gone
from cove_poller.commands.installation import Installation
from cove_poller.commands.login_run import logged_in, refuse, say_news
from cove_poller.commands.outages.spool import Spool, SpooledPage, SpooledPoll, SpoolUnreadable
from cove_poller.commands.outcome import Outcome
from cove_poller.commands.record_jobs import Linker
from cove_poller.commands.record_page import Recorder
from cove_poller.commands.record_takeable import save_takeable
from cove_poller.commands.results import LoginResult
from cove_poller.commands.stale_devices import note_staleness
from cove_poller.cove.client import CoveClient
from cove_poller.cove.listing import Listing
from cove_poller.database.audit_trail import (
    LOCKED,
    Rejection,
    complete_syncs,
    knows_fingerprint,
    note_past_run,
    wait_of_locked,
)
from cove_poller.database.engine import Database
from cove_poller.database.store import Store
from cove_poller.errors import (
    ApiError,
    CovePollerError,
    DatabaseUnavailable,
    LoginRejected,
    PermissionDenied,
    Terminated,
)
from cove_poller.records.device import Device
from cove_poller.records.health.news import Trouble, from_json, to_json
from cove_poller.text import counted, listed

log = logging.getLogger(__name__)


def spool_poll(installation: Installation, result: LoginResult) -> None:
    """Poll a login whose `result` has the database's error, and keep what Cove tells. Say in the error what is safe.

    An outage is said when it begins, and else once a day. Raise Terminated if the process is to end.
    """
    spool = Spool.of(installation, result.login)
    outage = str(result.error)
    is_polled = False
    result.troubles.clear()  # of a poll that was begun: this one is a poll of its own
    result.outcome.standing = [one for one in result.outcome.standing if one.account_id is not None]
    try:
        with spool.lock():
            said = _spooled(installation, result, spool)
            is_polled = True
    except Terminated:
        raise
    except OSError as error:
        said = f"nothing was polled, since it could not be kept in {spool.folder}: {error.strerror or error}"
    except CovePollerError as error:
        said = f"nothing was polled: {error}"
    if not is_polled:
        result.troubles["spool"] = Trouble(said, is_failure=True)
    told = from_json(spool.standing())
    spool.keep_standing(to_json(say_news(result, told, installation.now(), installation.config.alerts.remind)))
    result.spooled = len(spool.waiting())
    waiting = f"; {counted(result.spooled, 'poll')} in {spool.folder} wait for it" if result.spooled else ""
    about = result.outcome.about
    since = about.get(f"{result.error_note}{result.error}")
    result.error = DatabaseUnavailable(f"{outage} ({said}{waiting})")
    if since:
        about[f"{result.error_note}{result.error}"] = since


def _spooled(installation: Installation, result: LoginResult, spool: Spool) -> str:
    """Poll, and keep what was told of it. Return, in words, what became of it."""
    password = installation.credentials.login_password(result.login)
    if kept := spool.rejection():
        retry_at = kept["at"] + wait_of_locked(kept["tries"]) if kept["fingerprint"].endswith(LOCKED) else None
        refuse(installation, result, password, Rejection(kept["at"], kept["message"], kept["fingerprint"], retry_at))
    pages: list[SpooledPage] = []
    trouble: CovePollerError | None = None
    with logged_in(installation, result, password) as (client, _):
        listing = _listing(client, result)
        try:
            pages += (SpooledPage(page.devices, page.unreadable) for page in listing.iter_pages())
        except (ApiError, PermissionDenied) as error:
            trouble = error
        at, ahead = installation.now(), client.clock_ahead
    if not listing.seen_ids:
        raise trouble or ApiError("Cove lists no device at all")
    is_complete = listing.is_complete and not listing.unnamed
    dropped = spool.save(SpooledPoll(at, ahead, listing.refused, pages, is_complete))
    old = f", {counted(dropped, 'older poll')} had to go for it" if dropped else ""
    broken = f", then {trouble}" if trouble else ""
    return f"what Cove tells of {counted(len(listing.seen_ids), 'device')} is safe and will be recorded{broken}{old}"


def _listing(client: CoveClient, result: LoginResult) -> Listing:
    if result.partner_id is None:
        raise ApiError("Cove's answer to the login names no partner; set partner_id for this login")
    return Listing(client, result.partner_id)


def record_spooled(installation: Installation, database: Database, result: LoginResult) -> None:
    """Record what waits of a login, the oldest poll first, each once, while no other run may.

    An error that ends it early is the result's. Raise Terminated if the process is to end.
    """
    spool = Spool.of(installation, result.login)
    was_away = spool.standing() is not None
    if not was_away and not spool.waiting() and not spool.rejection():
        return
    try:
        with database.lock(result.login), spool.lock():  # the latter: nobody adds to it meanwhile
            _note_rejection(database, result.login, spool)
            recorded = [*_recorded(installation, database, result, spool)]
            spool.forget_standing()
    except Terminated:
        raise
    except OSError as error:
        result.outcome.failures.append(f"the polls in {spool.folder} cannot be recorded: {error.strerror or error}")
        return
    except CovePollerError as error:
        result.error = error
        return
    finally:
        result.spooled = len(spool.waiting())
    if recorded:
        result.outcome.warnings.append(
            f"the database is back: {counted(len(recorded), 'poll')} from {recorded[0]:%Y-%m-%d %H:%M}Z to"
            f" {recorded[-1]:%Y-%m-%d %H:%M}Z, kept meanwhile, {'is' if len(recorded) == 1 else 'are'} recorded now"
        )
    elif was_away:
        result.outcome.warnings.append("the database is back; nothing was kept meanwhile")


def _recorded(installation: Installation, database: Database, result: LoginResult, spool: Spool) -> Iterator[datetime]:
    """Record the polls one after the other; yield when they were. A file without a poll is set aside and named."""
    for file in spool.waiting():
        try:
            poll = spool.load(file)
        except SpoolUnreadable as error:
            aside = spool.set_aside(file)
            result.outcome.failures.append(f"a poll kept while the database was away is lost: {error}; see {aside}")
            continue
        _record(installation, database, result, poll)
        file.unlink(missing_ok=True)
        yield poll.at


def _note_rejection(database: Database, login: str, spool: Spool) -> None:
    """Let the database know that Cove rejected the login while it was away."""
    kept = spool.rejection()
    if kept and not knows_fingerprint(database, login, kept["fingerprint"]):
        note = {"outcome": "error", "exit_code": LoginRejected.exit_code, "requests": 1, "error": kept["message"]}
        note_past_run(database, "sync", login, kept["at"], login_fingerprint=kept["fingerprint"], **note)


def _record(installation: Installation, database: Database, result: LoginResult, poll: SpooledPoll) -> None:
    """Record a poll as if it were now when it was, and its row in the audit trail."""
    login, config = result.login, installation.config
    before, linker = complete_syncs(database, login), Linker(config.backupchecks)
    recorder = Recorder(login, config, linker, before.last, clock_ahead=poll.clock_ahead, rhythm=before.rhythm)
    for page in poll.pages:
        save = partial(_save, recorder, poll)
        saved = [*save_takeable(database, recorder, page.devices, save, poll.at)]
        for part in saved:
            result.troubles |= part.troubles
        note = partial(recorder.note_unreadable, rows=page.unreadable, now=poll.at)
        noted = database.tried_twice(note)
        for one in (*(part.outcome for part in saved), noted.outcome):  # the poll that follows counts the devices
            result.outcome.add(replace(one, devices=0, running=0, unlinked=0, standing=[]))
    if poll.is_complete:
        gone = database.tried_twice(partial(record_gone, recorder=recorder, seen_ids=poll.seen_ids, now=poll.at))
        result.outcome.job_runs.add(gone.runs)
        result.outcome.warnings += gone.returned
        _say_gone(result, gone.names)
    result.outcome.warnings += note_staleness(database, config, login, poll.at).lines
    note_past_run(
        database, "sync", login, poll.at, outcome="ok", exit_code=0, is_complete=poll.is_complete,
        devices=sum(len(page.devices) for page in poll.pages),
    )  # fmt: skip
    log.info("login %s: recorded the poll of %s from the spool", login, poll.at)


def _save(recorder: Recorder, poll: SpooledPoll, store: Store, devices: Sequence[Device]) -> Outcome:
    return recorder.save_page(store, devices, poll.refused, poll.at)


def _say_gone(result: LoginResult, names: Iterable[str]) -> None:
    if names := [*names]:
        result.outcome.warnings.append(f"Cove no longer lists {counted(len(names), 'device')}: {listed(names)}")

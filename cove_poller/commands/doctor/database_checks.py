"""`doctor`'s look at the database: whether it is there and ready, and whether the poller may do what it does."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import datetime, timedelta

from pydantic import SecretStr

from cove_poller.commands.doctor.checks import Check, Verdict, attempted, fine, not_tried, tried, warning
from cove_poller.commands.poll_troubles import other_writers
from cove_poller.config.settings import Config
from cove_poller.config.urls import hidden_url
from cove_poller.database.connecting.engines import missing_file
from cove_poller.database.inspection import Inspection
from cove_poller.database.trial import Trial, trial
from cove_poller.errors import DatabaseError

DATABASE, CONTRACT, TABLES, RIGHTS, TRIAL = "database", "table contract", "tables", "rights", "trial write"
WRITERS = "other writers"


def database_checks(
    config: Config, password: SecretStr | None, now: Callable[[], datetime]
) -> tuple[list[Check], timedelta | None]:
    """Return all checks of the database, within a transaction that is undone, and how far its clock is ahead."""
    if file := missing_file(config.database):
        there = warning(DATABASE, f"there is no file {file} yet", "Run `cove-poller migrate`; `sync` would make it.")
        rest = [not_tried(name, "there is no database yet") for name in (CONTRACT, TABLES, RIGHTS, TRIAL)]
        return [there, *rest], None
    with ExitStack() as stack:

        def connect() -> tuple[list[Check], tuple[Trial, timedelta | None]]:
            database = stack.enter_context(trial(config, password))
            clock = database.clock()
            found = fine(DATABASE, f"{database.server()} answers at {hidden_url(config.database.url)}")
            return [found], (database, clock - now() if clock else None)

        checks, opened = tried(DATABASE, connect, "Look at [database] in the configuration, and at the server.")
        if opened is None:
            return checks, None
        database, ahead = opened
        return [*checks, *attempted(DATABASE, lambda: _of_connection(database, now))], ahead


def _of_connection(database: Trial, now: Callable[[], datetime]) -> Iterator[Check]:
    found = database.inspection()
    ready = [_contract(found), _migration(found, is_sqlite=database.is_sqlite)]
    yield from ready
    if not all(check.verdict is Verdict.OK for check in ready):
        yield from (not_tried(name, "the tables are not ready") for name in (RIGHTS, TRIAL))
        return
    tables = found.tables()
    rights = attempted(RIGHTS, lambda: [_rights(database, [*database.refused_rights(tables)])])
    yield from rights
    if rights[0].verdict is Verdict.OK:
        yield from attempted(TRIAL, lambda: [_trial(database.write(tables, now()))], TRIAL_ADVICE)
        if said := other_writers(database.store(tables), now()):
            yield warning(WRITERS, said, "Let Backupchecks import no mail of Cove, or ignore these devices here.")
    else:
        yield not_tried(TRIAL, "rights are missing")


TRIAL_ADVICE = (
    "A sync would fail like this: look at what the database says, and at [backupchecks.defaults] and"
    " [backupchecks.status]."
)


def _contract(found: Inspection) -> Check:
    if found.obstacles:
        problems = "\n".join(["a person must fix what `migrate` cannot:", *found.obstacles])
        return _failed(CONTRACT, problems, "Do what each line says, then run `cove-poller migrate`.")
    if found.is_empty:
        return not_tried(CONTRACT, "there are no tables yet", "Run `cove-poller migrate`.")
    return fine(CONTRACT, "customers, jobs and job_runs have every column that is needed, and demand no other")


def _migration(found: Inspection, *, is_sqlite: bool) -> Check:
    if found.obstacles:
        return not_tried(TABLES, "the table contract is not met")
    if not found.needs_migration:
        return fine(TABLES, "all tables, columns and indexes are there")
    missing = "\n".join(["not everything is there:", *found.described()])
    if is_sqlite:
        return warning(TABLES, missing, "Run `cove-poller migrate`; `sync` would do it by itself.")
    return _failed(TABLES, missing, "Run `cove-poller migrate` as the owner of the tables.")


def _failed(name: str, message: str, advice: str) -> Check:
    code = {"code": DatabaseError.code, "exit_code": DatabaseError.exit_code}
    return Check(name, Verdict.FAILED, message, advice, **code)  # type: ignore[arg-type]


def _rights(database: Trial, refused: Sequence[tuple[str, str]]) -> Check:
    if refused:
        message = "\n".join(["the poller may not do what it has to:", *(text for _, text in refused)])
        grants = [f"{one};" for one in database.grants({table for table, _ in refused})]
        return _failed(RIGHTS, message, "\n".join(["As the owner of the tables, in psql:", *grants]))
    return fine(RIGHTS, "the poller may read and write what it has to; each right was tried")


def _trial(is_whole: bool | None) -> Check:
    """Say what became of the rows that were written: None if there was no job to write them for."""
    if is_whole is None:
        return not_tried(
            TRIAL,
            "there is no job to write a run for, and none may be created ([backupchecks] create_jobs)",
            "Make a job in Backupchecks, then run doctor again.",
        )
    if not is_whole:
        return _failed(TRIAL, "not every row that was written was there again", TRIAL_ADVICE)
    return fine(TRIAL, "a device, a session and a run of each status were really written, and taken back")

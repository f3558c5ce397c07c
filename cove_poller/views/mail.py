"""What a person reads: results as text. Cron mails whatever is printed, so nothing is when all is well."""

from collections.abc import Iterator, Sequence
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING

from cove_poller.commands.outcome import About
from cove_poller.commands.results import BackfillResult, CommandResult, LoginResult, LoginTest
from cove_poller.config.settings import BackupchecksSettings
from cove_poller.errors import CovePollerError, DatabaseError, Terminated
from cove_poller.records.columns import label
from cove_poller.records.health.news import OVER, STILL, still
from cove_poller.records.job_matching import CreatedCustomer
from cove_poller.text import counted, fitted, zoned

if TYPE_CHECKING:
    from cove_poller.commands.prune import Pruned

SHOWN_WARNINGS = 20

WHAT_NOW = {
    2: "Nothing was done.",
    3: "What was saved is right and stays; the next run goes on from there.",
    10: "Nothing was done. Fix the configuration; `cove-poller config check` shows every problem.",
    11: "No backup data was read or written. Fix the login, then run `cove-poller test-login`.",
    12: "No backup data was written. Give the API user a role that may do this, in Cove's console.",
    13: "Nothing new is known, so Backupchecks shows the state before. The next run tries again.",
    14: "Nothing was written that is not complete. The next run tries again once the database is fixed.",
    15: "Nothing was done. If no other run is busy, look for one that hangs.",
}

DATABASE_FAILED = {
    "devices ignore": "Nothing was changed. Run it again once the database is fixed.",
    "devices link": "Nothing was changed. Run it again once the database is fixed.",
    "devices list": "Nothing is known without the database. Run it again once it is fixed.",
    "migrate": "The database was left as it was. Run it again once what stands in the way is fixed.",
    "prune": "What was removed stays removed. Run it again for the rest once the database is fixed.",
    "report": "No report was written. Run it again once the database is fixed.",
    "status": "Nothing is known without the database. Run it again once it is fixed.",
}
"""What to do when the database fails a command that polls nothing and that nobody runs every hour."""


NOWHERE = BackupchecksSettings()
"""Where nobody said where Backupchecks is."""


def sync_summary(result: CommandResult, *, dry_run: bool) -> str:
    """Return everything about a sync, for a terminal."""
    lines = ["Nothing was written: this is what would be.", result.preview.as_text()] if dry_run else []
    for login in result.logins:
        if isinstance(login, LoginResult):
            lines += _login_lines(login, dry_run=dry_run)
    return "\n".join(lines)


def _login_lines(login: LoginResult, *, dry_run: bool) -> Iterator[str]:
    outcome = login.outcome
    left_out = f", {login.not_due} not due" if login.not_due else ""
    yield (
        f"{login.login}: {counted(outcome.devices, 'device')}, {outcome.running} running, {outcome.unlinked} unlinked"
        f"{left_out} ({counted(login.request_count, 'request')})"
    )
    yield f"  sessions: {outcome.sessions.new} new, {outcome.sessions.updated} updated"
    yield _runs_line(login)
    if login.error and login.error_note is None:
        yield f"  as before: {login.error}"
    if login.outcome.standing:
        yield f"  conditions that stand: {len(login.outcome.standing)} (cove-poller status --only problem)"
    if dry_run:
        yield from _customer_lines(outcome.new_customers)
        yield from (f"  would create job {name}" for name in outcome.new_jobs)


def _customer_lines(customers: Sequence[CreatedCustomer]) -> Iterator[str]:
    """The customers that would be created as lines for the configured map, where another name may be put in."""
    if customers:
        yield f"  would create {counted(len(customers), 'customer')}; one that has another name in Backupchecks belongs"
        yield "  under [backupchecks.customers], with that name behind the ="
        yield from (f"    {one.as_toml()}" for one in customers)


def _runs_line(login: LoginResult) -> str:
    runs = login.outcome.job_runs
    return f"  job runs: {runs.new} new, {runs.updated} updated, {runs.protected} protected by a review"


def backfill_summary(result: CommandResult, *, dry_run: bool) -> str:
    """Return everything about a backfill."""
    lines = ["Nothing was written: this is what would be."] if dry_run else []
    for login in result.logins:
        if isinstance(login, BackfillResult):
            lines += _backfill_lines(login)
    return "\n".join(lines)


def _backfill_lines(login: BackfillResult) -> Iterator[str]:
    ways = ", ".join(f"{count} by {way}" for way, count in login.ways.items()) or "none read"
    before = f", {login.resumed} done before by a run that was interrupted" if login.resumed else ""
    yield f"{login.login}: {counted(login.outcome.devices, 'device')} ({ways}){before}"
    yield f"  sessions: {login.outcome.sessions.new} new, {login.outcome.sessions.updated} updated"
    for source, origins in login.sources.items():
        yield f"    {label(source)}: {', '.join(f'{count} from {origin}' for origin, count in origins.items())}"
    yield _runs_line(login)


def unreviewed(result: CommandResult) -> str | None:
    """Return what a dry run says of the runs that somebody will have to review; None if there are none."""
    count = sum(login.outcome.job_runs.new for login in result.logins if isinstance(login, BackfillResult))
    if not count:
        return None
    return (
        f"{counted(count, 'job run')} will be added, each of which somebody has to review in Backupchecks"
        " (--reviewed adds them as reviewed)."
    )


def trouble(result: CommandResult, pages: BackupchecksSettings = NOWHERE, zone: tzinfo | None = None) -> str:
    """Return what went wrong or is worth a warning, for the cron mail; empty when all is well.

    `pages` has the addresses that are linked; times are those of `zone`, None being this machine's own.
    """
    lines = [line for login in result.logins for line in _login_trouble(login, pages, zone)]
    if result.ended_by:
        lines.insert(0, failure(result.command, result.ended_by))
    elif lines and result.exit_code:
        lines.insert(0, f"cove-poller {result.command} exited with code {result.exit_code}:")
    return "\n".join(lines)


def _login_trouble(login: LoginResult | LoginTest, pages: BackupchecksSettings, zone: tzinfo | None) -> list[str]:
    """What is to be said of a login; where that is anything at all, also how much else stands."""
    note: str | None
    if isinstance(login, LoginTest):
        note, problems, warnings, others, about = "", [], login.warnings, 0, {}
    else:
        note, problems, warnings = login.error_note, login.outcome.failures, login.outcome.warnings
        others, about = login.other_standing, login.outcome.about

    def said(text: str, mark: str = "") -> str:
        what = about.get(text, About())
        page = pages.start_page if what.is_of_several else pages.page_of(what.job_id)
        return f"login {login.login}: {mark}{_dated(text, what.since, zone)}" + (f"\n  {page}" if page else "")

    lines = [
        *_limited([said(problem) for problem in problems]),
        *_limited([said(text, _mark(text)) for text in warnings]),
    ]
    if login.error and note is not None and not isinstance(login.error, Terminated):
        lines = [said(f"{note}{login.error}"), f"  {what_now(login.exit_code)}", *lines]
    if lines and others:
        stand = "conditions stand" if others > 1 else "condition stands"
        lines.append(f"and {others} other {stand}; see: cove-poller status --only problem")
    return lines


def _dated(text: str, since: datetime | None, zone: tzinfo | None) -> str:
    """Return a line with since when it is so, if that is known, in the reader's own time."""
    if since is None:
        return text
    if text.startswith(still(since)):
        return f"{STILL}{zoned(since, zone)}: {text.removeprefix(still(since))}"
    return f"{text} (since {zoned(since, zone)})"


def _mark(text: str) -> str:
    return "" if text.startswith((OVER, STILL)) else "warning: "


def _limited(lines: list[str]) -> list[str]:
    hidden = len(lines) - SHOWN_WARNINGS
    return lines if hidden <= 0 else [*lines[:SHOWN_WARNINGS], f"  and {hidden} more like these"]


def with_warnings(warnings: Sequence[str], result: CommandResult, pages: BackupchecksSettings = NOWHERE) -> str:
    """Return the `warnings` of the configuration, then the trouble of the result; empty when all is well."""
    return "\n".join([*warnings, *filter(None, [trouble(result, pages)])])


def what_now(exit_code: int) -> str:
    """Return what is safe and what to do next."""
    return WHAT_NOW.get(exit_code, "What was saved before is right and stays.")


def failure(command: str, error: CovePollerError) -> str:
    """Return an error that ended a command before any login was looked at, and what to do next."""
    if isinstance(error, Terminated):
        return f"cove-poller {command}: {error}"
    in_database = DATABASE_FAILED.get(command) if isinstance(error, DatabaseError) else None
    return f"cove-poller {command}: {error}\n{in_database or what_now(error.exit_code)}"


def migrate_summary(script: str) -> str:
    """Return what became of the database that the statements of `script` were run on, and what its comments say."""
    if not script:
        return "The database is ready."
    comments = [line.removeprefix("-- ") for line in script.splitlines() if line.startswith("-- ")]
    return "\n".join(["The database was prepared.", *comments])


def prune_summary(done: "Pruned") -> str:
    """Return how much was removed, or would be."""
    verb = "Would remove" if done.dry_run else "Removed"
    return (
        f"{verb} {counted(done.sessions, 'row')} of cove_sessions and {counted(done.polls, 'row')} of cove_polls from"
        f" before {done.before:%Y-%m-%d}; what later runs go by stays, and so do all job runs."
    )


def login_test_summary(result: CommandResult) -> str:
    """Return what `test-login` found, a block per login."""
    return "\n".join(
        line for login in result.logins if isinstance(login, LoginTest) for line in _login_test_lines(login)
    )


def _login_test_lines(login: LoginTest) -> Iterator[str]:
    if login.user is None:
        yield f"{login.login}: no login at {login.host or 'Cove'}"
        return
    name = login.partner_name or "name not known, the user may not ask for it"
    yield f"{login.login}: logged in at {login.host}"
    yield f"  user: {login.user}"
    yield f"  partner: {name} (id {login.partner_id})"
    if not login.error:
        yield f"  devices visible: {login.devices}"
        yield f"  columns refused: {fitted(', '.join(login.refused_columns), 500) or 'none'}"

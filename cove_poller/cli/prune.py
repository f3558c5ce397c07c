"""`prune` on the command line."""

from datetime import timedelta
from typing import Any

import click

from cove_poller.cli.base import Context, errors_shown, json_option, print_json
from cove_poller.errors import WrongUsage
from cove_poller.spans import parse_option

SHORTEST = timedelta(days=60)


@click.command()
@click.option("--keep", required=True, metavar="SPAN", help="How much to keep: 400d or 52w, at least 60d.")
@click.option("--dry-run", is_flag=True, help="Remove nothing; say how many rows would be.")
@json_option
@click.pass_obj
def prune(context: Context, keep: str, dry_run: bool, as_json: bool) -> None:
    """Remove old rows of the poller's own tables, never anything of Backupchecks'."""
    with errors_shown("prune", as_json=as_json, results="removed"):
        from cove_poller.commands import prune as job
        from cove_poller.commands.installation import Installation

        span = parse_keep(keep)
        config, credentials = context.load()
        done = job.prune(Installation(config, credentials), span, dry_run=dry_run)
        if as_json:
            print_json(done.to_json())
        else:
            click.echo(summary(done))


def parse_keep(text: str) -> timedelta:
    """Return the span of time that is to be kept. Raise WrongUsage if the text is none, or too short a one."""
    try:
        span = parse_option("--keep", text)
    except ValueError as error:
        raise WrongUsage(str(error)) from None
    if span < SHORTEST:
        raise WrongUsage(
            f"--keep {text} is too short: at least {SHORTEST.days}d are kept, since backfill and the reports look"
            " back 28 days"
        )
    return span


def summary(done: Any) -> str:
    """What was removed, for a person."""
    sessions, polls = (f"{count} row{'' if count == 1 else 's'}" for count in (done.sessions, done.polls))
    verb = "Would remove" if done.dry_run else "Removed"
    return (
        f"{verb} {sessions} of cove_sessions and {polls} of cove_polls from before {done.before:%Y-%m-%d};"
        " what later runs go by stays, and so do all job runs."
    )

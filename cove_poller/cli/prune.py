"""`prune` on the command line."""

from datetime import timedelta

import click

from cove_poller.cli.deliver import delivery
from cove_poller.cli.options import Context, examples, json_option
from cove_poller.errors import WrongUsage

SHORTEST = timedelta(days=60)


@click.command(
    epilog=examples(
        "prune --keep 400d --dry-run   how many rows are older",
        "prune --keep 400d",
    )
)
@click.option("--keep", required=True, metavar="SPAN", help="How much to keep: 400d or 52w, at least 60d.")
@click.option("--dry-run", is_flag=True, help="Remove nothing; say how many rows would be.")
@json_option
@click.pass_obj
def prune(context: Context, keep: str, dry_run: bool, as_json: bool) -> None:
    """Remove old rows of the poller's own tables, never anything of Backupchecks'."""
    with delivery("prune", as_json=as_json, results="removed") as deliver:
        from cove_poller.commands import prune as job
        from cove_poller.views.mail import prune_summary

        span = parse_keep(keep)
        done = job.prune(context.installation(), span, dry_run=dry_run)
        deliver(prune_summary(done), done)


def parse_keep(text: str) -> timedelta:
    """Return the span of time that is to be kept. Raise WrongUsage if the text is none, or too short a one."""
    from cove_poller.spans import parse_option

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

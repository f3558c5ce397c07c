"""`sync` on the command line."""

import sys

import click

from cove_poller.cli.deliver import delivery
from cove_poller.cli.options import Context, chosen_logins, examples, json_option, login_option
from cove_poller.cli.progress import shown_progress


@click.command(
    epilog=examples(
        "sync                 what cron runs every half hour",
        "sync --dry-run       what it would write and create",
        "-v sync --login one  one login, and what became of it",
    )
)
@login_option
@click.option("--dry-run", is_flag=True, help="Write nothing; say what would be written and created.")
@json_option
@click.pass_obj
def sync(context: Context, logins: tuple[str, ...], dry_run: bool, as_json: bool) -> None:
    """Poll every login once and write what is new. Silent in cron when all is well."""
    with delivery("sync", as_json=as_json) as deliver:
        from cove_poller.cli.ping import watched
        from cove_poller.commands import sync as job
        from cove_poller.views.mail import sync_summary, with_warnings

        installation = context.installation()
        config, credentials = installation.config, installation.credentials
        names = chosen_logins(config, logins)
        with watched("sync", None if dry_run else config.healthchecks.url, credentials.given) as ends:
            with shown_progress() as progress:
                result = job.sync(installation, names, dry_run=dry_run, progress=progress)
            trouble = with_warnings(credentials.warnings(), result, config.backupchecks)
            is_shown = dry_run or sys.stdout.isatty()
            deliver(sync_summary(result, dry_run=dry_run) if is_shown else "", result, trouble)
            ends(result.exit_code, trouble)

"""`migrate` on the command line."""

import click

from cove_poller.cli.deliver import delivery
from cove_poller.cli.options import Context


@click.command()
@click.option("--dry-run", is_flag=True, help="Print the SQL for the DBA to run, and change nothing.")
@click.pass_obj
def migrate(context: Context, dry_run: bool) -> None:
    """Prepare the database. May be run again at any time."""
    with delivery("migrate") as deliver:
        from cove_poller.commands import migrate as job
        from cove_poller.views.mail import migrate_summary

        script = job.migrate(context.installation(), dry_run=dry_run)
        deliver(script.removesuffix("\n") if dry_run else migrate_summary(script))

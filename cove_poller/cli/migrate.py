"""`migrate` on the command line."""

from datetime import UTC, datetime

import click

from cove_poller.cli.deliver import delivery
from cove_poller.cli.options import Context, examples, json_option


@click.command(
    epilog=examples(
        "migrate                              as the user of the configuration",
        "migrate --dry-run                    the SQL, for the DBA",
        "migrate --url postgresql://owner@db/backupchecks --grant cove_poller",
    )
)
@click.option("--dry-run", is_flag=True, help="Print the SQL for the DBA to run, and change nothing.")
@click.option(
    "--url",
    envvar="COVE_POLLER_MIGRATE_URL",
    metavar="URL",
    help="Do it as the role in this URL, the owner of Backupchecks' tables; a password in it belongs into"
    " $COVE_POLLER_MIGRATE_URL.",
)
@click.option("--grant", metavar="ROLE", help="Grant this role, the poller's, the least rights that it needs.")
@json_option
@click.pass_obj
def migrate(context: Context, dry_run: bool, url: str | None, grant: str | None, as_json: bool) -> None:
    """Prepare the database. May be run again at any time."""
    with delivery("migrate", as_json=as_json, results="sql") as deliver:
        from cove_poller.commands import migrate as job
        from cove_poller.commands.results import Answer
        from cove_poller.views.mail import migrate_summary

        started_at = datetime.now(UTC)
        script = job.migrate(context.installation(), dry_run=dry_run, url=url, grant=grant)
        content = {"dry_run": dry_run, "sql": script.splitlines(), "error": None}
        result = Answer("migrate", started_at, datetime.now(UTC), content)
        deliver(script.removesuffix("\n") if dry_run else migrate_summary(script), result)

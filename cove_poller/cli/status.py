"""`status` on the command line."""

import os
import sys
from datetime import UTC, datetime

import click

from cove_poller.cli.deliver import delivery
from cove_poller.cli.options import Context, json_option

ONLY = ["problem", "failed", "warning", "stale", "never", "offline", "running", "success", "unlinked"]


@click.command()
@click.option("--customer", metavar="NAME", help="Only customers with this in their name.")
@click.option(
    "--only",
    type=click.Choice(ONLY),
    help="Only such devices; problem: all that somebody should look at.",
)
@json_option
@click.pass_obj
def status(context: Context, customer: str | None, only: str | None, as_json: bool) -> None:
    """Show how every device is, as last polled. Reads the database only."""
    with delivery("status", as_json=as_json, results="devices") as deliver:
        from cove_poller.commands.overview import known_state
        from cove_poller.commands.results import Answer
        from cove_poller.views.status_json import status_json
        from cove_poller.views.status_lines import status_lines

        started_at = datetime.now(UTC)
        installation = context.installation()
        config = installation.config
        overview = known_state(installation, started_at, customer=customer, condition=only)
        if not as_json and sys.stdout.isatty():
            from rich.console import Console

            from cove_poller.views.status_table import status_table

            console = Console(color_system=None if os.environ.get("NO_COLOR") else "auto", highlight=False)
            console.print(status_table(overview, config))
        else:
            finished_at = datetime.now(UTC)
            result = Answer("status", started_at, finished_at, status_json(overview, started_at, finished_at))
            deliver(status_lines(overview, config), result)

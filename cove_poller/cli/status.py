"""`status` on the command line."""

import os
import shutil
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import click

from cove_poller.cli.deliver import Delivery, delivery
from cove_poller.cli.options import Context, examples, json_option
from cove_poller.errors import WrongUsage

ONLY = ["problem", "failed", "warning", "stale", "never", "offline", "running", "success", "unlinked"]


@dataclass(frozen=True)
class Asked:
    """Which devices are to be shown, and how."""

    customer: str | None
    only: str | None
    since: str | None
    everybody: bool
    utc: bool
    as_csv: bool


@click.command(
    epilog=examples(
        "status                          who needs attention",
        "status --since yesterday        of these what is new",
        "status --customer bakery --all  every device of a customer",
        "status --only stale --csv       for a spreadsheet",
    )
)
@click.option("--customer", metavar="NAME", help="Only customers with this in their name.")
@click.option(
    "--only",
    type=click.Choice(ONLY),
    help="Only such devices; problem: all that somebody should look at. On a terminal that is the default.",
)
@click.option("--since", metavar="WHEN", help="Only what went wrong since then: yesterday, today, 12h or 2026-01-31.")
@click.option("--all", "everybody", is_flag=True, help="Also on a terminal every device, whether or not it is well.")
@click.option("--utc", is_flag=True, help="On a terminal: times in UTC, not in this machine's zone.")
@click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values.")
@json_option
@click.pass_obj
def status(context: Context, /, *, as_json: bool, **options: Any) -> None:
    """Show how every device is, as last polled. Reads the database only.

    On a terminal: the totals, then a line for each device that needs attention. In a pipe: a line for each device.
    """
    with delivery("status", as_json=as_json, results="devices") as deliver:
        show(context, deliver, Asked(**options), as_json=as_json)


def show(context: Context, deliver: Delivery, asked: Asked, *, as_json: bool) -> None:
    """Deliver what is asked for, as whoever reads it needs it."""
    from cove_poller.commands.overview import chosen, known_state, moment_of
    from cove_poller.commands.results import Answer
    from cove_poller.views.findings import begun_since

    if asked.as_csv and as_json:
        raise WrongUsage("--csv and --json are two forms of the same; choose one")
    if asked.everybody and asked.only:
        raise WrongUsage("--all and --only contradict each other; choose one")
    zone, started_at = UTC if asked.utc else None, datetime.now(UTC)
    begin = moment_of(asked.since, started_at.astimezone(zone)) if asked.since else None
    installation = context.installation()
    config, overview = installation.config, known_state(installation, started_at, customer=asked.customer)
    on_terminal = sys.stdout.isatty() and not (as_json or asked.as_csv)
    shown = chosen(overview, asked.only or ("problem" if on_terminal and not asked.everybody else None))
    shown = begun_since(shown, begin) if begin else shown
    if as_json:
        from cove_poller.views.status_json import status_json

        finished_at = datetime.now(UTC)
        content = status_json(shown, started_at, finished_at)
        deliver("", Answer("status", started_at, finished_at, content))
    elif on_terminal:
        from rich.console import Console

        from cove_poller.views.status_table import status_table

        width = shutil.get_terminal_size().columns
        console = Console(color_system=None if os.environ.get("NO_COLOR") else "auto", highlight=False, width=width)
        console.print(status_table(overview, shown, config, width, zone))
    elif asked.as_csv:
        from cove_poller.views.status_csv import status_csv

        deliver(status_csv(shown, config))
    else:
        from cove_poller.views.status_lines import status_lines

        deliver(status_lines(shown, config))

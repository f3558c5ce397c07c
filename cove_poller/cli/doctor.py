"""`doctor` on the command line."""

import os

import click

from cove_poller.cli.deliver import delivery
from cove_poller.cli.options import Context, examples, json_option


@click.command(
    epilog=examples(
        "doctor          what is wrong, and what to do next",
        "doctor --json   the same for a program",
    )
)
@json_option
@click.pass_obj
def doctor(context: Context, as_json: bool) -> None:
    """Check everything once and say what to do. Tries no login again that was rejected."""
    with delivery("doctor", as_json=as_json, results="checks") as deliver:
        from cove_poller.commands.doctor.checks import as_text
        from cove_poller.commands.doctor.examination import examine

        report = examine(context.file, os.environ)
        deliver(as_text(report), report)

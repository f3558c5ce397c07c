"""`doctor` on the command line."""

import os
import sys

import click

from cove_poller.cli.base import Context, errors_shown, json_option, print_json


@click.command()
@json_option
@click.pass_obj
def doctor(context: Context, as_json: bool) -> None:
    """Check everything once and say what to do. Tries no login again that was rejected."""
    with errors_shown("doctor", as_json=as_json, results="checks"):
        from cove_poller.commands.doctor import examine
        from cove_poller.commands.doctor_report import as_text

        report = examine(context.file, os.environ)
        if as_json:
            print_json(report.to_json())
        else:
            click.echo(as_text(report))
    sys.exit(report.exit_code)

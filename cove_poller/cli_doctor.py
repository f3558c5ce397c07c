"""`doctor` on the command line."""

import os
import sys

import click

from cove_poller.cli_base import Context, errors_shown, json_option, print_json


@click.command()
@json_option
@click.pass_obj
def doctor(context: Context, as_json: bool) -> None:
    """Check everything once and say what to do. Tries no login again that was rejected."""
    with errors_shown("doctor", as_json=as_json, results="checks"):
        from cove_poller.checks import as_text
        from cove_poller.doctor import examine

        report = examine(context.file, os.environ)
        if as_json:
            print_json(report.to_json())
        else:
            click.echo(as_text(report))
    sys.exit(report.exit_code)

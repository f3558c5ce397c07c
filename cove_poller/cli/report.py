"""`report`: the state of all devices as a page to open in a browser."""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from cove_poller.cli.deliver import delivery
from cove_poller.cli.options import Context, examples, json_option
from cove_poller.errors import WrongUsage


@click.command(
    epilog=examples(
        "report --output /var/www/html/backups.html     the page of all devices",
        "report --customer bakery --output bakery.html  one customer's, to send it",
    )
)
@click.option(
    "--output",
    "output",
    required=True,
    metavar="FILE",
    help="The page to write, replaced as a whole; - for standard output.",
)
@click.option("--customer", metavar="NAME", help="Only customers with this in their name: a page to send to them.")
@json_option
@click.pass_obj
def report(context: Context, output: str, customer: str | None, as_json: bool) -> None:
    """Write the state of all devices as one HTML page that needs nothing else. Reads the database only."""
    with delivery("report", as_json=as_json, results="devices") as deliver:
        from cove_poller.commands.overview import known_past
        from cove_poller.commands.results import Answer
        from cove_poller.views.report import make_report
        from cove_poller.views.report_page import render
        from cove_poller.views.report_plot import plot_begin

        if as_json and output == "-":
            raise WrongUsage("the page and the JSON cannot both go to standard output; name a file", "--output")
        installation = context.installation()
        config = installation.config
        now = datetime.now(UTC).replace(microsecond=0)
        with known_past(installation, now, plot_begin(now), customer=customer) as (overview, sessions):
            content = make_report(overview, sessions, config, for_customer=bool(customer))
        page = render(content)
        if output == "-":
            click.echo(page.encode(), nl=False)
            return
        write_whole(Path(output), page)
        facts = {"output": output, "devices": len(content.rows), "error": None}
        text = f"{output} is written: {len(content.rows)} devices, as of {content.as_of} UTC"
        deliver(text if sys.stdout.isatty() else "", Answer("report", now, datetime.now(UTC), facts))


def write_whole(file: Path, text: str) -> None:
    """Write a file so that whoever reads it meanwhile sees the one before or the new one, and never a part."""
    try:
        target = file.resolve()
        if target.exists() and not target.is_file():  # a pipe, say; or a directory, of which the system tells
            target.write_bytes(text.encode())
        else:
            _replace(target, text.encode())
    except OSError as error:
        raise click.UsageError(f"{file} cannot be written: {error.strerror}; it was left as it was") from None


def _replace(target: Path, content: bytes) -> None:
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb") as opened:
            opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())
        if target.exists():
            beside.chmod(target.stat().st_mode & 0o777)
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)

"""`check` on the command line: as monitoring wants it, also when something is wrong with the check itself."""

import json
import logging
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from cove_poller.cli.logs import say
from cove_poller.cli.options import Context, examples, json_option
from cove_poller.cli.streams import print_json, print_shown
from cove_poller.errors import CovePollerError
from cove_poller.redaction import redacted_values

log = logging.getLogger(__name__)


class PluginCommand(click.Command):
    """A command whose wrong use is UNKNOWN: monitoring would take click's own exit code 2 for critical."""

    def make_context(self, *args: Any, **options: Any) -> click.Context:
        try:
            return super().make_context(*args, **options)
        except click.UsageError as error:
            style = "json" if "--json" in sys.argv[1:] else "nagios"
            show(unknown_in_style(style, f"wrong usage: {error.format_message()}"), style)
            sys.exit(3)


@click.command(
    cls=PluginCommand,
    epilog=examples(
        "check                                          for Nagios and Icinga",
        "check --customer bakery --critical-hours 72    one customer",
        "check --format checkmk                         a local check for Checkmk",
        "check --format prometheus --output cove.prom   a text file for node_exporter",
    ),
)
@click.option(
    "--format", "style", type=click.Choice(["nagios", "checkmk", "prometheus"]), default="nagios",
    help="For which monitoring; nagios is for all that speak of plug-ins.",
)  # fmt: skip
@click.option(
    "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write there, whole, and print nothing."
)
@click.option(
    "--warning-hours", multiple=True, metavar="[TYPE=]HOURS",
    help="A device this long without a success is a warning; TYPE is server, workstation or m365. May be given"
    " several times; else as configured under [alerts].",
)  # fmt: skip
@click.option(
    "--critical-hours", multiple=True, metavar="[TYPE=]HOURS", help="The same for critical; else twice as long."
)
@click.option(
    "--max-poll-age", metavar="AGE",
    help="Critical if no poll has succeeded for so long; 90m, 2h or 1d. Else as configured under [alerts].",
)  # fmt: skip
@click.option("--customer", metavar="NAME", help="Only the devices of customers with this in their name.")
@click.option("--login", metavar="NAME", help="Only this login: its polls and its devices.")
@click.option(
    "--warning-count",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    metavar="N",
    help="A warning only from so many devices in trouble on; what the poller itself lacks counts at once.",
)
@click.option(
    "--critical-count", type=click.IntRange(1), default=1, show_default=True, metavar="N",
    help="Critical only from so many critical devices on; fewer are a warning.",
)  # fmt: skip
@json_option
@click.pass_obj
def check(context: Context, /, style: str, output: Path | None, *, as_json: bool, **options: Any) -> None:
    """Say to a monitoring system how the devices and the poller are. Reads the database only."""
    style = "json" if as_json else style
    try:
        text, exit_code = answered(context, style, **options)
        deliver(text, output, style)
    except CovePollerError as error:
        exit_code = give_up(str(error), style, output)
    except Exception as error:
        log.debug("the check broke", exc_info=error)
        exit_code = give_up(f"a bug in cove-poller ({type(error).__name__}); -vv check shows where", style, output)
    sys.exit(exit_code)


def answered(
    context: Context,
    style: str,
    *,
    warning_hours: tuple[str, ...],
    critical_hours: tuple[str, ...],
    max_poll_age: str | None,
    **limits: Any,
) -> tuple[str | dict[str, Any], int]:
    """Return what is to be said and the exit code, from the database alone. Raise CovePollerError."""
    from cove_poller.commands.overview import known_state
    from cove_poller.spans import parse_option
    from cove_poller.views.check_verdicts import Thresholds, judged, parse_hours

    try:
        counts = limits["warning_count"], limits["critical_count"]
        thresholds = Thresholds(parse_hours(warning_hours), parse_hours(critical_hours), *counts)
        own_limit = parse_option("--max-poll-age", max_poll_age) if max_poll_age is not None else None
    except ValueError as error:
        raise CovePollerError(f"wrong usage: {error}") from None
    overview = known_state(
        context.installation(), datetime.now(UTC), customer=limits["customer"], login=limits["login"]
    )
    found = judged(replace(overview, max_poll_age=own_limit or overview.max_poll_age), thresholds)
    exit_code = int(found.level) if style in ("nagios", "json") else 0
    return in_style(style, found, exit_code), exit_code


def in_style(style: str, verdicts: Any, exit_code: int) -> str | dict[str, Any]:
    """Return the verdicts in the format that is asked for: a text, or what becomes JSON."""
    if style == "json":
        from cove_poller.views.check_json import check_json

        return check_json(verdicts, exit_code)
    if style == "prometheus":
        from cove_poller.views.check_prometheus import prometheus

        return prometheus(verdicts)
    from cove_poller.views.check_text import checkmk, nagios

    return checkmk(verdicts) if style == "checkmk" else nagios(verdicts)


def unknown_in_style(style: str, message: str) -> str | dict[str, Any]:
    """Return in the format that is asked for that nothing is known."""
    if style == "json":
        from cove_poller.views.check_json import check_json_unknown

        return check_json_unknown(message, datetime.now(UTC))
    if style == "prometheus":
        from cove_poller.views.check_prometheus import prometheus_unknown

        return prometheus_unknown()
    from cove_poller.views.check_text import checkmk_unknown, unknown

    return checkmk_unknown(message) if style == "checkmk" else unknown(message)


def show(told: str | dict[str, Any], style: str) -> None:
    """Print what is said."""
    if isinstance(told, dict):
        print_json(told)
    elif style == "prometheus":
        print_shown(told)  # its names are redacted where they become labels
    else:
        click.echo(told)


def deliver(told: str | dict[str, Any], output: Path | None, style: str) -> None:
    """Print what is said, or write it to the file. Raise CovePollerError if that cannot be written."""
    from cove_poller.files import write_whole

    if output is None or str(output) == "-":
        show(told, style)
        return
    text = json.dumps(redacted_values(told)) if isinstance(told, dict) else told
    try:
        write_whole(output, f"{text}\n")
    except OSError as error:
        raise CovePollerError(f"{output} cannot be written: {error.strerror or error}") from error


def give_up(message: str, style: str, output: Path | None) -> int:
    """Say in the style that is asked for that nothing is known; also into the file, so that no old green stays there.

    Return the exit code.
    """
    from cove_poller.views.check_text import plain, unknown

    line = unknown(message)
    try:
        deliver(unknown_in_style(style, message), output, style)
    except CovePollerError as error:
        line = f"{line}; {plain(str(error))}" if str(error) != message else line
        show(unknown_in_style(style, line) if style == "json" else line, style)
        return 3
    if style == "prometheus" or output:
        say(line, is_error=True)
    return 0 if style == "checkmk" else 3

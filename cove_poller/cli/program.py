"""The command `cove-poller`: its global options, and where each of its commands is found when it is used."""

import atexit
import gc
import io
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from cove_poller import __version__
from cove_poller.cli.logs import configure_logging, is_in_json, say, wanted_format
from cove_poller.cli.options import Context
from cove_poller.cli.streams import tell_lost_output

SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100, "show_default": True}
COMMANDS = ("backfill", "check", "config", "devices", "doctor", "migrate", "prune", "report", "status", "sync",
            "test-login")  # fmt: skip


@contextmanager
def usage_in_json(context: click.Context | None = None) -> Iterator[None]:
    """Print the one JSON object that `--json` promises also where it was used wrongly.

    Click tells the person, unless the log is in JSON, too: then what it would say is an entry there.
    """
    try:
        yield
    except click.UsageError as error:
        if "--json" in sys.argv[1:]:
            command = (context and context.invoked_subcommand) or "cove-poller"
            told = {"code": "usage", "message": error.format_message()}
            click.echo(json.dumps({"command": command, "outcome": "error", "exit_code": 2, "error": told}))
        if not is_in_json():
            raise
        told_by_click = io.StringIO()
        error.show(told_by_click)
        say(told_by_click.getvalue().strip(), is_error=True)
        sys.exit(error.exit_code)


class Commands(click.Group):
    """A group whose commands are each imported from the module of the same name, and only when they are used."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Run as a process of its own, however it was started."""
        gc.set_threshold(50_000)  # what is imported is needed to the end: looking for garbage in it, and taking it
        atexit.register(tell_lost_output)
        atexit.register(gc.freeze)  # apart before the process ends, would be a third of the time of a short run
        configure_logging(0, wanted_format(sys.argv[1:]))
        return super().__call__(*arguments, **{"prog_name": "cove-poller", **options})

    def make_context(self, *arguments: Any, **options: Any) -> click.Context:
        """Read the global options. Wrong ones are told in JSON too, where that is wanted."""
        with usage_in_json():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Its wrong use is told in JSON too, where that is wanted."""
        with usage_in_json(ctx):
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        command: click.Command = getattr(import_module(f"cove_poller.cli.{name}"), name)
        return command


@click.group(cls=Commands, context_settings=SETTINGS)
@click.version_option(__version__, prog_name="cove-poller")
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The configuration; else $COVE_POLLER_CONFIG, ./cove.toml, ~/.config/cove-poller/cove.toml or"
    " /etc/cove-poller/cove.toml.",
)
@click.option("-v", "--verbose", count=True, show_default=False, help="Log more; -vv for every request.")
@click.option("-q", "--quiet", is_flag=True, help="Log errors only.")
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    help="How the log, and all else on stderr, is written.",
)
@click.pass_context
def program(context: click.Context, config_file: Path | None, verbose: int, quiet: bool, log_format: str) -> None:
    """Write the backup results of N-able Cove Data Protection into the Backupchecks database."""
    configure_logging(-1 if quiet else verbose, log_format)
    context.obj = Context(config_file)

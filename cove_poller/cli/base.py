"""What the commands share: finding the configuration, options, and how errors and JSON are printed."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from cove_poller.errors import CovePollerError


class Context:
    """The global options."""

    def __init__(self, config_file: Path | None) -> None:
        self._named = config_file

    def file(self) -> Path:
        from cove_poller.config.file import find_config

        return find_config(self._named, os.environ)

    def load(self) -> Any:
        """The checked configuration and its credentials."""
        from cove_poller.config.credentials import Credentials
        from cove_poller.config.file import load_config

        file = self.file()
        config = load_config(file, os.environ)
        return config, Credentials(config, file, os.environ)


def print_json(content: dict[str, Any]) -> None:
    click.echo(json.dumps(content, indent=2 if sys.stdout.isatty() else None))


@contextmanager
def errors_shown(command: str, *, as_json: bool = False, results: str = "logins") -> Iterator[None]:
    """Print an error that ends the command, as text or JSON, and exit with its code.

    `results` is the key of the JSON under which the command's results would be.
    """
    from cove_poller.commands.results import envelope, error_to_json
    from cove_poller.views.mail import failure

    started_at = datetime.now(UTC)
    try:
        yield
    except CovePollerError as error:
        if as_json:
            head = envelope(command, error.exit_code, started_at, datetime.now(UTC))
            print_json({**head, results: [], "error": error_to_json(error)})
        click.echo(failure(command, error), err=True)
        sys.exit(error.exit_code)


def chosen_logins(config: Any, names: tuple[str, ...]) -> list[str]:
    """The logins to work on: those named, else all."""
    for name in names:
        if name not in config.logins:
            known = ", ".join(config.logins)
            raise click.BadParameter(f"there is no login {name!r}; configured are: {known}", param_hint="--login")
    return list(dict.fromkeys(names)) or list(config.logins)


def login_names(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """For the shell: the configured logins that begin so; none, and no word, where anything is wrong."""
    del parameter
    with suppress(Exception):
        from cove_poller.config.file import find_config, load_config

        named: Path | None = context.find_root().params["config_file"]
        config = load_config(find_config(named and named.expanduser(), os.environ), os.environ)
        return [name for name in config.logins if name.startswith(incomplete)]
    return []


login_option = click.option(
    "--login",
    "logins",
    multiple=True,
    metavar="NAME",
    shell_complete=login_names,
    help="Only this login; may be given several times.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


def go_on(question: str | None) -> bool:
    """Whether a person agrees; where nobody can be asked, the question is said and that is that."""
    if question is None:
        return True
    click.echo(question, err=True)
    return not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()) or click.confirm("Go on?", err=True)

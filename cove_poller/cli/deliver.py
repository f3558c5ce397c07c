"""How a command's result reaches who asked: text or JSON on stdout, trouble on stderr, and the exit code."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Protocol

import click

from cove_poller.cli.logs import say
from cove_poller.cli.signals import stopping_on_signals
from cove_poller.cli.streams import print_json
from cove_poller.errors import CovePollerError, WrongUsage


class Result(Protocol):
    """What a command did."""

    @property
    def exit_code(self) -> int: ...

    def to_json(self) -> dict[str, Any]: ...


class Delivery:
    """Prints one command's result, and remembers the exit code that it asks for."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.exit_code = 0
        self._as_json = as_json

    def __call__(self, text: str, result: Result | None = None, trouble: str = "") -> None:
        """Print the `result` as JSON if that is wanted, else its `text`; the `trouble` on stderr. Nothing if empty."""
        if result and self._as_json:
            print_json(result.to_json())
        elif text:
            click.echo(text)
        self.exit_code = result.exit_code if result else 0
        if trouble:
            say(trouble, is_error=bool(self.exit_code))


@contextmanager
def delivery(command: str, *, as_json: bool = False, results: str = "logins") -> Iterator[Delivery]:
    """Give what a command delivers its result by, then exit with its code; so too with an error that ends it.

    `results` is the key of the JSON under which the command's results would be.
    """
    started_at = datetime.now(UTC)
    deliver = Delivery(as_json=as_json)
    try:
        with stopping_on_signals(command):
            yield deliver
    except CovePollerError as error:
        if isinstance(error, WrongUsage) and error.option:
            raise click.BadParameter(str(error), param_hint=error.option) from None
        from cove_poller.commands.results import failed
        from cove_poller.views.mail import failure

        deliver("", failed(command, started_at, datetime.now(UTC), results, error), failure(command, error))
    if deliver.exit_code:
        sys.exit(deliver.exit_code)

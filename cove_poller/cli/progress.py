"""What a person at a terminal sees and is asked while a command runs."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from cove_poller.cli.logs import ProgressLog, is_in_json
from cove_poller.errors import WrongUsage

if TYPE_CHECKING:
    from rich.console import Console


def is_lively() -> bool:
    """Return whether something may move and be coloured."""
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR") and not is_in_json()


@contextmanager
def shown_cursor(console: "Console") -> Iterator[None]:
    """Show the cursor again at the end, also where a signal came before what hides it could see to that."""
    try:
        yield
    finally:
        console.show_cursor()


@contextmanager
def shown_progress() -> Iterator[Callable[[str, int], None]]:
    """Give what is told a login and its devices so far: a line on a terminal, nothing anywhere else."""
    if not is_lively():
        yield lambda *_: None
        return
    from rich.console import Console

    console = Console(stderr=True)
    with shown_cursor(console), console.status("connecting") as status:
        yield lambda login, devices: status.update(f"{login}: {devices} devices")


@contextmanager
def shown_past(what: str) -> Iterator[Callable[[Any], None]]:
    """Give what is told a backfill's progress: a bar on a terminal, a log line every 30 seconds anywhere else."""
    if not is_lively():
        yield ProgressLog()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("devices, {task.fields[sessions]} new sessions, time left"),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with shown_cursor(console), Progress(*columns, console=console) as bar:
        task = bar.add_task(what, total=None, sessions=0)
        yield lambda progress: bar.update(
            task,
            description=f"{what} {progress.login}",
            completed=progress.devices,
            total=progress.total,
            sessions=progress.sessions,
        )


def can_ask() -> bool:
    """Return whether somebody sits there who can answer a question."""
    return bool(sys.stdin and sys.stdin.isatty() and sys.stderr.isatty())


def go_on(question: str | None) -> bool:
    """Return whether a person agrees. Raise WrongUsage where there is a question, and nobody can be asked."""
    if question is None:
        return True
    if not can_ask():
        raise WrongUsage(f"nobody can be asked here, so nothing was done; say it to go on. {question}", "--yes")
    click.echo(question, err=True)
    return click.confirm("Go on?", err=True)

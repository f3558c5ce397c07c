"""SIGTERM and Ctrl-C: a run ends in an orderly way, the page in work is undone, those before it stay."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

from cove_poller.errors import Interrupted, Terminated

WHAT_STAYS = {
    "sync": "what was saved before is right and stays, the next run goes on from there",
    "backfill": "what was saved before is right and stays, the next run goes on from there",
    "prune": "what was removed before stays removed, the next run goes on from there",
}


@contextmanager
def stopping_on_signals(command: str) -> Iterator[None]:
    """Let both signals raise Terminated in this block; its text says what stays of what the `command` did.

    At the end they are handled as before.
    """

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        del frame
        is_interrupt = number == signal.SIGINT
        what = "interrupted" if is_interrupt else "told to stop"
        error = Interrupted if is_interrupt else Terminated
        raise error("; ".join(filter(None, [what, WHAT_STAYS.get(command)])))

    handlers = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    hook, sys.unraisablehook = sys.unraisablehook, stop_again
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        sys.unraisablehook = hook


def stop_again(lost: Any) -> None:
    """Send a signal once more, a moment later, whose error was lost since Python was just cleaning up."""
    if not isinstance(lost.exc_value, Terminated):
        sys.__unraisablehook__(lost)
        return
    number = signal.SIGINT if isinstance(lost.exc_value, Interrupted) else signal.SIGTERM
    timer = threading.Timer(0.05, os.kill, (os.getpid(), number))
    timer.daemon = True
    timer.start()

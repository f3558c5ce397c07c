"""SIGTERM and Ctrl-C: a run ends in an orderly way, the page in work is undone, those before it stay."""

import os
import signal
import sys
import threading
import weakref
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

    Where the error is lost on its way, since it came while Python was just cleaning up or a library takes any error for
    its own, the signal is sent once more. At the end they are handled as before.
    """
    raised: list[weakref.finalize[Any, Any]] = []

    def error_of(number: int) -> Terminated:
        is_interrupt = number == signal.SIGINT
        what = "interrupted" if is_interrupt else "told to stop"
        error = (Interrupted if is_interrupt else Terminated)("; ".join(filter(None, [what, WHAT_STAYS.get(command)])))
        raised.append(weakref.finalize(error, send_again, number))
        raised[-1].atexit = False
        return error

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        del frame
        raise error_of(number)  # no variable of this frame holds it, or it would not be seen to be lost

    handlers = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    hook, sys.unraisablehook = sys.unraisablehook, tell_unless_stopped
    try:
        yield
    finally:
        for one in raised:
            one.detach()
        for number, handler in handlers.items():
            signal.signal(number, handler)
        sys.unraisablehook = hook


def tell_unless_stopped(lost: Any) -> None:
    """Tell of an error that nobody can handle, unless it is a signal's, which is sent once more."""
    if not isinstance(lost.exc_value, Terminated):
        sys.__unraisablehook__(lost)


def send_again(number: int) -> None:
    """Send this process a signal a moment later."""
    timer = threading.Timer(0.05, os.kill, (os.getpid(), number))
    timer.daemon = True
    timer.start()

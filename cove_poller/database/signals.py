"""Signals and transactions: what comes in the middle of one is heard at its end."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ENDS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let a signal to end wait for the end of this block, and hand it to whoever handles it then.

    An error raised at any moment can get lost in the SQL library, or leave it a connection that nobody gives back: a
    transaction of SQLite that stays open keeps everybody out, this process's own last words too.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        del frame
        came.append(number)

    handlers = {number: signal.signal(number, note) for number in ENDS}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])

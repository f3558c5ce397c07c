"""Signals and transactions: what comes in the middle of one is heard at its end, which then comes soon."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from cove_poller.database.connecting import limits

ENDS = (signal.SIGTERM, signal.SIGINT)

_told_at: float | None = None
"""When this process was told to end, by the clock that never jumps."""


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let a signal to end wait for the end of this block, and hand it to whoever handles it then.

    An error raised at any moment can get lost in the SQL library, or leave it a connection that nobody gives back: a
    transaction of SQLite that stays open keeps everybody out, this process's own last words too. What waits for the
    database meanwhile asks `is_time_up`.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        del frame
        came.append(number)
        hurry()

    handlers = {number: signal.signal(number, note) for number in ENDS}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])


def hurry() -> None:
    """From now on, let nothing wait long for the database: the process was told to end."""
    global _told_at
    _told_at = _told_at or time.monotonic()


def forget() -> None:
    """Begin anew, as a process that was told nothing."""
    global _told_at
    _told_at = None


def is_told() -> bool:
    """Return whether the process was told to end."""
    return _told_at is not None


def is_time_up(begun_at: float) -> bool:
    """Return whether to give up something that has waited since `begun_at`, since the process was told to end."""
    if _told_at is None:
        return False
    return time.monotonic() >= max(_told_at + limits.LAST_WORDS, begun_at + limits.LAST_WORDS_EACH)


def pause(seconds: float) -> bool:
    """Wait so long. Return False, early, if the process is told to end."""
    until = time.monotonic() + seconds
    while _told_at is None and (left := until - time.monotonic()) > 0:
        time.sleep(min(left, 0.2))
    return _told_at is None

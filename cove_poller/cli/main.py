"""Where the process `cove-poller` begins: signals and streams first, then everything that takes time to import."""

import os
import signal
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def main() -> None:
    """Run the command as a process of its own."""
    end_at_once_on_signals()
    from cove_poller.cli.streams import guard_streams

    guard_streams()
    from cove_poller.cli.program import program

    program()


def end_at_once_on_signals() -> None:
    """Let a signal end the process with its code, without a word: nothing has been begun yet, or all is done."""
    for number in SIGNALS:
        signal.signal(number, _end)


def _end(number: int, frame: FrameType | None) -> None:
    del frame
    os._exit(128 + number)

"""Runs the command that gives a password: for so long, so much of its output, and with all that it started."""

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO

MOST_BYTES = 1 << 16


@dataclass(frozen=True)
class Done:
    """What came of a command; without an `exit_code` it was ended, as it took too long or said too much."""

    exit_code: int | None
    output: str
    last_error: str


def run_command(words: Sequence[str], seconds: float) -> Done:
    """Run the administrator's own command, without a shell. Raise OSError or ValueError if it cannot be begun.

    It leads a process group, which is ended with it, however this ends: nothing that it started lives on.
    """
    process = subprocess.Popen(  # noqa: S603
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    said = {process.stdout: bytearray(), process.stderr: bytearray()}
    exit_code = None
    try:
        until = time.monotonic() + seconds
        if _read_all(said, until):
            with contextlib.suppress(subprocess.TimeoutExpired):
                exit_code = process.wait(max(until - time.monotonic(), 0.1))
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in said:
            pipe.close()  # type: ignore[union-attr]
    lines = said[process.stderr].decode(errors="replace").split("\n")
    return Done(exit_code, said[process.stdout].decode(), next((one for one in reversed(lines) if one.strip()), ""))


def _read_all(said: dict[IO[bytes] | None, bytearray], until: float) -> bool:
    """Read what the pipes give. Return whether they came to their end, in time and within reason."""
    with selectors.DefaultSelector() as waiting:
        buffers = {}
        for pipe, buffer in said.items():
            buffers[waiting.register(pipe, selectors.EVENT_READ).fd] = buffer  # type: ignore[arg-type]
        while waiting.get_map():
            ready = waiting.select(max(until - time.monotonic(), 0))
            if not ready:
                return False
            for key, _ in ready:
                piece = os.read(key.fd, MOST_BYTES)
                buffers[key.fd] += piece
                if len(buffers[key.fd]) > MOST_BYTES:
                    return False
                if not piece:
                    waiting.unregister(key.fileobj)
    return True

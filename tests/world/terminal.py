"""A terminal for a command: what it shows there, and what a person types."""

import os
import pty
import re
import select
import termios
import time
from collections.abc import Sequence

from tests.conftest import Cli

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
PATIENCE_SECONDS = 60


class Terminal:
    """A command of which some streams are a terminal; `raw` is what it has shown there."""

    def __init__(
        self,
        cli: Cli,
        *arguments: str,
        columns: int = 120,
        streams: Sequence[str] = ("stdin", "stdout", "stderr"),
        **environ: str,
    ) -> None:
        self._ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (30, columns))
        environ["TERM"] = "xterm-256color"
        self.process = cli.start(*arguments, files=dict.fromkeys(streams, theirs), environ=environ)
        os.close(theirs)
        self.raw = b""
        self.elsewhere = ""
        self._is_open = True

    @property
    def text(self) -> str:
        return ESCAPES.sub("", self.raw.decode(errors="replace"))

    def _read(self) -> None:
        if not select.select([self._ours], [], [], 0.1)[0]:
            return
        try:
            piece = os.read(self._ours, 65536)
        except OSError:  # Linux says so when the other side of a terminal is closed
            piece = b""
        self.raw += piece
        self._is_open = bool(piece)

    def read_until(self, text: str) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while text not in self.text and self._is_open:
            assert time.monotonic() < deadline, self.text
            self._read()
        assert text in self.text

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def finish(self) -> int:
        """Read to the end. Return the exit code; `elsewhere` is what went to a stdout or stderr that is no terminal."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self._is_open:
            assert time.monotonic() < deadline, self.text
            self._read()
        os.close(self._ours)
        self.elsewhere = "".join(self.process.communicate())
        return self.process.wait()

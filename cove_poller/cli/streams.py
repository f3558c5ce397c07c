"""Standard output and error as this program writes to them: no secret gets out, and neither of them can end a run.

One that is closed, full, or read by nobody any more takes nothing; what the run does and its exit code stay the same.
"""

import errno
import io
import json
import os
import select
import sys
import traceback
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

from cove_poller.redaction import redacted, redacted_values

ENTRY = '{"time": "'
"""How an entry of a log in JSON begins."""


class LastingFile(io.FileIO):
    """A file that is not closed at the end and takes everything; `lost` is why it did not keep it."""

    lost: OSError | None = None

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "w", closefd=False)

    def write(self, content: Any) -> int:
        """Write all of the content, or lose it and all that follows."""
        left = memoryview(content).cast("B")
        size = len(left)
        try:
            while left and not self.lost:
                written = super().write(left)
                if written is None:  # whoever made the pipe does not wait for it; this program does
                    select.select([], [self], [])
                left = left[written or 0 :]
        except OSError as error:
            self.lost = error
        return size


class GuardedStream(io.TextIOWrapper):
    """A text stream that shows no secret.

    `as_line` makes a log's entry of each line that is none, where nothing else may be written.
    """

    as_line: Callable[[str], str] | None = None

    def __init__(self, descriptor: int, encoding: str, errors: str) -> None:
        self.file = LastingFile(descriptor)
        self._begun = ""
        is_lively = descriptor == 2 or self.file.isatty()
        super().__init__(io.BufferedWriter(self.file), encoding, errors, line_buffering=is_lively)

    def write(self, text: str) -> int:
        if self.as_line is None:
            super().write(redacted(text))
        else:
            between = "\n" if self._begun and text.startswith(ENTRY) else ""
            *lines, self._begun = f"{self._begun}{between}{redacted(text)}".split("\n")
            told = [line if line.startswith(ENTRY) else self.as_line(line) for line in lines if line.strip()]
            super().write("".join(f"{line}\n" for line in told))
        return len(text)

    def end_line(self) -> None:
        """Write the line that was begun and not ended."""
        if self._begun:
            self.write("\n")

    def write_json(self, content: Any, indent: int | None) -> None:
        """Write one JSON value, redacted text by text, so that it stays one whatever a secret is like."""
        super().write("".join(_json_pieces(content, indent)))  # as one: a signal may come at any time
        self.flush()

    def write_shown(self, text: str) -> None:
        """Write a text in which whatever others chose was redacted when it was made: looking again would take long."""
        super().write(text)


def guard_streams() -> None:
    """Put guarded streams into the place of Python's own, which are missing where their descriptor is closed."""
    _fill_descriptors()
    for number, name, errors in ((1, "stdout", "replace"), (2, "stderr", "backslashreplace")):
        before = getattr(sys, name)
        setattr(sys, name, GuardedStream(number, getattr(before, "encoding", None) or "utf-8", errors))
    sys.excepthook = tell_bug


def _fill_descriptors() -> None:
    """Open what is closed of the first three, lest the database becomes one of them and is written into."""
    while (opened := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(opened)


def _json_pieces(content: Any, indent: int | None) -> Iterator[str]:
    """Yield one JSON value, redacted: for programs a list's elements one by one, since they may be many thousands."""
    if indent or not isinstance(content, dict):
        yield json.dumps(redacted_values(content), indent=indent) + "\n"
        return
    known: dict[str, str] = {}
    before = "{"
    for key, value in content.items():
        yield f"{before}{json.dumps(key)}: "
        if isinstance(value, list) and value:
            for number, one in enumerate(value):
                yield f"{', ' if number else '['}{json.dumps(redacted_values(one, known))}"
            yield "]"
        else:
            yield json.dumps(redacted_values(value, known))
        before = ", "
    yield "}\n" if content else "{}\n"


def print_shown(text: str) -> None:
    """Print a text, which may be long, in which whatever others chose was redacted when it was made."""
    out = sys.stdout
    if isinstance(out, GuardedStream):
        out.write_shown(f"{text}\n")
        out.flush()
    else:
        out.write(f"{redacted(text)}\n")


def print_json(content: Any) -> None:
    """Print one JSON value on standard output."""
    out = sys.stdout
    indent = 2 if out.isatty() else None
    if isinstance(out, GuardedStream):
        out.write_json(content, indent)
    else:
        out.write(json.dumps(redacted_values(content), indent=indent) + "\n")


def tell_lost_output() -> None:
    """Say on standard error that the result could not be printed, unless somebody just stopped reading it."""
    sys.stdout.flush()
    lost = sys.stdout.file.lost if isinstance(sys.stdout, GuardedStream) else None
    if lost and lost.errno not in (errno.EPIPE, errno.EBADF):
        sys.stderr.write(f"cove-poller: the result could not be printed: {lost.strerror}\n")
    if isinstance(sys.stderr, GuardedStream):
        sys.stderr.end_line()


def tell_bug(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print a traceback as a whole, so that a secret is found in it however many lines it has."""
    from cove_poller.cli.logs import as_entry, is_in_json

    if is_in_json():
        sys.stderr.write(as_entry(f"a bug in cove-poller: {kind.__name__}", error=(kind, error, trace)) + "\n")
    else:
        sys.stderr.write("".join(traceback.format_exception(kind, error, trace)))

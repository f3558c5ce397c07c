"""Logging: to stderr, as text or as a JSON object a line, and never with a secret in it."""

import json
import logging
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from types import TracebackType

from cove_poller.cli.streams import GuardedStream
from cove_poller.redaction import redacted, redacted_values

LEVELS = {-1: logging.ERROR, 0: logging.WARNING, 1: logging.INFO, 2: logging.DEBUG}


PROGRESS_SECONDS = 30
progress_log = logging.getLogger("cove_poller.progress")


class ProgressLog:
    """Logs how far a run is, every 30 seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = clock()

    def __call__(self, progress: object) -> None:
        now = self._clock()
        if now - self._last >= PROGRESS_SECONDS:
            self._last = now
            progress_log.info("%s", progress)


class TextFormatter(logging.Formatter):
    """A record as text, its traceback below it."""

    def format(self, record: logging.LogRecord) -> str:
        return redacted(super().format(record))


TEXT_FORMAT = TextFormatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S")


ExceptionInfo = tuple[type[BaseException], BaseException, TracebackType | None]


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {  # begins as `streams.ENTRY` does
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(redacted_values(entry))


def configure_logging(verbosity: int, log_format: str) -> None:
    """Log of this program at -1 (errors only), 0 (warnings), 1 (info) or 2 (debug); of libraries warnings only.

    In JSON, whatever else is written to a stderr that is no terminal becomes an entry of the log, too.
    """
    is_json = log_format == "json"
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if is_json else TEXT_FORMAT)
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("cove_poller").setLevel(LEVELS[max(-1, min(verbosity, 2))])
    progress_log.setLevel(logging.INFO if verbosity >= 0 else logging.ERROR)
    if isinstance(sys.stderr, GuardedStream):
        sys.stderr.as_line = as_entry if is_json and not sys.stderr.isatty() else None


def wanted_format(arguments: Sequence[str]) -> str:
    """Return how the log is to be written by the command's arguments, whatever else is wrong with them."""
    values = [two for one, two in pairwise(" ".join(arguments).replace("=", " ").split()) if one == "--log-format"]
    return "json" if values[-1:] == ["json"] else "text"


def is_in_json() -> bool:
    """Return whether the log is written in JSON."""
    return any(isinstance(one.formatter, JsonFormatter) for one in logging.getLogger().handlers)


def as_entry(text: str, level: int = logging.ERROR, error: ExceptionInfo | None = None) -> str:
    """Return a text, and the traceback of an error, as one entry of a log in JSON."""
    return JsonFormatter().format(logging.LogRecord("cove_poller", level, __file__, 0, text, None, error))


def say(trouble: str, *, is_error: bool) -> None:
    """Print trouble on stderr: as it is, or as one entry of the log where that is written in JSON.

    It goes past the logger: -q must not swallow it.
    """
    level = logging.ERROR if is_error else logging.WARNING
    sys.stderr.write((as_entry(trouble, level) if is_in_json() else trouble) + "\n")
    sys.stderr.flush()

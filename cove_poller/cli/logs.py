"""Logging: to stderr, as text or as a JSON object a line, and never with a secret in it."""

import json
import logging
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

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


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(redacted_values(entry))


def configure_logging(verbosity: int, log_format: str) -> None:
    """Log of this program at -1 (errors only), 0 (warnings), 1 (info) or 2 (debug); of libraries warnings only."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TEXT_FORMAT)
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("cove_poller").setLevel(LEVELS[max(-1, min(verbosity, 2))])
    progress_log.setLevel(logging.INFO if verbosity >= 0 else logging.ERROR)

"""Spares requests that are very likely in vain.

A service that is down is left alone for some minutes. One that refuses device after device is asked for every tenth
only, until it allows one: whether it is the user or the device that is refused is not said.
"""

import math
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import TypeVar

from cove_poller.errors import ApiError, ApiUnavailable, PermissionDenied

REFUSALS_BELIEVED = 3
PROBE_EVERY = 10
BREAK_SECONDS = 300

T = TypeVar("T")


class Breaker:
    """Remembers what was in vain, for several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._down: dict[str, tuple[float, ApiError]] = {}
        self._refusals: dict[str, list[PermissionDenied]] = defaultdict(list)
        self._tries: Counter[str] = Counter()

    def unless_refused(self, what: str, attempt: Callable[[], T]) -> T:
        """Return the result of `attempt`. Raise PermissionDenied as it does, or as it did for others."""
        with self._lock:
            self._tries[what] += 1
            if len(self._refusals[what]) >= REFUSALS_BELIEVED and self._tries[what] % PROBE_EVERY:
                raise self._refusals[what][0]
        try:
            result = attempt()
        except PermissionDenied as error:
            with self._lock:
                self._refusals[what].append(error)
            raise
        with self._lock:
            self._refusals[what].clear()
        return result

    def unless_down(self, what: str, attempt: Callable[[], T]) -> T:
        """Return the result of `attempt`. Raise ApiError if `what` is down now, or was in the last minutes."""
        with self._lock:
            at, known = self._down.get(what, (-math.inf, None))
            if known and self._clock() - at < BREAK_SECONDS:
                raise known
        try:
            return attempt()
        except ApiUnavailable as error:
            with self._lock:
                self._down[what] = self._clock(), ApiError(str(error))
            raise self._down[what][1] from error

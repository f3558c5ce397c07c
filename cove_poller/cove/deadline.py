"""One deadline over a whole request: connecting, every byte of the header, the body.

The HTTP library's time-outs are for each piece of an answer, so one that is dripped a byte at a time would never end.
When the time is up, the connection is shut, from another thread, and whoever waits for it wakes up.
"""

import functools
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from requests.adapters import HTTPAdapter

_watching = threading.local()


LOOKS_WITHIN = 20
"""How often a watchdog looks while one deadline passes; at least once a second."""


class Deadline:
    """Ends the connection that this thread talks over when the time is up; `is_over` tells that it has."""

    def __init__(self, at: float) -> None:
        self.at = at
        self.is_over = False
        self._connection: Any = None
        self._socket: Any = None

    def watch(self, connection: Any) -> None:
        """Be responsible for a connection, which may not be open yet, and for its socket, which may outlive it."""
        self._connection, self._socket = connection, connection.sock
        if self.is_over:
            self.end()

    def end(self) -> None:
        """Shut the connection; not by its own close(), which belongs to the thread that reads from it."""
        self.is_over = True
        for one in (self._socket, self._connection and self._connection.sock):
            while hasattr(one, "socket"):  # TLS within TLS, through a proxy
                one = one.socket
            with suppress(OSError):  # the other side was quicker
                if one is not None:
                    socket.socket.shutdown(one, socket.SHUT_RDWR)


class Watchdog:
    """Ends each request that takes longer than so many seconds, from one thread for all of them."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._open = set[Deadline]()
        self._lock = threading.Lock()
        self._is_closed = False
        self._thread = threading.Thread(target=self._look, name="deadlines", daemon=True)

    @contextmanager
    def deadline(self) -> Iterator[Deadline]:
        """Give the deadline of what this thread sends and reads in this block."""
        watch = Deadline(time.monotonic() + self._seconds)
        with self._lock:
            self._open.add(watch)
            if self._thread.ident is None:
                self._thread.start()
        _watching.deadline = watch
        try:
            yield watch
        finally:
            _watching.deadline = None
            with self._lock:
                self._open.remove(watch)

    def close(self) -> None:
        """Watch no more than what is open."""
        self._is_closed = True

    def _look(self) -> None:
        while self._open or not self._is_closed:
            time.sleep(min(self._seconds / LOOKS_WITHIN, 1))
            now = time.monotonic()
            with self._lock:
                late = [one for one in self._open if one.at <= now]
            for one in late:
                with suppress(Exception):  # whatever it is, the others have a deadline too
                    one.end()


class WatchedAdapter(HTTPAdapter):
    """Tells the deadline which connection a request is sent over."""

    def get_connection_with_tls_context(self, *arguments: Any, **options: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*arguments, **options)
        pool.ConnectionCls = watched(pool.ConnectionCls)
        return pool


@functools.cache
def watched(kind: Any) -> Any:
    """Return a kind of connection that makes itself known before it connects and before it sends."""
    if getattr(kind, "is_watched", False):
        return kind

    class Watched(kind):  # type: ignore[misc]
        is_watched = True

        def connect(self) -> None:
            self._make_known()
            super().connect()
            self._make_known()

        def request(self, *arguments: Any, **options: Any) -> None:
            self._make_known()
            super().request(*arguments, **options)

        def _make_known(self) -> None:
            if watch := getattr(_watching, "deadline", None):
                watch.watch(self)

    return Watched

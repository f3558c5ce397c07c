"""One deadline over a whole request: connecting, every byte of the header, the body.

The HTTP library's time-outs are for each piece of an answer, so one that is dripped a byte at a time would never end.
When the time is up, the connection is shut, from another thread, and whoever waits for it wakes up.
"""

import functools
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from requests.adapters import HTTPAdapter

_watching = threading.local()


class Deadline:
    """Ends the connection that this thread talks over when the time is up; `is_over` tells that it has."""

    def __init__(self) -> None:
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
            with suppress(OSError):  # the other side was quicker
                if one is not None:
                    socket.socket.shutdown(one, socket.SHUT_RDWR)


@contextmanager
def deadline(seconds: float) -> Iterator[Deadline]:
    """Give the deadline of what this thread sends and reads in this block."""
    watch = Deadline()
    timer = threading.Timer(seconds, watch.end)
    timer.daemon = True
    _watching.deadline = watch
    timer.start()
    try:
        yield watch
    finally:
        timer.cancel()
        _watching.deadline = None


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

"""Tells a monitoring service like healthchecks.io that a run began and how it ended. Never changes the run itself.

`<url>/start`, then `<url>` for success or `<url>/<exit code>`, all with the same `rid`; the body is kept as a log
there (healthchecks.io, "Pinging API"). Who knows the URL can pretend that all is well, so it is shown nowhere.
"""

import logging
import traceback
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import urlencode, urlsplit, urlunsplit

import requests
from pydantic import SecretStr
from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError

from cove_poller import __version__
from cove_poller.cli.logs import TEXT_FORMAT
from cove_poller.errors import CovePollerError
from cove_poller.redaction import redacted
from cove_poller.views.mail import failure

TIMEOUT_SECONDS = 10
ATTEMPTS = 2
MAX_BODY_BYTES = 100_000
KEPT_LINES = 200

log = logging.getLogger(__name__)


class LastLines(logging.Handler):
    """Keeps the last lines of the log in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: deque[str] = deque(maxlen=KEPT_LINES)
        self.setFormatter(TEXT_FORMAT)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


class Watch:
    """A run that somebody is told about: how it ends so far, and the last lines of its log."""

    def __init__(self, url: str, secrets: Callable[[], Sequence[str]]) -> None:
        self.log = LastLines()
        self._url = url
        self._secrets = secrets
        self._run_id = str(uuid.uuid4())
        self._exit_code = 0
        self._trouble = ""

    def ends(self, exit_code: int, trouble: str) -> None:
        """Remember how the run ends, and what it printed as trouble."""
        self._exit_code, self._trouble = exit_code, trouble

    def tell_start(self) -> None:
        self._ping("/start")

    def tell_end(self) -> None:
        self._ping(f"/{self._exit_code}" if self._exit_code else "", self._body())

    def _body(self) -> bytes:
        """The trouble, and as many of the last log lines as there is room for, without any secret."""
        secrets = [*self._secrets(), self._url]
        trouble, *lines = (redacted(text, secrets).encode() for text in (self._trouble, *self.log.lines))
        room = MAX_BODY_BYTES - len(trouble)
        kept: deque[bytes] = deque()
        while lines and (room := room - len(lines[-1]) - 1) >= 0:
            kept.appendleft(lines.pop())
        return b"\n".join([trouble, *kept] if trouble else kept)[:MAX_BODY_BYTES]

    def _ping(self, what: str, body: bytes = b"") -> None:
        url = urlsplit(self._url)
        query = "&".join(filter(None, [url.query, urlencode({"rid": self._run_id})]))
        target = urlunsplit(url._replace(path=url.path.rstrip("/") + what, query=query))
        problem = ""
        for _ in range(ATTEMPTS):
            problem, is_final = _post(target, body)
            if is_final:
                break
        if problem:
            log.warning("the monitoring at %s could not be told how the run goes: %s", url.netloc, problem)


def _post(url: str, body: bytes) -> tuple[str, bool]:
    """POST to the monitoring. Return what went wrong, in words that do not give the URL away, and if that is final."""
    headers = {"Content-Type": "text/plain; charset=utf-8", "User-Agent": f"cove-poller/{__version__}"}
    try:
        with requests.Session() as session, _unlogged():
            session.auth = lambda request: request  # or requests would add what a .netrc says
            answer = session.post(
                url, data=body, headers=headers, timeout=TIMEOUT_SECONDS, allow_redirects=False, stream=True
            )
            status = answer.status_code
    except (RequestException, HTTPError, OSError, ValueError) as error:
        return type(error).__name__, False
    if status < requests.codes.multiple_choices:
        return "", True
    is_final = status < requests.codes.internal_server_error and status != requests.codes.too_many_requests
    return f"it answers HTTP {status}" + ("; is healthchecks.url right?" if is_final else ""), is_final


@contextmanager
def _unlogged() -> Iterator[None]:
    """Whatever the library has to say would have the URL in it."""
    library = logging.getLogger("urllib3")
    before = library.level
    library.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        library.setLevel(before)


def tell_nobody(exit_code: int, trouble: str) -> None:
    """For a run that nobody watches."""
    del exit_code, trouble


@contextmanager
def watched(
    command: str, url: SecretStr | None, secrets: Callable[[], Sequence[str]]
) -> Iterator[Callable[[int, str], None]]:
    """Tell the monitoring at `url` when a command begins, and in the end how; without one, nobody.

    Give the function that is told the exit code and the trouble. An error that ends the command, be it a bug, is told
    like everything else and goes on. `secrets` are the passwords that have been in use by the end.
    """
    if url is None:
        yield tell_nobody
        return
    watch = Watch(url.get_secret_value(), secrets)
    logging.getLogger().addHandler(watch.log)
    try:
        watch.tell_start()
        yield watch.ends
    except CovePollerError as error:
        watch.ends(error.exit_code, failure(command, error))
        raise
    except BaseException as error:
        watch.ends(getattr(error, "exit_code", 1), traceback.format_exc())
        raise
    finally:
        logging.getLogger().removeHandler(watch.log)
        watch.tell_end()

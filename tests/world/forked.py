"""The command as a process of its own that need not start Python anew: forked from one that has imported everything.

What a person or cron would see is the same: signals, exit codes, directory, environment, terminals and how it ends.
Run as a module this is the server that is forked from. Its socket says whom to become; when that closes, it ends.
"""

import atexit
import faulthandler
import functools
import gc
import importlib
import io
import json
import os
import pkgutil
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import types
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

LONGEST_REQUEST = 1 << 20
LAZILY_IMPORTED = ("encodings.idna", "rich.progress", "sqlalchemy.dialects.postgresql.psycopg2", "stringprep")
Files = tuple[int, int, int]


class Process:
    """A forked command, as `subprocess.Popen` would give it. What it writes to no file of the caller's is kept."""

    def __init__(
        self,
        arguments: Sequence[str],
        cwd: Path,
        environ: Mapping[str, str],
        files: Mapping[str, int],
        before: str = "",
    ) -> None:
        self.args = list(arguments)
        self.returncode: int | None = None
        self._written: dict[str, IO[bytes]] = {
            name: tempfile.TemporaryFile()  # noqa: SIM115 - closed when they have been read
            for name in ("stdout", "stderr")
            if name not in files
        }
        ended, told = os.pipe()
        nothing = os.open(os.devnull, os.O_RDONLY)
        kept = {name: file.fileno() for name, file in self._written.items()}
        numbers = {"stdin": nothing, **kept, **files}
        request = json.dumps([self.args, str(cwd), dict(environ), before]).encode()
        server = fork_server()
        socket.send_fds(server, [request], [numbers["stdin"], numbers["stdout"], numbers["stderr"], told])
        os.close(told)
        os.close(nothing)
        self._ended = ended
        self.pid = int(os.read(ended, 16))

    def poll(self) -> int | None:
        return self._wait(0)

    def wait(self, timeout: float = 60) -> int:
        code = self._wait(timeout)
        if code is None:
            os.kill(self.pid, signal.SIGUSR1)  # it writes to its stderr where it hangs
            time.sleep(0.5)
            print(self._said("stderr"))
            raise subprocess.TimeoutExpired(self.args, timeout)
        return code

    def _wait(self, timeout: float) -> int | None:
        if self.returncode is None:
            with selectors.DefaultSelector() as waiting:
                waiting.register(self._ended, selectors.EVENT_READ)
                if waiting.select(timeout):
                    self.returncode = os.waitstatus_to_exitcode(int(os.read(self._ended, 16)))
                    os.close(self._ended)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float = 60) -> tuple[str, str]:
        """Wait for its end. Return what it wrote."""
        self.wait(timeout)
        return self._said("stdout"), self._said("stderr")

    def _said(self, name: str) -> str:
        if name not in self._written:
            return ""
        with self._written.pop(name) as file:
            file.seek(0)
            return file.read().decode()

    def close(self) -> None:
        """Kill it if it still runs, and forget what it wrote."""
        self.kill()
        self.wait()
        while self._written:
            self._written.popitem()[1].close()


@functools.cache
def fork_server() -> socket.socket:
    """The socket of this test process's server, which is started on first use."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, "-m", __name__]
    server = subprocess.Popen(command, stdin=theirs.fileno(), stdout=subprocess.DEVNULL, cwd=Path(__file__).parents[2])
    theirs.close()

    def end() -> None:
        ours.close()
        server.wait(10)

    atexit.register(end)
    return ours


# in the server


def import_everything() -> None:
    """Import what the commands do, also what they import only when they need it."""
    import cove_poller

    for module in pkgutil.walk_packages(cove_poller.__path__, "cove_poller."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for name in LAZILY_IMPORTED:
        importlib.import_module(name)


def wanted_command(requests: socket.socket) -> tuple[Any, Files] | None:
    """Fork a process for each request and tell of its end.

    Return in each such process what it is to become; in the server None, when nobody asks any more.
    """
    watched: dict[int, tuple[int, int]] = {}  # by a descriptor of the process: its id, and where to tell of its end
    with selectors.DefaultSelector() as waiting:
        waiting.register(requests, selectors.EVENT_READ)
        while True:
            for key, _ in waiting.select():
                if key.fd in watched:
                    pid, told = watched.pop(key.fd)
                    waiting.unregister(key.fd)
                    tell(told, os.waitpid(pid, 0)[1])
                    os.close(told)
                    os.close(key.fd)
                    continue
                request, files, _, _ = socket.recv_fds(requests, LONGEST_REQUEST, 4)
                if not request:
                    return None
                pid = os.fork()
                if not pid:
                    for descriptor, (_, told) in watched.items():
                        os.close(descriptor)
                        os.close(told)
                    os.close(files[3])
                    return json.loads(request), (files[0], files[1], files[2])
                for file in files[:3]:
                    os.close(file)
                tell(files[3], pid)
                descriptor = os.pidfd_open(pid)
                watched[descriptor] = pid, files[3]
                waiting.register(descriptor, selectors.EVENT_READ)


def tell(descriptor: int, number: int) -> None:
    """Write a number, unless nobody wants to know any more."""
    with suppress(BrokenPipeError):
        os.write(descriptor, f"{number:>16}".encode())


def become(arguments: list[str], cwd: str, environ: dict[str, str], before: str, files: Files) -> None:
    """Be the command as if Python had just been started for it."""
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environ)
    time.tzset()
    sys.argv = arguments
    sys.modules["__main__"] = types.ModuleType("__main__")  # by which click finds out what it is called
    sys.stdin = opened(0, "rb", "surrogateescape")
    sys.stdout = opened(1, "wb", "surrogateescape")
    sys.stderr = opened(2, "wb", "backslashreplace")
    faulthandler.register(signal.SIGUSR1, sys.stderr)
    exec(before, {"__name__": "before"})


def opened(number: int, mode: str, errors: str) -> io.TextIOWrapper:
    """One of the standard streams as Python opens it."""
    return io.TextIOWrapper(
        open(number, mode, closefd=False), "utf-8", errors, line_buffering=number == 2 or os.isatty(number)
    )


def main() -> None:
    import_everything()
    gc.collect()
    gc.freeze()
    requests = socket.socket(fileno=os.dup(0))
    wanted = wanted_command(requests)
    requests.close()
    if wanted:
        (arguments, cwd, environ, before), files = wanted
        become(arguments, cwd, environ, before, files)
        run_command()


def run_command() -> None:
    """Run the command and end as Python does, but for tidying up the memory, which would take four times as long."""
    from cove_poller.cli.main import main as command

    try:
        command()
    except SystemExit as ends:
        if not isinstance(ends.code, int | None):
            raise
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        os._exit(ends.code or 0)


if __name__ == "__main__":
    main()

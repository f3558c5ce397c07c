"""The faults of a process: its streams, and the signals that it is sent."""

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

from tests.conftest import wait_for
from tests.faults.scene import Ran, Scene, fault_of
from tests.faults.table import Fault

FAULTS: list[Fault] = []
REJECTED = "Cove rejects user"


def closing(*numbers: int) -> str:
    return "import os\n" + "".join(f"os.close({number})\n" for number in numbers)


def of_streams(before: str, full: tuple[str, ...], *, broken: bool, is_right: bool) -> Callable[[Scene], Ran]:
    """A sync whose streams are closed by `before` it, full, or read by nobody."""

    def cause(scene: Scene) -> Ran:
        if not is_right:
            scene.configure(login='password = "another"')
        scene.cli.before = before
        files = {name: os.open("/dev/full", os.O_WRONLY) for name in full}
        if broken:
            reading, files["stdout"] = os.pipe()
            os.close(reading)
        process = scene.cli.start("-vv" if is_right else "-v", "sync", "--json", files=files)
        _, stderr = process.communicate()
        for file in files.values():
            os.close(file)
        lines = [line for line in stderr.splitlines() if " DEBUG " not in line and " INFO " not in line]
        return Ran(process.returncode, "\n".join(lines))

    return cause


STREAMS: dict[str, tuple[str, tuple[str, ...], bool]] = {
    "stdout is closed": (closing(1), (), False),
    "stderr is closed": (closing(2), (), False),
    "all three are closed": (closing(0, 1, 2), (), False),
    "stdout is full": ("", ("stdout",), False),
    "stderr is full": ("", ("stderr",), False),
    "nobody reads stdout": ("", (), True),
}
for _name, (_before, _full, _broken) in STREAMS.items():
    _is_deaf = "stderr" in _name or "three" in _name
    _lost = "the result could not be printed: No space left" if _full == ("stdout",) else ""
    _add = fault_of(FAULTS, "streams")
    _add(_name, 0, 3, 4, _lost)(of_streams(_before, _full, broken=_broken, is_right=True))
    _add(f"{_name}, the login is rejected", 11, 0, 1, "" if _is_deaf else REJECTED)(
        of_streams(_before, _full, broken=_broken, is_right=False)
    )


def of_signal(number: int, request: int, *command: str, runs: int = 0) -> Callable[[Scene], Ran]:
    """A signal while the answer to that request of a command is waited for, once there are so many runs."""

    def cause(scene: Scene) -> Ran:
        arrived = scene.cove.arrived
        gone = threading.Event()
        scene.cove.faults.meddle = lambda *_: len(arrived) >= request and gone.wait(20)
        process = scene.cli.start(*command)
        wait_for(lambda: len(arrived) >= request and scene.runs() == runs)
        process.send_signal(number)
        _, stderr = process.communicate()
        gone.set()
        scene.cove.faults.meddle = None
        return Ran(process.returncode, stderr)

    return cause


for _number, _code, _word in ((signal.SIGTERM, 143, "told to stop"), (signal.SIGINT, 130, "interrupted")):
    for _request, _runs, _where in ((1, 0, "the login"), (2, 0, "page 1"), (3, 2, "page 2")):
        _add = fault_of(FAULTS, "signals")
        _add(f"{signal.Signals(_number).name} while {_where} is waited for", _code, _runs, _request, _word, heals=True)(
            of_signal(_number, _request, "sync", runs=_runs)
        )
    for _command, _request in (
        (("backfill", "--since", "2d", "--yes"), 2),
        (("test-login",), 1),
        (("doctor",), 2),
        (("sync", "--dry-run"), 3),
    ):
        _name = f"{signal.Signals(_number).name} while {' '.join(_command)} waits for Cove"
        fault_of(FAULTS, "signals")(_name, _code, 0, _request, _word)(of_signal(_number, _request, *_command))
fault_of(FAULTS, "signals")("SIGKILL while page 2 is waited for", -signal.SIGKILL, 2, 3, heals=True)(
    of_signal(signal.SIGKILL, 3, "sync", runs=2)
)


def of_early_signal(number: int) -> Callable[[Scene], Ran]:
    """A signal while modules are still imported."""

    def cause(scene: Scene) -> Ran:
        Path(scene.directory, "click.py").write_text(
            f"import os, time\nos.kill(os.getpid(), {number})\ntime.sleep(30)\n"
        )
        done = scene.cli.fresh("sync", PYTHONPATH=f"{scene.directory}:{os.environ.get('PYTHONPATH', '')}")
        return Ran(done.returncode, done.stderr)

    return cause


for _number, _code in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
    fault_of(FAULTS, "signals")(f"{signal.Signals(_number).name} while the program is loaded", _code, 0, 0)(
        of_early_signal(_number)
    )

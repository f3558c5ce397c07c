"""What a process costs: its CPU, its time, its memory."""

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Cost:
    """Seconds of CPU and of time, the most memory in MiB, and how the process ended."""

    cpu: float
    wall: float
    memory: int
    exit_code: int

    def __str__(self) -> str:
        return f"{self.cpu:.2f} s CPU, {self.wall:.1f} s in all, {self.memory} MiB, exit {self.exit_code}"


def cost_of(command: Sequence[str], directory: Path, environ: Mapping[str, str] | None = None) -> Cost:
    """Run a command; what it writes to stdout is lost. Return what it cost."""
    began, memory = time.monotonic(), 0
    process = subprocess.Popen(command, cwd=directory, stdout=subprocess.DEVNULL, env={**os.environ, **(environ or {})})
    while True:
        done, status, usage = os.wait4(process.pid, os.WNOHANG)
        if done:
            break
        memory = max(memory, _peak_memory(process.pid))
        time.sleep(0.02)
    process.returncode = os.waitstatus_to_exitcode(status)
    cpu = usage.ru_utime + usage.ru_stime
    return Cost(cpu, time.monotonic() - began, memory, process.returncode)


def _peak_memory(pid: int) -> int:
    """The most memory of a process up to now, in MiB; `ru_maxrss` would also count its parent's, before it began."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(next((line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")), 0)) // 1024

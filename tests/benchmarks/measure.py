"""Measure commands in processes of their own. Imports nothing heavy: on Linux a child inherits its parent's peak."""

import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Usage:
    """What a command took.

    Attributes:
        wall: Seconds.
        cpu: Seconds of CPU, user and system, of the process and its children.
        peak: MiB of memory at most, of all its processes together.
        output: What it printed.
    """

    wall: float
    cpu: float
    peak: float
    output: str


def run_module(module: str, *arguments: str, threads: int | None = None) -> Usage:
    """Run ``python -m module arguments`` and measure it.

    Args:
        module: The module.
        arguments: Its arguments.
        threads: Threads of numerical libraries; as many as there are cores if ``None``.

    Raises:
        RuntimeError: If it fails.
    """
    environment = dict(os.environ) | ({"OMP_NUM_THREADS": str(threads)} if threads else {})
    began = time.monotonic()
    child = subprocess.Popen(
        [sys.executable, "-m", module, *arguments], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    together = 0
    while True:
        pid, status, usage = os.wait4(child.pid, os.WNOHANG)
        if pid:
            break
        together = max(together, _memory(child.pid))
        time.sleep(POLL_SECONDS)
    child.returncode = os.waitstatus_to_exitcode(status)
    wall = time.monotonic() - began
    output = child.stdout.read()
    child.stdout.close()
    if child.returncode:
        raise RuntimeError(f"{module} {' '.join(arguments)} ended with code {child.returncode}")
    peak = max(usage.ru_maxrss * 1024, together) / 2**20
    return Usage(wall, usage.ru_utime + usage.ru_stime, peak, output)


def _memory(pid: int) -> int:
    """Bytes that a process and its children hold; pages that they share count for each."""
    try:
        process = psutil.Process(pid)
        return sum(member.memory_info().rss for member in (process, *process.children(recursive=True)))
    except psutil.Error:  # one of them has just ended
        return 0


def own_peak() -> float:
    """MiB of memory that this process has held at most; what its parent held does not count, as it may elsewhere."""
    try:
        status = Path("/proc/self/status").read_text()
    except FileNotFoundError:  # no Linux: bytes on macOS
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table, numbers to the right."""
    cells = [[_text(value) for value in row] for row in (header, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    for row in cells:
        first, *others = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        print("  ", row[0].ljust(len(first)), *others, sep="  ", flush=True)


def _text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def verdict(what: str, value: float, bound: float, *, at_least: bool = False) -> bool:
    """Print a value beside its bound, and return whether the bound is met."""
    met = value >= bound if at_least else value <= bound
    print(f"  {'met   ' if met else 'MISSED'}  {what}: {value:.4g}, {'at least' if at_least else 'at most'} {bound:g}")
    return met

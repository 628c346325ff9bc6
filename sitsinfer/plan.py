"""Size a run: tiles, workers and threads from memory and cores."""

import os
from dataclasses import dataclass
from pathlib import Path

import psutil

from sitsinfer.errors import GridError
from sitsinfer.tasks import Task

MIB = 1 << 20

PROCESS_BYTES = 500 * MIB
"""What a worker process takes before it has read anything: libraries, caches of GDAL, code."""

SPARING_STEPS = 4
"""Below so many steps, tiles share so many patches that larger ones, fewer at a time, are the better bargain."""

MOST_HELD = 2
"""Tiles of one worker whose inputs are in memory: while one is computed, the next is read. A third is written."""


@dataclass(frozen=True)
class Plan:
    """How a run is cut and spread.

    Attributes:
        tile_size: Height and width of a tile, in pixels.
        workers: How many workers share the run.
        processes: Whether each worker is a process of its own; else the only one is this process.
        held: Tiles whose inputs each worker has in memory at a time, those being read included.
        threads: Threads of each worker's computations on a CPU; ``None``: all of wherever it runs.
    """

    tile_size: int
    workers: int
    processes: bool
    held: int
    threads: int | None

    @property
    def in_flight(self) -> int:
        """Tiles that each worker handles at a time: one more, which is written."""
        return self.held + 1


def make_plan(task: Task[object], *, memory: int | None, tile_size: int | None, workers: int | None) -> Plan:
    """Size a run so that all its workers together stay within ``memory``.

    Args:
        task: What is to be run; its tiles and its model say what they take.
        memory: Bytes for the whole run on this machine; half of what is free if ``None``.
        tile_size: Height and width of a tile in pixels, if it is to be that.
        workers: Worker processes; ``None``: none but this one.

    Raises:
        GridError: If the tile size is below 1, or not even one of the smallest tiles fits.
    """
    if tile_size is not None and tile_size < 1:
        raise GridError(f"A tile size of {tile_size} pixels holds nothing. Choose 1 or more.")
    processes, workers = workers is not None, workers or 1
    threads = max(1, cores() // workers)
    fixed = PROCESS_BYTES + task.model_bytes(threads)
    budget = (available_memory() // 2 if memory is None else memory) // workers - fixed
    sizes = [tile_size] if tile_size else _candidates(task)
    for held in range(MOST_HELD, 0, -1):
        size = next((size for size in sizes if held * task.tile_bytes(size) <= budget), 0)
        if size and (held == 1 or size >= min(sizes[0], SPARING_STEPS * task.tile_step)):
            return Plan(size, workers, processes, held, threads)
    smallest = workers * (fixed + task.tile_bytes(sizes[-1]))
    raise GridError(
        f"{workers} worker(s) with tiles of {sizes[-1]} pixels need {smallest / MIB:.0f} MiB of memory, more than "
        f"the {(budget + fixed) * workers / MIB:.0f} MiB there are. "
        f"Set memory higher, fewer workers, or smaller tiles."
    )


def _candidates(task: Task[object]) -> list[int]:
    """Tile sizes to choose from, the largest first: multiples of the task's step, none larger than need be."""
    step = task.tile_step
    longest = max(n + shift for n, shift in zip(task.grid.shape, task.tile_shift, strict=True))
    largest = min(task.largest_tile, -(-longest // step) * step)
    return [step * n for n in range(max(1, largest // step), 0, -1)]


def cores() -> int:
    """Cores this process may use: those it is bound to, at most as many as ``OMP_NUM_THREADS`` says."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(bound, int(asked))) if asked.isdecimal() else bound


def available_memory() -> int:
    """Bytes of memory free to this process, within the limit of its control group."""
    free = int(psutil.virtual_memory().available)
    try:
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
    except (OSError, ValueError):  # no control group, or no limit
        return free
    return min(free, limit - int(psutil.Process().memory_info().rss))


def parse_memory(text: str) -> int:
    """Bytes from a size such as ``4GiB``, ``4G`` or ``500 MB``.

    Raises:
        GridError: If it is not one.
    """
    units = {"": 1, "b": 1}
    for power, prefix in enumerate("kmgt", start=1):
        units |= {prefix: 1024**power, f"{prefix}ib": 1024**power, f"{prefix}b": 1000**power}
    number = text.strip().rstrip("BbIiKkMmGgTt ")
    unit = text.strip()[len(number) :].strip().lower()
    try:
        return int(float(number) * units[unit])
    except (ValueError, OverflowError, KeyError):
        raise GridError(f"'{text}' is not an amount of memory. Expected a number and a unit, such as 4GiB.") from None

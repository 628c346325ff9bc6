"""Memory that comes and goes tile by tile, where the C library keeps it: glibc. Elsewhere nothing is done."""

import ctypes
import functools
from collections.abc import Mapping

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # as malloc.h numbers them
_POOLS = {_ARENA_MAX: 2}
_THRESHOLDS = {_MMAP_THRESHOLD: 4 << 20, _TRIM_THRESHOLD: 128 << 20}


@functools.cache
def share_pools() -> None:
    """Have threads that begin from now on share two pools, instead of having one each that keeps what it once held."""
    _set(_POOLS)


@functools.cache
def settle() -> None:
    """Keep the memory of many tiles at that of one.

    Threads share pools, and what is larger than 4 MiB goes back to the system when it is freed, instead of leaving a
    hole that the next tile may not fit in. That costs fusion some percent of its CPU time; segmentation, whose maps are
    larger, it would cost a quarter.
    """
    _set(_POOLS | _THRESHOLDS)


def _set(parameters: Mapping[int, int]) -> None:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter, value in parameters.items():
            mallopt(parameter, value)


def give_back() -> None:
    """Give freed memory back to the system: it is kept in pieces that the next tile may not fit in."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)

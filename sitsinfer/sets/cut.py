"""Cut the series of sampled pixels out of a stack, on the days that a model takes."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sitsinfer.grid import Window
from sitsinfer.series import Stack
from sitsinfer.sets.dates import on_days
from sitsinfer.sets.gather import PixelSets
from sitsinfer.sets.types import Samples


def cut_sets(
    samples: Samples, stack: Stack, read: Window, days: NDArray[np.int64], wanted: NDArray[np.int64]
) -> PixelSets:
    """Take sampled pixels out of a stack.

    A pixel is clear on a date on which it is valid and observed in every band: between its clear dates it is
    interpolated.

    Args:
        samples: The pixels; at least one, all within ``read``.
        stack: What was read.
        read: Where, in pixels of the grid.
        days: Days of the stack's dates, (T,).
        wanted: Days that the model takes, since the same date, (D,).
    """
    rows, cols = samples.rows - read.row, samples.cols - read.col
    numbers = stack.values[:, :, rows, cols].transpose(2, 0, 1)  # (N, T, C)
    clear = stack.valid[:, rows, cols].T & _observed(numbers, stack.nodata).all(axis=2)  # (N, T)
    seen = clear.any(axis=1)
    parcels, first, drawn = np.unique(samples.parcels, return_index=True, return_counts=True)
    dates = np.logical_or.reduceat(clear, first, axis=0)
    counts = np.add.reduceat(seen, first, dtype=np.int32)
    reflectance = numbers[seen].astype(np.float32)
    reflectance *= stack.scale[:, np.newaxis]
    reflectance += stack.offset[:, np.newaxis]
    values = on_days(reflectance, clear[seen], days, wanted)
    return PixelSets(parcels, drawn.astype(np.int32), counts, np.packbits(dates, axis=1), samples.ranks[seen], values)


def _observed(numbers: NDArray[Any], nodata: float) -> NDArray[np.bool_]:
    return np.asarray(np.isfinite(numbers) if numbers.dtype.kind == "f" else numbers != int(nodata))


def batched(samples: Samples, size: int) -> Iterator[Samples]:
    """Yield samples some ``size`` at a time, all of a parcel together.

    Args:
        samples: At least one.
        size: A batch has more only by the last parcel in it.
    """
    starts = np.flatnonzero(np.diff(samples.parcels, prepend=samples.parcels[0] - 1))
    first = 0
    while first < len(samples):
        later = np.searchsorted(starts, first + size)
        stop = int(starts[later]) if later < len(starts) else len(samples)
        part = slice(first, stop)
        yield Samples(samples.parcels[part], samples.ranks[part], samples.rows[part], samples.cols[part])
        first = stop

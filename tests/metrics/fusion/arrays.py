"""Dates in memory, to compare without files."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sitsinfer.grid import Grid, Window, whole
from sitsinfer.metrics.fusion.pixels import Read


@dataclass(frozen=True, eq=False)
class ArrayPixels:
    """A date in memory.

    Attributes:
        values: (C, H, W).
        clear: (H, W).
        bands: (C,).
        grid: Of (H, W).
    """

    values: NDArray[np.float32]
    clear: NDArray[np.bool_]
    bands: tuple[str, ...]
    grid: Grid

    def read(self, window: Window) -> Read:
        """Read a window."""
        rows, cols = window.slices_in(whole(self.grid))
        return self.values[:, rows, cols], self.clear[rows, cols]

"""The label layer under way: the rows that are not yet written."""

from collections import deque
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from sitsinfer.grid import Window


class Canvas:
    """Labels of some rows of a grid, strip by strip; 0 for none. Strips come at the bottom and leave at the top."""

    def __init__(self, width: int) -> None:
        """Begin with no rows, of a grid so many pixels wide."""
        self._width = width
        self._strips: deque[tuple[Window, NDArray[np.uint32]]] = deque()

    def extend(self, rows: range) -> None:
        """Add a strip below the others, without labels."""
        strip = Window(rows.start, 0, len(rows), self._width)
        self._strips.append((strip, np.zeros(strip.shape, np.uint32)))

    def read(self, window: Window) -> NDArray[np.uint32]:
        """The labels of a window of the rows that are here, as a copy."""
        parts = ((window.intersection(strip), strip, labels) for strip, labels in self._strips)
        return np.concatenate([labels[part.slices_in(strip)] for part, strip, labels in parts if not part.is_empty])

    def paint(self, window: Window, where: NDArray[np.bool_], label: int) -> None:
        """Set a label at some pixels of a window, (height, width)."""
        for strip, labels in self._strips:
            part = window.intersection(strip)
            if not part.is_empty:
                labels[part.slices_in(strip)][where[part.slices_in(window)]] = label

    def release(self, row: int) -> Iterator[tuple[Window, NDArray[np.uint32]]]:
        """Hand out the strips that lie wholly above a row, from the top, and let go of them."""
        while self._strips and self._strips[0][0].stop_row <= row:
            yield self._strips.popleft()

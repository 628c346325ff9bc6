"""The labels given out: what each covers, and which of them are one parcel."""

from array import array
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sitsinfer.grid import Window
from sitsinfer.parcels.types import Candidate, Parcels

_SQUARE_MILLIMETRES = 1e6  # of a square metre


class Register:
    """A table of labels that grows, compact in memory, and a forest over it: one tree a parcel.

    Labels are 1, 2, 3 and so on. The root of a tree is its most confident label, the parcel's leader.
    """

    def __init__(self, pixel_areas: NDArray[np.float64]) -> None:
        """Begin with no label.

        Args:
            pixel_areas: Square metres of a pixel of each row of the grid, (H,).
        """
        # Sums of integers do not depend on the order in which things are settled, those of floats would.
        self._areas = np.rint(pixel_areas * _SQUARE_MILLIMETRES).astype(np.int64)
        # Index 0 stands for no label.
        self._confidences = array("d", [0])
        self._rows, self._cols, self._codes, self._parents = (array("q", [0]) for _ in range(4))
        self._pixels, self._square_millimetres = array("q", [0]), array("q", [0])
        self._edges = tuple(array("q", [0]) for _ in range(4))

    def add(self, candidate: Candidate) -> int:
        """Give out a new label for a parcel, as a candidate describes it; it covers nothing yet."""
        label = len(self._parents)
        self._confidences.append(candidate.confidence)
        self._rows.append(candidate.row)
        self._cols.append(candidate.col)
        self._codes.append(candidate.code)
        self._parents.append(label)
        self._pixels.append(0)
        self._square_millimetres.append(0)
        box = candidate.box
        for edges, edge in zip(self._edges, (box.stop_row, box.stop_col, box.row, box.col), strict=True):
            edges.append(edge)  # the far sides, so that the first pixels set them
        return label

    def cover(self, label: int, window: Window, where: NDArray[np.bool_]) -> None:
        """Count more pixels as covered by a label: some of a window, (height, width), at least one."""
        counts = np.count_nonzero(where, axis=1)
        rows, cols = np.flatnonzero(counts), np.flatnonzero(where.any(axis=0))
        self._pixels[label] += int(counts.sum())
        self._square_millimetres[label] += int(counts @ self._areas[window.row : window.stop_row])
        first_row, first_col, stop_row, stop_col = self._edges
        first_row[label] = min(first_row[label], window.row + int(rows[0]))
        first_col[label] = min(first_col[label], window.col + int(cols[0]))
        stop_row[label] = max(stop_row[label], window.row + int(rows[-1]) + 1)
        stop_col[label] = max(stop_col[label], window.col + int(cols[-1]) + 1)

    def unite(self, labels: Sequence[int]) -> int:
        """Make one parcel of some labels, and of all that are one parcel with them.

        Returns:
            The most confident of the ``labels``. It may not be the leader of the parcel.
        """
        leader, *others = sorted({self._root(label) for label in labels}, key=self._rank)
        for other in others:
            self._parents[other] = leader
        return min(labels, key=self._rank)

    def _rank(self, label: int) -> tuple[float, int, int]:
        return -self._confidences[label], self._rows[label], self._cols[label]

    def _root(self, label: int) -> int:
        parents = self._parents
        while parents[label] != label:
            parents[label] = parents[parents[label]]
            label = parents[label]
        return label

    def parcels(self) -> Parcels:
        """The table of parcels, each covering what its labels cover."""
        rows, cols, codes = (np.array(values) for values in (self._rows, self._cols, self._codes))
        roots = self._roots()
        leaders = np.flatnonzero(roots == np.arange(len(roots)))[1:]
        leaders = leaders[np.lexsort((cols[leaders], rows[leaders]))]
        ids = np.zeros(len(roots), np.uint32)
        ids[leaders] = np.arange(1, len(leaders) + 1)
        ids = ids[roots]
        first_row, first_col, stop_row, stop_col = (
            _gather(ufunc, np.array(edges), ids, leaders)
            for ufunc, edges in zip((np.minimum, np.minimum, np.maximum, np.maximum), self._edges, strict=True)
        )
        return Parcels(
            rows=rows[leaders],
            cols=cols[leaders],
            codes=codes[leaders].astype(np.uint8),
            confidences=np.array(self._confidences)[leaders].astype(np.float32),
            pixels=_gather(np.add, np.array(self._pixels), ids, leaders),
            square_metres=_gather(np.add, np.array(self._square_millimetres), ids, leaders) / _SQUARE_MILLIMETRES,
            boxes=np.stack([first_row, first_col, stop_row - first_row, stop_col - first_col], axis=1),
            ids=ids,
        )

    def _roots(self) -> NDArray[np.int64]:
        """The root of every label: each looks at its parent's parent until nothing changes."""
        roots = np.array(self._parents)
        while (roots != roots[roots]).any():
            roots = roots[roots]
        return roots


def _gather(
    ufunc: np.ufunc, values: NDArray[np.int64], ids: NDArray[np.uint32], leaders: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Reduce the values of all labels of each parcel to one, (N,)."""
    gathered = np.insert(values[leaders], 0, 0)
    others = np.setdiff1d(np.arange(1, len(ids)), leaders)
    ufunc.at(gathered, ids[others], values[others])
    return gathered[1:]

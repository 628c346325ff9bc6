"""Which candidates become parcels, where their masks overlap, and which are one parcel: for a whole region.

Candidates are settled one after another, the most confident first, as PaPs does within a patch (V. Sainte Fare Garnot
and L. Landrieu, Panoptic Segmentation of Satellite Image Time Series with Convolutional Temporal Attention Networks,
ICCV 2021, section 3.2). Here the order is that of the whole region, and what several patches see of one parcel is
joined. What becomes of a candidate depends only on those before it that lie at its box, so a region is settled strip
by strip, with the result of settling it at once.
"""

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sitsinfer.grid import Window
from sitsinfer.parcels.agreement import agree
from sitsinfer.parcels.canvas import Canvas
from sitsinfer.parcels.nearby import Nearby
from sitsinfer.parcels.register import Register
from sitsinfer.parcels.types import Candidate, Parcels

Write = Callable[[Window, NDArray[np.uint32]], None]
"""Takes the final labels of a window."""

_SIDES = ndimage.generate_binary_structure(2, 1)  # pixels are connected by their sides, not by corners


@dataclass(frozen=True, eq=False)
class Strip:
    """What one row of tiles found.

    Strips come from the top to the bottom of the grid, without a gap.

    Attributes:
        rows: The rows of the grid that the tiles cover.
        frontier: The box of no candidate of a later strip begins above this row, which may lie anywhere.
        candidates: What was found, in any order, with boxes that hold their centre and may reach beyond the strip.
    """

    rows: range
    frontier: int
    candidates: Iterable[Candidate]


def settle(
    strips: Iterable[Strip],
    shape: tuple[int, int],
    pixel_areas: NDArray[np.float64],
    *,
    min_remain: float,
    write: Write,
) -> Parcels:
    """Settle all candidates of a region, in the order of their rank.

    A candidate looks at the pixels that no candidate before it has, its free pixels:

    - If it agrees with candidates of other patches that were not dropped (see :func:`~.agreement.agree`), it is no new
      parcel. Those of its free pixels that are connected to a parcel it agrees with, by its own free pixels and those
      of such parcels at its box, are added to that parcel; parcels connected in this way, or that touch there, become
      one.
    - Else it is kept as a new parcel if all of its pixels are free, or more than ``min_remain`` of them. It gets the
      largest piece of its free pixels, the first of equals.
    - Else it is dropped.

    So a parcel is one piece. Pixels are connected by their sides, not by corners.

    Held in memory are the labels and candidates of the strips that are not yet final, usually two to four, and some 100
    bytes for each label.

    Args:
        strips: What was found, from top to bottom; taken one at a time.
        shape: Height and width of the grid. What masks show beyond it does not count.
        pixel_areas: Square metres of a pixel of each row, (H,).
        min_remain: Share of a mask that must be free, 0 to 1.
        write: Called once for each strip with its window and its labels, uint32, in order, as soon as they are final.

    Returns:
        The parcels. Labels are numbered as they were given out, which depends on the strips; the ids of parcels do not.
    """
    region = _Region(shape, pixel_areas, min_remain)
    waiting: list[Candidate] = []
    frontier = -sys.maxsize
    for strip in strips:
        region.canvas.extend(strip.rows)
        for candidate in strip.candidates:
            assert candidate.box.row >= frontier, "a candidate begins above the frontier of a strip before"
            waiting += _clip(candidate, Window(0, 0, *shape))
        is_last = strip.rows.stop >= shape[0]
        frontier = sys.maxsize if is_last else min(strip.frontier, strip.rows.stop)
        waiting = _settle_known(waiting, frontier, region)
        # What waits or is to come looks at no row above this one: that of its box, and the one before.
        final = min([frontier, *(candidate.box.row for candidate in waiting)]) - 1
        region.fragments.forget(final)
        for window, labels in region.canvas.release(final):
            write(window, labels)
    return region.register.parcels()


def _clip(candidate: Candidate, grid: Window) -> list[Candidate]:
    """A candidate within the grid, or nothing where it has no pixel there."""
    box = candidate.box.intersection(grid)
    if box.is_empty:
        return []
    mask = candidate.mask[box.slices_in(candidate.box)].copy()  # not to hold all that its tile found
    return [replace(candidate, box=box, mask=mask)] if mask.any() else []


def _settle_known(waiting: list[Candidate], frontier: int, region: "_Region") -> list[Candidate]:
    """Settle, in order of rank, all candidates of which everything before them at their box is known and settled.

    Returns:
        Those that go on waiting: they reach the frontier, or lie at the box of one before them that waits.
    """
    held: Nearby[Candidate] = Nearby()
    still = []
    for candidate in sorted(waiting, key=lambda candidate: candidate.rank):
        reach = candidate.box.expand(1)  # pixels beside its box may connect it to a parcel
        if reach.stop_row > frontier or any(held.find(reach)):
            held.add(candidate.box, candidate)
            still.append(candidate)
        else:
            region.settle(candidate)
    return still


class _Fragment(NamedTuple):
    """A candidate that became a parcel or part of some, and the labels of these."""

    candidate: Candidate
    labels: frozenset[int]


class _Region:
    """What is settled: the pixels painted, the labels given out, and the fragments that others may yet meet."""

    def __init__(self, shape: tuple[int, int], pixel_areas: NDArray[np.float64], min_remain: float) -> None:
        self.canvas = Canvas(shape[1])
        self.register = Register(pixel_areas)
        self.fragments: Nearby[_Fragment] = Nearby()
        self._grid = Window(0, 0, *shape)
        self._min_remain = min_remain

    def settle(self, candidate: Candidate) -> None:
        """Settle a candidate after all those before it."""
        met = self.fragments.find(candidate.box)
        agreed = frozenset().union(*(other.labels for other in met if agree(candidate, other.candidate)))
        if agreed:
            self._join(candidate, agreed)
        else:
            agreed = self._found(candidate)
        if agreed:
            self.fragments.add(candidate.box, _Fragment(candidate, agreed))

    def _join(self, candidate: Candidate, agreed: frozenset[int]) -> None:
        """Add the free pixels of a candidate to the parcels that it agrees with, where they are connected."""
        window = candidate.box.expand(1).intersection(self._grid)
        labels = self.canvas.read(window)
        free = np.zeros(window.shape, np.bool_)
        free[candidate.box.slices_in(window)] = candidate.mask
        free &= labels == 0
        theirs = np.isin(labels, list(agreed))
        components, _ = ndimage.label(free | theirs, _SIDES)
        # Labels decide, not the parcels they belong to by now: those depend on what was settled elsewhere.
        for component in np.unique(components[theirs]):
            inside = components == component
            label = self.register.unite(np.unique(labels[inside & theirs]).tolist())
            if (inside & free).any():
                self._paint(label, window, inside & free)

    def _found(self, candidate: Candidate) -> frozenset[int]:
        """Make a candidate a new parcel, if enough of it is free: its label, or none."""
        free = candidate.mask & (self.canvas.read(candidate.box) == 0)
        total, left = np.count_nonzero(candidate.mask), np.count_nonzero(free)
        if left < total and left / total <= self._min_remain:
            return frozenset()
        label = self.register.add(candidate)
        self._paint(label, candidate.box, _largest_piece(free))
        return frozenset([label])

    def _paint(self, label: int, window: Window, where: NDArray[np.bool_]) -> None:
        self.canvas.paint(window, where, label)
        self.register.cover(label, window, where)


def _largest_piece(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest connected piece of a mask with any pixel; of equals the one whose first pixel comes first."""
    pieces, count = ndimage.label(mask, _SIDES)  # numbered by their first pixels
    if count == 1:
        return mask
    sizes = np.bincount(pieces.ravel())
    largest: NDArray[np.bool_] = pieces == 1 + sizes[1:].argmax()
    return largest

"""Polygons of the parcels of a label layer, read once from top to bottom."""

from collections.abc import Iterator

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from shapely import Polygon

from sitsinfer.grid import Window, whole
from sitsinfer.products import LayerSource
from sitsinfer.products.trace import trace

STRIP = 512
"""Rows that are read at once: whole chunks of our stores."""


def outlines(
    labels: LayerSource, ids: NDArray[np.uint32], boxes: NDArray[np.int64], *, simplify: float | None = None
) -> Iterator[tuple[int, Polygon]]:
    """Outline every parcel of a label layer.

    The layer is read strip by strip. A parcel that goes on in the next strip is kept until its box ends, and is then
    traced as one mask: no polygon depends on where strips or tiles lie. Memory holds one strip, and the boxes of the
    parcels that cross its lower border, a few bytes a pixel: a parcel that reaches across the whole region, as a road
    may, holds all of it.

    Args:
        labels: The label layer, of one band.
        ids: From a label to the id of its parcel; 0 for none.
        boxes: Where parcels 1 to N lie: first row and column, height and width, (N, 4). Each parcel is one 4-connected
            set of pixels that fills its box.
        simplify: By how much a polygon may stray from the edges of pixels, in units of the CRS; None keeps to them.

    Yields:
        Id and valid polygon of each parcel, ordered by the last row of its box, then by id.
    """
    first, stop = boxes[:, 0], boxes[:, 0] + boxes[:, 2]
    kept: dict[int, list[NDArray[np.bool_]]] = {}
    for strip in _strips(whole(labels.grid)):
        numbers = ids[labels.read(strip)[0]]
        ending = np.flatnonzero((strip.row < stop) & (stop <= strip.stop_row))
        for index in ending[np.argsort(stop[ending], kind="stable")].tolist():
            box = Window(*boxes[index].tolist())
            parts = [*kept.pop(index, ()), _part(numbers, strip, box, index + 1)]
            yield index + 1, _outline(np.concatenate(parts), box, labels.grid.affine, simplify)
        for index in np.flatnonzero((first < strip.stop_row) & (stop > strip.stop_row)).tolist():
            box = Window(*boxes[index].tolist())
            kept.setdefault(index, []).append(_part(numbers, strip, box, index + 1))


def _strips(area: Window) -> Iterator[Window]:
    """Cut an area into strips of its full width; the last may be lower."""
    for row in range(area.row, area.stop_row, STRIP):
        yield Window(row, area.col, STRIP, area.width).intersection(area)


def _part(numbers: NDArray[np.uint32], strip: Window, box: Window, number: int) -> NDArray[np.bool_]:
    """The mask of one parcel within a strip, as wide as its box."""
    rows, cols = box.intersection(strip).slices_in(strip)
    return np.asarray(numbers[rows, cols] == number)


def _outline(mask: NDArray[np.bool_], box: Window, affine: Affine, simplify: float | None) -> Polygon:
    """Trace the mask of a box, and leave out vertices where that is asked for."""
    polygon = trace(mask, affine @ Affine.translation(box.col, box.row))
    return polygon if simplify is None else _simplified(polygon, simplify)


def _simplified(polygon: Polygon, tolerance: float) -> Polygon:
    """Leave out vertices; a polygon that would not survive it stays as it is."""
    simple = shapely.simplify(polygon, tolerance, preserve_topology=True)
    return simple if isinstance(simple, Polygon) and simple.is_valid and simple.area > 0 else polygon

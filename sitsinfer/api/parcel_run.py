"""From what tiles found to the parcels of a region: settle, number, outline, paint."""

import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from sitsinfer import weights
from sitsinfer.grid import Lattice, Window
from sitsinfer.layers import Layer
from sitsinfer.parcels.settle import Strip, settle
from sitsinfer.parcels.types import Parcels, unpack
from sitsinfer.products.areas import SQUARE_METRES, pixel_areas
from sitsinfer.products.labelled import Labelled
from sitsinfer.products.outlines import outlines
from sitsinfer.products.parcels import Parcel
from sitsinfer.store import Store
from sitsinfer.tasks.panoptic import Panoptic
from sitsinfer.tasks.patchwork import NODATA


def settled(task: Panoptic, store: Store) -> Parcels:
    """Settle what tiles found, paint the layer ``labels``, and leave out what is not asked for.

    Raises:
        StoreError: If what a tile found cannot be read.
        OutputError: If the store cannot be written.
    """

    def paint(window: Window, labels: NDArray[np.uint32]) -> None:
        store.paint("labels", window, labels[np.newaxis])

    assert task.min_remain is not None, "the task knows its thresholds"
    height, width = task.grid.shape
    parcels = settle(
        _strips(task, store), (height, width), pixel_areas(task.grid), min_remain=task.min_remain, write=paint
    )
    small = parcels.square_metres < task.min_area * SQUARE_METRES
    return parcels.select(~(small | np.isin(parcels.codes, task.void)))


def _strips(task: Panoptic, store: Store) -> Iterator[Strip]:
    """What each row of tiles found, from top to bottom."""
    rows, cols = store.tiles.counts
    for row in range(rows):
        tiles = [store.tiles[row, col] for col in range(cols)]
        core = tiles[0].core
        found = itertools.chain.from_iterable(unpack(content) for tile in tiles if (content := store.found(tile)))
        yield Strip(range(core.row, core.stop_row), task.frontier(core), found)


def outlined(task: Panoptic, store: Store, parcels: Parcels) -> Iterator[Parcel]:
    """The parcels as objects, in the order in which their outlines are whole."""
    names = {entry.code: entry.name for entry in task.card.predicted}
    for number, polygon in outlines(store.source("labels"), parcels.ids, parcels.boxes, simplify=task.simplify):
        index = number - 1
        row, col, code = int(parcels.rows[index]), int(parcels.cols[index]), int(parcels.codes[index])
        x, y = task.grid.affine @ (col + 0.5, row + 0.5)
        yield Parcel(
            id=number,
            identifier=_identifier(task.lattice, row, col),
            code=code,
            class_name=names[code],
            confidence=float(parcels.confidences[index]),
            area_ha=float(parcels.square_metres[index]) / SQUARE_METRES,
            center_x=x,
            center_y=y,
            polygon=polygon,
        )


def _identifier(lattice: Lattice, row: int, col: int) -> str:
    """What a parcel is called whatever tile it was found in: its centre, in pixels from the origin of the CRS."""
    return f"r{lattice.row + row}c{lattice.col + col}"


def painted(name: str, task: Panoptic, store: Store, parcels: Parcels) -> Labelled:
    """A raster of parcels: their numbers (``instances``), or their classes (``classes``)."""
    labels = store.source("labels")
    if name == "instances":
        return Labelled(Layer("instances", "uint32", 0, ("parcel",), identifiers=True), labels, parcels.ids)
    background = next(entry for entry in task.card.classes if entry.code == weights.BACKGROUND)
    legend = (background, *task.card.predicted)
    codes = np.concatenate([[weights.BACKGROUND], parcels.codes]).astype(np.uint8)[parcels.ids]
    return Labelled(
        Layer("classes", "uint8", NODATA, ("class",), classes=legend), labels, codes, store.source("observed")
    )

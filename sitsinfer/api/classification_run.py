"""From what tiles read to the parcels of a layer: join pieces, classify them, and put results beside features."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sitsinfer.products.classified import ClassifiedParcels
from sitsinfer.sets.gather import Classified, PixelSets, Waiting, join, unpack
from sitsinfer.store import Store, make_scratch, writing_to
from sitsinfer.tasks.classify import BATCH, Classify

RESULTS = "results.npy"
"""What the table of results is called, in the store."""


def results(task: Classify, store: Store) -> NDArray[Any]:
    """What became of every parcel of the layer, as a table on disk.

    In memory are the pieces of parcels that cross tiles from the first of these to the last: those on the lower border
    of one row of tiles, at most.

    Returns:
        A row a feature, in their order, of ``probabilities`` (K,), ``pixels`` and ``dates``; all 0 for a parcel that
        could not be classified.

    Raises:
        StoreError: If what a tile found cannot be read.
        OutputError: If the table cannot be written.
    """
    row = np.dtype([("probabilities", "<f4", (len(task.card.predicted),)), ("pixels", "<i4"), ("dates", "<i4")])
    path = make_scratch(store.path) / RESULTS
    with writing_to(path):
        table = np.lib.format.open_memmap(path, mode="w+", dtype=row, shape=(task.layer.count,))
        _take_room(path)
    for some in _classified(task, store):
        for name in ("probabilities", "pixels", "dates"):
            table[name][some.parcels] = getattr(some, name)
    return table


def _take_room(path: Path) -> None:
    """Take the room of a file on its disk: where there is none, writing to memory that is mapped ends the process.

    Raises:
        OSError: If there is not enough.
    """
    allocate = getattr(os, "posix_fallocate", None)  # which macOS lacks
    if allocate is not None:
        with path.open("r+b") as file:
            allocate(file.fileno(), 0, path.stat().st_size)


def _classified(task: Classify, store: Store) -> Iterator[Classified]:
    """What tiles classified, and what is classified of their pieces."""
    waiting = Waiting()
    whole: list[PixelSets] = []
    pixels = 0
    for tile in store.tiles:
        content = store.found(tile)
        if not content:
            continue
        classified, pieces = unpack(content)
        yield classified
        for parcel in waiting.add(pieces, task.index.facts(pieces.parcels).samples):
            whole.append(parcel)
            pixels += len(parcel.ranks)
            if pixels >= BATCH:
                yield task.classified(join(whole))
                whole, pixels = [], 0
    assert not len(waiting), "pieces of parcels are missing, but all tiles are done"
    if whole:
        yield task.classified(join(whole))


def described(task: Classify, table: NDArray[Any], plain: bool = False) -> Iterator[ClassifiedParcels]:
    """The features of the layer with what became of them, some at a time.

    Args:
        task: The task.
        table: What :func:`results` gave.
        plain: Whether to have curves as lines, rings closed and nothing in place of what is no geometry, instead of
            geometries as the layer has them.

    Raises:
        ReadError: If the layer cannot be read.
        SeriesError: If it was changed since the run began.
    """
    for batch in task.layer.batches():
        rows = table[batch.first : batch.first + len(batch)]
        geometries = task.layer.plain(batch) if plain else batch.geometries
        yield ClassifiedParcels(batch.identifiers, geometries, rows["probabilities"], rows["pixels"], rows["dates"])

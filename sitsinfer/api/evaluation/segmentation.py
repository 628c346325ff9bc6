"""``sitsinfer.evaluate_segmentation``: how far a map of classes agrees with a reference."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sitsinfer.api.evaluation.accuracy import Accuracy, NamedClass
from sitsinfer.errors import OutputError
from sitsinfer.metrics.segmentation import confusion_matrix
from sitsinfer.metrics.stratified import Sample
from sitsinfer.products.areas import SQUARE_METRES, pixel_areas
from sitsinfer.products.raster import RasterLayer, open_raster
from sitsinfer.products.windows import windows

CODES = 256
"""Class codes are uint8."""


def evaluate_segmentation(prediction: str | Path, reference: str | Path, *, ignore: Collection[int] = ()) -> Accuracy:
    """Compare a map of classes with a reference, window by window.

    Pixels count that have a class in both. The reference may lie on any grid, and is read by nearest neighbour. It may
    be a sample: areas, and accuracies weighted by them, are estimated for the whole map as
    :func:`~sitsinfer.metrics.stratified.area_weighted` says. Their errors are those of a sample of pixels drawn at
    random, within each class of the map or over all of it; where the reference covers all of the map they are 0.

    Args:
        prediction: Class codes from 0 to 255.
        reference: The true ones.
        ignore: Class codes that do not count, in either map.

    Raises:
        OutputError: If a raster cannot be read or holds no class codes, or the two share no pixel that counts.
    """
    with open_raster(Path(prediction)) as predicted, open_raster(Path(reference), predicted.grid) as truth:
        counts = _compare(predicted, truth, tuple(ignore))
        names = {info.code: info.name for info in (*truth.layer.classes, *predicted.layer.classes)}
    found = np.flatnonzero(counts.matrix.any(axis=1) | (counts.pixels > 0))
    return Accuracy.of(
        tuple(NamedClass(int(code), names.get(int(code), str(code))) for code in found),
        Sample.of_one_size(counts.matrix[np.ix_(found, found)]),
        counts.hectares[found],
        int(counts.pixels.sum()),
    )


@dataclass(frozen=True, eq=False)
class _Counts:
    """What there is of every class code.

    Attributes:
        matrix: Pixels by true and predicted class, (256, 256).
        pixels: Pixels of the map by class, wherever the reference lies, (256,).
        hectares: What these cover, (256,).
    """

    matrix: NDArray[np.int64]
    pixels: NDArray[np.int64]
    hectares: NDArray[np.float64]


def _compare(predicted: RasterLayer, truth: RasterLayer, ignore: tuple[int, ...]) -> _Counts:
    """Count window by window.

    Raises:
        OutputError: If a raster holds no class codes, or the two share no pixel.
    """
    for raster in (predicted, truth):
        if raster.layer.dtype != "uint8":
            raise OutputError(f"{raster.path} holds {raster.layer.dtype} values; expected uint8 class codes.")
    counts = _Counts(np.zeros((CODES, CODES), np.int64), np.zeros(CODES, np.int64), np.zeros(CODES))
    hectares = pixel_areas(predicted.grid) / SQUARE_METRES
    for window in windows(predicted.grid):
        found, right = predicted.read(window)[0], truth.read(window)[0]
        is_mapped = predicted.valid(window) & ~np.isin(found, ignore)
        is_compared = is_mapped & truth.valid(window) & ~np.isin(right, ignore)
        of_row = np.broadcast_to(hectares[window.row : window.stop_row, None], found.shape)
        counts.matrix[:] += confusion_matrix(right[is_compared], found[is_compared], CODES)
        counts.pixels[:] += np.bincount(found[is_mapped], minlength=CODES)
        counts.hectares[:] += np.bincount(found[is_mapped], of_row[is_mapped], minlength=CODES)
    if not counts.matrix.any():
        raise OutputError(f"{predicted.path} and {truth.path} share no pixel that counts. Expected maps of one area.")
    return counts

"""``sitsinfer.evaluate_panoptic``: how far a map of parcels agrees with a reference."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sitsinfer.errors import MetricError, OutputError
from sitsinfer.grid import Grid, Window
from sitsinfer.metrics.objects import ObjectScores, object_scores
from sitsinfer.metrics.overlaps import Overlaps
from sitsinfer.metrics.panoptic import PanopticScores, panoptic_scores
from sitsinfer.products.raster import RasterLayer, open_raster
from sitsinfer.products.windows import windows

NO_VALUE = 255
"""The code of pixels without a class."""


@dataclass(frozen=True, eq=False)
class ParcelScores:
    """How far a map of parcels agrees with a reference.

    Attributes:
        panoptic: Panoptic quality of every class code but background and void.
        outlines: Over- and under-segmentation, whatever the class.
        names: Names of class codes, by the legends of both maps; codes may have none.
    """

    panoptic: PanopticScores
    outlines: ObjectScores
    names: Mapping[int, str]


def evaluate_panoptic(
    predicted_instances: str | Path,
    predicted_classes: str | Path,
    true_instances: str | Path,
    true_classes: str | Path,
    *,
    void: Collection[int] = (),
    background: int = 0,
) -> ParcelScores:
    """Compare a map of parcels with a reference, window by window.

    Rasters are of any integer type that holds ids from 0 to 4294967295, or class codes from 0 to 255; 255 is no class.
    A reference on another grid is read by nearest neighbour. What is true on void, and where the reference has no
    class or ends, is not known. Void is handled as published; what lies beyond the reference is not counted against
    the prediction either (see :func:`~sitsinfer.metrics.panoptic.panoptic_scores`). Where the prediction has no value
    it has no parcel.

    Args:
        predicted_instances: Ids of predicted parcels, 0 for none.
        predicted_classes: Their class codes, on the same grid.
        true_instances: Ids of true parcels, on any grid.
        true_classes: Their class codes, on any grid.
        void: Class codes of the reference that mean that the truth is not known. Unlike the ``void`` of
            :func:`sitsinfer.panoptic` they leave no class out of the prediction.
        background: The class code, in either map, of pixels in no parcel.

    Raises:
        OutputError: If a raster cannot be read, or holds something else.
        MetricError: If the rasters do not fit each other, or a code or an id is out of range.
    """
    unknown = _checked((*void, NO_VALUE), background)
    with (
        _open_parcels(predicted_instances, predicted_classes, (background, NO_VALUE)) as predicted,
        _open_parcels(true_instances, true_classes, (background,), predicted.classes.grid) as truth,
    ):
        _check_same_grid(predicted)
        overlaps = _compare(predicted, truth, unknown)
        _check_classes(overlaps, truth, unknown)
        legends = predicted.classes.layer.classes, truth.classes.layer.classes
    codes = [code for code in range(NO_VALUE) if code not in (background, *unknown)]
    names = {info.code: info.name for legend in legends for info in legend}
    return ParcelScores(panoptic_scores(overlaps, codes, unknown), object_scores(overlaps, unknown), names)


@dataclass(frozen=True)
class _ParcelMap:
    """Open rasters of ids and of classes, on one grid.

    Attributes:
        instances: Ids, 0 for no parcel.
        classes: Class codes.
        no_parcel: Codes of pixels that are in no parcel, whatever their id.
    """

    instances: RasterLayer
    classes: RasterLayer
    no_parcel: tuple[int, ...]

    def read(self, window: Window) -> tuple[NDArray[Any], NDArray[Any]]:
        """Read ids, 0 where there is no parcel, and codes, 255 where there is no class; (height, width) each."""
        # Typed, because 255 does not fit int8 but class codes of that type are welcome.
        codes = np.where(self.classes.valid(window), self.classes.read(window)[0], np.uint8(NO_VALUE))
        is_parcel = self.instances.valid(window) & ~np.isin(codes, self.no_parcel)
        return np.where(is_parcel, self.instances.read(window)[0], 0), codes


@contextmanager
def _open_parcels(
    instances: str | Path, classes: str | Path, no_parcel: tuple[int, ...], grid: Grid | None = None
) -> Iterator[_ParcelMap]:
    """Open ids and classes.

    Raises:
        OutputError: If one cannot be opened, or holds something else.
    """
    with open_raster(Path(instances), grid) as ids, open_raster(Path(classes), grid) as codes:
        for raster, what in ((ids, "ids"), (codes, "class codes")):
            if np.dtype(raster.layer.dtype).kind not in "iu":
                raise OutputError(f"{raster.path} holds {raster.layer.dtype} values; expected {what}: integers.")
        yield _ParcelMap(ids, codes, no_parcel)


def _checked(void: tuple[int, ...], background: int) -> tuple[int, ...]:
    """Void codes, once it is clear that codes are codes.

    Raises:
        MetricError: If one is out of range.
    """
    for option, codes in (("void", void), ("background", (background,))):
        for code in codes:
            if not 0 <= code <= NO_VALUE:
                raise MetricError(f"Class code {code} of {option} is out of range; expected 0 to {NO_VALUE}.")
    return void


def _check_same_grid(parcels: _ParcelMap) -> None:
    """Refuse ids and classes that lie on different pixels.

    Raises:
        MetricError: If they do.
    """
    if parcels.instances.grid != parcels.classes.grid:
        raise MetricError(
            f"{parcels.instances.path} and {parcels.classes.path} lie on different grids. "
            "Expected ids and classes of the same pixels, as one run writes them."
        )


def _compare(predicted: _ParcelMap, truth: _ParcelMap, void: Collection[int]) -> Overlaps:
    """Count shared pixels window by window.

    Raises:
        MetricError: If nothing is known of any pixel, there is no true parcel, or an id or a code is out of range.
    """
    overlaps = Overlaps.merge(
        Overlaps.of(*truth.read(window), *predicted.read(window)) for window in windows(predicted.classes.grid)
    )
    is_known = ~np.isin(overlaps.true_classes, list(void))
    if not is_known.any():
        raise MetricError(
            f"{predicted.classes.path} and {truth.classes.path} share no pixel that counts. Expected maps of one area."
        )
    if not (overlaps.true_instances[is_known] > 0).any():
        raise MetricError(
            f"{truth.instances.path} has no parcel of a known class where {predicted.instances.path} lies. "
            "Expected ids from 1 for parcels, and their classes in the other reference."
        )
    return overlaps


def _check_classes(overlaps: Overlaps, truth: _ParcelMap, void: Collection[int]) -> None:
    """Refuse predicted parcels whose class codes are not those of the reference.

    None may be missing from its legend. Without one, true parcels need not be of every class that there is: it is
    enough that the two share a code.

    Raises:
        MetricError: If there are such.
    """
    found = _codes(overlaps.pred_classes[overlaps.pred_instances > 0]) - {*void}
    legend = {info.code for info in truth.classes.layer.classes}
    known = legend or _codes(overlaps.true_classes[overlaps.true_instances > 0]) - {*void}
    foreign = found - known
    if foreign and (legend or foreign == found):
        raise MetricError(
            f"Parcels of class {_listed(foreign)} are predicted, but {truth.classes.path} has classes "
            f"{_listed(known)}. Compare maps with the same class codes."
        )


def _codes(classes: NDArray[np.uint64]) -> set[int]:
    return set(np.unique(classes).tolist())


def _listed(codes: Collection[int]) -> str:
    return ", ".join(map(str, sorted(codes)))

"""What the parcels of a crop teach a panoptic network: centres, boxes, masks and classes.

V. Sainte Fare Garnot and L. Landrieu, "Panoptic Segmentation of Satellite Image Time Series with Convolutional Temporal
Attention Networks", ICCV 2021, section 3.3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sitsinfer.series.labels import UNLABELLED

NOBODY = -1
"""Marks pixels of no parcel."""

_SLIVER = 9  # pixels; what shows less of itself than this cannot be known for what it is
SPREAD = 1 / 20
"""Standard deviation of a centre in the heatmap of the paper, as a share of the parcel's height and width."""


@dataclass(frozen=True, eq=False)
class Targets:
    """The N parcels of a crop of H x W pixels, as far as they show, in the order of their ids.

    Parcels cut by the border of the crop are parcels of what shows of them. Those of no class, and slivers, are void:
    they are not among the N, and teach nothing.

    Attributes:
        boxes: First row and column, height and width, (N, 4), int64.
        codes: Class codes, (N,), uint8.
        owners: The parcel that each pixel belongs to, 0 to N - 1 or ``NOBODY``, (H, W), int64.
        zones: The parcel nearest to each pixel, where its centre is searched; ``NOBODY`` where a void parcel is the
            nearest, or there is none, (H, W), int64.
        heatmap: 1 at the centre of each box, falling off around it as a Gaussian, (H, W), float32.
        counted: False where centres are unknown: without a label, and in void parcels, (H, W), bool.
    """

    boxes: NDArray[np.int64]
    codes: NDArray[np.uint8]
    owners: NDArray[np.int64]
    zones: NDArray[np.int64]
    heatmap: NDArray[np.float32]
    counted: NDArray[np.bool_]

    def __len__(self) -> int:
        """How many parcels there are."""
        return len(self.boxes)

    @property
    def centres(self) -> NDArray[np.int64]:
        """Row and column of the centre of each box, (N, 2)."""
        return self.boxes[:, :2] + self.boxes[:, 2:] // 2


def find_targets(labels: NDArray[np.uint8], parcels: NDArray[np.uint32], spread: float = SPREAD) -> Targets:
    """Find what the parcels of a crop teach.

    Args:
        labels: Class codes, (H, W), the same all over a parcel; ``UNLABELLED`` where there is none.
        parcels: Parcel ids, (H, W), 0 where there is none.
        spread: Standard deviation of a centre in the heatmap, as a share of the parcel's height and width.
    """
    dense, numbers, codes = _number(labels, parcels)
    owners = numbers[dense]
    boxes = _boxes(owners)
    return Targets(
        boxes=boxes,
        codes=codes,
        owners=owners,
        zones=numbers[_spread(dense, parcels > 0)],
        heatmap=_heatmap(boxes, parcels.shape, spread),
        counted=~_void(labels, parcels, owners),
    )


def find_void(labels: NDArray[np.uint8], parcels: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Where parcels are unknown: without a label, and in void parcels, (H, W); see :func:`find_targets`."""
    dense, numbers, _ = _number(labels, parcels)
    return _void(labels, parcels, numbers[dense])


def _number(
    labels: NDArray[np.uint8], parcels: NDArray[np.uint32]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]:
    """Number the parcels that teach.

    Returns:
        Ids from 0 on without gaps, (H, W); the number of each of these or ``NOBODY``; and the codes of the numbers.
    """
    ids, first, dense, pixels = np.unique(parcels, return_index=True, return_inverse=True, return_counts=True)
    codes = labels.ravel()[first]
    taught = (ids > 0) & (codes != UNLABELLED) & (pixels >= _SLIVER)
    numbers = np.where(taught, np.cumsum(taught) - 1, NOBODY)
    return dense.reshape(parcels.shape), numbers, codes[taught]


def _void(labels: NDArray[np.uint8], parcels: NDArray[np.uint32], owners: NDArray[np.int64]) -> NDArray[np.bool_]:
    void: NDArray[np.bool_] = (labels == UNLABELLED) | ((parcels > 0) & (owners == NOBODY))
    return void


def _boxes(owners: NDArray[np.int64]) -> NDArray[np.int64]:
    found = [(rows, cols) for rows, cols in ndimage.find_objects(owners + 1)]
    boxes = [(rows.start, cols.start, rows.stop - rows.start, cols.stop - cols.start) for rows, cols in found]
    return np.array(boxes, np.int64).reshape(-1, 4)


def _spread(values: NDArray[np.int64], known: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Give every pixel the value of the nearest one that is known."""
    if not known.any():
        return values
    nearest = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    spread: NDArray[np.int64] = values[tuple(nearest)]
    return spread


def _heatmap(boxes: NDArray[np.int64], shape: tuple[int, ...], spread: float) -> NDArray[np.float32]:
    """The highest of the Gaussians of all centres."""
    heatmap = np.zeros(shape, np.float32)
    falls = []
    for axis, length in enumerate(shape):
        start, size = boxes[:, axis, None], boxes[:, axis + 2, None]
        offset = (np.arange(length) - (start + size // 2)) / (spread * size)
        falls.append(np.exp(-0.5 * offset**2).astype(np.float32))
    for down, across in zip(*falls, strict=True):
        np.maximum(heatmap, np.outer(down, across), out=heatmap)
    return heatmap

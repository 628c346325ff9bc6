"""How well parcels are outlined, whatever their class: over- and under-segmentation, object by object.

After N. Clinton et al. (Accuracy assessment measures for object-based image segmentation goodness, 2010) and
C. Persello and L. Bruzzone (A novel protocol for accuracy assessment in classification of very high resolution images,
2010): each reference parcel is compared with the predicted one that shares most of it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sitsinfer.metrics.overlaps import Overlaps, totals

FOUND = 0.5
"""A reference parcel is found where the intersection over union is greater."""


@dataclass(frozen=True)
class Means:
    """Means over reference parcels, as fractions; NaN where there are none.

    Attributes:
        by_parcel: Every parcel weighs the same.
        by_area: Every pixel of a parcel does.
    """

    by_parcel: float
    by_area: float


@dataclass(frozen=True)
class ObjectScores:
    """How reference parcels are outlined.

    Attributes:
        parcels: Reference parcels.
        touched: Those that share a pixel with a predicted one; the means are over these.
        found: Those that one predicted parcel covers with an intersection over union of more than 1/2.
        oversegmentation: What of a reference parcel lies outside its predicted one: 0 where that holds all of it,
            towards 1 as it is cut up.
        undersegmentation: What of the predicted parcel lies outside the reference: 0 where it holds nothing else,
            towards 1 as it swallows the neighbours.
    """

    parcels: int
    touched: int
    found: int
    oversegmentation: Means
    undersegmentation: Means


def object_scores(overlaps: Overlaps, void: Collection[int] = ()) -> ObjectScores:
    """Compare each reference parcel with the predicted one that shares most of it.

    Of two that share as much the smaller one is taken. Classes do not matter, but that pixels of void do not count.

    Args:
        overlaps: Pixels that true and predicted segments share.
        void: Class codes of pixels whose truth is not known.
    """
    known = ~np.isin(overlaps.true_classes, list(void))
    true, predicted, pixels = overlaps.true_instances[known], overlaps.pred_instances[known], overlaps.pixels[known]
    areas, found_areas = totals(true, pixels), totals(predicted, pixels)
    shared = totals(true << np.uint64(32) | predicted, pixels)  # over the classes that they have
    both = np.flatnonzero((true > 0) & (predicted > 0))
    order = both[np.lexsort((found_areas[both], -shared[both], true[both]))]
    _, first = np.unique(true[order], return_index=True)
    best = order[first]
    inside, area, found_area = shared[best], areas[best], found_areas[best]
    return ObjectScores(
        parcels=np.unique(true[true > 0]).size,
        touched=best.size,
        found=int((inside / (area + found_area - inside) > FOUND).sum()),
        oversegmentation=_means(1 - inside / area, area),
        undersegmentation=_means(1 - inside / found_area, area),
    )


def _means(values: NDArray[np.float64], areas: NDArray[np.int64]) -> Means:
    if not values.size:
        return Means(float("nan"), float("nan"))
    return Means(float(values.mean()), float(np.average(values, weights=areas)))

"""How well parcels are found, outlined and recognised: panoptic quality.

Segmentation, recognition and panoptic quality (SQ, RQ, PQ) as V. Sainte Fare Garnot and L. Landrieu (Panoptic
segmentation of satellite image time series with convolutional temporal attention networks, ICCV 2021) compute them,
after A. Kirillov et al. (Panoptic segmentation, CVPR 2019).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sitsinfer.errors import MetricError
from sitsinfer.metrics.overlaps import CODES, Overlaps, totals

MATCH = 0.5
"""Segments match whose intersection over union is greater; above one half no segment has two matches."""


@dataclass(frozen=True, eq=False)
class PanopticScores:
    """Scores of segments, as fractions; of a class (K,). Scores of several images add up.

    Attributes:
        classes: Codes of the K classes that are scored.
        matched: True segments that a predicted one of their class matches, int64.
        spurious: Predicted segments without a match, int64.
        missed: True segments without a match, int64.
        iou: Sum of the intersections over union of the matches, float64.
    """

    classes: tuple[int, ...]
    matched: NDArray[np.int64]
    spurious: NDArray[np.int64]
    missed: NDArray[np.int64]
    iou: NDArray[np.float64]

    def __add__(self, other: Self) -> Self:
        """Count another image as well.

        Raises:
            MetricError: If other classes are scored there.
        """
        if self.classes != other.classes:
            raise MetricError(f"Scores are of classes {self.classes} and {other.classes}. Add scores of equal classes.")
        return type(self)(
            self.classes,
            self.matched + other.matched,
            self.spurious + other.spurious,
            self.missed + other.missed,
            self.iou + other.iou,
        )

    @property
    def true(self) -> NDArray[np.int64]:
        """True segments of each class."""
        return self.matched + self.missed

    @property
    def predicted(self) -> NDArray[np.int64]:
        """Predicted segments of each class."""
        return self.matched + self.spurious

    @property
    def sq(self) -> NDArray[np.float64]:
        """Segmentation quality of each class: mean intersection over union of its matches; 0 where there are none."""
        return self.iou / np.maximum(self.matched, 1)

    @property
    def rq(self) -> NDArray[np.float64]:
        """Recognition quality of each class: F1 score of its segments; NaN for a class that is in neither map."""
        with np.errstate(invalid="ignore"):
            return np.asarray(self.matched / (self.matched + self.spurious / 2 + self.missed / 2))

    @property
    def pq(self) -> NDArray[np.float64]:
        """Panoptic quality of each class, SQ times RQ; NaN for a class that is in neither map."""
        return self.sq * self.rq

    @property
    def mean_sq(self) -> float:
        """Mean segmentation quality of the classes that occur; NaN where none does."""
        return self._mean(self.sq)

    @property
    def mean_rq(self) -> float:
        """Mean recognition quality of the classes that occur; NaN where none does."""
        return self._mean(self.rq)

    @property
    def mean_pq(self) -> float:
        """Mean panoptic quality of the classes that occur; NaN where none does."""
        return self._mean(self.pq)

    def _mean(self, values: NDArray[np.float64]) -> float:
        occurs = ~np.isnan(self.pq)
        return float(values[occurs].mean()) if occurs.any() else float("nan")


def panoptic_scores(
    overlaps: Overlaps, classes: Collection[int], void: Collection[int] = (), *, as_published: bool = False
) -> PanopticScores:
    """Score the parcels of one image.

    A predicted segment matches a true one of its class if their intersection over union is greater than 1/2. An
    instance of several classes is a segment of each.

    What is true where the class is void is not known. As published, a prediction that matches a void instance, of
    whatever class, is left out, and of the others the pixels on void are. Void in no instance is what lies beyond a
    reference that covers a part of the map: a prediction that matches nothing and has most of its pixels there is left
    out too, after Kirillov et al.

    Args:
        overlaps: Pixels that true and predicted segments share.
        classes: Codes to score: without those of background and void.
        void: Codes of pixels whose truth is not known.
        as_published: Count segments as the published code does: those beyond the reference as any other, and of a
            class that covers the image without a gap one too few.

    Returns:
        Scores of this image, in the order of ``classes``.
    """
    known = replace(overlaps, predicted=np.where(_is_erased(overlaps, void), 0, overlaps.predicted))
    unions = totals(known.truth, known.pixels) + totals(known.predicted, known.pixels) - known.pixels
    iou = known.pixels / unions
    matches = (known.true_instances > 0) & (known.pred_instances > 0) & (known.true_classes == known.pred_classes)
    matches &= iou > MATCH
    matched = _per_class(known.true_classes[matches])
    if as_published:
        true = _count(known.truth) - _covers(known.truth, known.pixels)
        predicted = _count(known.predicted) - _covers(known.predicted, known.pixels)
    else:
        beyond = ~np.isin(known.predicted, known.predicted[matches]) & _is_beyond(overlaps, void)
        true, predicted = _count(known.truth), _count(known.predicted[~beyond])
    chosen = list(classes)
    return PanopticScores(
        tuple(chosen),
        matched[chosen],
        (predicted - matched)[chosen],
        (true - matched)[chosen],
        _per_class(known.true_classes[matches], iou[matches])[chosen],
    )


def _is_erased(overlaps: Overlaps, void: Collection[int]) -> NDArray[np.bool_]:
    """Where a prediction does not count: on void, and all of an instance that matches an instance of void, (N,)."""
    on_void = _is_void(overlaps, void)
    instances, pixels = overlaps.pred_instances, overlaps.pixels
    rows = on_void & (overlaps.true_instances > 0)
    pairs = (overlaps.true_instances << np.uint64(32) | instances)[rows]
    shared = totals(pairs, pixels[rows])
    unions = totals(overlaps.true_instances[rows], pixels[rows]) + totals(instances, pixels)[rows] - shared
    matches = instances[rows][shared / unions > MATCH]
    return on_void | np.isin(instances, matches)


def _is_beyond(overlaps: Overlaps, void: Collection[int]) -> NDArray[np.bool_]:
    """Whether most pixels of a predicted segment lie on void in no instance, (N,)."""
    nowhere = _is_void(overlaps, void) & (overlaps.true_instances == 0)
    shared = totals(overlaps.predicted, np.where(nowhere, overlaps.pixels, 0))
    return shared > totals(overlaps.predicted, overlaps.pixels) * MATCH


def _is_void(overlaps: Overlaps, void: Collection[int]) -> NDArray[np.bool_]:
    return np.isin(overlaps.true_classes, list(void))


def _count(segments: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Count the segments of each class, (256,)."""
    return _per_class(np.unique(segments[segments >= CODES]) % np.uint64(CODES))


def _covers(segments: NDArray[np.uint64], pixels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether every pixel of an image belongs to a segment of each class, (256,)."""
    is_parcel = segments >= CODES
    covered = _per_class(segments[is_parcel] % np.uint64(CODES), pixels[is_parcel])
    return np.asarray(covered == pixels.sum())


def _per_class(classes: NDArray[np.uint64], weights: NDArray[Any] | None = None) -> NDArray[Any]:
    """Count rows of each class, or add up their weights, (256,)."""
    return np.bincount(classes.astype(np.intp), weights, minlength=CODES)

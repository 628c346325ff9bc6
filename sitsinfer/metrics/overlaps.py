"""How many pixels the parcels of two maps share: what all scores of parcels are computed from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sitsinfer.errors import MetricError

CODES = 256
"""Class codes are uint8."""

_IDS = 1 << 32


@dataclass(frozen=True, eq=False)
class Overlaps:
    """A sparse joint histogram of the pixels of one image, (N,) each: true and predicted segments, and what they share.

    A segment is what one instance has of one class, as a number: ``instance * 256 + class``. Instance 0 is none, so
    that numbers below 256 are no parcel. No pair of segments occurs twice.

    Attributes:
        truth: True segments.
        predicted: Predicted segments.
        pixels: How many pixels are of both; at least one.
    """

    truth: NDArray[np.uint64]
    predicted: NDArray[np.uint64]
    pixels: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        true_instance: NDArray[Any],
        true_semantic: NDArray[Any],
        pred_instance: NDArray[Any],
        pred_semantic: NDArray[Any],
    ) -> Self:
        """Count the pixels of an image, or of a window of one; windows add up by :meth:`merge`.

        Args:
            true_instance: Ids of true parcels, 0 for none: integers that fit uint32, of any shape.
            true_semantic: True class codes, 0 to 255, of that shape.
            pred_instance: Ids of predicted parcels, likewise. They need not agree with the true ones.
            pred_semantic: Predicted class codes, likewise.

        Raises:
            MetricError: If the shapes differ, or an id or a code is out of range.
        """
        shapes = [values.shape for values in (true_instance, true_semantic, pred_instance, pred_semantic)]
        if len(set(shapes)) > 1:
            raise MetricError(f"Instances and classes have shapes {shapes}. Compare equal windows.")
        truth = _segments("Truth", true_instance, true_semantic)
        predicted = _segments("Prediction", pred_instance, pred_semantic)
        # Runs along a row are far fewer than pixels, and quick to find: only they have to be sorted.
        starts = _starts(truth, predicted)
        return cls._sum(truth[starts], predicted[starts], np.diff(starts, append=truth.size))

    @classmethod
    def merge(cls, windows: Iterable[Self]) -> Self:
        """Add up the windows of one image, in any order; parcels may lie in several.

        Memory grows with the pairs of parcels that overlap, not with the pixels.
        """
        whole = cls._concatenate([])
        waiting: list[Self] = []
        for window in windows:
            waiting.append(window)
            # Sorting all that is known for every window would take time with the square of their number.
            if sum(len(part) for part in waiting) > len(whole):
                whole, waiting = cls._concatenate([whole, *waiting]), []
        return cls._concatenate([whole, *waiting])

    def __len__(self) -> int:
        """How many pairs of segments overlap."""
        return len(self.pixels)

    @property
    def true_instances(self) -> NDArray[np.uint64]:
        """Ids of the true parcels, 0 for none, (N,)."""
        return self.truth // np.uint64(CODES)

    @property
    def true_classes(self) -> NDArray[np.uint64]:
        """Class codes of the true segments, (N,)."""
        return self.truth % np.uint64(CODES)

    @property
    def pred_instances(self) -> NDArray[np.uint64]:
        """Ids of the predicted parcels, 0 for none, (N,)."""
        return self.predicted // np.uint64(CODES)

    @property
    def pred_classes(self) -> NDArray[np.uint64]:
        """Class codes of the predicted segments, (N,)."""
        return self.predicted % np.uint64(CODES)

    @classmethod
    def _concatenate(cls, parts: list[Self]) -> Self:
        return cls._sum(
            np.concatenate([np.zeros(0, np.uint64), *(part.truth for part in parts)]),
            np.concatenate([np.zeros(0, np.uint64), *(part.predicted for part in parts)]),
            np.concatenate([np.zeros(0, np.int64), *(part.pixels for part in parts)]),
        )

    @classmethod
    def _sum(cls, truth: NDArray[np.uint64], predicted: NDArray[np.uint64], pixels: NDArray[np.int64]) -> Self:
        """Add up the pixels of equal pairs."""
        order = np.lexsort((predicted, truth))
        truth, predicted = truth[order], predicted[order]
        starts = _starts(truth, predicted)
        return cls(truth[starts], predicted[starts], np.add.reduceat(pixels[order], starts))


def totals(keys: NDArray[np.uint64], pixels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Add up the pixels of equal keys, and give each row the sum of its key, (N,)."""
    _, inverse = np.unique(keys, return_inverse=True)
    return np.bincount(inverse, weights=pixels).astype(np.int64)[inverse]


def _segments(name: str, instance: NDArray[Any], semantic: NDArray[Any]) -> NDArray[np.uint64]:
    """Number the segment of each pixel, (pixels,)."""
    for kind, values, limit in (("ids", instance, _IDS), ("classes", semantic, CODES)):
        if values.size and not 0 <= int(values.min()) <= int(values.max()) < limit:
            raise MetricError(
                f"{name} holds {kind} {values.min()} to {values.max()}, expected 0 to {limit - 1}. "
                "Renumber them, or set what has no value to 0."
            )
    return instance.ravel().astype(np.uint64) * np.uint64(CODES) + semantic.ravel().astype(np.uint64)


def _starts(truth: NDArray[np.uint64], predicted: NDArray[np.uint64]) -> NDArray[np.intp]:
    """Where runs of equal pairs begin."""
    changes = np.ones(truth.size, np.bool_)
    changes[1:] = (truth[1:] != truth[:-1]) | (predicted[1:] != predicted[:-1])
    return np.flatnonzero(changes)

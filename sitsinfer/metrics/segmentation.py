"""How far a map of classes agrees with the truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sitsinfer.errors import MetricError


def confusion_matrix(truth: NDArray[Any], predicted: NDArray[Any], num_classes: int) -> NDArray[np.int64]:
    """Count pixels by true and predicted class.

    Matrices of several windows add up to that of all of them.

    Args:
        truth: True classes, integers from 0 to ``num_classes - 1``, of any shape.
        predicted: Predicted classes, alike. Leave pixels without a value out of both.
        num_classes: Classes.

    Returns:
        Pixels, (K, K): a row a true class, a column a predicted class.

    Raises:
        MetricError: If the shapes differ, or a class is out of range.
    """
    if truth.shape != predicted.shape:
        raise MetricError(f"Truth has shape {truth.shape} and prediction {predicted.shape}. Compare equal windows.")
    for name, classes in (("Truth", truth), ("Prediction", predicted)):
        if classes.size and not 0 <= int(classes.min()) <= int(classes.max()) < num_classes:
            raise MetricError(
                f"{name} holds classes {classes.min()} to {classes.max()}, expected 0 to {num_classes - 1}. "
                "Leave out pixels without a class, or set the number of classes."
            )
    pairs = truth.ravel().astype(np.int64) * num_classes + predicted.ravel()
    return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def ignore_class(matrix: NDArray[np.int64], index: int) -> NDArray[np.int64]:
    """Leave a class out of a confusion matrix: its pixels, and those predicted as it.

    Args:
        matrix: Pixels, (K, K).
        index: The class; negative ones count from the end, so that -1 is the last one.

    Returns:
        The matrix with that row and that column 0.
    """
    kept = matrix.copy()
    kept[index, :] = 0
    kept[:, index] = 0
    return kept


@dataclass(frozen=True)
class Averages:
    """Scores of all classes together, as fractions."""

    iou: float
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, eq=False)
class SegmentationScores:
    """Scores of a confusion matrix, as fractions; of a class (K,), NaN where they are undefined.

    Attributes:
        matrix: Pixels, parcels or hectares, (K, K): a row a true class, a column a predicted class.
    """

    matrix: NDArray[Any]

    @property
    def iou(self) -> NDArray[np.float64]:
        """Intersection over union of each class; NaN for a class that is in neither map."""
        return _ratio(self._hits, self._true + self._predicted - self._hits)

    @property
    def precision(self) -> NDArray[np.float64]:
        """Of the pixels predicted as each class, how many are right."""
        return _ratio(self._hits, self._predicted)

    @property
    def recall(self) -> NDArray[np.float64]:
        """Of the pixels of each class, how many are found."""
        return _ratio(self._hits, self._true)

    @property
    def f1(self) -> NDArray[np.float64]:
        """Harmonic mean of precision and recall of each class."""
        return _ratio(2 * self._hits, self._true + self._predicted)

    @property
    def mean_iou(self) -> float:
        """Mean intersection over union of the classes that occur; NaN where none does."""
        return _mean(self.iou)

    @property
    def overall_accuracy(self) -> float:
        """Of all pixels, how many are right; NaN where there are none."""
        return float(_ratio(self._hits.sum(), self.matrix.sum()))

    @property
    def macro(self) -> Averages:
        """Means over the classes where a score is defined: every class weighs the same."""
        return Averages(_mean(self.iou), _mean(self.precision), _mean(self.recall), _mean(self.f1))

    @property
    def micro(self) -> Averages:
        """Scores of the pixels of all classes counted together: every pixel weighs the same."""
        hits, pixels = self._hits.sum(), self.matrix.sum()
        accuracy = self.overall_accuracy  # a miss of one class is a false alarm of another, so that these agree
        return Averages(float(_ratio(hits, 2 * pixels - hits)), accuracy, accuracy, accuracy)

    @property
    def _hits(self) -> NDArray[Any]:
        return np.diagonal(self.matrix)

    @property
    def _true(self) -> NDArray[Any]:
        return np.asarray(self.matrix.sum(axis=1))

    @property
    def _predicted(self) -> NDArray[Any]:
        return np.asarray(self.matrix.sum(axis=0))


def _ratio(part: Any, whole: Any) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore"):
        return np.asarray(np.true_divide(part, whole))


def _mean(values: NDArray[np.float64]) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float("nan")

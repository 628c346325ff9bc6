"""How well scores tell what is there from what is not, counted so that images add up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sitsinfer.errors import MetricError

LEVELS = 10_000
"""Steps between score 0 and score 1 that are told apart: more than scores in integers of 8 bits have."""


@dataclass(frozen=True, eq=False)
class ScoreCounts:
    """How many pixels have each score, (10 001,) each: from 0 to 1 in steps of 1 / 10 000.

    Attributes:
        positive: Pixels where the thing is, int64.
        negative: Pixels where it is not, int64.
    """

    positive: NDArray[np.int64]
    negative: NDArray[np.int64]

    @classmethod
    def of(cls, scores: NDArray[Any], truth: NDArray[np.bool_]) -> Self:
        """Count the pixels of an image, or of a window of one.

        Args:
            scores: From 0 to 1, of any shape. Leave pixels without one out.
            truth: Whether the thing is there, of that shape.

        Raises:
            MetricError: If the shapes differ, or a score is out of range.
        """
        if scores.shape != truth.shape:
            raise MetricError(f"Scores have shape {scores.shape} and truth {truth.shape}. Compare equal windows.")
        if scores.size and not 0 <= scores.min() <= scores.max() <= 1:
            raise MetricError(f"Scores are {scores.min():g} to {scores.max():g}. Expected 0 to 1; set their scale.")
        levels = np.rint(scores.astype(np.float64) * LEVELS).astype(np.int64)
        positive, negative = (np.bincount(levels[chosen], minlength=LEVELS + 1) for chosen in (truth, ~truth))
        return cls(positive, negative)

    @classmethod
    def none(cls) -> Self:
        """No pixel at all, to add others to."""
        return cls(np.zeros(LEVELS + 1, np.int64), np.zeros(LEVELS + 1, np.int64))

    def __add__(self, other: Self) -> Self:
        """Count other pixels as well."""
        return type(self)(self.positive + other.positive, self.negative + other.negative)

    @property
    def pixels(self) -> int:
        """How many pixels there are."""
        return int(self.positive.sum() + self.negative.sum())

    @property
    def share(self) -> float:
        """The share of pixels where the thing is; NaN where there are no pixels."""
        return _ratio(self.positive.sum(), self.pixels)

    @property
    def auc(self) -> float:
        """Area under the curve of true over false positives (ROC).

        That is how often a pixel where the thing is scores higher than one where it is not, ties counting half: 1/2
        where scores tell nothing. NaN where it is everywhere or nowhere.
        """
        lower = np.cumsum(self.negative) - self.negative / 2
        pairs = float(self.positive.sum()) * float(self.negative.sum())  # of a country, more than integers hold
        return _ratio(float(self.positive @ lower), pairs)

    def precision(self, threshold: float) -> float:
        """Of the pixels that score at least a threshold, how many have the thing; NaN where none does."""
        found = self._found(threshold)
        return _ratio(found, found + self.negative[_level(threshold) :].sum())

    def recall(self, threshold: float) -> float:
        """Of the pixels that have the thing, how many score at least a threshold; NaN where it is nowhere."""
        return _ratio(self._found(threshold), self.positive.sum())

    def _found(self, threshold: float) -> int:
        return int(self.positive[_level(threshold) :].sum())


def _level(threshold: float) -> int:
    return round(threshold * LEVELS)


def _ratio(part: float, whole: float) -> float:
    return float(part) / float(whole) if whole else float("nan")

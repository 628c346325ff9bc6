"""How far classes agree with a reference, be they of pixels or of parcels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sitsinfer.metrics.segmentation import SegmentationScores
from sitsinfer.metrics.stratified import AreaWeighted, Sample, area_weighted


@dataclass(frozen=True)
class NamedClass:
    """A class of a map, of its reference, or of both.

    Attributes:
        code: Its code; None for one that the reference names and the map never gives.
        name: What a person calls it.
    """

    code: int | None
    name: str


@dataclass(frozen=True, eq=False)
class Accuracy:
    """How far the K classes of a map agree with a reference.

    Attributes:
        classes: The classes that either has, (K,).
        scores: Of what has a class in both: the confusion matrix, and what follows from it.
        mapped: Hectares that the map gives to each class, all over it, (K,).
        coverage: Of the pixels or parcels of the map, how many have a reference, as a fraction.
        weighted: Accuracies weighted by area, and areas in hectares, as estimated from the reference.
    """

    classes: tuple[NamedClass, ...]
    scores: SegmentationScores
    mapped: NDArray[np.float64]
    coverage: float
    weighted: AreaWeighted

    @classmethod
    def of(
        cls, classes: tuple[NamedClass, ...], sample: Sample, mapped: NDArray[np.float64], population: int
    ) -> Accuracy:
        """Score a sample of a map.

        Args:
            classes: The K classes.
            sample: What has a class in both, (K, K).
            mapped: Hectares of each class of the map, (K,).
            population: Pixels or parcels of the map.
        """
        count = int(sample.units.sum())
        weighted = area_weighted(sample, mapped, complete=count == population)
        return cls(classes, SegmentationScores(sample.units), mapped, count / population, weighted)

    @property
    def is_complete(self) -> bool:
        """Whether all of the map has a reference, so that nothing is estimated."""
        return self.coverage == 1

    @property
    def occurring(self) -> list[int]:
        """Where among the classes those are that occur in what was compared."""
        matrix = self.scores.matrix
        return np.flatnonzero(matrix.any(axis=0) | matrix.any(axis=1)).tolist()

    @property
    def unsampled(self) -> list[int]:
        """Where among the classes those of the map are that have no reference anywhere."""
        return np.flatnonzero((self.mapped > 0) & ~self.weighted.represented).tolist()

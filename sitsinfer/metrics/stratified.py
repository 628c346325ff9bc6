"""Accuracy of a map and areas of its classes, estimated from a sample of places whose true class is known.

After P. Olofsson et al. (Good practices for estimating area and assessing accuracy of land change, Remote Sensing of
Environment 148, 2014), equations 1 to 11: the classes of the map are the strata, and each counts by its share of the
whole map, whatever part of the sample fell into it. Units need not be of one size: shares of a stratum are then ratios
of sizes, with the variance that W. G. Cochran gives for these (Sampling Techniques, 1977, chapter 6); for units of one
size they are the published ones.

The errors are those of drawing a sample, at random within each class of the map or over all of it. They say nothing of
places that somebody chose, and neighbours that were labelled together count as more than they tell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Z_95 = 1.96
"""Standard errors on each side of an estimate that make a confidence interval of 95 %."""
LARGEST_VARIANCE = 0.25
"""Of the share that one unit gives. It stands in for strata with one unit, which tell nothing of their variance."""


@dataclass(frozen=True, eq=False)
class Sample:
    """Units whose true class is known: a row a true class, a column a mapped one, (K, K) each.

    Attributes:
        units: How many there are.
        sizes: Sum of their sizes.
        squares: Sum of the squares of these.
    """

    units: NDArray[np.int64]
    sizes: NDArray[np.float64]
    squares: NDArray[np.float64]

    @classmethod
    def of_one_size(cls, units: NDArray[np.int64]) -> Self:
        """Units of size 1 each, as pixels are."""
        return cls(units, units.astype(np.float64), units.astype(np.float64))


@dataclass(frozen=True, eq=False)
class Estimate:
    """Estimated values, and their standard errors; NaN where they are not defined."""

    value: NDArray[np.float64]
    error: NDArray[np.float64]

    @property
    def half_width(self) -> NDArray[np.float64]:
        """What a 95 % confidence interval reaches from the value on each side."""
        return Z_95 * self.error


@dataclass(frozen=True, eq=False)
class AreaWeighted:
    """Accuracies as fractions, and areas in the unit of the map's, of each of K classes.

    All is said of the represented part of the map: the classes without a unit in the sample are left out of it.

    Attributes:
        represented: Whether a class of the map has a unit in the sample, (K,).
        share: The represented part of the map, as a fraction of its area; where it has no area nothing is defined.
        joint: Estimated shares of true (row) and mapped class (column) in it, (K, K).
        overall: Share that is mapped right, ().
        users: Of the area mapped as each class, how much is right, (K,).
        producers: Of the area of each class, how much is mapped as such, (K,).
        areas: Area that each class truly has, (K,).
    """

    represented: NDArray[np.bool_]
    share: float
    joint: NDArray[np.float64]
    overall: Estimate
    users: Estimate
    producers: Estimate
    areas: Estimate


def area_weighted(sample: Sample, mapped: NDArray[np.float64], *, complete: bool = False) -> AreaWeighted:
    """Estimate the accuracy of a map and the areas of its classes.

    Args:
        sample: Units whose true class is known.
        mapped: Area that the map gives to each class, all over it, (K,).
        complete: Whether the sample is the whole map, so that nothing is left to chance: errors are 0 then.
    """
    represented = sample.sizes.sum(axis=0) > 0  # units without a size tell nothing of an area
    area = mapped[represented].sum()
    weights = _ratio(np.where(represented, mapped, 0), area)
    shares = np.where(represented, _ratio(sample.sizes, sample.sizes.sum(axis=0)), 0)
    variances = weights**2 * (np.zeros_like(shares) if complete else _variances(sample, shares))
    joint = weights * shares
    true, right, of_right = joint.sum(axis=1), np.diagonal(joint), np.diagonal(variances)
    users = np.where(represented, np.diagonal(shares), np.nan)
    producers = _ratio(right, true)
    of_missed = variances.sum(axis=1) - of_right
    return AreaWeighted(
        represented,
        float(_ratio(area, mapped.sum())),
        joint,
        Estimate(np.asarray(right.sum()), np.sqrt(of_right.sum())),
        Estimate(users, _ratio(np.sqrt(of_right), weights)),
        Estimate(producers, _ratio(np.sqrt((1 - producers) ** 2 * of_right + producers**2 * of_missed), true)),
        Estimate(area * true, area * np.sqrt(variances.sum(axis=1))),
    )


def _variances(sample: Sample, shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Variance of the share that each true class (row) has of each stratum (column), (K, K)."""
    units, sizes = sample.units.sum(axis=0), sample.sizes.sum(axis=0)
    others = sample.squares.sum(axis=0) - sample.squares
    residuals = sample.squares * (1 - shares) ** 2 + others * shares**2
    variances = _ratio(residuals, sizes**2) * units / np.maximum(units - 1, 1)
    return np.where(sizes > 0, np.where(units > 1, variances, LARGEST_VARIANCE), 0)


def _ratio(part: Any, whole: Any) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.true_divide(part, whole))

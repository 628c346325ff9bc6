"""Scores of a predicted date, from sums over patches: arithmetic on arrays alone."""

from __future__ import annotations

import datetime
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

_LOCAL = 10.0
"""Days over which the density of dates falls to 1/e."""


@dataclass(frozen=True)
class Context:
    """How far a date lies from those that went in.

    Attributes:
        closest: Days to the closest one of the same sensor; ``None`` if there is none.
        closest_joint: Days to the closest one of any sensor, likewise.
    """

    closest: int | None
    closest_joint: int | None

    @classmethod
    def of(cls, date: datetime.date, sensor: str | None, inputs: Mapping[str, Collection[datetime.date]]) -> Self:
        """The context of a date that a sensor is predicted at."""
        same = inputs.get(sensor, ()) if sensor else ()
        return cls(_distance(date, same), _distance(date, [day for days in inputs.values() for day in days]))

    @property
    def clear(self) -> bool:
        """Whether the date itself went in, with what was clear on it; otherwise it was masked."""
        return self.closest == 0

    @property
    def density(self) -> float:
        """How dense dates of the same sensor are around it: 1 on one of them, 1/e ten days off, 0 without any."""
        return _density(self.closest)

    @property
    def joint_density(self) -> float:
        """How dense dates of any sensor are around it, likewise."""
        return _density(self.closest_joint)


def _distance(date: datetime.date, days: Collection[datetime.date]) -> int | None:
    return min((abs((day - date).days) for day in days), default=None)


def _density(distance: int | None) -> float:
    return 0.0 if distance is None else math.exp(-((distance / _LOCAL) ** 2))


@dataclass(frozen=True, eq=False)
class Sums:
    """What scores are drawn from; sums of several patches add up to those of all of them.

    Attributes:
        squared_error: Of each band, (C,).
        squared_value: Of each band, as observed, (C,).
        compared: Pixels of each band that these are sums over, (C,).
        angle: Spectral angles, radians.
        angles: Pixels that this is a sum over.
        restored: Frequency restoration of each band, dB, (C,).
        patches: Patches of each band that this is a sum over, (C,).
        clear: Pixels observed clear.
        pixels: All pixels.
    """

    squared_error: NDArray[np.float64]
    squared_value: NDArray[np.float64]
    compared: NDArray[np.int64]
    angle: float
    angles: int
    restored: NDArray[np.float64]
    patches: NDArray[np.int64]
    clear: int
    pixels: int

    @classmethod
    def none(cls, bands: int, pixels: int = 0) -> Self:
        """Those of a patch of which nothing is clear."""
        zeros, counts = np.zeros(bands), np.zeros(bands, np.int64)
        return cls(zeros, zeros, counts, 0.0, 0, zeros, counts, 0, pixels)

    def __add__(self, other: Self) -> Self:
        parts = ((getattr(self, part.name), getattr(other, part.name)) for part in fields(self))
        return type(self)(*(one + another for one, another in parts))


@dataclass(frozen=True, eq=False)
class DateScores:
    """Scores of one date; NaN where no pixel is clear.

    Attributes:
        name: As tables call it.
        sensor: ``hr``, ``lr``, or ``None`` where it is not known.
        date: The day, if it is known.
        bands: What was compared, (C,).
        sums: What the scores are drawn from.
        margin: Fine pixels along the border that were left out.
        context: How far the date lies from those that went in, if these are known.
    """

    name: str
    sensor: str | None
    date: datetime.date | None
    bands: tuple[str, ...]
    sums: Sums
    margin: int = 0
    context: Context | None = None

    @property
    def rmse(self) -> NDArray[np.float64]:
        """Root mean square error of each band, in reflectance and kelvin, (C,)."""
        return np.sqrt(_ratio(self.sums.squared_error, self.sums.compared))

    @property
    def nrmse(self) -> NDArray[np.float64]:
        """Root of the squared errors' sum as a share of that of the squared observations, (C,)."""
        return np.sqrt(_ratio(self.sums.squared_error, self.sums.squared_value))

    @property
    def sam(self) -> float:
        """Mean angle between the spectra, temperature left out, in radians; NaN also where there is but one band."""
        return float(_ratio(self.sums.angle, self.sums.angles))

    @property
    def frr(self) -> NDArray[np.float64]:
        """Frequency restoration of each band, in dB, (C,); below 0 where the prediction is too smooth.

        The mean over patches that are predicted everywhere and in which something is clear.
        """
        return _ratio(self.sums.restored, self.sums.patches)

    @property
    def clear_pixel_rate(self) -> float:
        """The share of pixels that scores rest on."""
        return float(_ratio(self.sums.clear, self.sums.pixels))


def squared_errors(
    predicted: NDArray[np.float32], observed: NDArray[np.float32], clear: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Squared errors and squared observations of each band, and of how many pixels these are the sums.

    Args:
        predicted: (C, H, W); pixels of a band that are NaN do not count.
        observed: Likewise.
        clear: Pixels that count, (H, W).

    Returns:
        Three times (C,).
    """
    sums = np.zeros((2, len(predicted)))
    counts = np.zeros(len(predicted), np.int64)
    for band, (ours, theirs) in enumerate(zip(predicted, observed, strict=True)):
        valid = clear & np.isfinite(ours) & np.isfinite(theirs)
        right = theirs[valid].astype(np.float64)
        error = ours[valid] - right
        sums[:, band] = error @ error, right @ right
        counts[band] = error.size
    return sums[0], sums[1], counts


def spectral_angles(
    predicted: NDArray[np.float32], observed: NDArray[np.float32], clear: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Angles between the spectra of pixels that count, in radians, (N,); arguments as of :func:`squared_errors`.

    A pixel without a value in one of the bands, or of zeros alone, has none.
    """
    product, ours_squared, theirs_squared = np.zeros((3, int(clear.sum())))
    for band, other in zip(predicted, observed, strict=True):  # one at a time, for memory
        ours, theirs = band[clear].astype(np.float64), other[clear].astype(np.float64)
        product += ours * theirs
        ours_squared += ours**2
        theirs_squared += theirs**2
    cosine = _ratio(product, np.sqrt(ours_squared * theirs_squared))
    return np.arccos(np.clip(cosine[np.isfinite(cosine)], -1, 1))


def _ratio(part: Any, whole_part: Any) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.true_divide(part, whole_part))

"""How sharply a sensor sees: Gaussian point spread functions from the modulation transfer at the Nyquist frequency.

A band of resolution r whose modulation transfer function is m at its Nyquist frequency 1 / 2r is taken to spread a
point as the Gaussian that has this transfer there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sitsinfer.errors import SeriesError
from sitsinfer.fusion.resample import bicubic

FINE_PIXEL = 10.0
"""Metres along the side of a fine pixel."""


@dataclass(frozen=True)
class Optics:
    """What a band resolves.

    Attributes:
        resolution: Pixel size that it was sampled at, in the unit of the pixel sizes that it is used with.
        mtf: Modulation transfer at the Nyquist frequency of this resolution; 1 or more: as sharp as can be.
    """

    resolution: float
    mtf: float

    @property
    def sigma(self) -> float:
        """Standard deviation of the point spread function, in the unit of the resolution; 0: a single point."""
        transfer = min(max(self.mtf, 0.0), 1.0)
        if transfer == 0:
            return math.inf
        return math.sqrt(-math.log(transfer) / 2) / (math.pi * 0.5 / self.resolution)


_SHARP, _RED_EDGE = Optics(10, 1.0), Optics(20, 0.3)
_REFLECTIVE, _THERMAL = Optics(30, 0.3), Optics(90, 0.2)

OPTICS: Mapping[str, Mapping[str, Optics]] = {
    "hr": {
        **dict.fromkeys(("B02", "B03", "B04"), _SHARP),
        **dict.fromkeys(("B05", "B06", "B07"), _RED_EDGE),
        "B08": _SHARP,
        **dict.fromkeys(("B8A", "B11", "B12"), _RED_EDGE),
    },
    "lr": {
        **dict.fromkeys(("B01", "B02", "B03", "B04", "B05", "B06", "B07"), _REFLECTIVE),
        "LST": _THERMAL,
    },
}
"""Optics of each band of each sensor, in metres, as published with TAMRF."""


@dataclass(frozen=True)
class Psf:
    """Point spread functions of some bands, sampled on a grid.

    Attributes:
        optics: Of each band, (C,).
        pixel_size: Of the grid, in the unit of the resolutions.
        half_width: Pixels from the centre of a kernel to its edge, the same for all bands; ``None``: so many that the
            coarsest resolution fits in.
    """

    optics: tuple[Optics, ...]
    pixel_size: float
    half_width: int | None = None

    @classmethod
    def of(cls, sensor: str, bands: tuple[str, ...], pixel_size: float = FINE_PIXEL) -> Self:
        """Point spread functions of a sensor's bands, on a grid of so many metres.

        Kernels are as wide as the coarsest band of the sensor needs, whether or not it is among ``bands``: leaving a
        band out changes no other.

        Raises:
            SeriesError: If the optics of a band are not known.
        """
        known = OPTICS[sensor]
        if unknown := [band for band in bands if band not in known]:
            raise SeriesError(
                f"The point spread function of band '{unknown[0]}' is not known. Choose among {', '.join(known)}."
            )
        half_width = cls(tuple(known.values()), pixel_size).reach
        return cls(tuple(known[band] for band in bands), pixel_size, half_width)

    @property
    def reach(self) -> int:
        """Pixels that a blurred pixel sees on each side."""
        if self.half_width is not None:
            return self.half_width
        return math.ceil(max(optics.resolution for optics in self.optics) / self.pixel_size)

    @property
    def kernels(self) -> NDArray[np.float64]:
        """The kernel of each band, (C, 2 reach + 1, 2 reach + 1); each sums to 1."""
        return np.stack([np.outer(profile, profile) for profile in self._profiles])

    @cached_property
    def _profiles(self) -> tuple[NDArray[np.float64], ...]:
        """Row and column that a kernel is the outer product of, a band, (2 reach + 1,)."""
        distance = np.arange(-self.reach, self.reach + 1, dtype=np.float64) * self.pixel_size
        return tuple(_gaussian(distance, optics.sigma) for optics in self.optics)

    def blur(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Let each band see values through its point spread function, mirrored at the borders (reflect padding).

        Args:
            values: (..., C, H, W). NaN spreads as far as kernels reach.

        Returns:
            Likewise.
        """
        blurred = np.empty(values.shape, np.float32)
        for band, (optics, profile) in enumerate(zip(self.optics, self._profiles, strict=True)):
            source, target = values[..., band, :, :], blurred[..., band, :, :]
            if optics.sigma == 0:
                target[...] = source
                continue
            # A Gaussian of two axes is one along each. "mirror" is what others call reflect: the edge counts once.
            rows = ndimage.correlate1d(source, profile, axis=-2, mode="mirror")
            target[...] = ndimage.correlate1d(rows, profile, axis=-1, mode="mirror")
        return blurred

    def high_pass(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """What :meth:`blur` takes away; arguments and result likewise."""
        return values - self.blur(values)

    def downsample(self, values: NDArray[np.float32], factor: Fraction | int) -> NDArray[np.float32]:
        """Blur, then take bicubically what the grid of a coarser sensor would hold.

        Args:
            values: (..., C, H, W), on the grid of :attr:`pixel_size`.
            factor: Output pixels an input pixel, along a side: a third from 10 m to 30 m. 1 only blurs.

        Returns:
            (..., C, floor(H x factor), floor(W x factor)).
        """
        blurred = self.blur(values)
        return blurred if factor == 1 else bicubic(blurred, factor)


def _gaussian(distance: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """A bell that sums to 1; of width 0 a single 1."""
    weights = np.exp(-((distance / sigma) ** 2) / 2) if sigma > 0 else (distance == 0).astype(np.float64)
    return np.asarray(weights / weights.sum(), np.float64)

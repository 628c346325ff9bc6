"""What travels between a fusion run and its algorithms: observations in, planes of pixels out.

Two sensors see the same ground: ``hr``, Sentinel-2 on a grid of 10 m, and ``lr``, Landsat on a grid of 30 m, whose
pixels each cover three by three of the fine ones. ``pan`` is Landsat's panchromatic band, on a grid of 15 m.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from sitsinfer.grid import Window
from sitsinfer.weights import fusion_card

RATIO = fusion_card.RATIO
"""Fine pixels along the side of a coarse one."""

PIXELS: Mapping[str, Fraction] = {"hr": Fraction(1), "lr": Fraction(RATIO), "pan": Fraction(RATIO, 2)}
"""Pixel size of each sensor, in fine pixels."""

MISSING = -1.0
"""Value of a pixel that a sensor should have seen but did not, as LS2S2 stores it: -10000."""


def fill_missing(values: NDArray[np.float32], instead: float) -> NDArray[np.float32]:
    """Copy values, of any shape, with another number where they are :data:`MISSING`."""
    return np.where(values == MISSING, np.float32(instead), values)


@dataclass(frozen=True)
class Observations:
    """One sensor's acquisitions over one window.

    Attributes:
        values: Reflectance; temperature in kelvin / 1000, (T, C, H, W). :data:`MISSING` where the sensor has no data,
            what :attr:`Reads.beyond` says beyond its footprint, whatever was there under clouds.
        clear: Where something was observed and no mask says otherwise, (T, H, W).
        days: Days since the origin of the slice, ascending, (T,).
        bands: Names of the bands, (C,).
    """

    values: NDArray[np.float32]
    clear: NDArray[np.bool_]
    days: NDArray[np.int64]
    bands: tuple[str, ...]


@dataclass(frozen=True)
class Reads:
    """What an algorithm reads of a sensor.

    Attributes:
        bands: Bands, in order.
        margin: Pixels of that sensor that it sees beyond a core, on each side.
        beyond: What it is to see where the sensor's footprint ends: digital numbers of 0, or the last pixel repeated.
    """

    bands: tuple[str, ...]
    margin: int = 0
    beyond: Literal["zero", "repeat"] = "zero"


@dataclass(frozen=True)
class Plane:
    """One predicted date of one sensor.

    Attributes:
        sensor: ``hr`` or ``lr``.
        index: Which of the days asked for.
        values: Reflectance, temperature in kelvin / 1000, on the fine grid, (C, h, w); NaN where nothing can be said.
    """

    sensor: str
    index: int
    values: NDArray[np.float32]


class Image(Protocol):
    """All that there is to read of a slice, for algorithms that look at the whole before they predict its parts."""

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the ground in fine pixels: multiples of :data:`RATIO`."""

    def read(self, sensor: str, bands: tuple[str, ...], core: Window, margin: int = 0) -> Observations:
        """Read all acquisitions of a sensor over a core and so many of its own pixels around it.

        Args:
            sensor: Which.
            bands: Which of its bands.
            core: Fine pixels from the first of :attr:`shape`; starts and sizes are multiples of :data:`RATIO`.
            margin: Pixels of the sensor on each side.

        Returns:
            Observations of all dates of the slice that the image is of.
        """


class Algorithm(Protocol):
    """A way to predict any day from observed ones: plain and picklable; heavy state is loaded in the worker."""

    @property
    def name(self) -> str:
        """What users call it."""

    @property
    def reads(self) -> Mapping[str, Reads]:
        """What it reads, by sensor; a sensor that is not there is not read."""

    @property
    def writes(self) -> Mapping[str, tuple[str, ...]]:
        """The bands that it predicts, by sensor: of ``hr`` and ``lr``, both on the fine grid."""

    @property
    def strategy(self) -> str | None:
        """The strategy it was published with; ``None`` if it takes any."""

    @property
    def largest_core(self) -> int:
        """Fine pixels along the side of a core that it computes best at once: a multiple of :data:`RATIO`."""

    @property
    def device(self) -> str:
        """The device that it computes on."""

    def fingerprint(self) -> object:
        """What decides its predictions beside the observations, as plain JSON."""

    def working_bytes(self, core: int, dates: Mapping[str, int], queries: int) -> int:
        """Memory that :meth:`predict` takes at most, beside its inputs and all that it yields.

        Args:
            core: Fine pixels along the side of the core.
            dates: Acquisitions of each sensor.
            queries: Days asked for.
        """

    def prepared(self, image: Image) -> Self:
        """The same, knowing what it needs of the whole image; mostly itself."""

    def predict(
        self,
        inputs: Mapping[str, Observations],
        queries: Mapping[str, NDArray[np.int64]],
        core: Window,
        threads: int,
    ) -> Iterator[Plane]:
        """Predict days over a core.

        Args:
            inputs: Observations of a core and the margins around it, by sensor. A sensor that the strategy leaves out
                is missing; one with no date left has T = 0. At least one sensor is there.
            queries: Days asked for of ``hr`` and ``lr``, (Q,), in any order; a sensor not asked for is missing.
            core: Where it lies, in fine pixels from the first of the image; multiples of :data:`RATIO`.
            threads: Threads to compute with on a CPU.

        Yields:
            Planes of the core, one for each sensor and day asked for, in any order; none for a day that the algorithm
            has nothing to say about.
        """


@dataclass(frozen=True)
class Selection:
    """Which days go in and which are asked for, by sensor; ``None``: the sensor takes no part.

    Attributes:
        inputs: Days since the origin that are read; may be empty.
        targets: Days that are predicted.
    """

    inputs: Mapping[str, tuple[int, ...] | None] = field(default_factory=dict)
    targets: Mapping[str, tuple[int, ...] | None] = field(default_factory=dict)

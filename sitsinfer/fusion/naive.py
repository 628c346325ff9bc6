"""The naive way: each sensor by itself, interpolated in time, then the coarse one in space.

It is what any fusion should do better than.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from sitsinfer.errors import SeriesError
from sitsinfer.fusion.gapfill import BYTES_PER_PIXEL, Gapfill
from sitsinfer.fusion.resample import BICUBIC_REACH, bicubic, middle
from sitsinfer.fusion.types import RATIO, Image, Observations, Plane, Reads
from sitsinfer.grid import Window

FEWEST_DATES = 2
"""A series of fewer says nothing about change."""

_LARGEST_CORE = 330


@dataclass(frozen=True)
class Naive:
    """Linear interpolation in time between clear dates, then bicubic upsampling of the coarse sensor.

    Attributes:
        hr: Bands of the fine sensor.
        lr: Bands of the coarse one.
    """

    hr: tuple[str, ...]
    lr: tuple[str, ...]

    name = "naive"
    strategy = None
    largest_core = _LARGEST_CORE
    device = "cpu"

    @classmethod
    def of(cls, available: Mapping[str, Collection[str]]) -> Self:
        """Predict all bands that there are.

        Args:
            available: Bands by sensor; a sensor may be missing.

        Raises:
            SeriesError: If there is none.
        """
        hr, lr = tuple(available.get("hr", ())), tuple(available.get("lr", ()))
        if not hr and not lr:
            raise SeriesError("Neither sensor has a band to interpolate. Give a series with at least one.")
        return cls(hr, lr)

    @property
    def reads(self) -> Mapping[str, Reads]:
        """Every band; of the coarse sensor as far around as bicubic sees."""
        reads = {"hr": Reads(self.hr, 0, "repeat"), "lr": Reads(self.lr, BICUBIC_REACH, "repeat")}
        return {sensor: read for sensor, read in reads.items() if read.bands}

    @property
    def writes(self) -> Mapping[str, tuple[str, ...]]:
        """The bands that it reads."""
        return {sensor: reads.bands for sensor, reads in self.reads.items()}

    def fingerprint(self) -> object:
        """Its bands."""
        return asdict(self)

    def working_bytes(self, core: int, dates: Mapping[str, int], queries: int) -> int:
        """One day at a time, and a copy of it."""
        bands = max(len(self.hr), len(self.lr))
        return (BYTES_PER_PIXEL + 3 * 4 * bands) * (core + 2 * RATIO * BICUBIC_REACH) ** 2

    def prepared(self, image: Image) -> Self:
        """Itself."""
        return self

    def predict(
        self,
        inputs: Mapping[str, Observations],
        queries: Mapping[str, NDArray[np.int64]],
        core: Window,
        threads: int,
    ) -> Iterator[Plane]:
        """Predict each day of each sensor that has two dates or more; see the protocol."""
        for sensor, observed in inputs.items():
            if len(observed.days) < FEWEST_DATES:
                continue
            series = Gapfill.of(observed)
            for index, day in enumerate(queries.get(sensor, ())):
                values = series.on(int(day))
                yield Plane(sensor, index, values if sensor == "hr" else middle(bicubic(values, RATIO), core.shape))

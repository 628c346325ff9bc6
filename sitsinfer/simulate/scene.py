"""What a simulated scene is: its size, place, year and seed, checked once."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable
from dataclasses import dataclass

from sitsinfer.errors import SimulationError
from sitsinfer.grid import Window

PIXEL_M = 10
"""Pixel size of the ground, of the Sentinel-2 series and of the truth, in metres."""

MAX_SIZE = 100_000
MAX_DATES = 140
"""Two satellites on two orbits see a place about 146 times a year; a year of any phase holds this many."""
MAX_LANDSAT_DATES = 45
"""Two satellites on one orbit see a place every eight days."""


@dataclass(frozen=True)
class Scene:
    """A simulated scene: the same values give the same bytes.

    Seasons are those of the temperate north, wherever ``epsg`` places the scene.

    Attributes:
        height: Rows, pixels of 10 m.
        width: Columns, pixels of 10 m.
        dates: Number of Sentinel-2 acquisitions over the year.
        seed: Decides landscape, weather, dates and noise; 0 or more.
        year: Calendar year of the acquisitions.
        epsg: A UTM zone, 32601 to 32660 or 32701 to 32760.
        origin: Easting and northing of the upper left corner, metres.
        cloud_cover: Mean share of cloud over the dates, 0 to 1. Single dates run from clear to overcast.
        landsat: Number of Landsat acquisitions over the year; 0 for none. Sentinel-2 is the same with and without.

    Raises:
        SimulationError: If a value is out of its range.
    """

    height: int = 1024
    width: int = 1024
    dates: int = 40
    seed: int = 0
    year: int = 2022
    epsg: int = 32631
    origin: tuple[float, float] = (600_000.0, 5_000_040.0)
    cloud_cover: float = 0.25
    landsat: int = 0

    def __post_init__(self) -> None:
        """Check every value."""
        _check("height", self.height, 1, MAX_SIZE, "pixels")
        _check("width", self.width, 1, MAX_SIZE, "pixels")
        _check("dates", self.dates, 1, MAX_DATES, "acquisitions")
        _check("seed", self.seed, 0, 2**63 - 1, "")
        _check("year", self.year, 1900, 2200, "")
        _check("cloud_cover", self.cloud_cover, 0, 1, "as a share")
        _check("landsat", self.landsat, 0, MAX_LANDSAT_DATES, "acquisitions")
        if not (1 <= self.epsg % 100 <= 60 and self.epsg // 100 in (326, 327)):
            raise SimulationError(
                f"epsg is {self.epsg}. Expected a UTM zone, 32601 to 32660 (north) or 32701 to 32760 (south)."
            )

    @property
    def start(self) -> dt.date:
        """First day of the scene's year."""
        return dt.date(self.year, 1, 1)

    def shape(self, pixel_m: int) -> tuple[int, int]:
        """Rows and columns of the pixels of one size that cover the scene, the last ones maybe reaching beyond it."""
        return math.ceil(self.height * PIXEL_M / pixel_m), math.ceil(self.width * PIXEL_M / pixel_m)

    def window(self, window: Window | None, pixel_m: int) -> Window:
        """Give a window back that lies in the scene, and for None the whole scene.

        Args:
            window: In pixels of ``pixel_m``.
            pixel_m: Pixel size, metres.

        Raises:
            SimulationError: If the window is empty or reaches beyond the scene.
        """
        height, width = self.shape(pixel_m)
        whole = Window(0, 0, height, width)
        window = window or whole
        if window.is_empty or whole.intersection(window) != window:
            raise SimulationError(f"{window} reaches beyond the scene of {height} x {width} pixels, or is empty.")
        return window

    def days(self, dates: Iterable[dt.date]) -> tuple[int, ...]:
        """Count the days from 1 January to each date.

        Raises:
            SimulationError: If a date is not of the scene's year.
        """
        dates = list(dates)
        strangers = [date.isoformat() for date in dates if date.year != self.year]
        if strangers:
            raise SimulationError(f"{strangers[0]} is not in {self.year}, the year of the scene. Choose other dates.")
        return tuple((date - self.start).days for date in dates)


def _check(name: str, value: float, low: float, high: float, unit: str) -> None:
    """Refuse a value outside ``low`` to ``high``; NaN is outside."""
    if not low <= value <= high:
        raise SimulationError(f"{name} is {value}. Expected {low} to {high} {unit}".rstrip() + ".")

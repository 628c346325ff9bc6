"""What a simulated scene is: its size, place, year and seed, checked once."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from sitsinfer.errors import SimulationError

PIXEL_M = 10
"""Pixel size of the Sentinel-2 series and of the truth, in metres."""

MAX_SIZE = 100_000
MAX_DATES = 140
"""Two satellites on two orbits see a place about 146 times a year; a year of any phase holds this many."""


@dataclass(frozen=True)
class Scene:
    """A simulated scene: the same values give the same bytes.

    Seasons are those of the temperate north, wherever ``epsg`` places the scene.

    Attributes:
        height: Rows, pixels of 10 m.
        width: Columns, pixels of 10 m.
        dates: Number of acquisitions over the year.
        seed: Decides landscape, weather, dates and noise; 0 or more.
        year: Calendar year of the acquisitions.
        epsg: A UTM zone, 32601 to 32660 or 32701 to 32760.
        origin: Easting and northing of the upper left corner, metres.
        cloud_cover: Mean share of cloud over the dates, 0 to 1. Single dates run from clear to overcast.

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

    def __post_init__(self) -> None:
        """Check every value."""
        _check("height", self.height, 1, MAX_SIZE, "pixels")
        _check("width", self.width, 1, MAX_SIZE, "pixels")
        _check("dates", self.dates, 1, MAX_DATES, "acquisitions")
        _check("seed", self.seed, 0, 2**63 - 1, "")
        _check("year", self.year, 1900, 2200, "")
        _check("cloud_cover", self.cloud_cover, 0, 1, "as a share")
        if not (1 <= self.epsg % 100 <= 60 and self.epsg // 100 in (326, 327)):
            raise SimulationError(
                f"epsg is {self.epsg}. Expected a UTM zone, 32601 to 32660 (north) or 32701 to 32760 (south)."
            )

    @property
    def start(self) -> dt.date:
        """First day of the scene's year."""
        return dt.date(self.year, 1, 1)


def _check(name: str, value: float, low: float, high: float, unit: str) -> None:
    """Refuse a value outside ``low`` to ``high``; NaN is outside."""
    if not low <= value <= high:
        raise SimulationError(f"{name} is {value}. Expected {low} to {high} {unit}".rstrip() + ".")

"""What a run puts out: layers, and the classes that a layer's values stand for."""

import datetime
from dataclasses import dataclass, field, replace
from typing import Any, Self


@dataclass(frozen=True)
class ClassInfo:
    """One class of a legend.

    Attributes:
        code: The value in the raster, 0 to 254.
        name: What a person calls it.
        color: Red, green and blue, 0 to 255.
    """

    code: int
    name: str
    color: tuple[int, int, int]

    @classmethod
    def from_dict(cls, entry: dict[str, Any]) -> Self:
        """Read a class as JSON holds it."""
        red, green, blue = entry["color"]
        return cls(int(entry["code"]), str(entry["name"]), (int(red), int(green), int(blue)))


SPECTRAL = "band"
"""The dimension of spectral bands."""


@dataclass(frozen=True)
class Layer:
    """One named output on the grid, as it is stored and published.

    Attributes:
        name: Its name in the store and in the log, such as ``classes``.
        dtype: NumPy name of its data type.
        nodata: Its value where nothing was observed.
        bands: Band names; a layer is stored as (bands, H, W).
        scales: What a stored value of each band is multiplied by to get the quantity itself; empty: 1 for all.
        units: Unit of each band's quantity, such as ``K``; empty text or nothing: none.
        dates: Of a layer of several dates: all bands of the first, then of the next, (dates x bands, H, W).
        dims: What cubes call the dimensions of dates and of bands; bands need not be spectral.
        classes: The legend, for a layer of class codes; empty for any other.
        identifiers: Whether values are numbers of things, which may not be averaged either.
    """

    name: str
    dtype: str
    nodata: float
    bands: tuple[str, ...]
    scales: tuple[float, ...] = field(default=())
    units: tuple[str, ...] = field(default=())
    dates: tuple[datetime.date, ...] = field(default=())
    dims: tuple[str, str] = ("time", SPECTRAL)
    classes: tuple[ClassInfo, ...] = field(default=())
    identifiers: bool = False

    @property
    def depth(self) -> int:
        """Planes of pixels that it is stored as."""
        return len(self.bands) * max(1, len(self.dates))

    @property
    def band_scales(self) -> tuple[float, ...]:
        """The scale of each band, spelled out."""
        return self.scales or (1.0,) * len(self.bands)

    @property
    def band_units(self) -> tuple[str, ...]:
        """The unit of each band, spelled out."""
        return self.units or ("",) * len(self.bands)

    def on(self, date: datetime.date) -> Self:
        """The layer of one of its dates."""
        return replace(self, name=f"{self.name}_{date:%Y%m%d}", dates=())

    @property
    def is_categorical(self) -> bool:
        """Whether values are class codes, which may not be averaged."""
        return bool(self.classes)

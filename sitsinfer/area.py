"""Where to make a map: all the data, a rectangle in any CRS, or the extent of a vector file."""

from dataclasses import dataclass
from pathlib import Path

from odc.geo.crs import CRS
from pyproj.exceptions import CRSError

from sitsinfer.errors import GridError
from sitsinfer.grid import Bounds, Grid, crop


@dataclass(frozen=True)
class Area:
    """An area to limit an output to; the default is all of it.

    Attributes:
        bounds: Left, bottom, right and top, in ``crs``.
        crs: The CRS of ``bounds``, such as ``EPSG:4326``; ``None``: that of the data.
        aoi: A vector file of any format that GDAL reads; the bounding box of all it holds counts.
    """

    bounds: Bounds | None = None
    crs: str | None = None
    aoi: Path | None = None

    def __post_init__(self) -> None:
        """Check that it is one thing.

        Raises:
            GridError: If both bounds and a file are given, or a CRS of bounds without these.
        """
        if self.bounds is not None and self.aoi is not None:
            raise GridError("Both bounds and an area of interest are given. Choose one of them.")
        if self.crs is not None and self.bounds is None:
            raise GridError(f"A CRS of bounds is given, {self.crs}, but no bounds. Set bounds, or leave their CRS out.")

    def crop(self, grid: Grid) -> Grid:
        """The pixels of a grid that the area touches.

        Raises:
            GridError: If the area lies outside the grid, or cannot be read.
        """
        if self.aoi is not None:
            return crop(grid, *_read_extent(self.aoi))
        if self.bounds is not None:
            return crop(grid, self.bounds, _parse_crs(self.crs))
        return grid


def _parse_crs(name: str | None) -> CRS | None:
    if name is None:
        return None
    try:
        return CRS(name)
    except (ValueError, CRSError) as error:
        raise GridError(f"'{name}' is not a CRS. Expected a code such as EPSG:4326.") from error


def _read_extent(path: Path) -> tuple[Bounds, CRS]:
    """The bounding box of all features of a vector file, and its CRS."""
    import pyogrio

    try:
        info = pyogrio.read_info(path, force_total_bounds=True)
    except (pyogrio.errors.DataSourceError, OSError) as error:
        raise GridError(f"Cannot read the area of interest {path}: {error}. Expected a vector file.") from error
    if info["crs"] is None:
        raise GridError(f"The area of interest {path} has no CRS. Write one into it.")
    if info["total_bounds"] is None or not info["features"]:
        raise GridError(f"The area of interest {path} holds no feature. Draw at least one.")
    left, bottom, right, top = map(float, info["total_bounds"])
    return (left, bottom, right, top), CRS(info["crs"])

"""A published raster, or anybody's, read again as a layer."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.vrt import WarpedVRT

from sitsinfer.errors import OutputError
from sitsinfer.grid import Grid, Window
from sitsinfer.layers import ClassInfo, Layer
from sitsinfer.products.windows import as_rasterio
from sitsinfer.series.tiff import least_size

CLASS_TAG = "CLASS_"
"""What the band tags begin with that name a class; its code follows."""


@dataclass(frozen=True)
class RasterLayer:
    """An open raster as a :class:`~sitsinfer.products.LayerSource`.

    Attributes:
        layer: What it holds; ``nodata`` is NaN where the file has none.
        grid: Where its pixels lie, or the grid it is warped to.
        path: The file, for messages.
        file: The open dataset.
    """

    layer: Layer
    grid: Grid
    path: Path
    file: Any

    def read(self, window: Window) -> NDArray[Any]:
        """Read a window that lies within the grid, (bands, height, width)."""
        with _named(self.path):
            return np.asarray(self.file.read(list(range(1, len(self.layer.bands) + 1)), window=as_rasterio(window)))

    def valid(self, window: Window) -> NDArray[np.bool_]:
        """Where the first band has a value, (height, width)."""
        place = as_rasterio(window)
        with _named(self.path):
            if self.file.colorinterp[-1] == ColorInterp.alpha:  # the mask heeds it in uint8 and uint16 alone
                return np.asarray(self.file.read(self.file.count, window=place)) > 0
            is_valid = np.asarray(self.file.read_masks(1, window=place)) > 0
            if self.layer.dtype in ("int64", "uint64"):  # nodata of these is not in the mask of a warped file
                is_valid &= self.file.read(1, window=place) != self.layer.nodata
            return is_valid

    def thumbnail(self, size: int, bands: Sequence[str]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Bands at a glance, from the overviews, at most ``size`` pixels a side.

        Returns:
            Stored values (bands, h, w), and where all these bands have one, (h, w).
        """
        height, width = self.grid.shape
        step = max(1.0, max(height, width) / size)
        shape = len(bands), max(1, round(height / step)), max(1, round(width / step))
        indexes = [self.layer.bands.index(band) + 1 for band in bands]
        with _named(self.path):
            values = self.file.read(indexes, out_shape=shape)
            return values, (self.file.read_masks(indexes, out_shape=shape) > 0).all(axis=0)


@contextmanager
def open_raster(path: Path, grid: Grid | None = None) -> Iterator[RasterLayer]:
    """Open a raster as a layer.

    Args:
        path: Any file that GDAL reads.
        grid: The grid to read it on, by nearest neighbour; its own if None. Beyond the file nothing is valid.

    Raises:
        OutputError: If it cannot be opened, or has no CRS.
    """
    with _named(path), rasterio.open(path) as file:
        if file.crs is None:
            raise OutputError(f"{path} has no CRS. Expected a georeferenced raster; assign its CRS first.")
        own = GeoBox(file.shape, file.transform, file.crs)
        layer = _layer(file, path)
        if grid is None or grid == own:
            yield RasterLayer(layer, own, path, file)
            return
        with WarpedVRT(file, **_warp_options(file, grid)) as warped:
            yield RasterLayer(layer, grid, path, warped)


def read_tags(path: Path) -> dict[str, str]:
    """Read the tags that a writer was given; none if there is no such file, it is no raster, or ends early."""
    try:
        with warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning), rasterio.open(path) as file:
            tags = dict(file.tags())
    except RasterioError:
        return {}
    is_whole = path.stat().st_size >= least_size(path)
    return tags if is_whole else {}


def _warp_options(file: Any, grid: Grid) -> dict[str, Any]:
    """How a file is put on another grid; one without nodata gets a mask band that says where it ends."""
    height, width = grid.shape
    return {
        "crs": str(grid.crs),
        "transform": grid.affine,
        "height": height,
        "width": width,
        "add_alpha": file.nodata is None,
    }


def _layer(file: Any, path: Path) -> Layer:
    """Describe an open file."""
    names = tuple(name or f"band {number}" for number, name in enumerate(file.descriptions, start=1))
    nodata = float("nan") if file.nodata is None else float(file.nodata)
    scales = tuple(map(float, file.scales)) if any(scale != 1 for scale in file.scales) else ()
    units = tuple(unit or "" for unit in file.units) if any(file.units) else ()
    return Layer(path.stem, file.dtypes[0], nodata, names, scales, units, classes=_classes(file))


def _classes(file: Any) -> tuple[ClassInfo, ...]:
    """The legend in the tags and colours of the first band; empty for a file that has none."""
    names = {key.removeprefix(CLASS_TAG): name for key, name in file.tags(1).items() if key.startswith(CLASS_TAG)}
    try:
        colors = file.colormap(1)
    except ValueError:  # it has none
        colors = {}
    codes = sorted(int(code) for code in names if code.isdigit())
    return tuple(ClassInfo(code, names[str(code)], colors.get(code, (128, 128, 128, 255))[:3]) for code in codes)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Say which file GDAL speaks of."""
    try:
        yield
    except RasterioError as error:
        words = " ".join(str(error.__cause__ or error).split()).rstrip(".")
        raise OutputError(f"Cannot read {path}: {words}. Expected a raster that GDAL reads.") from error

"""Read one window of a series: the only place where pixels are read."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from sitsinfer.grid import Grid, Window, is_aligned, offset_in, whole, window_grid
from sitsinfer.series import cube, rasters, resample
from sitsinfer.series.types import Acquisition, CubeSource, Image, Mask, Series, Source, Stack

SCL_INVALID = (0, 1, 3, 8, 9, 10)  # no data, saturated, shadow, clouds of medium and high probability, cirrus
SCL_CLEAR = 4  # vegetation, for pixels that a map of scene classes does not reach; snow (11) is valid too


def read_stack(series: Series, window: Window, grid: Grid, *, threads: int = 4) -> Stack:
    """Read every acquisition of a series over one window.

    Sources on the pixels of ``grid`` are read as they are; others are resampled to it, bilinearly, masks to the nearest
    pixel. Nothing outside ``window`` is read, but for the neighbours that a resampled pixel needs.

    Args:
        series: What to read. Its dates give T and its bands give C, in that order.
        window: Where to read, margins included, in pixels of ``grid``; may reach beyond the data.
        grid: The output grid.
        threads: How many acquisitions are read at a time.

    Returns:
        ``values`` (T, C, H, W), digital numbers in the sources' own integer type, and ``valid`` (T, H, W), False where
        a source has nodata in every band, is masked or ends. A window that no acquisition covers is not an error:
        ``valid`` is False all over.

    Raises:
        ReadError: If a file of the series cannot be read.
    """
    shape = (len(series.acquisitions), len(series.bands), *window.shape)
    values = np.empty(shape, series.dtype)
    valid = np.empty((shape[0], *window.shape), np.bool_)
    with cube.Cubes() as cubes, ThreadPoolExecutor(max(1, min(threads, shape[0]))) as pool:
        reader = _Reader(series, window_grid(grid, window), cubes)
        list(pool.map(reader.acquisition, series.acquisitions, values, valid))
    scale = np.array([acquisition.scale for acquisition in series.acquisitions], np.float32)
    offset = np.array([acquisition.offset for acquisition in series.acquisitions], np.float32)
    return Stack(values, valid, series.dates, scale, offset, series.nodata)


class _Reader:
    """Reads acquisitions of one series onto one grid."""

    def __init__(self, series: Series, target: Grid, cubes: cube.Cubes) -> None:
        self._bands = {band: index for index, band in enumerate(series.bands)}
        self._nodata = series.nodata
        self._target = target
        self._cubes = cubes
        self._placements: dict[Grid, _Placement] = {}

    def acquisition(self, acquisition: Acquisition, values: NDArray[Any], valid: NDArray[np.bool_]) -> None:
        """Read one acquisition into ``values`` (C, H, W) and ``valid`` (H, W)."""
        first, *others = acquisition.images
        with rasterio.Env(**rasters.GDAL_OPTIONS):
            self._image(first, values, valid)
            for image in others:
                if valid.all():
                    return
                if self._reaches(image):
                    self._fill(image, values, valid)

    def _fill(self, image: Image, values: NDArray[Any], valid: NDArray[np.bool_]) -> None:
        """Fill pixels that are not valid from another image, if they are valid there, or at least observed."""
        other, other_valid = np.empty_like(values), np.empty_like(valid)
        self._image(image, other, other_valid)
        better = ~valid & (other_valid | ~observed(values, self._nodata))
        np.copyto(values, other, where=better)
        valid |= other_valid

    def _image(self, image: Image, values: NDArray[Any], valid: NDArray[np.bool_]) -> None:
        if {band for source in image.sources for band in source.bands} != self._bands.keys():
            values[...] = self._nodata
        for source in image.sources:
            self._bands_of(source, values)
        valid[...] = observed(values, self._nodata)
        if image.zero_is_invalid:
            valid &= values.all(axis=0)
        for mask in image.masks:
            if valid.any():
                valid &= ~self._masked(mask)

    def _bands_of(self, source: Source, values: NDArray[Any]) -> None:
        """Read a source into its bands of ``values``, in place if they follow each other there."""
        at = [self._bands[band] for band in source.bands]
        if at == list(range(at[0], at[0] + len(at))):
            self._read(source, values[at[0] : at[0] + len(at)])
        else:
            block = np.empty((len(at), *values.shape[1:]), values.dtype)
            self._read(source, block)
            values[at] = block

    def _read(self, source: Source, out: NDArray[Any]) -> None:
        """Read bands onto the target, with the nodata of the series."""
        placement = self._placement(source.grid)
        if placement.read.is_empty:
            out[...] = self._nodata
        elif placement.positions is None:
            if placement.read.shape != out.shape[1:]:
                out[...] = self._nodata
            self._native(source, placement.read, out[:, placement.rows, placement.cols])
        else:
            block = np.empty((len(source.bands), *placement.read.shape), out.dtype)
            self._native(source, placement.read, block)
            resample.bilinear(block, placement.read, placement.positions, out, self._nodata)

    def _native(self, source: Source, window: Window, out: NDArray[Any]) -> None:
        """Read pixels of a source as they lie, and give them the nodata of the series."""
        self._pixels(source, window, out)
        _renumber(out, source.nodata, self._nodata)

    def _pixels(self, source: Source, window: Window, out: NDArray[Any]) -> None:
        """Read pixels of a source as they lie; the door for what is neither a raster nor a cube."""
        if isinstance(source, CubeSource):
            self._cubes.read(source, window, out)
        else:
            rasters.read(source, window, out)

    def _masked(self, mask: Mask) -> NDArray[np.bool_]:
        """Where a mask says that nothing can be seen, (H, W)."""
        source = mask.source
        clear = SCL_CLEAR if mask.kind == "scl" else 0
        out = np.full((1, *self._target.shape), clear, source.dtype)
        placement = self._placement(source.grid)
        if placement.read.is_empty:
            pass
        elif placement.positions is None:
            self._pixels(source, placement.read, out[:, placement.rows, placement.cols])
        else:
            block = np.empty((1, *placement.read.shape), source.dtype)
            self._pixels(source, placement.read, block)
            resample.nearest(block, placement.read, placement.positions, out, clear)
        if mask.kind == "scl":
            return np.isin(out[0], SCL_INVALID, kind="table" if out.dtype.kind in "iu" else None)
        return np.asarray((out[0] != 0) & ~_equals(out[0], source.nodata))

    def _reaches(self, image: Image) -> bool:
        return any(not self._placement(source.grid).read.is_empty for source in image.sources)

    def _placement(self, grid: Grid) -> "_Placement":
        found = self._placements.get(grid)
        if found is None:  # two threads may both compute it, to the same end
            found = self._placements[grid] = _place(grid, self._target)
        return found


@dataclass(frozen=True)
class _Placement:
    """Where a source lies on the target.

    Attributes:
        read: What to read of the source, in its own pixels; empty where it does not reach the target.
        rows: Rows of the target that this fills, if its pixels are those of the source.
        cols: Columns, likewise.
        positions: Where pixels of the target lie in the source, if they are others.
    """

    read: Window
    rows: slice
    cols: slice
    positions: resample.Positions | None = None


def _place(source: Grid, target: Grid) -> _Placement:
    if is_aligned(source, target):
        wanted = Window(*offset_in(source, target), *target.shape)
        read = wanted.intersection(whole(source))
        return _Placement(read, *read.slices_in(wanted))
    positions = resample.Positions.of(target, source)
    return _Placement(positions.window, slice(None), slice(None), positions)


def _renumber(values: NDArray[Any], nodata: float | None, wanted: float) -> None:
    """Write nodata, and what is no number, as ``wanted``; in place."""
    if values.dtype.kind == "f":
        missing = ~np.isfinite(values)
        if nodata is not None:
            missing |= _equals(values, nodata)
        values[missing] = wanted
    elif nodata is not None and nodata != wanted:
        values[_equals(values, nodata)] = wanted


def _equals(values: NDArray[Any], nodata: float | None) -> NDArray[np.bool_]:
    """Where values are nodata; nowhere if it is None or no value of their data type."""
    if nodata is None:
        return np.zeros(values.shape, np.bool_)
    if values.dtype.kind == "f":
        return np.asarray(np.isnan(values) if np.isnan(nodata) else values == values.dtype.type(nodata))
    limits = np.iinfo(values.dtype)
    if not (float(nodata).is_integer() and limits.min <= nodata <= limits.max):
        return np.zeros(values.shape, np.bool_)
    return np.asarray(values == int(nodata))


def observed(values: NDArray[Any], nodata: float) -> NDArray[np.bool_]:
    """Where any band of (C, H, W) has data, (H, W); bands are looked at until no pixel is without."""
    found = _differs(values[0], nodata)
    for band in values[1:]:
        if found.all():
            break
        found |= _differs(band, nodata)
    return found


def _differs(band: NDArray[Any], nodata: float) -> NDArray[np.bool_]:
    return np.asarray(band == band if band.dtype.kind == "f" else band != int(nodata))

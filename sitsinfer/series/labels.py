"""Rasters of class codes, and of the parcels that have them, read onto the grid of a series."""

from __future__ import annotations

import colorsys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT

from sitsinfer.errors import ReadError, TrainingError
from sitsinfer.grid import Grid
from sitsinfer.layers import ClassInfo

UNLABELLED = 255


@dataclass(frozen=True, eq=False)
class Labels:
    """The class of every pixel of a grid.

    Attributes:
        codes: Class codes, (H, W), and ``UNLABELLED`` where there is none.
        classes: What the codes that occur stand for, by code.
    """

    codes: NDArray[np.uint8]
    classes: tuple[ClassInfo, ...]


def read_labels(path: Path, grid: Grid) -> Labels:
    """Read a raster of class codes onto a grid, each pixel from the nearest one of the raster.

    Names come from tags of the band such as ``CLASS_3=Maize``, colours from its colour table; where it has none, both
    are made up.

    Args:
        path: A raster of whole numbers from 0 to 254; its nodata and NaN mean no label.
        grid: The grid to read onto; pixels that the raster does not cover have no label.

    Raises:
        ReadError: If the file cannot be read.
        TrainingError: If it has no CRS, holds other numbers, or no label on the grid.
    """
    with _on_grid(path, grid, UNLABELLED, "labels") as (source, raster):
        values, nodata = raster.read(1), raster.nodata
        tags, colors = {key.upper(): value for key, value in source.tags(1).items()}, _colors(source)
    labelled = (values != nodata) & ~np.isnan(values)
    found = np.unique(values[labelled])
    if not len(found):
        raise TrainingError(f"{path} has no label where the series lies. Give labels of the same place.")
    if found[0] < 0 or found[-1] >= UNLABELLED or (found != found.astype(np.uint8)).any():
        raise TrainingError(f"{path} holds {found[0]} to {found[-1]}. Expected class codes from 0 to 254.")
    codes = np.where(labelled, values, UNLABELLED).astype(np.uint8)
    return Labels(codes, tuple(_class(int(code), tags, colors) for code in found))


def read_parcels(path: Path, grid: Grid) -> NDArray[np.uint32]:
    """Read a raster of parcel ids onto a grid, each pixel from the nearest one of the raster.

    Args:
        path: A raster of whole numbers that are not negative; 0, its nodata and NaN mean no parcel.
        grid: The grid to read onto; there is no parcel where the raster does not cover it.

    Returns:
        The ids, (H, W), 0 where there is no parcel.

    Raises:
        ReadError: If the file cannot be read.
        TrainingError: If it has no CRS, holds other numbers, or no parcel on the grid.
    """
    with _on_grid(path, grid, 0, "parcels") as (_, raster):
        values, nodata = raster.read(1), raster.nodata
    values[(values == nodata) | np.isnan(values)] = 0
    ids: NDArray[np.uint32] = values.astype(np.uint32)
    if (ids != values).any():
        raise TrainingError(f"{path} holds {values.min()} to {values.max()}. Expected parcel ids, 0 for no parcel.")
    if not ids.any():
        raise TrainingError(f"{path} has no parcel where the series lies. Give parcels of the same place.")
    return ids


@contextmanager
def _on_grid(path: Path, grid: Grid, nodata: float, what: str) -> Iterator[tuple[rasterio.io.DatasetReader, WarpedVRT]]:
    """A raster, and the same on a grid, with its own nodata or else the one given; ``what`` it holds, for people."""
    height, width = grid.shape
    try:
        with rasterio.open(path) as source:
            if source.crs is None:
                raise TrainingError(f"{path} has no CRS. Expected a georeferenced raster; assign its CRS first.")
            nodata = nodata if source.nodata is None else source.nodata
            with WarpedVRT(
                source,
                crs=str(grid.crs),
                transform=grid.affine,
                width=width,
                height=height,
                resampling=Resampling.nearest,
                src_nodata=nodata,  # a value that is nodata only where it comes out is moved to the next one
                nodata=nodata,
            ) as raster:
                yield source, raster
    except rasterio.errors.RasterioError as error:
        raise ReadError(f"Cannot read {what} from {path}: {error}".splitlines()[0]) from error


def _colors(source: rasterio.io.DatasetReader) -> dict[int, tuple[int, ...]]:
    try:
        return dict(source.colormap(1))
    except ValueError:  # it has no colour table
        return {}


def _class(code: int, tags: dict[str, str], colors: dict[int, tuple[int, ...]]) -> ClassInfo:
    made = make_class(code)
    red, green, blue = colors.get(code, made.color)[:3]
    return ClassInfo(code, tags.get(f"CLASS_{code}", made.name), (red, green, blue))


def make_class(code: int) -> ClassInfo:
    """Make up a name and a colour for a class of which only the code is known."""
    hue = code * 0.618034 % 1  # steps by the golden ratio never come close to each other soon
    red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(hue, 0.6, 0.85))
    return ClassInfo(code, f"Class {code}", (red, green, blue))


def read_legend(path: Path) -> dict[int, ClassInfo]:
    """Read what the codes of a raster stand for, as :func:`read_labels` does, without its pixels.

    Returns:
        The classes that it has a name for, by code.

    Raises:
        ReadError: If the file cannot be read.
        TrainingError: If it names no class.
    """
    try:
        with rasterio.open(path) as source:
            tags, colors = {key.upper(): value for key, value in source.tags(1).items()}, _colors(source)
    except rasterio.errors.RasterioError as error:
        raise ReadError(f"Cannot read a legend from {path}: {error}".splitlines()[0]) from error
    codes = [code for code in range(UNLABELLED) if f"CLASS_{code}" in tags]
    if not codes:
        raise TrainingError(f"{path} names no class. Expected tags of its band such as CLASS_3=Maize.")
    return {code: _class(code, tags, colors) for code in codes}

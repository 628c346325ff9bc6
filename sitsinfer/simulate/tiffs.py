"""GeoTIFFs on the grids of a scene."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import rasterio
import rasterio.windows
from affine import Affine
from rasterio.io import DatasetWriter

from sitsinfer.grid import Window
from sitsinfer.simulate.scene import Scene

TILE = 256
"""Block size of the GeoTIFFs, and the window that is rendered at once."""


def create(stack: ExitStack, path: Path, scene: Scene, pixel_m: int, **profile: Any) -> DatasetWriter:
    """Create a tiled, compressed GeoTIFF on the grid of one pixel size, which covers the scene."""
    path.parent.mkdir(parents=True, exist_ok=True)
    x, y = scene.origin
    height, width = scene.shape(pixel_m)
    dataset: DatasetWriter = stack.enter_context(
        rasterio.open(
            path,
            "w",
            driver="GTiff",
            height=height,
            width=width,
            crs=f"EPSG:{scene.epsg}",
            transform=Affine(pixel_m, 0, x, 0, -pixel_m, y),
            tiled=True,
            blockxsize=TILE,
            blockysize=TILE,
            compress="deflate",
            zlevel=1,
            bigtiff="if_safer",
            **profile,
        )
    )
    return dataset


def create_image(
    stack: ExitStack,
    path: Path,
    scene: Scene,
    pixel_m: int,
    *,
    dtype: str,
    nodata: int,
    scales: dict[str, float],
    taken: dt.datetime,
) -> DatasetWriter:
    """Create the image of one acquisition.

    Args:
        stack: Closes the file.
        path: The file.
        scene: Where it lies.
        pixel_m: Pixel size, metres.
        dtype: Type of the digital numbers.
        nodata: Digital number of what was not observed.
        scales: What one digital number is worth in each band, by the band's name.
        taken: When, in UTC.
    """
    image = create(
        stack,
        path,
        scene,
        pixel_m,
        count=len(scales),
        dtype=dtype,
        nodata=nodata,
        predictor=2,
        interleave="band",
    )
    image.descriptions = tuple(scales)
    image.scales = tuple(scales.values())
    image.offsets = (0.0,) * len(scales)
    image.update_tags(TIFFTAG_DATETIME=f"{taken:%Y:%m:%d %H:%M:%S}", DATETIME=f"{taken:%Y-%m-%dT%H:%M:%SZ}")
    return image


def windows(scene: Scene, size: int, pixel_m: int) -> Iterator[Window]:
    """Cut the grid of one pixel size into windows, row by row."""
    height, width = scene.shape(pixel_m)
    for row in range(0, height, size):
        for col in range(0, width, size):
            yield Window(row, col, size, size).intersection(Window(0, 0, height, width))


def place(window: Window) -> rasterio.windows.Window:
    """Say in rasterio's words where a window lies."""
    return rasterio.windows.Window(window.col, window.row, window.width, window.height)

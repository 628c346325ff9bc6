"""Files to compare: single rasters, folders as ``fuse`` writes them, and series with masks."""

import datetime
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine

from tests.conftest import CORNER, write_raster

HR, LR = ("B04", "B08", "B11"), ("B04", "LST")
SHAPE = (24, 30)
JANUARY, FEBRUARY, MARCH = (datetime.date(2022, month, 15) for month in (1, 2, 3))


def stored(bands, shape, reflectance, kelvin=300.0):
    """Digital numbers of LS2S2, the same all over."""
    numbers = [round(10 * kelvin) if band == "LST" else round(1e4 * reflectance) for band in bands]
    return np.broadcast_to(np.array(numbers, np.int16)[:, None, None], (len(bands), *shape)).copy()


def write_date(path: Path, bands, reflectance, kelvin=300.0, *, shape=SHAPE, pixel=10, at=CORNER) -> Path:
    """A date as ``fuse`` writes it: scaled, band by band."""
    place = Affine(pixel, 0, at[0], 0, -pixel, at[1])
    write_raster(path, stored(bands, shape, reflectance, kelvin), bands, transform=place, nodata=-10000)
    with rasterio.open(path, "r+") as file:
        file.scales = [0.1 if band == "LST" else 1e-4 for band in bands]
    return path


def write_fused(folder: Path, dates: Iterable[datetime.date], reflectance=0.3, kelvin=300.0) -> Path:
    """What ``fuse`` writes to a folder: two sensors side by side, and what else it leaves there."""
    for day in dates:
        write_date(folder / f"L3A_{day:%Y%m%d}_sentinel2.tif", HR, reflectance)
        write_date(folder / f"L3A_{day:%Y%m%d}_landsat.tif", LR, reflectance, kelvin)
    (folder / "L3A.json").write_text("{}")
    return folder


def write_series(folder: Path, dates: Iterable[datetime.date], bands=HR, *, shape=SHAPE, pixel=10, at=CORNER) -> Path:
    """A series of reflectance 0.2 and 298 K, with a mask over the upper half."""
    transform = Affine(pixel, 0, at[0], 0, -pixel, at[1])
    mask = np.zeros((1, *shape), np.uint8)
    mask[:, : shape[0] // 2] = 1
    prefix = "L8" if "LST" in bands else "S2"
    for day in dates:
        values = stored(bands, shape, 0.2, 298)
        write_raster(folder / f"{prefix}_{day:%Y%m%d}.tif", values, bands, transform=transform, nodata=-10000)
        write_raster(folder / f"{prefix}_{day:%Y%m%d}_mask.tif", mask, transform=transform, nodata=None)
    return folder

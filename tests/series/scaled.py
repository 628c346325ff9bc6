"""Landsat as Collection 2 stores it: unsigned integers, and in the header how each band leads to its quantity."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import rasterio

from tests.conftest import write_raster

OLI = ("B01", "B02", "B03", "B04", "B05", "B06", "B07")
REFLECTANCE = (2.75e-5, -0.2)
KELVIN = (0.00341802, 149.0)
COLLECTION_2 = {**dict.fromkeys(OLI, REFLECTANCE), "ST_B10": KELVIN}
TENTHS = {**dict.fromkeys(OLI, (1e-4, 0.0)), "LST": (0.1, 0.0)}
UNTOLD = (1.0, 0.0)

SHAPE = (13, 16)


def write_scaled(
    path: Path, bands: Mapping[str, tuple[float, float]], dtype: str = "uint16", *, described: bool = True
) -> Path:
    """Write bands of 30 m with their scale and offset in the header; values are 10000 and more, another in each."""
    values = np.stack([np.full(SHAPE, 10000 + 1000 * band) for band in range(len(bands))]).astype(dtype)
    rng = np.random.default_rng(5)
    values += rng.integers(0, 900, values.shape).astype(dtype)
    at = rasterio.Affine(30, 0, 600_000, 0, -30, 5_200_000)
    write_raster(path, values, tuple(bands) if described else (), transform=at)
    with rasterio.open(path, "r+") as file:
        file.scales = [scale for scale, _ in bands.values()]
        file.offsets = [offset for _, offset in bands.values()]
    return path


def write_products(folder: Path, bands: Mapping[str, tuple[float, float]], stem: str) -> Path:
    """Write a file for each band, named as USGS does: ``<stem>_SR_B2.TIF`` and ``<stem>_ST_B10.TIF``."""
    for band, scaling in bands.items():
        called = band if band.startswith("ST_") else f"SR_B{int(band[1:])}"
        write_scaled(folder / f"{stem}_{called}.TIF", {band: scaling}, described=False)
    return folder

"""Small pairs of series for tests of fusion: two sensors of one ground, with clouds, in folders of GeoTIFFs."""

from datetime import date
from pathlib import Path

import numpy as np
from affine import Affine

from tests.conftest import CORNER, write_raster

HR_BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
LR_BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "LST")
HR_DATES = (date(2022, 1, 4), date(2022, 2, 23), date(2022, 4, 14), date(2022, 7, 3), date(2022, 9, 21))
LR_DATES = (date(2022, 1, 20), date(2022, 2, 23), date(2022, 7, 3), date(2022, 10, 31))
SHAPE = (39, 48)  # fine pixels
NODATA = -10000


def write_pair(
    folder: Path,
    shape: tuple[int, int] = SHAPE,
    *,
    hr_dates: tuple[date, ...] = HR_DATES,
    lr_dates: tuple[date, ...] = LR_DATES,
    hr_bands: tuple[str, ...] = HR_BANDS,
    lr_bands: tuple[str, ...] = LR_BANDS,
    seed: int = 3,
) -> tuple[Path, Path]:
    """Write two series of noise under clouds; a corner of the first Sentinel-2 date, and of all ground, was never seen.

    Returns:
        The folders of Sentinel-2 and of Landsat.
    """
    rng = np.random.default_rng(seed)
    for name, prefix, dates, bands, size in (
        ("s2", "S2", hr_dates, hr_bands, 1),
        ("l8", "L8", lr_dates, lr_bands, 3),
    ):
        pixels = tuple(-(-n // size) for n in shape)
        at = Affine(10 * size, 0, CORNER[0], 0, -10 * size, CORNER[1])
        for index, day in enumerate(dates):
            values = rng.integers(100, 6000, (len(bands), *pixels)).astype(np.int16)
            if "LST" in bands:
                values[bands.index("LST")] = rng.integers(2750, 3150, pixels)
            if index == 0:
                values[:, : 6 // size, : 9 // size] = NODATA
            cloud = rng.random(pixels) < 0.3
            cloud[-2:, -2:] = True
            write_raster(folder / name / f"{prefix}_{day:%Y%m%d}.tif", values, bands, transform=at, nodata=NODATA)
            mask = cloud[np.newaxis].astype(np.uint8)
            path = folder / f"{name}_mask" / f"{prefix}_{day:%Y%m%d}_mask.tif"
            write_raster(path, mask, ("mask",), transform=at, nodata=None)
    return folder / "s2", folder / "l8"

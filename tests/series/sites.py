"""Sites in the layout of LS2S2, whose pixels tell where they lie, to the metre."""

import csv
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from pyproj import Transformer

from tests.conftest import CORNER, write_raster

LEFT, TOP = CORNER
DAYS = {
    "sentinel2": (date(2022, 1, 8), date(2022, 3, 22), date(2022, 4, 13)),
    "landsat": (date(2022, 1, 8), date(2022, 5, 1)),
}
PIXELS = {"sentinel2": 10.0, "landsat": 30.0, "landsat_pan": 15.0}
COUNTS = {"sentinel2": 10, "landsat": 8, "landsat_pan": 1}
NODATA = -10000
COLUMNS = ("product_id", "product_id", "acquisition_date", "clear_pixel_rate", "valid", "bands", "mask", "snow_mask")


def place(grid_or_transform: Affine, shape: tuple[int, int], count: int, crs: str = "EPSG:32631") -> NDArray[np.int16]:
    """Metres east of the corner in the first, third, .. band, south of it in the others; 5000 is added."""
    rows, cols = np.mgrid[: shape[0], : shape[1]] + 0.5
    x, y = grid_or_transform @ (cols, rows)
    x, y = Transformer.from_crs(crs, "EPSG:32631", always_xy=True).transform(x, y)
    return np.rint(5000 + np.stack([(TOP - y) if band % 2 else (x - LEFT) for band in range(count)])).astype(np.int16)


def write_date(
    folder: Path, sensor: str, day: date, values: NDArray[Any], mask: NDArray[Any], **options: Any
) -> list[str]:
    """Write the files of a date, the snow mask full of snow; returns their paths from the folder."""
    stem, suffix = f"{day:%Y%m%d}/{sensor}", f"{day:%Y%m%d}.tif"
    paths = [f"{stem}_{kind}_{suffix}" for kind in ("bands", "mask", "snow_mask")]
    if sensor == "landsat_pan":
        paths[0] = f"{stem}_{suffix}"
    write_raster(folder / paths[0], values, **{"nodata": NODATA, **options})
    options = {key: value for key, value in options.items() if key in ("transform", "crs")}
    write_raster(folder / paths[1], mask[None].astype(np.uint8), **options)
    write_raster(folder / paths[2], np.ones((1, *mask.shape), np.uint8), **options)
    return paths


def write_index(
    folder: Path, rows: Sequence[Sequence[object]], name: str = "index.csv", columns: Sequence[str] = COLUMNS
) -> Path:
    """Write an index of rows: date, whether it is valid, and paths."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("w", newline="") as stream:
        writer = csv.writer(stream, delimiter="\t")
        writer.writerow(columns)
        writer.writerows([f"x_{day}", f"x_{day}", day, 0.5, valid, *paths] for day, valid, *paths in rows)
    return folder / name


def write_sensor(
    site: Path,
    sensor: str,
    *,
    days: Sequence[date] = (),
    shape: tuple[int, int] = (24, 30),
    offset: tuple[float, float] = (0, 0),
    pixel: float | None = None,
    **options: Any,
) -> Path:
    """Write a series whose first pixel lies so many metres south and east of the corner, and that knows its place."""
    folder, size = site / sensor.removesuffix("_pan"), pixel or PIXELS[sensor]
    transform = Affine(size, 0, LEFT + offset[1], 0, -size, TOP - offset[0])
    rows = []
    for day in days or DAYS[sensor.removesuffix("_pan")]:
        values, mask = place(transform, shape, COUNTS[sensor]), np.zeros(shape, np.uint8)
        rows.append((day, True, *write_date(folder, sensor, day, values, mask, transform=transform, **options)))
    write_index(folder, rows, "index_pan.csv" if sensor == "landsat_pan" else "index.csv")
    return folder

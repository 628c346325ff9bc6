"""Factories that tests share: small rasters whose pixels know their place."""

from collections.abc import Callable, Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray

CORNER = (600_000.0, 5_200_000.0)  # left and top, EPSG:32631
BANDS = ("B02", "B03", "B04", "B08")
DATES = (date(2022, 1, 8), date(2022, 3, 22), date(2022, 4, 13))


def place_values(shape: tuple[int, int], day: date, band: int, start: tuple[int, int] = (0, 0)) -> NDArray[np.uint16]:
    """Values that tell row, column, band and date apart: a plane over rows and columns, lifted by the others."""
    rows, cols = np.mgrid[start[0] : start[0] + shape[0], start[1] : start[1] + shape[1]]
    return (1 + 3 * rows + 5 * cols + 700 * band + day.toordinal() % 97).astype(np.uint16)


def write_raster(
    path: Path,
    values: NDArray[Any],
    bands: Sequence[str | None] = (),
    *,
    transform: Affine | None = None,
    crs: str = "EPSG:32631",
    nodata: float | None = 0,
    tags: dict[str, str] | None = None,
    **profile: Any,
) -> Path:
    """Write (C, H, W) as a GeoTIFF of 10 m pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = values.shape
    at = transform or Affine(10, 0, CORNER[0], 0, -10, CORNER[1])
    options = {"driver": "GTiff", "dtype": values.dtype, "crs": crs, "transform": at, "nodata": nodata, **profile}
    with rasterio.open(path, "w", width=width, height=height, count=count, **options) as dataset:
        dataset.write(values)
        for index, band in enumerate(bands, 1):
            dataset.set_band_description(index, band)
        dataset.update_tags(**(tags or {}))
    return path


@pytest.fixture
def series_folder(tmp_path: Path) -> Callable[..., Path]:
    """Make a folder of one GeoTIFF per date, as ``series_folder(dates, bands, shape)``; returns its path."""

    def make(
        dates: Iterable[date] = DATES,
        bands: Sequence[str] = BANDS,
        shape: tuple[int, int] = (23, 31),
        *,
        folder: str = "s2",
        **options: Any,
    ) -> Path:
        for day in dates:
            values = np.stack([place_values(shape, day, band) for band in range(len(bands))])
            write_raster(tmp_path / folder / f"S2_{day:%Y%m%d}.tif", values, bands, **options)
        return tmp_path / folder

    return make


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real series beside the checkout."""
    path = Path(__file__).parents[2] / "shared" / "data"
    if not path.is_dir():
        pytest.skip(f"needs real data in {path}")
    return path

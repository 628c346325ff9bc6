import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray

BANDS = ("B04", "B08", "B11")
SHAPE = (96, 50)


@pytest.fixture
def scene(tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    """Writes a series in which the class shows in the course of one band, and the raster of classes."""

    def write(
        name: str = "scene",
        shape: tuple[int, int] = SHAPE,
        constant_band: bool = False,
        field: NDArray[np.int64] | None = None,
    ) -> tuple[Path, Path]:
        rng = np.random.default_rng(3)
        profile: dict[str, Any] = {
            "driver": "GTiff",
            "height": shape[0],
            "width": shape[1],
            "crs": "EPSG:32631",
            "transform": Affine(10, 0, 600_000, 0, -10, 5_000_000),
        }
        squares = np.kron(rng.integers(0, 2, (-(-shape[0] // 8), -(-shape[1] // 8))), np.ones((8, 8), int))
        field = squares[: shape[0], : shape[1]] if field is None else field
        folder = tmp_path / name
        folder.mkdir()
        for n, day in enumerate((3, 31, 40, 77, 90, 121)):
            date = datetime.date(2022, 1, 1) + datetime.timedelta(days=day)
            values = 2000 + rng.normal(0, 200, (3, *shape))
            values[1] += 1500 * field * (n % 2)
            if constant_band:
                values[2] = 700
            values[:, :5, :5] = 0
            with rasterio.open(
                folder / f"S2_{date:%Y%m%d}.tif", "w", count=3, dtype="uint16", nodata=0, **profile
            ) as image:
                image.write(values.astype(np.uint16))
                image.descriptions = BANDS
        labels = np.where(field, 7, 2).astype(np.uint8)
        labels[:, 20:23] = 255
        with rasterio.open(tmp_path / f"{name}.tif", "w", count=1, dtype="uint8", nodata=255, **profile) as raster:
            raster.write(labels, 1)
            raster.write_colormap(1, {2: (10, 200, 30, 255), 7: (250, 200, 0, 255)})
            raster.update_tags(1, CLASS_2="Meadow", class_7="Maize")
        return folder, tmp_path / f"{name}.tif"

    return write


@pytest.fixture
def parcels(scene: Callable[..., tuple[Path, Path]]) -> tuple[Path, Path, Path]:
    """A scene in which rectangles of maize of 7 x 6 pixels are parcels, with the raster of their ids, from 100 on."""
    rows, cols = np.indices(SHAPE)
    ids = 100 + rows // 8 * 1000 + cols // 8
    present = np.random.default_rng(5).random(ids.max() + 1) < 0.6
    field = (present[ids] & (rows % 8 < 7) & (cols % 8 < 6)).astype(int)
    ts, labels = scene(field=field)
    with rasterio.open(labels) as raster:
        profile = raster.profile
    path = labels.with_name("parcels.tif")
    with rasterio.open(path, "w", **{**profile, "dtype": "uint32", "nodata": None}) as raster:
        raster.write((field * ids).astype(np.uint32), 1)
    return ts, labels, path

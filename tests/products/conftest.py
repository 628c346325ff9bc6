import datetime
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from sitsinfer.grid import Grid, Window
from sitsinfer.layers import ClassInfo, Layer

CLASSES = (
    ClassInfo(0, "Water", (58, 124, 196)),
    ClassInfo(1, "Winter wheat", (236, 196, 72)),
    ClassInfo(4, "Prairie & forêt", (74, 140, 66)),
)


@dataclass
class ArraySource:
    """A layer in memory that insists on being read within its grid."""

    layer: Layer
    grid: Grid
    values: np.ndarray

    def read(self, window: Window) -> np.ndarray:
        assert window.row >= 0
        assert window.col >= 0
        assert window.stop_row <= self.grid.shape.y
        assert window.stop_col <= self.grid.shape.x
        return self.values[:, window.row : window.stop_row, window.col : window.stop_col]


def utm_grid(height: int, width: int) -> Grid:
    return GeoBox((height, width), Affine(10, 0, 499_980, 0, -10, 5_000_040), "EPSG:32631")


DATES = (datetime.date(2021, 12, 15), datetime.date(2022, 1, 3), datetime.date(2022, 5, 19))


@dataclass
class DatedArray(ArraySource):
    """A layer of several dates in memory."""

    def on(self, date: datetime.date) -> ArraySource:
        first = self.layer.dates.index(date) * len(self.layer.bands)
        return ArraySource(self.layer.on(date), self.grid, self.values[first : first + len(self.layer.bands)])


@pytest.fixture
def dated_source():
    """A maker of layers of three uneven dates: reflectance x 10000 and kelvin x 10, nodata in one corner."""

    def make(
        name: str = "landsat", height: int = 37, width: int = 61, bands: Sequence[str] = ("B02", "B03", "B04", "LST")
    ) -> DatedArray:
        warm = [band == "LST" for band in bands]
        scales = tuple(0.1 if one else 1e-4 for one in warm)
        units = tuple("K" if one else "" for one in warm)
        layer = Layer(name, "int16", -10000, tuple(bands), scales, units, DATES)
        row, col = np.indices((height, width))
        planes = [
            (2700 if warm[band] else 500) + 40 * step + 300 * band + row % 97 + col % 89
            for step in range(len(DATES))
            for band in range(len(bands))
        ]
        values = np.stack(planes).astype(np.int16)
        values[:, : height // 3, : width // 4] = -10000
        return DatedArray(layer, utm_grid(height, width), values)

    return make


@pytest.fixture
def tiny_disk(tmp_path):
    """A folder on a file system of its own that holds 256 kB."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    mount = shutil.which("mount")
    command = [mount or "mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if mount is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system is not permitted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def class_source():
    """A maker of class layers: coarse fields of three classes, nodata in one corner."""

    def make(height: int, width: int, grid: Grid | None = None) -> ArraySource:
        row, col = np.indices((height, width))
        values = np.array([0, 1, 4], np.uint8)[(row // 9 + col // 14) % 3]
        values[: height // 3, : width // 4] = 255
        layer = Layer("classes", "uint8", 255, ("class",), classes=CLASSES)
        return ArraySource(layer, grid or utm_grid(height, width), values[None])

    return make


@pytest.fixture
def score_source():
    """A maker of layers of three scaled probabilities, each pixel telling where it is."""

    def make(height: int, width: int) -> ArraySource:
        row, col = np.indices((height, width))
        values = np.stack([row % 251, col % 251, (row + col) % 251]).astype(np.uint8)
        values[:, : height // 3, : width // 4] = 255
        layer = Layer("probabilities", "uint8", 255, ("Water", "Winter wheat", "Maize"), scales=(1 / 250,) * 3)
        return ArraySource(layer, utm_grid(height, width), values)

    return make

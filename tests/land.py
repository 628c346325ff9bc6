"""A series in memory, in place of files."""

import datetime
from pathlib import Path

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox

from sitsinfer.grid import Grid, Window, is_aligned, offset_in, whole
from sitsinfer.series import Acquisition, Series, Stack
from sitsinfer.series.types import Image, RasterSource

DATES = (datetime.date(2021, 3, 2), datetime.date(2021, 3, 7), datetime.date(2021, 8, 30))


class Land:
    """A series in memory, in place of files: what is read knows its place, and some of it was never observed."""

    def __init__(self, height: int, width: int) -> None:
        self.grid = GeoBox((height, width), Affine(10, 0, 500_040, 0, -10, 5_400_070), "EPSG:32631")
        rng = np.random.default_rng(height * 1000 + width)
        self.values = rng.integers(1, 10_000, (len(DATES), 2, height, width)).astype(np.uint16)
        self.valid = rng.random((len(DATES), height, width)) < 0.7
        self.valid[0, :, : width // 3] = False
        self.reads: list[Window] = []

    def series(self) -> Series:
        source = RasterSource(Path(__file__), ("B04", "B08"), (1, 2), self.grid, "uint16", 0)
        acquisitions = tuple(Acquisition(date, (Image("a", (source,)),)) for date in DATES)
        return Series(Path(__file__).parent, "sentinel-2", ("B04", "B08"), acquisitions, self.grid, "uint16", 0)

    def read(self, series: Series, window: Window, grid: Grid) -> Stack:
        assert is_aligned(self.grid, grid)
        rows, cols = window.shift(*offset_in(self.grid, grid)).slices_in(whole(self.grid))
        assert rows.start >= 0
        assert cols.start >= 0
        self.reads.append(window)
        scale = np.full(len(DATES), 1e-4, np.float32)
        values, valid = self.values[:, :, rows, cols], self.valid[:, rows, cols]
        return Stack(values, valid, DATES, scale, np.zeros_like(scale), 0)

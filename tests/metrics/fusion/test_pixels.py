import datetime
from dataclasses import dataclass

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from sitsinfer.fusion.observe import View
from sitsinfer.grid import Window, whole
from sitsinfer.layers import Layer
from sitsinfer.metrics.fusion.pixels import LayerPixels, ViewPixels
from sitsinfer.series import open_series
from tests.conftest import write_raster

GRID = GeoBox((3, 4), Affine(10, 0, 600_000, 0, -10, 5_200_000), "EPSG:32631")
DAY = datetime.date(2022, 4, 13)


@dataclass(frozen=True)
class Source:
    layer: Layer
    grid: GeoBox
    values: np.ndarray

    def read(self, window):
        return self.values[:, *window.slices_in(whole(self.grid))]


@pytest.fixture
def source():
    stored = np.arange(24, dtype=np.int16).reshape(2, 3, 4) * 100
    stored[:, 1, 2] = -10000
    stored[0, 0, 0] = -10000
    return Source(Layer("landsat", "int16", -10000, ("B04", "LST"), (1e-4, 0.1), ("", "K")), GRID, stored)


def test_layers_are_read_in_their_units_with_holes(source):
    values, clear = LayerPixels(source).read(Window(0, 0, 3, 4))
    assert values.dtype == np.float32
    assert values[0, 2, 3] == pytest.approx(0.11)
    assert values[1, 2, 3] == pytest.approx(230)
    assert np.isnan(values[0, [0, 1], [0, 2]]).all()
    assert np.isfinite(values[1, 0, 0])
    assert clear.sum() == 11, "a pixel counts that has a value in any band"


def test_a_mask_beside_the_layer_makes_holes_too(source):
    outside = np.zeros((3, 4), bool)
    outside[:, 0] = True
    values, clear = LayerPixels(source, lambda window: ~outside[window.slices_in(whole(GRID))]).read(Window(0, 0, 2, 4))
    assert np.isnan(values[:, :, 0]).all()
    assert clear.sum() == 5


def test_a_series_is_read_in_reflectance_and_kelvin(tmp_path):
    stored = np.stack([np.full((3, 4), 2500), np.full((3, 4), 2977)]).astype(np.int16)
    stored[:, 0, 0] = stored[1, 2, 2] = -10000
    folder = tmp_path / "landsat8"
    write_raster(folder / "L8_20220413.tif", stored, ("B04", "LST"), nodata=-10000)
    mask = np.zeros((1, 3, 4), np.uint8)
    mask[0, 2, 1] = 1
    write_raster(folder / "L8_20220413_mask.tif", mask, nodata=None)
    series = open_series(folder)
    pixels = ViewPixels(View(series, series.grid, whole(series.grid)), DAY)
    values, clear = pixels.read(Window(0, 0, 3, 4))
    assert pixels.bands == ("B04", "LST")
    np.testing.assert_allclose(values[:, 1, 1], [0.25, 297.7], rtol=1e-6)
    np.testing.assert_array_equal(clear, [[False, True, True, True], [True] * 4, [True, False, True, True]])
    assert np.argwhere(np.isnan(values)).tolist() == [[0, 0, 0], [1, 0, 0], [1, 2, 2]]

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from sitsinfer.grid import Window
from sitsinfer.series.resample import Positions, bilinear, nearest

COARSE = GeoBox((3, 4), Affine(20, 0, 0, 0, -20, 0), "EPSG:32631")
FINE = GeoBox((6, 8), Affine(10, 0, 0, 0, -10, 0), "EPSG:32631")
EVERYTHING = Window(0, 0, 3, 4)
VALUES = np.arange(12, dtype=np.uint16).reshape(1, 3, 4) * 100 + 100


def test_positions_count_from_the_corner_of_the_first_pixel() -> None:
    positions = Positions.of(FINE, COARSE)
    assert positions.rows[:, 0].tolist() == [0.25, 0.75, 1.25, 1.75, 2.25, 2.75]
    assert positions.cols[0, :3].tolist() == [0.25, 0.75, 1.25]
    assert positions.inside.all()


def test_only_what_is_needed_is_read() -> None:
    inner = GeoBox((1, 2), Affine(10, 0, 30, 0, -10, -20), "EPSG:32631")
    assert Positions.of(inner, COARSE).window == Window(0, 1, 2, 2)
    outside = GeoBox((2, 2), Affine(10, 0, 500, 0, -10, 0), "EPSG:32631")
    assert Positions.of(outside, COARSE).window.is_empty


def test_nearest_takes_the_pixel_that_a_centre_lies_in() -> None:
    out = np.empty((1, 6, 8), np.uint16)
    nearest(VALUES, EVERYTHING, Positions.of(FINE, COARSE), out, 0)
    assert np.array_equal(out, VALUES.repeat(2, 1).repeat(2, 2))


def test_bilinear_interpolates_between_centres() -> None:
    out = np.empty((1, 6, 8), np.uint16)
    bilinear(VALUES, EVERYTHING, Positions.of(FINE, COARSE), out, 0)
    assert out[0, 0].tolist() == [100, 125, 175, 225, 275, 325, 375, 400]
    assert out[0, :, 0].tolist() == [100, 200, 400, 600, 800, 900]


def test_half_way_between_integers_rounds_to_even() -> None:
    half = GeoBox((1, 1), Affine(20, 0, 10, 0, -20, 0), "EPSG:32631")
    out = np.empty((1, 1, 1), np.uint16)
    for pair, rounded in (((2, 3), 2), ((3, 4), 4)):
        block = np.array([[pair]], np.uint16)
        bilinear(block, Window(0, 0, 1, 2), Positions.of(half, COARSE), out, 0)
        assert out.item() == rounded


@pytest.mark.parametrize(("dtype", "missing"), [("uint16", 0), ("int16", -9999), ("float32", np.nan)])
def test_missing_pixels_are_left_out_of_the_mean(dtype: str, missing: float) -> None:
    block = np.array([[[1, missing, 3, 3]] * 3], dtype)
    out = np.empty((1, 6, 8), dtype)
    bilinear(block, EVERYTHING, Positions.of(FINE, COARSE), out, missing)
    assert np.array_equal(out[0, 0], [1, 1, missing, missing, 3, 3, 3, 3], equal_nan=True)

import numpy as np
import pytest

from sitsinfer.fusion.gapfill import Gapfill
from sitsinfer.fusion.types import MISSING, Observations
from tests.fusion.ground import smooth

DAYS = (3, 10, 11, 40, 95, 200)
RNG = np.random.default_rng(11)
CLEAR = RNG.random((len(DAYS), 7, 9)) > 0.5
CLEAR[:, 2, 3] = False
VALUES = RNG.random((len(DAYS), 3, 7, 9), np.float32)


def gapfill(values=VALUES, clear=CLEAR, days=DAYS):
    return Gapfill.of(Observations(values, clear, np.array(days, np.int64), ("a", "b", "c")))


def fill(day, values=VALUES, clear=CLEAR, left_out=None):
    return gapfill(values, clear).on(day, left_out)


@pytest.mark.parametrize("day", [-20, 3, 7, 10, 11, 94, 200, 365])
def test_each_pixel_is_interpolated_between_its_clear_dates(day):
    filled = fill(day)
    assert filled.dtype == np.float32
    for row, col in np.argwhere(CLEAR.any(axis=0)):
        dates = CLEAR[:, row, col]
        for band in range(3):
            expected = np.interp(day, np.array(DAYS)[dates], VALUES[dates, band, row, col])
            assert filled[band, row, col] == pytest.approx(expected, abs=1e-6)


def test_a_straight_line_in_time_is_reproduced():
    plane, slope = RNG.random((2, 3, 7, 9), np.float32)
    clear = CLEAR.copy()
    clear[[0, -1]] = True
    values = np.where(clear[:, None], smooth(DAYS, plane, slope), np.nan)
    for day in (3, 17, 60, 199):
        np.testing.assert_allclose(fill(day, values, clear), plane + np.float32(day / 100) * slope, rtol=1e-6)


def test_a_clear_date_is_taken_as_it_is():
    filled = fill(40)
    np.testing.assert_array_equal(filled[:, CLEAR[3]], VALUES[3][:, CLEAR[3]])


def test_what_is_not_clear_is_never_looked_at():
    hidden = np.where(CLEAR[:, None], VALUES, np.nan)
    np.testing.assert_array_equal(fill(60, hidden), fill(60))


def test_a_pixel_that_is_never_clear_is_nan():
    filled = fill(60)
    assert np.isnan(filled[:, 2, 3]).all()
    np.testing.assert_array_equal(np.isnan(filled[0]), ~CLEAR.any(axis=0))


def test_no_date_at_all_is_nan():
    empty = gapfill(np.zeros((0, 3, 4, 5), np.float32), np.zeros((0, 4, 5), np.bool_), ()).on(8)
    assert empty.shape == (3, 4, 5)
    assert np.isnan(empty).all()


def test_a_day_left_out_is_as_if_it_had_not_been_observed():
    others = [t for t in range(len(DAYS)) if t != 3]
    expected = gapfill(VALUES[others], CLEAR[others], np.array(DAYS)[others]).on(40)
    np.testing.assert_array_equal(fill(40, left_out=40), expected)


def test_arrays_in_another_order_of_memory_give_the_same():
    np.testing.assert_array_equal(fill(60, np.asfortranarray(VALUES), np.asfortranarray(CLEAR)), fill(60))


@pytest.mark.parametrize("day", [3, 40, 60, 365])
@pytest.mark.parametrize("left_out", [None, 40])
def test_a_band_is_looked_at_only_where_it_was_observed(day, left_out):
    values = VALUES.copy()
    values[RNG.random(values.shape) < 0.3] = MISSING
    values[:, 1, 5, 2:4] = MISSING
    assert CLEAR[:, 5, 2:4].any(axis=0).all()
    filled = fill(day, values, left_out=left_out)
    for band in range(3):
        alone = fill(day, values, CLEAR & (values[:, band] != MISSING), left_out)
        np.testing.assert_array_equal(filled[band], alone[band])
    assert np.isnan(filled[1, 5, 2:4]).all()


def test_a_gap_of_a_band_changes_nothing_else():
    values = VALUES.copy()
    values[1:4, 2, 1:4, 3:6] = MISSING
    filled, full = fill(20, values), fill(20)
    elsewhere = np.ones(full.shape, np.bool_)
    elsewhere[2, 1:4, 3:6] = False
    np.testing.assert_array_equal(filled[elsewhere], full[elsewhere])
    assert np.nanmin(filled) >= 0


def test_what_is_missing_under_clouds_is_no_gap():
    assert gapfill(np.where(CLEAR[:, None], VALUES, np.float32(MISSING))).gaps is None

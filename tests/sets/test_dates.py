import numpy as np
import pytest

from sitsinfer.sets import dates
from sitsinfer.sets.dates import on_days

DAYS = np.array([3, 10, 12, 40, 41])
WANTED = np.array([0, 3, 11, 26, 40, 90, 5])


def series(count: int, bands: int = 2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(count)
    return rng.integers(0, 10_000, (count, len(DAYS), bands)).astype(np.uint16), rng.random((count, len(DAYS))) < 0.5


def test_each_pixel_is_interpolated_between_its_clear_observations() -> None:
    values, valid = series(60)
    valid[7] = False
    found = on_days(values, valid, DAYS, WANTED)
    assert found.dtype == np.float32
    assert found.shape == (60, 7, 2)
    for pixel in np.flatnonzero(valid.any(axis=1)):
        clear = valid[pixel]
        for band in range(2):
            expected = np.interp(WANTED, DAYS[clear], values[pixel, clear, band].astype(np.float64))
            np.testing.assert_allclose(found[pixel, :, band], expected, rtol=1e-6)


def test_observed_days_keep_their_values_exactly() -> None:
    values, valid = series(20)
    found = on_days(values, np.ones_like(valid), DAYS, DAYS)
    assert (found == values).all()


def test_a_pixel_that_was_never_clear_is_zero() -> None:
    values, valid = series(5)
    valid[2] = False
    assert (on_days(values, valid, DAYS, WANTED)[2] == 0).all()


def test_what_is_not_valid_has_no_say() -> None:
    values, valid = series(30)
    floats = values.astype(np.float32)
    floats[~valid] = np.nan
    floats[~valid & (np.arange(len(DAYS)) % 2 == 0)] = np.inf
    assert (on_days(floats, valid, DAYS, WANTED) == on_days(values, valid, DAYS, WANTED)).all()


def test_a_pixel_does_not_depend_on_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    values, valid = series(23)
    whole = on_days(values, valid, DAYS, WANTED)
    for chunk in (1, 50):
        monkeypatch.setattr(dates, "CHUNK", chunk)
        assert (on_days(values, valid, DAYS, WANTED) == whole).all()
    assert (on_days(values[4:9], valid[4:9], DAYS, WANTED) == whole[4:9]).all()


def test_no_pixels_no_dates_and_no_wanted_days_are_not_errors() -> None:
    values, valid = series(3)
    assert on_days(values[:0], valid[:0], DAYS, WANTED).shape == (0, 7, 2)
    assert on_days(values, valid, DAYS, WANTED[:0]).shape == (3, 0, 2)
    assert (on_days(values[:, :0], valid[:, :0], DAYS[:0], WANTED) == np.zeros((3, 7, 2))).all()

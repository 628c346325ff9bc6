import numpy as np

from sitsinfer.fusion.compensation import MARGIN, compensate, residual
from sitsinfer.fusion.psf import OPTICS, Psf
from sitsinfer.fusion.resample import bicubic
from sitsinfer.fusion.types import MISSING

BANDS = tuple(OPTICS["lr"])
RNG = np.random.default_rng(2)
PREDICTION = RNG.random((8, 48, 57), np.float32)
OBSERVED = RNG.random((8, 16, 19), np.float32)
CLEAR = np.ones((16, 19), np.bool_)


def test_what_is_added_is_what_the_prediction_lacks_once_blurred():
    compensated = compensate(PREDICTION, OBSERVED, CLEAR, BANDS)
    expected = PREDICTION + bicubic(OBSERVED, 3) - Psf.of("lr", BANDS).blur(PREDICTION)
    np.testing.assert_allclose(compensated, expected, atol=1e-6)


def test_a_prediction_that_agrees_is_left_as_it_is():
    flat = np.broadcast_to(RNG.random((8, 1, 1), np.float32), PREDICTION.shape)
    np.testing.assert_allclose(compensate(flat, flat[:, ::3, ::3], CLEAR, BANDS), flat, atol=1e-6)


def test_under_clouds_the_prediction_stays():
    clear = CLEAR.copy()
    clear[3, 7] = False
    compensated = compensate(PREDICTION, OBSERVED, clear, BANDS)
    np.testing.assert_array_equal(compensated[:, 9:12, 21:24], PREDICTION[:, 9:12, 21:24])
    assert (compensated != PREDICTION).sum() > 0.99 * PREDICTION.size - 8 * 9


def test_missing_values_are_not_resampled():
    observed = OBSERVED.copy()
    observed[2, 5, 6] = MISSING
    compensated, full = (compensate(PREDICTION, o, CLEAR, BANDS) for o in (observed, OBSERVED))
    np.testing.assert_array_equal(np.delete(compensated, 2, axis=0), np.delete(full, 2, axis=0))
    near = np.isnan(residual(PREDICTION, observed, BANDS)[2])
    assert near[15:18, 18:21].all()
    assert near.sum() < 15 * 15
    np.testing.assert_array_equal(compensated[2], np.where(near, PREDICTION[2], full[2]))


def test_a_window_with_its_margin_gives_the_same_bits_as_the_whole():
    fine, coarse = np.s_[..., 12 - MARGIN : 27 + MARGIN, 15 - MARGIN : 48 + MARGIN], np.s_[..., 1:12, 2:19]
    window = compensate(PREDICTION[fine], OBSERVED[coarse], CLEAR[coarse], BANDS)
    whole = compensate(PREDICTION, OBSERVED, CLEAR, BANDS)
    np.testing.assert_array_equal(window[:, MARGIN:-MARGIN, MARGIN:-MARGIN], whole[:, 12:27, 15:48])


def test_leaving_bands_out_changes_no_other():
    whole = compensate(PREDICTION, OBSERVED, CLEAR, BANDS)
    np.testing.assert_array_equal(compensate(PREDICTION[:3], OBSERVED[:3], CLEAR, BANDS[:3]), whole[:3])

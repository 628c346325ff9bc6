from fractions import Fraction

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sitsinfer.fusion.resample import (
    BICUBIC_REACH,
    BILINEAR_REACH,
    bicubic,
    bicubic_integers,
    bilinear,
    middle,
    nearest,
)

FACTORS = [3, Fraction(3, 2), 2, Fraction(1, 2), Fraction(1, 3)]
VALUES = np.random.default_rng(3).random((2, 12, 18), np.float32)


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize(("ours", "mode"), [(bicubic, "bicubic"), (bilinear, "bilinear"), (nearest, "nearest")])
def test_it_counts_and_weighs_as_torch_does(ours, mode, factor):
    options = {} if mode == "nearest" else {"align_corners": False}
    exact = torch.from_numpy(VALUES).double()[None]  # in float32, torch rounds positions, the more the larger they are
    expected = F.interpolate(exact, scale_factor=float(factor), mode=mode, **options)[0]
    computed = ours(VALUES, factor)
    assert computed.dtype == np.float32
    np.testing.assert_allclose(computed, expected.numpy(), atol=1e-6)


@pytest.mark.parametrize(("resample", "reach"), [(bicubic, BICUBIC_REACH), (bilinear, BILINEAR_REACH)])
def test_a_window_gives_the_same_bits_as_the_whole(resample, reach):
    whole = resample(VALUES, 3)
    window = resample(VALUES[:, 5 - reach : 7 + reach, 8 - reach : 13 + reach], 3)
    np.testing.assert_array_equal(middle(window, (6, 15)), whole[:, 15:21, 24:39])


@pytest.mark.parametrize(("resample", "reach"), [(bicubic, BICUBIC_REACH), (bilinear, BILINEAR_REACH)])
def test_nan_spreads_as_far_as_it_reaches_and_no_further(resample, reach):
    values = VALUES.copy()
    values[:, 6, 9] = np.nan
    rows, cols = np.nonzero(np.isnan(resample(values, 3)[0]))
    assert (rows // 3).min() == 6 - reach
    assert (rows // 3).max() == 6 + reach
    assert (cols // 3).min() == 9 - reach
    assert (cols // 3).max() == 9 + reach


@pytest.mark.parametrize("resample", [bicubic, bilinear])
@pytest.mark.parametrize("factor", FACTORS)
def test_a_constant_stays_one(resample, factor):
    np.testing.assert_allclose(resample(np.full((4, 12, 6), 0.37, np.float32), factor), 0.37, rtol=1e-6)


def test_pixels_that_make_no_whole_pixel_are_left_out():
    assert bicubic(VALUES, Fraction(1, 5)).shape == (2, 2, 3)


def test_integers_are_cut_toward_zero():
    numbers = np.array([[-10, 25, 1034, 7], [803, -55, 12, 9]], np.int16)
    real = bicubic(numbers.astype(np.float32), 2)
    assert ((real % 1 > 0.5) & (real > 0)).any()
    assert ((real % 1 < 0.5) & (real < 0)).any()
    computed = bicubic_integers(numbers, 2)
    assert computed.dtype == np.int16
    np.testing.assert_array_equal(computed, np.trunc(real))


def test_integers_do_not_wrap():
    edge = np.repeat(np.array([[-32768] * 3 + [32767] * 3], np.int16), 6, axis=0)
    computed = bicubic_integers(edge, 3)
    assert (computed[:, :9] < 0).all()
    assert (computed[:, 9:] > 0).all()


def test_nearest_takes_the_first_of_a_block_whatever_the_type():
    mask = np.zeros((6, 9), np.bool_)
    mask[3, 6] = True
    shrunk = nearest(mask, Fraction(1, 3))
    assert shrunk.dtype == np.bool_
    assert np.argwhere(shrunk).tolist() == [[1, 2]]
    assert np.argwhere(nearest(shrunk, 3)).tolist() == [[row, col] for row in (3, 4, 5) for col in (6, 7, 8)]


def test_the_middle_is_as_far_from_all_sides():
    assert middle(np.arange(35).reshape(5, 7), (1, 3)).tolist() == [[16, 17, 18]]

from fractions import Fraction

import numpy as np
import pytest

from sitsinfer.errors import SeriesError
from sitsinfer.fusion.psf import OPTICS, Optics, Psf
from sitsinfer.fusion.resample import bicubic

HR, LR = tuple(OPTICS["hr"]), tuple(OPTICS["lr"])
VALUES = np.random.default_rng(5).random((2, 3, 26, 31), np.float32)
PSF = Psf((Optics(10, 1.0), Optics(20, 0.3), Optics(30, 0.2)), 10.0)


@pytest.mark.parametrize("psf", [Psf.of("hr", HR), Psf.of("lr", LR), Psf.of("lr", LR, 30.0), PSF])
def test_kernels_sum_to_one(psf):
    np.testing.assert_allclose(psf.kernels.sum(axis=(1, 2)), 1)


def test_kernels_hold_the_coarsest_band():
    assert Psf.of("hr", HR).kernels.shape == (10, 5, 5)
    assert Psf.of("lr", LR).kernels.shape == (8, 19, 19)
    assert Psf((Optics(2, 0.1),), 1.0, half_width=3).kernels.shape == (1, 7, 7)


@pytest.mark.parametrize(("resolution", "mtf"), [(30, 0.3), (90, 0.2), (10, 0.4), (20, 0.05)])
def test_the_transfer_at_the_nyquist_frequency_is_the_one_given(resolution, mtf):
    psf = Psf((Optics(resolution, mtf),), 1.0, half_width=4 * resolution)
    distance = np.arange(-4 * resolution, 4 * resolution + 1)
    wave = np.cos(2 * np.pi * distance * 0.5 / resolution)
    assert (psf.kernels[0].sum(axis=0) * wave).sum() == pytest.approx(mtf, abs=1e-6)


@pytest.mark.parametrize("mtf", [1.0, 1.2])
def test_a_perfect_transfer_is_a_single_point(mtf):
    kernel = Psf((Optics(20, mtf),), 10.0).kernels[0]
    assert kernel[2, 2] == 1
    assert np.count_nonzero(kernel) == 1
    one = VALUES[:, :1]
    np.testing.assert_array_equal(Psf((Optics(20, mtf),), 10.0).blur(one), one)


def test_no_transfer_is_a_plain_mean():
    np.testing.assert_allclose(Psf((Optics(1, 0.0),), 1.0).kernels[0], 1 / 9)


def test_a_blur_is_a_sum_weighted_by_the_kernel():
    around = VALUES[1, :, 11 - 3 : 11 + 4, 8 - 3 : 8 + 4]
    expected = (around * PSF.kernels).sum(axis=(1, 2))
    np.testing.assert_allclose(PSF.blur(VALUES)[1, :, 11, 8], expected, atol=1e-6)


def test_borders_are_mirrored_without_repeating_the_edge():
    wide = np.pad(VALUES, [(0, 0), (0, 0), (3, 3), (3, 3)], mode="reflect")
    np.testing.assert_array_equal(PSF.blur(wide)[..., 3:-3, 3:-3], PSF.blur(VALUES))


def test_a_constant_stays_one():
    np.testing.assert_allclose(PSF.blur(np.full((3, 5, 4), 0.29, np.float32)), 0.29, rtol=1e-6)


def test_high_pass_and_blur_add_up():
    np.testing.assert_allclose(PSF.high_pass(VALUES) + PSF.blur(VALUES), VALUES, atol=1e-6)


def test_a_window_gives_the_same_bits_as_the_whole():
    window = PSF.blur(VALUES[..., 4 - 3 : 14 + 3, 7 - 3 : 20 + 3])
    np.testing.assert_array_equal(window[..., 3:-3, 3:-3], PSF.blur(VALUES)[..., 4:14, 7:20])


def test_leaving_bands_out_changes_no_other():
    some = ("B05", "B02")
    values = np.random.default_rng(1).random((8, 24, 21), np.float32)
    chosen = [LR.index(band) for band in some]
    np.testing.assert_array_equal(Psf.of("lr", some).blur(values[chosen]), Psf.of("lr", LR).blur(values)[chosen])


def test_downsampling_blurs_first():
    third = Fraction(1, 3)
    np.testing.assert_array_equal(PSF.downsample(VALUES, third), bicubic(PSF.blur(VALUES), third))
    np.testing.assert_array_equal(PSF.downsample(VALUES, 1), PSF.blur(VALUES))


def test_blurring_leaves_nothing_of_a_chessboard():
    board = np.indices((12, 16)).sum(axis=0).astype(np.float32)[None] % 2
    assert np.ptp(bicubic(board, Fraction(1, 3))) == 1
    coarse = Psf((Optics(3, 0.3),), 1.0, half_width=3).downsample(board, Fraction(1, 3))
    assert coarse.shape == (1, 4, 5)
    np.testing.assert_allclose(coarse, 0.5, atol=0.02)


def test_an_unknown_band_is_refused():
    with pytest.raises(SeriesError, match="point spread function of band 'B10' is not known. Choose among B02, B03"):
        Psf.of("hr", ("B02", "B10"))

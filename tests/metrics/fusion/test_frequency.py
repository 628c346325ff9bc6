import numpy as np
import pytest

from sitsinfer.metrics.fusion.frequency import radial_profile, restoration


@pytest.fixture
def image():
    return np.random.default_rng(3).normal(0.3, 0.1, (2, 40, 28)).astype(np.float32)


def test_an_image_restores_itself(image):
    assert restoration(image, image).tolist() == [0, 0]


def test_a_scale_does_not_matter(image):
    np.testing.assert_allclose(restoration(3 * image, image), 0, atol=1e-5)


def test_a_smooth_image_lacks_detail_and_a_rough_one_has_too_much(image):
    smooth = (image + np.roll(image, 1, axis=-1) + np.roll(image, 1, axis=-2)) / 3
    assert (restoration(smooth, image) < -1).all()
    np.testing.assert_allclose(restoration(image, smooth), -restoration(smooth, image))


def test_profile_is_the_mean_magnitude_of_every_other_ring():
    plane = np.random.default_rng(4).normal(size=(12, 12)).astype(np.float32)
    spectrum = np.abs(np.fft.fft2(plane.astype(float), s=(24, 24)))
    k = np.fft.fftfreq(24, 1 / 24)
    radius = np.hypot(k[:, None], k)
    rings = [spectrum[(radius > start) & (radius < start + 1)].mean() for start in (2, 6, 8)]  # no point on their edges
    np.testing.assert_allclose(radial_profile(plane, 24)[[0, 2, 3]], rings)


def test_holes_and_images_that_are_too_small_have_no_score(image):
    holed = image.copy()
    holed[1, 5, 5] = np.nan
    assert np.isnan(restoration(holed, image)).tolist() == [False, True]
    assert np.isnan(restoration(image[:, :7, :7], image[:, :7, :7])).all()
    assert np.isfinite(restoration(image[:, :8, :8], image[:, :8, :8])).all()
    assert np.isnan(restoration(np.zeros_like(image), image)).all()

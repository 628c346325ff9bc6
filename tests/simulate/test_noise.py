"""Laws of numbers that belong to places."""

import numpy as np
import pytest

from sitsinfer.simulate.noise import fractal_noise, hashed, normal, smooth_noise, uniform


def test_hash_depends_on_seed_salt_and_every_key():
    reference = hashed(1, "a", 2, 3)
    assert hashed(1, "a", 2, 3) == reference
    others = [hashed(0, "a", 2, 3), hashed(1, "b", 2, 3), hashed(1, "a", 3, 2), hashed(1, "a", 2, -3)]
    assert len({int(h[0]) for h in [reference, *others]}) == 5


def test_uniform_and_normal_have_their_moments():
    keys = np.arange(200_000)
    u, z = uniform(5, "moments", keys), normal(5, "moments", keys)
    assert 0 < u.min() < u.max() < 1
    assert u.mean() == pytest.approx(0.5, abs=0.005)
    assert z.std() == pytest.approx(1.0, abs=0.01)
    assert abs(np.corrcoef(u[1:], u[:-1])[0, 1]) < 0.01


@pytest.mark.parametrize("octaves", [1, 4])
def test_noise_is_the_same_whichever_window_shows_it(octaves):
    x, y = np.arange(-50.0, 950, 10), np.arange(-730.0, 70, 10)
    whole = fractal_noise(3, "field", x, y, 170, octaves)
    part = fractal_noise(3, "field", x[31:77], y[13:64], 170, octaves)
    np.testing.assert_allclose(part, whole[13:64, 31:77], rtol=0, atol=1e-12)


def test_noise_is_standardised_and_smooth():
    axis = np.arange(0.0, 20_000, 25)
    noise = smooth_noise(9, "field", axis, axis, 100)
    assert noise.mean() == pytest.approx(0, abs=0.02)
    assert noise.std() == pytest.approx(1, abs=0.02)
    assert np.abs(np.diff(noise)).max() < 2
    assert np.diff(noise).std() < 0.5

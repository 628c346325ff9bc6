"""Days without clouds."""

import datetime as dt

import numpy as np
import pytest
from scipy import stats

from sitsinfer.errors import SimulationError
from sitsinfer.grid import Window
from sitsinfer.simulate import Scene, l3a_dates, render, render_truth
from sitsinfer.simulate.atmosphere import CLEAR
from sitsinfer.simulate.legend import BARLEY, BEET, BUILT_UP, DECIDUOUS, WATER, WHEAT
from sitsinfer.simulate.rendering import coarsened
from sitsinfer.simulate.sensor import SENTINEL2
from sitsinfer.simulate.weather import gains, passes

SCENE = Scene(height=150, width=270, dates=5, seed=6, cloud_cover=0.3)
JULY = dt.date(2022, 7, 25)


def test_truth_is_what_clear_pixels_show_but_for_haze_gain_and_noise():
    rendering = render(SCENE)
    truth = render_truth(SCENE, rendering.dates)
    assert truth.dates == rendering.dates
    seen = 0
    for t, p in enumerate(passes(SCENE, "sentinel2")):
        gain = gains(SCENE, "sentinel2", p, 10)[:, None]
        clear = rendering.mask[t] == CLEAR
        if clear.sum() < 1000:
            continue
        seen += 1
        error = rendering.values[t][:, clear] - gain * coarsened(truth.sentinel2[t].astype(np.float32))[:, clear]
        # Thin cloud and penumbra at the edges of what is clear make a few large errors: the middle tells the noise.
        spread = stats.median_abs_deviation(error, axis=1, scale="normal")
        noise = np.array(SENTINEL2.noise) * 1e4 / np.where(SENTINEL2.coarse, 2, 1)
        np.testing.assert_allclose(spread, noise, rtol=0.5)
        assert np.abs(np.median(error, axis=1)).max() < 250
    assert seen >= 2


def test_bands_of_20_m_are_as_sharp_as_those_of_10_m():
    truth = render_truth(SCENE, [JULY]).sentinel2[0].astype(float)
    pairs = truth.reshape(len(truth), 75, 2, 135, 2)
    within = pairs.std(axis=(2, 4)).mean(axis=(1, 2)) / truth.mean(axis=(1, 2))
    near_infrared, narrow = (SENTINEL2.bands.index(band) for band in ("B08", "B8A"))
    assert (within > 0).all()
    assert within[narrow] == pytest.approx(within[near_infrared], rel=0.05), "two bands of one part of the spectrum"


def test_a_window_shows_what_the_whole_shows():
    dates = [JULY, dt.date(2022, 1, 3)]
    whole, part = render_truth(SCENE, dates), render_truth(SCENE, dates, Window(101, 77, 33, 70))
    np.testing.assert_array_equal(part.sentinel2, whole.sentinel2[:, :, 101:134, 77:147])
    np.testing.assert_array_equal(part.landsat, whole.landsat[:, :, 101:134, 77:147])


def test_truth_needs_no_acquisition():
    asked = render_truth(Scene(height=50, width=70, seed=6), [JULY])
    other = render_truth(Scene(height=50, width=70, seed=6, dates=11, landsat=9, cloud_cover=1), [JULY])
    assert asked.sentinel2.dtype == np.uint16
    assert asked.landsat.dtype == np.int16
    assert asked.landsat.shape == (1, 8, 50, 70)
    np.testing.assert_array_equal(asked.sentinel2, other.sentinel2)
    np.testing.assert_array_equal(asked.landsat, other.landsat)


def test_fields_in_leaf_are_cooler_than_stubble_and_towns_in_july():
    scene = Scene(height=256, width=384, dates=1, seed=1)
    classes, kelvin = render(scene).classes, render_truth(scene, [JULY]).landsat[0, 7] / 10
    mean = {code: kelvin[classes == code].mean() for code in (WHEAT, BARLEY, BEET, DECIDUOUS, BUILT_UP, WATER)}
    for dry in (WHEAT, BARLEY, BUILT_UP):
        assert mean[dry] > mean[BEET] + 3
        assert mean[dry] > mean[DECIDUOUS] + 5
    assert mean[WATER] < mean[DECIDUOUS] + 4
    assert kelvin[classes == WATER].std() < kelvin[classes == WHEAT].std()


def test_dates_of_another_year_are_refused():
    with pytest.raises(SimulationError, match=r"^2023-01-15 is not in 2022, the year of the scene\."):
        render_truth(SCENE, [JULY, dt.date(2023, 1, 15)])


def test_composites_are_dated_the_1st_and_15th():
    dates = l3a_dates(2024)
    assert len(dates) == 24
    assert list(dates) == sorted(dates)
    assert dates[:3] == (dt.date(2024, 1, 1), dt.date(2024, 1, 15), dt.date(2024, 2, 1))

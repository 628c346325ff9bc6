"""Landsat's picture of the ground."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from sitsinfer.errors import SimulationError
from sitsinfer.grid import Window
from sitsinfer.simulate import Scene, render, render_landsat, render_truth
from sitsinfer.simulate.atmosphere import CLEAR, CLOUD, SHADOW, UNSEEN
from sitsinfer.simulate.landsat import BANDS, NODATA, SCALES
from sitsinfer.simulate.sensor import SENTINEL2
from sitsinfer.simulate.weather import gains, passes

# 67 x 108 pixels of 30 m: two rows of blocks, two columns.
SCENE = Scene(height=200, width=322, dates=9, landsat=6, seed=6, cloud_cover=0.5)
CLOUDLESS = Scene(height=66, width=96, dates=4, landsat=3, seed=9, cloud_cover=0)
SCALE = np.array(SCALES)[:, None, None]


@pytest.fixture(scope="module")
def whole():
    return render_landsat(SCENE)


@settings(max_examples=8, deadline=None, derandomize=True)
@given(data=st.data())
def test_a_window_shows_what_the_whole_shows(whole, data):
    row, col = data.draw(st.integers(0, 66)), data.draw(st.integers(0, 107))
    height, width = data.draw(st.integers(1, min(20, 67 - row))), data.draw(st.integers(1, min(20, 108 - col)))
    part = render_landsat(SCENE, Window(row, col, height, width))
    where = np.s_[row : row + height, col : col + width]
    np.testing.assert_array_equal(part.values, whole.values[:, :, *where])
    np.testing.assert_array_equal(part.mask, whole.mask[:, *where])


def test_pixels_cover_a_scene_of_any_size(whole):
    # 200 x 322 pixels of 10 m are 66.7 x 107.3 of 30 m.
    assert (whole.values.dtype, whole.values.shape) == (np.int16, (6, 8, 67, 108))
    assert (whole.mask.dtype, whole.mask.shape) == (np.uint8, (6, 67, 108))
    assert len(whole.dates) == 6
    with pytest.raises(SimulationError, match="reaches beyond the scene of 67 x 108"):
        render_landsat(SCENE, Window(0, 100, 5, 9))


def test_a_scene_without_landsat_has_no_dates():
    assert render_landsat(Scene(height=20, width=30)).values.shape == (0, 8, 7, 10)


def _seen_by_truth(scene, rendering):
    """Blur the truth with independent arithmetic and take the middle of each three by three pixels."""
    truth = render_truth(scene, rendering.dates).landsat * SCALE
    sigmas = [1.482] * 7 + [5.14]  # pixels of 10 m: a transfer of 0.3 at 1 / 60 m, of 0.2 at 1 / 180 m
    blurred = [
        ndimage.gaussian_filter(truth[:, c], sigma, radius=9, axes=(1, 2), mode="nearest")
        for c, sigma in enumerate(sigmas)
    ]
    return np.stack(blurred, axis=1)[:, :, 1::3, 1::3]


def test_clear_pixels_are_the_truth_blurred_and_sampled():
    rendering = render_landsat(CLOUDLESS)
    seen, expected = rendering.values * SCALE, _seen_by_truth(CLOUDLESS, rendering)
    inside = np.s_[3:-3, 3:-3]  # beyond the edges the ground goes on
    for t, p in enumerate(passes(CLOUDLESS, "landsat")):
        gain = gains(CLOUDLESS, "landsat", p, 7)[:, None, None]
        clear = rendering.mask[t][inside] == CLEAR
        assert clear.any()
        error = (seen[t, :7] - gain * expected[t, :7])[:, *inside][:, clear]
        assert np.abs(error.mean(axis=1)).max() < 0.02  # haze
        assert error.std(axis=1).max() < 0.004
        warmth = (seen[t, 7] - expected[t, 7])[inside][clear]
        assert abs(warmth.mean()) < 2
        assert warmth.std() < 0.3


def test_on_common_dates_both_sensors_see_the_same_ground():
    landsat, sentinel2 = render_landsat(CLOUDLESS), render(CLOUDLESS)
    common = sorted(set(landsat.dates) & set(sentinel2.dates))
    assert common
    inside = np.s_[3:-3, 3:-3]
    for date in common:
        near_infrared = sentinel2.values[sentinel2.dates.index(date), SENTINEL2.bands.index("B8A")].astype(float)
        coarse = landsat.values[landsat.dates.index(date), BANDS.index("B05")][inside]
        # The centre of each coarse pixel is that of the middle of three fine ones.
        agreement = {
            (i, j): np.corrcoef(_every_third(near_infrared, i, j)[inside].ravel(), coarse.ravel())[0, 1]
            for i in (0, 1, 2)
            for j in (0, 1, 2)
        }
        assert max(agreement, key=agreement.__getitem__) == (1, 1)
        assert agreement[1, 1] > 0.9
        assert coarse.mean() == pytest.approx(_every_third(near_infrared, 1, 1)[inside].mean(), rel=0.15)


def _every_third(fine, row, col):
    """Blur a picture of 10 m as Landsat does, and sample it from one of its first pixels on."""
    return ndimage.gaussian_filter(fine, 1.482)[row::3, col::3]


def test_temperature_is_seen_less_sharply_than_reflectance():
    rendering = render_landsat(CLOUDLESS)
    truth = render_truth(CLOUDLESS, rendering.dates).landsat[:, :, 1::3, 1::3].astype(float)
    left = rendering.values.std(axis=(2, 3)) / truth.std(axis=(2, 3))
    assert (left[:, 7] + 0.05 < left[:, 5]).all()


def test_missing_means_not_observed_and_nothing_else():
    scene = render_landsat(Scene(height=64, width=200, landsat=30, seed=1))
    unseen = scene.mask == UNSEEN
    assert unseen.any()
    np.testing.assert_array_equal(scene.values == NODATA, np.broadcast_to(unseen[:, None], scene.values.shape))
    assert scene.values[scene.values != NODATA].min() > 0


@pytest.fixture(scope="module")
def cloudy():
    return render_landsat(Scene(height=192, width=380, landsat=20, seed=3, cloud_cover=0.4))


def test_masks_hold_clouds_shadows_and_clear_ground(cloudy):
    shares = {value: (cloudy.mask == value).mean() for value in (CLEAR, CLOUD, SHADOW, UNSEEN)}
    assert sum(shares.values()) == pytest.approx(1)
    assert 0.2 < shares[CLOUD] < 0.6
    assert 0.01 < shares[SHADOW] < 0.2


def test_clouds_are_bright_and_cold_and_shadows_dark_and_cool(cloudy):
    blue, infrared, kelvin = (cloudy.values[:, BANDS.index(band)] for band in ("B02", "B05", "LST"))
    for t in range(len(cloudy.dates)):
        clear, cloud, shadow = (cloudy.mask[t] == value for value in (CLEAR, CLOUD, SHADOW))
        if min(clear.sum(), cloud.sum(), shadow.sum()) < 200:
            continue
        assert blue[t][cloud].mean() > 2 * blue[t][clear].mean()
        assert kelvin[t][cloud].mean() < kelvin[t][clear].mean() - 50
        assert infrared[t][shadow].mean() < infrared[t][clear].mean()
        assert kelvin[t][shadow].mean() < kelvin[t][clear].mean()
        break
    else:
        raise AssertionError("No date has clouds, shadows and clear ground.")


def test_temperatures_are_plausible(whole, cloudy):
    for rendering in (whole, cloudy):
        kelvin = rendering.values[:, 7] / 10
        clear = kelvin[rendering.mask == CLEAR]
        assert 265 < clear.min() < clear.max() < 325
        assert kelvin[rendering.mask == CLOUD].min() > 235

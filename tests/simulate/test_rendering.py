"""Laws of a scene in memory."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sitsinfer.errors import SimulationError
from sitsinfer.grid import Window
from sitsinfer.simulate import CLASSES, Scene, render
from sitsinfer.simulate.atmosphere import CLEAR, CLOUD, SHADOW, UNSEEN

SCENE = Scene(height=150, width=270, dates=5, seed=6, cloud_cover=0.5)


@pytest.fixture(scope="module")
def whole():
    return render(SCENE)


@settings(max_examples=12, deadline=None, derandomize=True)
@given(data=st.data())
def test_a_window_shows_what_the_whole_shows(whole, data):
    row = data.draw(st.integers(0, SCENE.height - 1))
    col = data.draw(st.integers(0, SCENE.width - 1))
    height = data.draw(st.integers(1, min(40, SCENE.height - row)))
    width = data.draw(st.integers(1, min(40, SCENE.width - col)))
    part = render(SCENE, Window(row, col, height, width))
    where = np.s_[row : row + height, col : col + width]
    np.testing.assert_array_equal(part.values, whole.values[:, :, *where])
    np.testing.assert_array_equal(part.mask, whole.mask[:, *where])
    np.testing.assert_array_equal(part.classes, whole.classes[where])
    np.testing.assert_array_equal(part.parcels, whole.parcels[where])


def test_shapes_and_types(whole):
    assert (whole.values.dtype, whole.values.shape) == (np.uint16, (5, 10, 150, 270))
    assert (whole.mask.dtype, whole.mask.shape) == (np.uint8, (5, 150, 270))
    assert (whole.classes.dtype, whole.classes.shape) == (np.uint8, (150, 270))
    assert (whole.parcels.dtype, whole.parcels.shape) == (np.uint32, (150, 270))
    assert len(whole.dates) == 5


def test_the_seed_decides_everything(whole):
    again = render(SCENE, Window(0, 0, 60, 60))
    other = render(Scene(height=150, width=270, dates=5, seed=7, cloud_cover=0.5), Window(0, 0, 60, 60))
    np.testing.assert_array_equal(again.values, whole.values[:, :, :60, :60])
    assert other.dates != whole.dates
    assert (other.values != again.values).mean() > 0.9


def test_zero_means_not_observed_and_nothing_else():
    scene = Scene(height=64, width=200, dates=60, seed=1)
    scene = render(scene)
    unseen = scene.mask == UNSEEN
    assert unseen.any()
    np.testing.assert_array_equal(scene.values == 0, np.broadcast_to(unseen[:, None], scene.values.shape))


def test_masks_hold_clouds_shadows_and_clear_ground():
    scene = render(Scene(height=128, width=256, dates=60, seed=3, cloud_cover=0.3))
    shares = {value: (scene.mask == value).mean() for value in (CLEAR, CLOUD, SHADOW, UNSEEN)}
    assert sum(shares.values()) == pytest.approx(1)
    assert 0.15 < shares[CLOUD] < 0.5
    assert 0.01 < shares[SHADOW] < 0.2
    per_date = (scene.mask == CLOUD).mean(axis=(1, 2))
    assert (per_date > 0.95).any()
    assert (per_date < 0.01).any()


def test_clouds_are_bright_and_shadows_dark():
    scene = render(Scene(height=128, width=256, dates=60, seed=3, cloud_cover=0.3))
    blue, infrared = scene.values[:, 0], scene.values[:, 6]
    assert blue[scene.mask == CLOUD].mean() > 3 * blue[scene.mask == CLEAR].mean()
    assert infrared[scene.mask == SHADOW].mean() < 0.8 * infrared[scene.mask == CLEAR].mean()


def test_a_parcel_has_one_class(whole):
    for parcel in np.unique(whole.parcels[whole.parcels > 0]):
        assert len(np.unique(whole.classes[whole.parcels == parcel])) == 1
    assert whole.classes.max() < len(CLASSES)


def test_bands_of_20_m_come_in_squares_and_those_of_10_m_do_not(whole):
    t = int((whole.mask == CLEAR).mean(axis=(1, 2)).argmax())
    pairs = whole.values[t, :, ::2, ::2] == whole.values[t, :, 1::2, 1::2]
    # B05, B06, B07, B8A, B11, B12; odd edges and unseen pixels aside, these agree everywhere.
    assert pairs[[3, 4, 5, 7, 8, 9]].all()
    assert pairs[[0, 1, 2, 6]].mean() < 0.3


@pytest.mark.parametrize("window", [Window(0, 0, 0, 5), Window(-1, 0, 5, 5), Window(100, 0, 51, 5)])
def test_a_window_must_lie_in_the_scene(window):
    with pytest.raises(SimulationError, match="reaches beyond the scene of 150 x 270"):
        render(SCENE, window)

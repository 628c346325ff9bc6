"""Looking through the sky."""

import numpy as np

from sitsinfer.simulate import Scene
from sitsinfer.simulate.atmosphere import CLEAR, CLOUD, SHADOW, UNSEEN, Sky, through
from sitsinfer.simulate.sensor import LANDSAT
from sitsinfer.simulate.weather import gains, passes

SCENE = Scene(landsat=1)
(PASS,) = passes(SCENE, "landsat")


def _sky(opacity=0.0, shade=0.0, haze=0.0, seen=True):
    numbers = (np.array([[number]], dtype=np.float32) for number in (opacity, shade, haze))
    return Sky(*numbers, seen=np.array([[seen]]))


def _seen(above):
    return through(above, SCENE, LANDSAT, PASS, np.full((7, 1, 1), 0.2, dtype=np.float32))[:, 0, 0]


def test_a_mask_says_the_worst():
    assert _sky().mask == CLEAR
    assert _sky(shade=0.5).mask == SHADOW
    assert _sky(opacity=0.5, shade=0.5).mask == CLOUD
    assert _sky(opacity=0.5, shade=0.5, seen=False).mask == UNSEEN


def test_a_clear_sky_leaves_only_errors_of_calibration():
    np.testing.assert_allclose(_seen(_sky()), 0.2 * gains(SCENE, "landsat", PASS, 7), rtol=1e-6)


def test_an_opaque_cloud_is_all_there_is_to_see():
    np.testing.assert_allclose(_seen(_sky(opacity=1)), LANDSAT.cloud, rtol=1e-6)


def test_shade_darkens_and_haze_brightens_the_blue_most():
    clear = _seen(_sky())
    np.testing.assert_allclose(_seen(_sky(shade=1)) / clear, LANDSAT.shadow, rtol=1e-6)
    added = _seen(_sky(haze=0.01)) - clear
    assert (np.diff(added) < 0).all()
    np.testing.assert_allclose(added[0], 0.01, rtol=1e-4)

"""The ground without sky."""

import numpy as np

from sitsinfer.grid import Window
from sitsinfer.simulate.legend import BEET
from sitsinfer.simulate.sensor import LANDSAT, SENTINEL2
from sitsinfer.simulate.surface import blocks, centres, look

DAYS = (30, 195)


def test_squares_of_any_place_show_the_same_ground():
    block = look(3, Window(128, 256, 128, 128), DAYS)
    askew = look(3, Window(190, 233, 90, 90), DAYS)  # reaches over the edges of the block
    for see in (lambda surface: surface.reflectance(SENTINEL2), lambda surface: surface.kelvin()):
        for one, two in zip(see(block), see(askew), strict=True):
            same = np.isclose(one[..., 62:, :67], two[..., :66, 23:], rtol=1e-3)
            assert same.shape[-2:] == (66, 67)
            assert same.mean() > 0.999


def test_there_is_ground_around_the_scene():
    surface = look(3, Window(-9, -9, 40, 40), DAYS)
    (winter, summer), (cold, warm) = surface.reflectance(LANDSAT), surface.kelvin()
    assert winter.shape == summer.shape == (7, 40, 40)
    assert warm.mean() > cold.mean() + 8


def test_sensors_agree_where_their_bands_do():
    surface = look(3, Window(0, 0, 120, 120), DAYS)
    common = [SENTINEL2.bands.index(band) for band in ("B02", "B03", "B04", "B8A", "B11", "B12")]
    for fine, coarse in zip(surface.reflectance(SENTINEL2), surface.reflectance(LANDSAT), strict=True):
        np.testing.assert_allclose(coarse[1:], fine[common], rtol=0.06, atol=0.003)
        assert np.abs(coarse[1:] - fine[common]).max() > 0


def test_vigorous_plants_are_cooler_in_summer():
    surface = look(3, Window(0, 0, 128, 128), (165,))
    (kelvin,) = surface.kelvin()
    ground = surface.ground
    whole = ground.shares.max(axis=1).toarray().reshape(128, 128) > 0.99
    owner = ground.owner.reshape(128, 128)
    fields = np.where(whole & (ground.classes[owner] == BEET), owner, -1)
    within = fields == np.bincount(fields[fields >= 0]).argmax()
    assert np.corrcoef(surface.vigour[within], kelvin[within])[0, 1] < -0.95


def test_blocks_cover_a_window():
    assert list(blocks(Window(-3, 60, 70, 5), 64)) == [
        Window(-64, 0, 64, 64),
        Window(-64, 64, 64, 64),
        Window(0, 0, 64, 64),
        Window(0, 64, 64, 64),
        Window(64, 0, 64, 64),
        Window(64, 64, 64, 64),
    ]


def test_centres_lie_half_a_pixel_inside():
    x, y = centres(Window(2, 10, 1, 3), 30)
    np.testing.assert_array_equal(x, [315, 345, 375])
    np.testing.assert_array_equal(y, [75])

"""How warm things are when."""

import numpy as np
import pytest

from sitsinfer.simulate.phenology import Material
from sitsinfer.simulate.temperature import air_kelvin, material_kelvin

YEAR = list(range(0, 365, 3))
JULY, JANUARY = slice(60, 71), slice(0, 11)  # of YEAR


@pytest.fixture(scope="module")
def kelvin():
    return np.mean([material_kelvin(seed, YEAR) for seed in range(6)], axis=0)


def test_temperatures_are_those_of_a_temperate_country():
    for seed in range(6):
        kelvin = material_kelvin(seed, YEAR)
        assert 262 < kelvin.min() < 280
        assert 305 < kelvin.max() < 330


def test_summer_is_warm_and_winter_cold(kelvin):
    assert (kelvin[JULY].mean(axis=0) > kelvin[JANUARY].mean(axis=0) + 10).all()


def test_leaves_are_cooler_than_soil_and_roofs_in_summer(kelvin):
    july = kelvin[JULY].mean(axis=0)
    leaves = july[[Material.CEREAL, Material.LEAFY, Material.GRASS, Material.TREE, Material.CONIFER]]
    dry = july[[Material.BRIGHT_SOIL, Material.STRAW, Material.ROOF, Material.ASPHALT]]
    assert leaves.max() + 8 < dry.min()
    assert july[Material.TREE] < july[Material.GRASS]


def test_water_knows_the_seasons_and_not_the_weather(kelvin):
    water, soil = kelvin[:, Material.WATER], kelvin[:, Material.BRIGHT_SOIL]
    assert np.ptp(water) < 0.5 * np.ptp(soil)
    assert YEAR[int(water.argmax())] > YEAR[int(kelvin[:, Material.TREE].argmax())]
    np.testing.assert_array_equal(
        material_kelvin(1, YEAR)[:, Material.WATER], material_kelvin(2, YEAR)[:, Material.WATER]
    )


def test_a_day_is_as_warm_whatever_days_are_asked_about():
    np.testing.assert_array_equal(air_kelvin(4, [7, 200, 201])[1:], air_kelvin(4, [200, 201]))


def test_weather_lasts_for_some_days():
    air = np.concatenate([air_kelvin(seed, range(365)) for seed in range(4)])
    assert np.abs(np.diff(air)).mean() < 0.5 * np.abs(air[30:] - air[:-30]).mean()

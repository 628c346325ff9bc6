"""What grows when."""

import numpy as np
import pytest

from sitsinfer.simulate.landscape import survey
from sitsinfer.simulate.legend import BEET, CLASSES, DECIDUOUS, MEADOW, RAPESEED, WHEAT
from sitsinfer.simulate.phenology import Material, cover

DAYS = [5, 62, 118, 121, 170, 215, 283, 340]


@pytest.fixture(scope="module")
def ground():
    return survey(2, 0.0, 0.0, 384, 10.0, 1)


@pytest.fixture(scope="module")
def plants(ground):
    return cover(2, ground, DAYS)


def test_fractions_are_shares(plants):
    assert plants.fractions.min() >= 0
    np.testing.assert_allclose(plants.fractions.sum(axis=2), 1, atol=1e-5)


def test_vigour_moves_shares_and_adds_nothing(plants):
    np.testing.assert_allclose(plants.response.sum(axis=2), 0, atol=1e-5)
    assert np.abs(plants.response).max() > 0.5


def test_every_class_occurs(ground):
    assert set(ground.classes.tolist()) >= {c.code for c in CLASSES} - {0, 3}


@pytest.mark.parametrize(
    ("code", "greenest", "barest"), [(WHEAT, 118, 215), (BEET, 215, 118), (DECIDUOUS, 170, 5), (MEADOW, 121, 5)]
)
def test_classes_have_their_seasons(ground, plants, code, greenest, barest):
    green = plants.fractions[:, ground.classes == code, : Material.FLOWER + 1].sum(axis=2).mean(axis=1)
    assert green[DAYS.index(greenest)] > green[DAYS.index(barest)] + 0.2


def test_rapeseed_flowers_in_spring(ground, plants):
    flower = plants.fractions[:, ground.classes == RAPESEED, Material.FLOWER].mean(axis=1)
    assert DAYS[int(flower.argmax())] in (118, 121)


def test_fields_of_one_crop_differ(ground, plants):
    wheat = plants.fractions[DAYS.index(170)][ground.classes == WHEAT, Material.CEREAL]
    assert wheat.std() > 0.05

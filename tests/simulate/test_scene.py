"""What a scene may be."""

import datetime as dt

import pytest

from sitsinfer.errors import SimulationError
from sitsinfer.simulate import Scene


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("height", 0),
        ("width", -3),
        ("dates", 0),
        ("dates", 141),
        ("landsat", -1),
        ("landsat", 46),
        ("seed", -1),
        ("year", 22),
        ("cloud_cover", 1.5),
        ("cloud_cover", float("nan")),
        ("epsg", 4326),
        ("epsg", 32661),
    ],
)
def test_a_bad_argument_is_named_with_its_value(argument, value):
    with pytest.raises(SimulationError, match=rf"^{argument} is {value}\. Expected "):
        Scene(**{argument: value})


def test_pixels_of_any_size_cover_the_scene():
    scene = Scene(height=100, width=99)
    assert scene.shape(10) == (100, 99)
    assert scene.shape(30) == (34, 33)


def test_days_count_from_january():
    scene = Scene(year=2020)
    assert scene.days([dt.date(2020, 1, 1), dt.date(2020, 12, 31)]) == (0, 365)
    with pytest.raises(SimulationError, match="2019-12-31 is not in 2020"):
        scene.days([dt.date(2019, 12, 31)])

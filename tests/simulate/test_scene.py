"""What a scene may be."""

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

import matplotlib.image
import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from sitsinfer.products.cog import write_cog
from sitsinfer.products.quicklook import _round_length, _width_m, write_quicklook


def colors_in(path) -> set[tuple[int, ...]]:
    picture = (matplotlib.image.imread(path)[..., :3] * 255).round().astype(int)
    return set(map(tuple, np.unique(picture.reshape(-1, 3), axis=0).tolist()))


def test_picture_shows_the_classes_that_occur(class_source, tmp_path):
    source = class_source(300, 430)
    source.values[source.values == 4] = 1
    write_cog(source, tmp_path / "map.tif", {})
    write_quicklook(tmp_path / "map.png", tmp_path / "map.tif", "Fields")
    seen = colors_in(tmp_path / "map.png")
    assert {(58, 124, 196), (236, 196, 72)} <= seen
    assert (74, 140, 66) not in seen
    assert max(matplotlib.image.imread(tmp_path / "map.png").shape) <= 1200


@pytest.mark.parametrize("shape", [(5, 7), (40, 1300), (900, 31)])
def test_any_shape_is_drawn(shape, class_source, tmp_path):
    write_cog(class_source(*shape), tmp_path / "map.tif", {})
    write_quicklook(tmp_path / "map.png", tmp_path / "map.tif")
    assert len(colors_in(tmp_path / "map.png")) > 4


def test_same_map_gives_same_picture(score_source, tmp_path):
    write_cog(score_source(60, 90), tmp_path / "probs.tif", {})
    for name in ("a.png", "b.png"):
        write_quicklook(tmp_path / name, tmp_path / "probs.tif", "Water")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_bars_have_round_lengths():
    assert [_round_length(length) for length in (1, 1.9, 4.99, 5, 99, 100, 2600)] == [1, 1, 2, 5, 50, 100, 2000]


def test_widths_are_metres_on_the_ground():
    assert _width_m(GeoBox((3, 40), Affine(10, 0, 5e5, 0, -20, 5e6), "EPSG:32631")) == pytest.approx(400)
    at_60_degrees = GeoBox((2, 100), Affine(0.01, 0, 5, 0, -0.01, 60.01), "EPSG:4326")
    assert _width_m(at_60_degrees) == pytest.approx(55_800, rel=0.01)

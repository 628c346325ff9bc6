import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import ArrayLike

import sitsinfer
from sitsinfer.errors import OutputError
from tests.metrics.test_stratified import COUNTS

UTM = ("EPSG:32631", Affine(10, 0, 500_000, 0, -10, 5_000_000))


def write(path, values: ArrayLike, place=UTM, names=None):
    """A raster of class codes; 255 is nodata."""
    array = np.asarray(values, np.uint8)
    crs, transform = place
    profile = {"driver": "GTiff", "count": 1, "dtype": "uint8", "nodata": 255, "crs": crs, "transform": transform}
    with rasterio.open(path, "w", height=array.shape[0], width=array.shape[1], **profile) as file:
        file.write(array, 1)
        file.update_tags(1, **{f"CLASS_{code}": name for code, name in (names or {}).items()})
    return path


def test_areas_of_the_map_weigh_a_sample(tmp_path):
    """The sample and the strata of Olofsson et al. 2014, the map 1/1000 in size."""
    mapped = np.repeat([1, 2, 3, 4], [200, 150, 3200, 6450])
    truth = np.full(mapped.size, 255)
    starts = np.searchsorted(mapped, [1, 2, 3, 4])
    for start, column in zip(starts, COUNTS.T, strict=True):
        truth[start : start + column.sum()] = np.repeat([1, 2, 3, 4], column)
    order = np.random.default_rng(0).permutation(mapped.size)
    paths = [write(tmp_path / f"{n}.tif", values[order].reshape(80, 125)) for n, values in enumerate((mapped, truth))]
    found = sitsinfer.evaluate_segmentation(*paths)
    assert [entry.code for entry in found.classes] == [1, 2, 3, 4]
    assert (found.scores.matrix == COUNTS).all()
    assert found.mapped.tolist() == pytest.approx([2, 1.5, 32, 64.5])
    assert found.coverage == pytest.approx(0.064)
    assert not found.is_complete
    assert found.weighted.areas.value == pytest.approx(
        np.array([235_086, 129_846, 3_175_221, 6_459_846]) / 1e5, rel=1e-5
    )
    assert found.weighted.areas.half_width[0] == pytest.approx(68_418 / 1e5, rel=1e-4)
    assert found.weighted.overall.value == pytest.approx(0.947, abs=5e-4)


def test_classes_that_the_reference_never_meets_are_named(tmp_path):
    predicted = write(tmp_path / "map.tif", [[0, 0, 3, 3, 9], [0, 255, 3, 3, 7]], names={7: "Lake"})
    truth = write(tmp_path / "truth.tif", [[0, 3, 3, 255, 5], [0, 3, 3, 255, 255]])
    found = sitsinfer.evaluate_segmentation(predicted, truth, ignore=[5])
    assert [(entry.code, entry.name) for entry in found.classes] == [(0, "0"), (3, "3"), (7, "Lake"), (9, "9")]
    assert found.occurring == [0, 1]
    assert found.unsampled == [2, 3]
    assert found.weighted.share == pytest.approx(7 / 9)
    assert found.coverage == pytest.approx(5 / 9)
    assert found.scores.overall_accuracy == pytest.approx(4 / 5)


def test_what_covers_the_map_leaves_nothing_to_chance(tmp_path):
    rng = np.random.default_rng(2)
    predicted, truth = rng.integers(0, 4, (2, 30, 41))
    predicted[3:5] = 255
    found = sitsinfer.evaluate_segmentation(
        write(tmp_path / "map.tif", predicted), write(tmp_path / "truth.tif", truth)
    )
    assert found.is_complete
    assert found.weighted.areas.value * 100 == pytest.approx(found.scores.matrix.sum(axis=1))
    assert found.weighted.users.value == pytest.approx(found.scores.precision)
    assert not found.weighted.areas.error.any()


def test_pixels_of_degrees_weigh_by_latitude(tmp_path):
    place = "EPSG:4326", Affine(1, 0, 0, 0, -10, 80)
    values = np.repeat([[1], [2], [1], [2]], 3, axis=1)
    found = sitsinfer.evaluate_segmentation(
        write(tmp_path / "map.tif", values, place), write(tmp_path / "truth.tif", values, place)
    )
    sizes = np.cos(np.radians([75, 65, 55, 45]))
    assert found.mapped[0] / found.mapped.sum() == pytest.approx(sizes[::2].sum() / sizes.sum(), rel=3e-3)
    assert found.scores.matrix.sum() == 12


def test_nothing_in_common_is_an_error(tmp_path):
    paths = [write(tmp_path / f"{n}.tif", np.full((2, 3), code)) for n, code in enumerate((1, 255))]
    with pytest.raises(OutputError, match=r"share no pixel that counts"):
        sitsinfer.evaluate_segmentation(*paths)

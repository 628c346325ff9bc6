from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import ArrayLike

import sitsinfer
from sitsinfer.errors import MetricError

IDS = [[1, 1, 0, 2], [1, 1, 0, 2], [3, 3, 3, 2]]
CODES = [[4, 4, 0, 100], [4, 4, 0, 100], [100, 100, 100, 100]]


def write(path: Path, values: ArrayLike, dtype: str, *, row: int = 0, nodata: int | None = None) -> Path:
    """A raster whose first row is a row of the place."""
    array = np.asarray(values).astype(dtype)
    height, width = array.shape
    transform = Affine(10, 0, 500_000, 0, -10, 5_000_000 - 10 * row)
    profile = {"driver": "GTiff", "count": 1, "dtype": dtype, "nodata": nodata, "crs": "EPSG:32631"}
    with rasterio.open(path, "w", height=height, width=width, transform=transform, **profile) as file:
        file.write(array, 1)
    return path


@pytest.mark.parametrize("dtype", ["int8", "int16", "uint32", "int64", "uint64"])
@pytest.mark.parametrize("nodata", [None, 77])
def test_rasters_may_be_of_any_integer_type_on_either_grid(tmp_path: Path, dtype: str, nodata: int | None) -> None:
    predicted = write(tmp_path / "ids.tif", IDS, dtype), write(tmp_path / "codes.tif", CODES, dtype)
    truth = (
        write(tmp_path / "true_ids.tif", IDS[1:], dtype, row=1, nodata=nodata),
        write(tmp_path / "true_codes.tif", CODES[1:], dtype, row=1, nodata=nodata),
    )
    found = sitsinfer.evaluate_panoptic(*predicted, *truth).panoptic
    matched = dict(zip(found.classes, zip(found.matched, found.spurious, found.missed, strict=True), strict=True))
    assert (matched[4], matched[100]) == ((1, 0, 0), (2, 0, 0))
    assert found.mean_pq == 1, "nothing is known above the reference's first row"


def test_ids_are_told_apart_up_to_the_last_that_fits(tmp_path: Path) -> None:
    last = 2**32 - 1
    ids = np.where(np.array(IDS) > 0, last - np.array(IDS), 0)
    paths = [
        write(tmp_path / "ids.tif", ids, "int64"),
        write(tmp_path / "codes.tif", CODES, "int16"),
        write(tmp_path / "true_ids.tif", IDS, "uint8"),
        write(tmp_path / "true_codes.tif", CODES, "uint8"),
    ]
    assert sitsinfer.evaluate_panoptic(*paths).outlines.found == 3
    write(paths[0], ids + 4, "int64")
    with pytest.raises(MetricError, match=r"Prediction holds ids 0 to 4294967298, expected 0 to 4294967295"):
        sitsinfer.evaluate_panoptic(*paths)


def test_void_leaves_no_class_out_of_the_prediction(tmp_path: Path) -> None:
    true = np.where(np.array(IDS) == 2, 4, CODES)
    paths = [
        write(tmp_path / "ids.tif", IDS, "uint8"),
        write(tmp_path / "codes.tif", CODES, "uint8"),
        write(tmp_path / "true_ids.tif", IDS, "uint8"),
        write(tmp_path / "true_codes.tif", true, "uint8"),
    ]
    found = sitsinfer.evaluate_panoptic(*paths, void=(4,)).panoptic
    scored = found.classes.index(100)
    assert 4 not in found.classes
    assert (found.matched[scored], found.spurious[scored], found.missed[scored]) == (1, 0, 0)

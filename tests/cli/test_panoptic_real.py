"""A real Sentinel-2 series, where it is at hand: not what is found counts here, but that files of such data work."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio

from tests.cli.conftest import Outcome
from tests.parcel_files import features, pixels, pixels_within

Panoptic = Callable[..., Outcome]


@pytest.fixture(scope="module")
def series(shared_data: Path) -> Path:
    """A year of Sentinel-2 in Belgium, with masks beside it."""
    folder = shared_data / "worldcereal_be_2018" / "s2"
    if not folder.is_dir():
        pytest.skip(f"needs a series in {folder}")
    return folder


@pytest.mark.parametrize("name", ["parcels.gpkg", "parcels.parquet"])
def test_parcels_of_real_data_open_where_they_lie(panoptic: Panoptic, series: Path, tmp_path: Path, name: str) -> None:
    import geopandas

    out, raster = tmp_path / name, tmp_path / "instances.tif"
    outcome = panoptic(ts=series, out=out, raster=raster, start="2018-04-10", end="2018-05-10", tile_size=40)
    assert outcome.code == 0, outcome.err
    frame = geopandas.read_parquet(out) if out.suffix == ".parquet" else geopandas.read_file(out, layer="parcels")
    with rasterio.open(next(series.glob("*.tif"))) as file, rasterio.open(raster) as instances:
        assert frame.crs == file.crs
        assert (instances.crs, instances.transform, instances.shape) == (file.crs, file.transform, file.shape)
        left, bottom, right, top = file.bounds
        transform = file.transform
    assert len(frame) > 5
    assert frame.geometry.is_valid.all()
    west, south, east, north = frame.total_bounds
    assert left <= west < east <= right
    assert bottom <= south < north <= top
    numbers = pixels(raster)
    for feature in features(out):
        np.testing.assert_array_equal(numbers == feature.id, pixels_within(feature, transform, numbers.shape))

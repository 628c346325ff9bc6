"""The Landsat series on disk."""

import csv
import json

import numpy as np
import pytest
import rasterio

from sitsinfer.simulate import Scene, render_landsat, write_scene
from sitsinfer.simulate.atmosphere import CLEAR
from sitsinfer.simulate.ls2s2 import write_landsat

SCENE = Scene(height=70, width=161, dates=8, landsat=9, seed=8, origin=(500_000.0, 4_000_020.0), cloud_cover=0.6)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("simulated") / "scene"
    write_scene(out, SCENE)
    return out / "landsat"


@pytest.fixture(scope="module")
def whole():
    return render_landsat(SCENE)


@pytest.fixture(scope="module")
def index(folder):
    with (folder / "index.csv").open() as stream:
        return list(csv.reader(stream, delimiter="\t"))


def test_the_index_is_that_of_ls2s2(index, whole):
    assert index[0] == [
        "product_id",
        "product_id",
        "acquisition_date",
        "clear_pixel_rate",
        "snow_pixel_rate",
        "valid",
        "bands",
        "mask",
        "snow_mask",
    ]
    assert [row[2] for row in index[1:]] == [date.isoformat() for date in whole.dates]
    rates = (whole.mask == CLEAR).mean(axis=(1, 2))
    np.testing.assert_allclose([float(row[3]) for row in index[1:]], rates, atol=1e-6)


def test_dates_without_enough_clear_ground_have_no_files(folder, index, whole):
    rates = (whole.mask == CLEAR).mean(axis=(1, 2))
    assert 0 < (rates >= 0.25).sum() < len(rates)
    for row, rate in zip(index[1:], rates, strict=True):
        assert row[5] == str(bool(rate >= 0.25))
        assert all(row[6:]) == (rate >= 0.25)
    listed = {path for row in index[1:] for path in row[6:] if path}
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*.tif")} == listed


def test_files_hold_what_is_rendered(folder, whole):
    for t, date in enumerate(whole.dates):
        day = f"{date:%Y%m%d}"
        if not (folder / day).exists():
            continue
        with rasterio.open(folder / day / f"landsat_bands_{day}.tif") as bands:
            np.testing.assert_array_equal(bands.read(), whole.values[t])
        with rasterio.open(folder / day / f"landsat_mask_{day}.tif") as mask:
            np.testing.assert_array_equal(mask.read(1), whole.mask[t])
        with rasterio.open(folder / day / f"landsat_snow_mask_{day}.tif") as snow:
            assert not snow.read(1).any()


def test_files_say_where_and_what(folder):
    with rasterio.open(next(folder.rglob("landsat_bands_*.tif"))) as bands:
        assert bands.crs.to_epsg() == 32631
        assert bands.transform.to_gdal() == (500_000, 30, 0, 4_000_020, 0, -30)
        # 70 x 161 pixels of 10 m are 23.3 x 53.7 of 30 m: the last ones reach beyond.
        assert (bands.shape, bands.dtypes[0], bands.nodata) == ((24, 54), "int16", -10000)
        assert bands.descriptions == ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "LST")
        assert bands.scales == (1e-4,) * 7 + (0.1,)
    with rasterio.open(next(folder.rglob("landsat_mask_*.tif"))) as mask:
        assert (mask.shape, mask.dtypes[0], mask.nodata) == ((24, 54), "uint8", 0)


def test_the_window_changes_no_byte(tmp_path):
    scene = Scene(height=129, width=141, landsat=2, seed=2, cloud_cover=0.2)
    for size in (30, 256):
        *_, done = write_landsat(tmp_path / str(size), scene, size)
        assert done == 1
    assert (tmp_path / "30" / "index.csv").read_text() == (tmp_path / "256" / "index.csv").read_text()
    paths = sorted((tmp_path / "30").rglob("*.tif"))
    assert paths
    for path in paths:
        with rasterio.open(path) as one, rasterio.open(tmp_path / "256" / path.relative_to(tmp_path / "30")) as two:
            np.testing.assert_array_equal(one.read(), two.read())


def test_scene_json_describes_both_sensors(folder, whole):
    sensors = json.loads((folder.parent / "scene.json").read_text())["sensors"]
    assert [sensor["name"] for sensor in sensors] == ["sentinel2", "landsat"]
    assert sensors[1]["dates"] == [date.isoformat() for date in whole.dates]
    assert sensors[1]["scale"] == [1e-4] * 7 + [0.1]

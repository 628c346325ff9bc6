"""A scene on disk."""

import dataclasses
import datetime as dt
import json
from xml.etree import ElementTree

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import rasterio.features

from sitsinfer.errors import OutputError, SimulationError
from sitsinfer.series import open_series
from sitsinfer.simulate import CLASSES, UNLABELLED, Scene, render, render_truth, write_scene

SCENE = Scene(height=150, width=290, dates=3, seed=8, epsg=32733, origin=(500_000.0, 7_000_000.0), cloud_cover=0.3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("simulated") / "scene"
    write_scene(out, SCENE)
    return out


@pytest.fixture(scope="module")
def whole():
    return render(SCENE)


def test_one_file_and_one_mask_per_date(folder, whole):
    stems = [f"S2_{date:%Y%m%d}" for date in whole.dates]
    assert sorted(p.name for p in (folder / "sentinel2").iterdir()) == [f"{stem}.tif" for stem in stems]
    assert sorted(p.name for p in (folder / "sentinel2_mask").iterdir()) == [f"{stem}_mask.tif" for stem in stems]


def test_files_hold_what_is_rendered(folder, whole):
    for t, date in enumerate(whole.dates):
        with rasterio.open(folder / "sentinel2" / f"S2_{date:%Y%m%d}.tif") as image:
            np.testing.assert_array_equal(image.read(), whole.values[t])
        with rasterio.open(folder / "sentinel2_mask" / f"S2_{date:%Y%m%d}_mask.tif") as mask:
            np.testing.assert_array_equal(mask.read(1), whole.mask[t])


def test_files_say_where_when_and_what(folder, whole):
    with rasterio.open(folder / "sentinel2" / f"S2_{whole.dates[0]:%Y%m%d}.tif") as image:
        assert image.crs.to_epsg() == 32733
        assert image.transform.to_gdal() == (500_000, 10, 0, 7_000_000, 0, -10)
        assert (image.dtypes[0], image.nodata, image.block_shapes[0]) == ("uint16", 0, (256, 256))
        assert image.descriptions == ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
        assert set(image.scales) == {1e-4}
        assert set(image.offsets) == {0.0}
        assert image.tags()["TIFFTAG_DATETIME"].startswith(f"{whole.dates[0]:%Y:%m:%d}")


def test_truth_has_a_legend(folder, whole):
    with rasterio.open(folder / "truth" / "classes.tif") as classes:
        np.testing.assert_array_equal(classes.read(1), whole.classes)
        assert classes.nodata == UNLABELLED
        palette, names = classes.colormap(1), classes.tags(1)
        for c in CLASSES:
            assert palette[c.code][:3] == c.color
            assert names[f"CLASS_{c.code}"] == c.name


def test_class_names_are_where_gdal_looks(folder):
    root = ElementTree.parse(folder / "truth" / "classes.tif.aux.xml").getroot()
    assert [entry.text for entry in root.iterfind("PAMRasterBand/CategoryNames/Category")] == [c.name for c in CLASSES]


def test_polygons_agree_with_rasters(folder, whole):
    fields = gpd.read_file(folder / "truth" / "parcels.gpkg")
    assert fields.crs.to_epsg() == 32733
    with rasterio.open(folder / "truth" / "parcels.tif") as parcels:
        np.testing.assert_array_equal(parcels.read(1), whole.parcels)
        transform = parcels.transform
    ids, first, counts = np.unique(whole.parcels, return_index=True, return_counts=True)
    assert sorted(fields["id"]) == ids[1:].tolist()
    fields = fields.set_index("id").loc[ids[1:].tolist()]
    np.testing.assert_allclose(fields["area_m2"], counts[1:] * 100)
    np.testing.assert_array_equal(fields["class_code"], whole.classes.ravel()[first[1:]])
    assert fields["class_name"].tolist() == [CLASSES[code].name for code in fields["class_code"]]
    shapes = zip(fields.geometry, fields.index, strict=True)
    burnt = rasterio.features.rasterize(shapes, whole.parcels.shape, transform=transform, dtype="float64")
    np.testing.assert_array_equal(burnt, whole.parcels)


def test_polygons_are_whole_across_strips(tmp_path):
    # Outlines are made in strips of 256 rows.
    scene = Scene(height=300, width=60, dates=1, seed=2)
    write_scene(tmp_path / "scene", scene)
    fields = gpd.read_file(tmp_path / "scene" / "truth" / "parcels.gpkg")
    parcels = render(scene).parcels
    crossing = (set(parcels[255].tolist()) & set(parcels[256].tolist())) - {0}
    assert crossing
    assert fields["id"].is_unique
    assert set(fields["id"]) == set(parcels[parcels > 0].tolist())


def test_the_window_changes_no_byte(tmp_path, folder):
    write_scene(tmp_path / "wide", SCENE, window=512)
    for path in sorted(folder.rglob("*.tif")):
        with rasterio.open(path) as one, rasterio.open(tmp_path / "wide" / path.relative_to(folder)) as two:
            np.testing.assert_array_equal(one.read(), two.read())


def test_landsat_and_truth_change_no_byte_of_sentinel2(tmp_path, folder):
    more = dataclasses.replace(SCENE, landsat=2)
    write_scene(tmp_path / "more", more, truth_dates=[dt.date(2022, 8, 1)])
    files = [*folder.glob("sentinel2*/*.tif"), *folder.glob("truth/*.tif")]
    assert len(files) == 2 * SCENE.dates + 2
    for path in files:
        other = tmp_path / "more" / path.relative_to(folder)
        assert path.read_bytes() == other.read_bytes(), path.name


def test_landsat_and_truth_come_only_when_asked_for(folder):
    assert sorted(path.name for path in folder.iterdir()) == ["scene.json", "sentinel2", "sentinel2_mask", "truth"]
    assert all(path.is_file() for path in (folder / "truth").iterdir())


def test_truth_is_an_ordinary_series(tmp_path):
    scene = Scene(height=40, width=75, dates=1, seed=4)
    dates = [dt.date(2022, 8, 15), dt.date(2022, 2, 1), dt.date(2022, 8, 15)]
    write_scene(tmp_path / "scene", scene, truth_dates=dates)
    truth = render_truth(scene, sorted(set(dates)))
    for sensor, values in (("sentinel2", truth.sentinel2), ("landsat", truth.landsat)):
        series = open_series(tmp_path / "scene" / "truth" / sensor, strict=True)
        assert [a.date for a in series.acquisitions] == list(truth.dates)
        for t, date in enumerate(truth.dates):
            with rasterio.open(tmp_path / "scene" / "truth" / sensor / f"{sensor}_{date:%Y%m%d}.tif") as image:
                np.testing.assert_array_equal(image.read(), values[t])
                assert image.transform.to_gdal() == (600_000, 10, 0, 5_000_040, 0, -10)
    described = json.loads((tmp_path / "scene" / "scene.json").read_text())
    assert described["truth_dates"] == ["2022-02-01", "2022-08-15"]


def test_truth_of_another_year_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(SimulationError, match="2021-12-31 is not in 2022"):
        write_scene(tmp_path / "scene", SMALL, truth_dates=[dt.date(2021, 12, 31)])
    assert not list(tmp_path.iterdir())


def test_scene_json_describes_the_scene(folder, whole):
    description = json.loads((folder / "scene.json").read_text())
    scene = description["scene"]
    assert Scene(**{**scene, "origin": tuple(scene["origin"])}) == SCENE
    assert description["sensors"][0]["dates"] == [date.isoformat() for date in whole.dates]
    assert [c["name"] for c in description["classes"]] == [c.name for c in CLASSES]


SMALL = Scene(height=20, width=30, dates=1)


def test_a_scene_is_replaced_only_when_asked(tmp_path):
    out = tmp_path / "scene"
    write_scene(out, SMALL)
    with pytest.raises(OutputError, match=r"already holds a simulated scene\. Set overwrite"):
        write_scene(out, SMALL)
    write_scene(out, Scene(height=20, width=40, dates=1), overwrite=True)
    assert json.loads((out / "scene.json").read_text())["scene"]["width"] == 40
    assert [p.name for p in tmp_path.iterdir()] == ["scene"]


def test_what_is_not_a_scene_is_never_replaced(tmp_path):
    (tmp_path / "thesis.txt").write_text("three years of work")
    with pytest.raises(OutputError, match="holds no simulated scene"):
        write_scene(tmp_path, SMALL, overwrite=True)
    with pytest.raises(OutputError, match=r"thesis\.txt is a file"):
        write_scene(tmp_path / "thesis.txt", SMALL, overwrite=True)


def test_a_failure_leaves_nothing(tmp_path, monkeypatch):
    def fail(*args):
        raise OSError("No space left on device")

    monkeypatch.setattr("sitsinfer.simulate.files.write_polygons", fail)
    with pytest.raises(OutputError, match=r"Cannot write .*scene: No space left on device"):
        write_scene(tmp_path / "scene", SMALL)
    assert not list(tmp_path.iterdir())


def test_progress_reaches_one(tmp_path):
    seen = []
    scene = Scene(height=20, width=30, dates=1, landsat=1)
    write_scene(tmp_path / "scene", scene, truth_dates=[dt.date(2022, 3, 1)], progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 1.0

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rio_cogeo.cogeo import cog_validate

from sitsinfer.errors import OutputError, SeriesError
from sitsinfer.products import cog
from sitsinfer.products.cog import write_cog
from sitsinfer.products.sidecar import sidecar_path

TAGS = {"SOFTWARE": "sitsinfer 0.1", "FINGERPRINT": "abc"}


@pytest.mark.parametrize("shape", [(5, 7), (1, 1), (512, 511), (700, 1301), (1, 1100), (700, 512), (2100, 1023)])
@pytest.mark.parametrize("kind", ["class_source", "score_source"])
def test_file_is_a_strictly_valid_cog_without_warnings(kind, shape, tmp_path, request):
    source = request.getfixturevalue(kind)(*shape)
    write_cog(source, tmp_path / "map.tif", TAGS)
    assert cog_validate(tmp_path / "map.tif", strict=True) == (True, [], [])
    with rasterio.open(tmp_path / "map.tif") as file:
        np.testing.assert_array_equal(file.read(), source.values)
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"


def test_file_may_have_any_name(class_source, tmp_path):
    for name in ("pixels.tif", "pixels of pixels.tif"):
        write_cog(class_source(5, 7), tmp_path / name, TAGS)
        assert cog_validate(tmp_path / name, strict=True)[0]


def test_file_tells_what_its_values_are(class_source, tmp_path):
    source = class_source(37, 61)
    write_cog(source, tmp_path / "map.tif", TAGS)
    with rasterio.open(tmp_path / "map.tif") as file:
        assert file.tags() == {**TAGS, "AREA_OR_POINT": "Area"}
        assert file.tags(1) == {"CLASS_0": "Water", "CLASS_1": "Winter wheat", "CLASS_4": "Prairie & forêt"}
        assert file.colormap(1)[4] == (74, 140, 66, 255)
        assert file.nodata == 255
        assert file.descriptions == ("class",)
        assert file.crs.to_epsg() == 32631
        assert file.transform == source.grid.affine


def test_scaled_bands_keep_names_and_scale(score_source, tmp_path):
    write_cog(score_source(37, 61), tmp_path / "probs.tif", TAGS)
    with rasterio.open(tmp_path / "probs.tif") as file:
        assert file.descriptions == ("Water", "Winter wheat", "Maize")
        assert file.scales == (1 / 250,) * 3
        assert file.offsets == (0.0,) * 3
    assert not sidecar_path(tmp_path / "probs.tif").exists()


def test_each_band_has_its_own_scale_and_unit(dated_source, tmp_path):
    source = dated_source(bands=("B03", "LST", "B04"))
    write_cog(source.on(source.layer.dates[1]), tmp_path / "day.tif", TAGS)
    with rasterio.open(tmp_path / "day.tif") as file:
        assert file.descriptions == ("B03", "LST", "B04")
        assert file.scales == (1e-4, 0.1, 1e-4)
        assert [unit or "" for unit in file.units] == ["", "K", ""]
        assert file.nodata == -10000


def test_float_layer_with_nan_is_written(score_source, tmp_path):
    source = score_source(37, 61)
    source.layer = replace(source.layer, dtype="float32", nodata=float("nan"), scales=())
    source.values = np.where(source.values == 255, np.nan, source.values).astype(np.float32)
    write_cog(source, tmp_path / "scores.tif", TAGS)
    with rasterio.open(tmp_path / "scores.tif") as file:
        np.testing.assert_array_equal(file.read(), source.values)
        assert np.isnan(file.nodata)


def test_overviews_of_classes_hold_classes_only(class_source, tmp_path):
    write_cog(class_source(700, 1301), tmp_path / "map.tif", TAGS)
    with rasterio.open(tmp_path / "map.tif", overview_level=0) as overview:
        assert set(np.unique(overview.read())) == {0, 1, 4, 255}


def test_overviews_of_scores_average_what_was_observed(score_source, tmp_path):
    source = score_source(600, 900)
    source.values[:, 400:402, 600:602] = [[[10, 20], [30, 255]]] * 3
    write_cog(source, tmp_path / "probs.tif", TAGS)
    with rasterio.open(tmp_path / "probs.tif", overview_level=0) as overview:
        assert (overview.read()[:, 200, 300] == 20).all()


def test_same_layer_gives_same_bytes(class_source, tmp_path):
    for name in ("a.tif", "b.tif"):
        write_cog(class_source(1100, 1301), tmp_path / name, TAGS)
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()


def test_nothing_but_the_product_is_left(class_source, score_source, tmp_path):
    (tmp_path / ".map.tif.writing").mkdir()
    (tmp_path / ".map.tif.writing" / "map.tif").write_text("left by a killed run")
    write_cog(class_source(37, 61), tmp_path / "map.tif", TAGS)
    assert {path.name for path in tmp_path.iterdir()} == {"map.tif", "map.tif.aux.xml"}
    write_cog(score_source(37, 61), tmp_path / "map.tif", TAGS)
    assert {path.name for path in tmp_path.iterdir()} == {"map.tif"}, "names of classes would describe other values"


def test_failed_read_leaves_the_old_file(class_source, tmp_path):
    write_cog(class_source(37, 61), tmp_path / "map.tif", TAGS)
    before = (tmp_path / "map.tif").read_bytes()
    source = class_source(38, 61)
    source.read = _broken
    with pytest.raises(SeriesError, match="cannot be read"):
        write_cog(source, tmp_path / "map.tif", TAGS)
    assert (tmp_path / "map.tif").read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"map.tif", "map.tif.aux.xml"}


def _broken(window):
    raise SeriesError("cannot be read")


def test_damaged_copy_is_not_published(class_source, tmp_path, monkeypatch):
    copy = cog.rasterio.shutil.copy

    def copy_and_damage(source, target, **options):
        copy(source, target, **options)
        with Path(target).open("rb+") as file:
            file.truncate(Path(target).stat().st_size * 2 // 3)

    monkeypatch.setattr(cog.rasterio.shutil, "copy", copy_and_damage)
    with pytest.raises(OutputError, match=r"^Cannot write .*map\.tif: .*"):
        write_cog(class_source(1100, 1301), tmp_path / "map.tif", TAGS)
    assert list(tmp_path.iterdir()) == []


def test_pixels_that_read_back_differently_are_not_published(class_source, tmp_path, monkeypatch):
    source = class_source(1100, 1301)
    copy = cog.rasterio.shutil.copy

    def copy_then_change(*arguments, **options):
        copy(*arguments, **options)
        source.values = source.values.copy()
        source.values[0, 1050, 1300] = 3

    monkeypatch.setattr(cog.rasterio.shutil, "copy", copy_then_change)
    with pytest.raises(OutputError, match="row 1024, col 1024 reads back differently"):
        write_cog(source, tmp_path / "map.tif", TAGS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("width", [300, 500, 700, 900, 2000])
def test_full_disk_is_one_line_and_leaves_nothing(tiny_disk, class_source, width):
    source = class_source(800, width)
    source.values = np.random.default_rng(0).integers(0, 255, source.values.shape, np.uint8)
    with pytest.raises(OutputError, match=r"^Cannot write .*the disk is full.* MB are free in .*Make room.*$"):
        write_cog(source, tiny_disk / "map.tif", TAGS)
    assert list(tiny_disk.iterdir()) == []


@pytest.mark.parametrize("width", [100, 200, 300, 460, 520, 580, 640, 700, 800])
def test_full_disk_that_gdal_meets_is_reported_too(tiny_disk, class_source, monkeypatch, width):
    monkeypatch.setattr(cog, "check_room", lambda path, size: None)
    source = class_source(300, width)
    source.values = np.random.default_rng(0).integers(0, 255, source.values.shape, np.uint8)
    if width < 400:  # the plain file and the published one fit together
        write_cog(source, tiny_disk / "map.tif", TAGS)
        with rasterio.open(tiny_disk / "map.tif") as file:
            np.testing.assert_array_equal(file.read(), source.values)
        return
    with pytest.raises(OutputError, match=r"^Cannot write .*the disk is full.* MB are free in .*Make room.*$"):
        write_cog(source, tiny_disk / "map.tif", TAGS)
    assert list(tiny_disk.iterdir()) == []


def test_missing_folder_is_named(class_source, tmp_path):
    with pytest.raises(OutputError, match=r"there is no folder .*nowhere\. Create it"):
        write_cog(class_source(5, 7), tmp_path / "nowhere" / "map.tif", TAGS)

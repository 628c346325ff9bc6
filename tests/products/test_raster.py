import numpy as np
import pytest
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox

from sitsinfer.errors import OutputError
from sitsinfer.grid import Window, whole, window_grid
from sitsinfer.products.cog import write_cog
from sitsinfer.products.raster import open_raster, read_tags


def test_what_was_written_comes_back(class_source, tmp_path):
    source = class_source(37, 61)
    write_cog(source, tmp_path / "classes.tif", {})
    window = Window(9, 20, 11, 30)
    with open_raster(tmp_path / "classes.tif") as raster:
        assert raster.layer == source.layer
        assert raster.grid == source.grid
        np.testing.assert_array_equal(raster.read(window), source.read(window))
        np.testing.assert_array_equal(raster.valid(window), source.read(window)[0] != 255)


def test_scale_comes_back(score_source, tmp_path):
    write_cog(score_source(37, 61), tmp_path / "probabilities.tif", {})
    with open_raster(tmp_path / "probabilities.tif") as raster:
        assert raster.layer == score_source(37, 61).layer


def test_units_come_back(dated_source, tmp_path):
    source = dated_source()
    day = source.on(source.layer.dates[0])
    write_cog(day, tmp_path / f"{day.layer.name}.tif", {})
    with open_raster(tmp_path / f"{day.layer.name}.tif") as raster:
        assert raster.layer == day.layer


@pytest.mark.parametrize("nodata", [99, None])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "int64", "float32"])
def test_shifted_grid_moves_no_pixel_and_is_invalid_beyond_the_file(tmp_path, nodata, dtype):
    values = np.arange(35).reshape(5, 7).astype(dtype)
    profile = {"driver": "GTiff", "height": 5, "width": 7, "count": 1, "dtype": dtype, "nodata": nodata}
    with rasterio.open(
        tmp_path / "a.tif", "w", **profile, crs="EPSG:32631", transform=Affine(10, 0, 100, 0, -10, 900)
    ) as file:
        file.write(values, 1)
    grid = window_grid(GeoBox((5, 7), Affine(10, 0, 100, 0, -10, 900), "EPSG:32631"), Window(-1, 2, 4, 8))
    with open_raster(tmp_path / "a.tif", grid) as raster:
        read, valid = raster.read(whole(grid))[0], raster.valid(whole(grid))
    expected = np.zeros((4, 8), bool)
    expected[1:, :5] = True
    np.testing.assert_array_equal(valid, expected)
    np.testing.assert_array_equal(read[1:, :5], values[:3, 2:])


def test_thumbnail_keeps_proportions(class_source, tmp_path):
    write_cog(class_source(700, 1301), tmp_path / "classes.tif", {})
    with open_raster(tmp_path / "classes.tif") as raster:
        values, valid = raster.thumbnail(130, ["class"])
    assert values.shape == (1, 70, 130)
    assert valid.shape == (70, 130)
    assert set(np.unique(values)) == {0, 1, 4, 255}
    assert not valid[:20, :30].any()


def test_thumbnail_shows_the_bands_asked_for(dated_source, tmp_path):
    source = dated_source()
    write_cog(source.on(source.layer.dates[0]), tmp_path / "day.tif", {})
    with open_raster(tmp_path / "day.tif") as raster:
        values, valid = raster.thumbnail(100, ["LST", "B02"])
    np.testing.assert_array_equal(values, source.values[[3, 0]])
    np.testing.assert_array_equal(valid, source.values[0] != -10000)


def test_file_that_is_no_raster_is_named(tmp_path):
    (tmp_path / "map.tif").write_text("text")
    with (
        pytest.raises(OutputError, match=r"^Cannot read .*map\.tif: .*Expected a raster"),
        open_raster(tmp_path / "map.tif"),
    ):
        pass


def test_raster_without_crs_is_refused(tmp_path):
    profile = {"driver": "GTiff", "height": 5, "width": 7, "count": 1, "dtype": "uint8"}
    with rasterio.open(tmp_path / "a.tif", "w", **profile, transform=Affine(10, 0, 0, 0, -10, 0)) as file:
        file.write(np.zeros((1, 5, 7), np.uint8))
    with pytest.raises(OutputError, match="has no CRS"), open_raster(tmp_path / "a.tif"):
        pass


def test_tags_come_back_as_they_were_given(class_source, tmp_path):
    tags = {"FINGERPRINT": "abc", "OPTIONS": '{"name": "<forêt> & co"}'}
    write_cog(class_source(37, 61), tmp_path / "map.tif", tags)
    assert read_tags(tmp_path / "map.tif").items() >= tags.items()


def test_files_that_are_no_rasters_have_no_tags(class_source, tmp_path):
    write_cog(class_source(37, 61), tmp_path / "map.tif", {"FINGERPRINT": "abc"})
    content = (tmp_path / "map.tif").read_bytes()
    (tmp_path / "cut.tif").write_bytes(content[:9])
    (tmp_path / "half.tif").write_bytes(content[: len(content) // 2])
    (tmp_path / "last.tif").write_bytes(content[:-50])
    (tmp_path / "text.tif").write_text("not a raster")
    (tmp_path / "folder.tif").mkdir()
    for name in ("cut", "half", "last", "text", "folder", "missing"):
        assert read_tags(tmp_path / f"{name}.tif") == {}, name

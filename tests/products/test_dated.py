import datetime
import logging
from pathlib import Path

import numpy as np
import pytest
import rasterio

from sitsinfer.errors import OutputError
from sitsinfer.grid import Window, whole
from sitsinfer.products import dated
from sitsinfer.products.cog import write_cog
from sitsinfer.series import open_series
from tests.products.conftest import DATES

TAGS = {"FINGERPRINT": '{"inputs": "abc"}'}
KINDS = pytest.mark.parametrize("out", ["l3a", "l3a.nc", "l3a.zarr"])


@pytest.fixture
def sources(dated_source):
    return [dated_source("sentinel2", bands=("B02", "B03", "B04", "B8A")), dated_source("landsat")]


def layers_of(sources):
    return [source.layer for source in sources]


def test_folder_holds_a_file_for_each_date_and_sensor(sources):
    assert [path.name for path in dated.outputs_of(Path("l3a"), "L3A", layers_of(sources))] == [
        "L3A_20211215_sentinel2.tif",
        "L3A_20220103_sentinel2.tif",
        "L3A_20220519_sentinel2.tif",
        "L3A_20211215_landsat.tif",
        "L3A_20220103_landsat.tif",
        "L3A_20220519_landsat.tif",
    ]


@pytest.mark.parametrize("name", ["cube.nc", "CUBE.NC", "a.b.zarr"])
def test_cube_is_one_output(name, sources):
    assert dated.outputs_of(Path(name), "L3A", layers_of(sources)) == (Path(name),)


@pytest.mark.parametrize("name", ["l3a.tif", "L3A.TIFF", "cube.h5", "cube.nc4", "page.html", "l3a.zip"])
def test_unknown_ending_names_what_there_is(name, sources, tmp_path):
    with pytest.raises(OutputError, match=r"names no product of several dates\. Choose a folder.* \.nc or \.zarr\.$"):
        dated.outputs_of(tmp_path / name, "L3A", layers_of(sources))


@pytest.mark.parametrize("name", ["l3a_v1.0", "l3a.2022", "31TCJ.east"])
def test_folder_may_have_a_dot_in_its_name(name, sources, tmp_path):
    dated.write(tmp_path / name, "L3A", sources, TAGS)
    files = dated.outputs_of(tmp_path / name, "L3A", layers_of(sources))
    assert len(files) == 6
    assert all(path.is_file() for path in files)


def test_folder_that_is_there_may_be_named_like_a_file(sources, tmp_path):
    (tmp_path / "l3a.tif").mkdir()
    assert len(dated.outputs_of(tmp_path / "l3a.tif", "L3A", layers_of(sources))) == 6


def test_file_is_no_folder(sources, tmp_path):
    (tmp_path / "l3a").write_text("a file")
    with pytest.raises(OutputError, match=r"l3a is a file\. Choose a folder"):
        dated.outputs_of(tmp_path / "l3a", "L3A", layers_of(sources))


@KINDS
def test_what_was_published_is_read_back_date_by_date(out, sources, tmp_path):
    dated.write(tmp_path / out, "L3A", sources, TAGS)
    files = dated.outputs_of(tmp_path / out, "L3A", layers_of(sources))
    found = dated.read_back(files)
    assert [(one.name, one.date) for one in found] == [(s.layer.name, date) for s in sources for date in DATES]
    for one, (source, date) in zip(found, [(source, date) for source in sources for date in DATES], strict=True):
        with one.open() as layer:
            assert layer.grid == source.grid
            assert layer.layer.bands == source.layer.bands
            assert layer.layer.band_scales == source.layer.band_scales
            assert layer.layer.band_units == source.layer.band_units
            np.testing.assert_array_equal(layer.read(whole(layer.grid)), source.on(date).read(whole(source.grid)))


@KINDS
def test_every_file_has_the_tags(out, sources, tmp_path):
    dated.write(tmp_path / out, "L3A", sources, TAGS)
    for path in dated.outputs_of(tmp_path / out, "L3A", layers_of(sources)):
        assert dated.read_tags(path).items() >= TAGS.items()


@KINDS
def test_one_sensor_is_a_series_again(out, dated_source, tmp_path):
    source = dated_source()
    dated.write(tmp_path / out, "L3A", [source], TAGS)
    series = open_series(tmp_path / out)
    assert (series.sensor, series.bands, series.dates) == ("landsat-8", source.layer.bands, DATES)
    assert series.left_out == series.notes == ()


def test_files_say_date_and_sensor_without_their_names(sources, tmp_path):
    dated.write(tmp_path / "l3a", "L3A", sources, TAGS)
    with rasterio.open(tmp_path / "l3a" / "L3A_20220103_landsat.tif") as file:
        assert file.tags()["ACQUISITION_DATE"] == "2022-01-03"
        assert file.tags()["SENSOR"] == "landsat-8"


def test_files_of_others_stay_and_leftovers_are_told(sources, tmp_path, caplog):
    out = tmp_path / "l3a"
    dated.write(out, "L3A", sources, TAGS)
    (out / "notes.txt").write_text("mine")
    write_cog(sources[0].on(DATES[0]), out / "S2_20220413.tif", {})
    before = {path.name for path in out.iterdir()}
    with caplog.at_level(logging.WARNING):
        dated.write(out, "L3A", sources[:1], TAGS)
    assert {path.name for path in out.iterdir()} == before
    assert caplog.messages == [
        f"{out} holds files of another run: L3A_20211215_landsat.tif, L3A_20220103_landsat.tif, "
        "L3A_20220519_landsat.tif. Remove them if they are no longer wanted."
    ]


def test_missing_parent_is_named(sources, tmp_path):
    with pytest.raises(OutputError, match=r"there is no folder .*nowhere\. Create it"):
        dated.write(tmp_path / "nowhere" / "l3a", "L3A", sources, TAGS)


@pytest.mark.parametrize("name", ["map.tif", "map_20221345_attention.tif", "map_20220229_attention.tif"])
def test_file_of_another_name_is_not_read_back(name):
    with pytest.raises(OutputError, match=rf"^{name} does not say its date and layer\. Expected a name such as"):
        dated.read_back([Path(name)])


@pytest.mark.parametrize(
    ("out", "item"), [("l3a", "l3a/L3A.json"), ("l3a.nc", "l3a.nc.json"), ("l3a.zarr", "l3a.zarr.json")]
)
def test_item_lies_in_the_folder_or_beside_the_cube(out, item):
    assert dated.item_of(Path(out), "L3A") == Path(item)


def test_assets_are_named_by_sensor_and_date(sources):
    assert dated.assets_of([Path("l3a.zarr")]) == {"cube": Path("l3a.zarr")}
    names = list(dated.assets_of(dated.outputs_of(Path("l3a"), "L3A", layers_of(sources))))
    assert names[0] == "sentinel2_20211215"
    assert names[-1] == "landsat_20220519"


def test_prefix_may_look_like_a_date(dated_source, tmp_path):
    dated.write(tmp_path / "l3a", "ALL_20200101", [dated_source()], TAGS)
    files = dated.outputs_of(tmp_path / "l3a", "ALL_20200101", [dated_source().layer])
    assert [one.date for one in dated.read_back(files)] == list(DATES)
    assert isinstance(dated.read_back(files)[0].date, datetime.date)


@KINDS
def test_a_layer_is_found_again_with_all_its_dates(out, sources, tmp_path):
    dated.write(tmp_path / out, "L3A", sources, TAGS)
    found = dated.find(tmp_path / out, "landsat")
    source = sources[1]
    assert (found.grid, found.layer.bands, found.layer.dates) == (source.grid, source.layer.bands, DATES)
    window = Window(9, 11, 20, 31)
    np.testing.assert_array_equal(found.read(window).reshape(-1, *window.shape), source.read(window))


def test_a_layer_is_found_whatever_its_files_begin_with(dated_source, tmp_path):
    source = dated_source("cloud_score")
    dated.write(tmp_path / "a", "ALL_20200101", [source], TAGS)
    (tmp_path / "a" / "cloud_score.tif").write_text("of no date")
    assert dated.find(tmp_path / "a", "cloud_score").layer.dates == DATES
    dated.write(tmp_path / "a", "b", [source], TAGS)
    with pytest.raises(OutputError, match="holds cloud_score of 2021-12-15 twice, in ALL_2.*tif and b_20211215"):
        dated.find(tmp_path / "a", "cloud_score")


@KINDS
def test_a_layer_that_is_not_there_is_named(out, sources, tmp_path):
    dated.write(tmp_path / out, "L3A", sources, TAGS)
    with pytest.raises(OutputError, match=r"holds no attention\. Give a cube or a folder that does"):
        dated.find(tmp_path / out, "attention")
    with pytest.raises(OutputError, match=r"(There is no|holds no)"):
        dated.find(tmp_path / f"none{Path(out).suffix}", "attention")


def test_dates_of_two_runs_are_not_one_layer(dated_source, tmp_path):
    dated.write(tmp_path / "l3a", "L3A", [dated_source()], TAGS)
    other = dated_source(height=50)
    write_cog(other.on(DATES[1]), tmp_path / "l3a" / "L3A_20220103_landsat.tif", {})
    with pytest.raises(OutputError, match="dates of landsat in .* differ in grid, bands or scale"):
        dated.find(tmp_path / "l3a", "landsat")

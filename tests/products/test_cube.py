import datetime
import functools
from dataclasses import replace

import h5netcdf
import numpy as np
import pytest
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox

from sitsinfer.errors import OutputError, SeriesError
from sitsinfer.grid import Window, whole
from sitsinfer.layers import ClassInfo, Layer
from sitsinfer.products import cube
from sitsinfer.products.cube import open_cube, read_cube_tags, write_cube
from sitsinfer.products.windows import STEP, windows
from sitsinfer.series import open_series, read_stack
from tests.products.conftest import DATES, DatedArray, utm_grid

TAGS = {"SOFTWARE": "sitsinfer 0.1", "FINGERPRINT": '{"inputs": "abc"}'}
SENSORS = {"landsat": "landsat-8"}

ENDINGS = pytest.mark.parametrize("ending", [".nc", ".zarr"])


def decoded(path, group=None) -> xr.Dataset:
    """A cube as users of xarray see it."""
    return xr.open_dataset(path, group=group, engine="zarr" if path.suffix == ".zarr" else "h5netcdf")


def quantities(source, band: str) -> np.ndarray:
    """What a band of a source stands for, (dates, height, width)."""
    index = source.layer.bands.index(band)
    stored = source.values[index :: len(source.layer.bands)].astype(float)
    return np.where(stored == source.layer.nodata, np.nan, stored * source.layer.scales[index])


@ENDINGS
def test_xarray_sees_reflectance_and_kelvin(ending, dated_source, tmp_path):
    source = dated_source()
    write_cube([source], tmp_path / f"l3a{ending}", TAGS)
    with decoded(tmp_path / f"l3a{ending}") as found:
        assert found.reflectance.dims == ("time", "band", "y", "x")
        assert found.LST.dims == ("time", "y", "x")
        assert list(found.band.values) == ["B02", "B03", "B04"]
        assert found.time.values.astype("datetime64[D]").tolist() == list(DATES)
        assert (found.LST.attrs["units"], found.reflectance.attrs["units"]) == ("K", "1")
        np.testing.assert_allclose(found.LST, quantities(source, "LST"), rtol=1e-12)
        np.testing.assert_allclose(found.reflectance.sel(band="B03"), quantities(source, "B03"), rtol=1e-12)


@ENDINGS
def test_rioxarray_finds_crs_and_pixels(ending, dated_source, tmp_path):
    import rioxarray  # noqa: F401 - the accessor

    source = dated_source()
    write_cube([source], tmp_path / f"l3a{ending}", TAGS)
    with decoded(tmp_path / f"l3a{ending}") as found:
        assert found.reflectance.rio.crs.to_epsg() == 32631
        assert found.LST.rio.crs.to_epsg() == 32631
        assert (found.x[0], found.x[-1]) == (499_985, 499_985 + 600), "centres of the first and the last pixel"
        assert (found.y[0], found.y[-1]) == (5_000_035, 5_000_035 - 360)
        assert found.x.attrs["standard_name"] == "projection_x_coordinate"


@ENDINGS
def test_two_sensors_are_two_groups(ending, dated_source, tmp_path):
    fine, coarse = dated_source("sentinel2", bands=("B02", "B8A")), dated_source("landsat", bands=("B07", "LST"))
    path = tmp_path / f"l3a{ending}"
    write_cube([fine, coarse], path, TAGS, SENSORS)
    with decoded(path, "sentinel2") as found:
        assert list(found.band.values) == ["B02", "B8A"]
        assert "SENSOR" not in found.attrs
    with decoded(path, "landsat") as found:
        np.testing.assert_allclose(found.LST, quantities(coarse, "LST"), rtol=1e-12)
        assert found.attrs["SENSOR"] == "landsat-8"
    with open_cube(path) as layers:
        assert [(layer.layer.name, layer.layer.bands) for layer in layers] == [
            ("sentinel2", ("B02", "B8A")),
            ("landsat", ("B07", "LST")),
        ]


@ENDINGS
@pytest.mark.parametrize("bands", [("B02", "LST", "B04"), ("LST",), ("B04",)])
def test_what_was_written_comes_back(ending, bands, dated_source, tmp_path):
    source = dated_source(bands=bands)
    write_cube([source], tmp_path / f"l3a{ending}", TAGS)
    window = Window(9, 20, 11, 30)
    with open_cube(tmp_path / f"l3a{ending}") as (layer,):
        assert layer.grid == source.grid
        assert layer.layer.bands == bands
        assert layer.layer.band_scales == source.layer.scales
        np.testing.assert_array_equal(layer.read(window), source.read(window))
        for date in DATES:
            assert layer.on(date).layer.name == f"landsat_{date:%Y%m%d}"
            np.testing.assert_array_equal(layer.on(date).read(window), source.on(date).read(window))


@ENDINGS
def test_cube_is_a_series_again(ending, dated_source, tmp_path):
    source = dated_source()
    write_cube([source], tmp_path / f"l3a{ending}", TAGS, SENSORS)
    series = open_series(tmp_path / f"l3a{ending}")
    assert (series.sensor, series.bands, series.dates) == ("landsat-8", source.layer.bands, DATES)
    assert {(a.scale, a.offset) for a in series.acquisitions} == {(1e-4, 0.0)}
    stack = read_stack(series, whole(source.grid), source.grid)
    np.testing.assert_array_equal(stack.values.reshape(source.values.shape), source.values)
    np.testing.assert_array_equal(stack.valid[1], source.values[0] != -10000)


@ENDINGS
def test_degrees_are_named_as_such(ending, dated_source, tmp_path):
    source = dated_source(height=5, width=7)
    source.grid = GeoBox((5, 7), Affine(0.01, 0, 3.5, 0, -0.01, 45.05), "EPSG:4326")
    write_cube([source], tmp_path / f"l3a{ending}", TAGS)
    with decoded(tmp_path / f"l3a{ending}") as found:
        assert (found.x.attrs["units"], found.y.attrs["units"]) == ("degrees_east", "degrees_north")
        assert found.LST.rio.crs.to_epsg() == 4326


@ENDINGS
def test_thumbnail_takes_every_nth_pixel(ending, dated_source, tmp_path, monkeypatch):
    monkeypatch.setattr(cube, "windows", functools.partial(windows, step=16))
    source = dated_source(height=50, width=121)
    write_cube([source], tmp_path / f"l3a{ending}", TAGS)
    with open_cube(tmp_path / f"l3a{ending}") as (layer,):
        values, valid = layer.on(DATES[2]).thumbnail(41, ["LST", "B02"])
    np.testing.assert_array_equal(values, source.on(DATES[2]).values[[3, 0], ::3, ::3])
    np.testing.assert_array_equal(valid, values[0] != -10000)


@ENDINGS
def test_tags_come_back_as_they_were_given(ending, dated_source, tmp_path):
    write_cube([dated_source()], tmp_path / f"l3a{ending}", TAGS)
    assert read_cube_tags(tmp_path / f"l3a{ending}").items() >= TAGS.items()


def test_what_is_no_cube_has_no_tags(tmp_path):
    (tmp_path / "text.nc").write_text("not HDF5")
    (tmp_path / "folder.zarr").mkdir()
    (tmp_path / "folder.nc").mkdir()
    (tmp_path / "text.zarr").write_text("not a folder")
    for name in ("text.nc", "folder.zarr", "folder.nc", "text.zarr", "missing.nc", "missing.zarr"):
        assert read_cube_tags(tmp_path / name) == {}, name


def test_cube_of_others_is_not_taken_for_ours(tmp_path):
    with h5netcdf.File(tmp_path / "other.nc", "w") as file:
        file.attrs["title"] = "somebody's"
    assert read_cube_tags(tmp_path / "other.nc") == {"title": "somebody's"}
    with (
        pytest.raises(OutputError, match=r"^Cannot read .*other\.nc: .*Expected a cube that sitsinfer wrote\.$"),
        open_cube(tmp_path / "other.nc"),
    ):
        pass


@ENDINGS
def test_same_layers_give_the_same_bytes(ending, dated_source, tmp_path):
    for name in ("a", "b"):
        write_cube([dated_source("sentinel2"), dated_source()], tmp_path / f"{name}{ending}", TAGS)
    assert _content(tmp_path / f"a{ending}") == _content(tmp_path / f"b{ending}")


def _content(path) -> dict[str, bytes]:
    files = [path] if path.is_file() else sorted(part for part in path.rglob("*") if part.is_file())
    return {"" if part == path else str(part.relative_to(path)): part.read_bytes() for part in files}


@ENDINGS
def test_one_date_and_window_is_read_at_a_time(ending, dated_source, tmp_path):
    source = dated_source(height=STEP + 70, width=23)
    source.read = _not_at_once
    write_cube([source], tmp_path / f"l3a{ending}", TAGS)
    with open_cube(tmp_path / f"l3a{ending}") as (layer,):
        corner = Window(STEP - 5, 0, 75, 23)
        expected = source.values[:, corner.row : corner.stop_row]
        np.testing.assert_array_equal(layer.read(corner), expected)


def _not_at_once(window):
    raise AssertionError("all dates were read at once")


@ENDINGS
def test_failed_read_leaves_the_old_cube(ending, dated_source, tmp_path):
    path = tmp_path / f"l3a{ending}"
    write_cube([dated_source()], path, TAGS)
    before = _content(path)
    source = dated_source(height=38)
    source.on = _broken
    with pytest.raises(SeriesError, match="cannot be read"):
        write_cube([source], path, TAGS)
    assert _content(path) == before
    assert list(tmp_path.iterdir()) == [path]
    write_cube([dated_source(height=38)], path, TAGS)
    assert _content(path) != before
    assert list(tmp_path.iterdir()) == [path]


def _broken(date: datetime.date):
    raise SeriesError("cannot be read")


@ENDINGS
def test_pixels_that_read_back_differently_are_not_published(ending, dated_source, tmp_path, monkeypatch):
    source = dated_source()
    write = cube._write_data_set

    def write_then_change(*arguments):
        write(*arguments)
        source.values[4, 20, 30] += 1

    monkeypatch.setattr(cube, "_write_data_set", write_then_change)
    with pytest.raises(OutputError, match="landsat at row 0, col 0 on 2022-01-03 reads back differently"):
        write_cube([source], tmp_path / f"l3a{ending}", TAGS)
    assert list(tmp_path.iterdir()) == []


@ENDINGS
def test_layer_that_is_described_differently_is_not_published(ending, dated_source, tmp_path, monkeypatch):
    source = dated_source()
    write = cube._write_data_set

    def write_then_change(*arguments):
        write(*arguments)
        source.layer = replace(source.layer, scales=(1e-4, 1e-4, 1e-3, 0.1))

    monkeypatch.setattr(cube, "_write_data_set", write_then_change)
    with pytest.raises(OutputError, match="described differently"):
        write_cube([source], tmp_path / f"l3a{ending}", TAGS)
    assert list(tmp_path.iterdir()) == []


@ENDINGS
@pytest.mark.parametrize("looked_for", [True, False])
def test_full_disk_is_one_line_and_leaves_nothing(ending, looked_for, tiny_disk, dated_source, monkeypatch):
    if not looked_for:
        monkeypatch.setattr(cube, "check_room", lambda path, size: None)
    source = dated_source(height=300, width=400)
    source.values = np.random.default_rng(0).integers(0, 9999, source.values.shape, np.int16)
    with pytest.raises(OutputError, match=r"^Cannot write .*the disk is full.* MB are free in .*Make room.*$"):
        write_cube([source], tiny_disk / f"l3a{ending}", TAGS)
    assert list(tiny_disk.iterdir()) == []


def attention_source(height: int, width: int) -> DatedArray:
    """Attention of three heads: bands that are not spectral."""
    layer = Layer(
        "attention", "uint8", 255, ("head1", "head2", "head3"), (0.004,) * 3, dates=DATES, dims=("date", "head")
    )
    values = np.random.default_rng(3).integers(0, 256, (layer.depth, height, width), np.uint8)
    return DatedArray(layer, utm_grid(height, width), values)


@ENDINGS
def test_heads_of_attention_are_a_dimension(ending, tmp_path):
    source = attention_source(21, 34)
    write_cube([source], tmp_path / f"att{ending}", TAGS)
    with decoded(tmp_path / f"att{ending}") as found:
        assert found.attention.dims == ("date", "head", "y", "x")
        assert [str(day)[:10] for day in found.date.values] == [str(day) for day in DATES]
        assert found["head"].values.tolist() == [1, 2, 3]
        stored = source.values.reshape(3, 3, 21, 34)
        np.testing.assert_allclose(found.attention, np.where(stored == 255, np.nan, stored * 0.004), rtol=1e-6)
        assert ending == ".zarr" or found.attention.dtype == np.float32, "Zarr has one type of number for attributes"
    with open_cube(tmp_path / f"att{ending}") as (layer,):
        assert (layer.layer, layer.grid) == (source.layer, source.grid)
        np.testing.assert_array_equal(layer.on(DATES[1]).read(Window(2, 3, 7, 9)), source.values[3:6, 2:9, 3:12])


@ENDINGS
def test_classes_are_flags(ending, tmp_path):
    classes = (ClassInfo(0, "clear", (1, 22, 255)), ClassInfo(1, "thin cloud", (255, 250, 9)))
    mask = Layer("mask", "uint8", 255, ("cloud_mask",), (), ("1",), DATES, ("date", "band"), classes)
    source = DatedArray(mask, utm_grid(5, 9), np.arange(135, dtype=np.uint8).reshape(3, 5, 9) % 2)
    write_cube([attention_source(5, 9), source], tmp_path / f"two{ending}", TAGS)
    with decoded(tmp_path / f"two{ending}", "mask") as found:
        assert found.cloud_mask.dims == ("date", "y", "x")
        assert list(found.cloud_mask.attrs["flag_values"]) == [0, 1]
        assert found.cloud_mask.attrs["flag_meanings"] == "clear thin_cloud"
    with open_cube(tmp_path / f"two{ending}") as (_, layer):
        flags = (classes[0], replace(classes[1], name="thin_cloud"))
        assert (layer.layer, layer.grid) == (replace(mask, scales=(), classes=flags), source.grid)

from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from sitsinfer.errors import SeriesError
from sitsinfer.grid import Window, whole
from sitsinfer.series import Series, open_series, read_stack
from tests.conftest import BANDS

Folder = Callable[..., Path]
WINDOWS = [Window(0, 0, 23, 31), Window(-3, 5, 12, 40), Window(50, 0, 3, 3)]

pytestmark = pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part")


def cube_of(series: Series) -> xr.Dataset:
    """A series as openEO writes it: a variable per band over t, y, x."""
    grid = series.grid
    values = read_stack(series, whole(grid), grid).values
    x = grid.affine.c + grid.affine.a * (np.arange(grid.shape.x) + 0.5)
    y = grid.affine.f + grid.affine.e * (np.arange(grid.shape.y) + 0.5)
    attributes = {"grid_mapping": "crs", "_FillValue": np.uint16(0)}
    bands = {name: (("t", "y", "x"), values[:, band], attributes) for band, name in enumerate(series.bands)}
    assert grid.crs is not None
    crs = xr.Variable((), 0, {"crs_wkt": grid.crs.to_wkt(), "spatial_ref": grid.crs.to_wkt()})
    times = np.array(series.dates, "datetime64[ns]")
    return xr.Dataset({**bands, "crs": crs}, {"t": times, "y": y, "x": x}, {"platform": "sentinel-2"})


def by_band(cube: xr.Dataset) -> xr.Dataset:
    """The same with one variable and a dimension of bands."""
    stacked = cube[list(BANDS)].to_array("bands", name="reflectance").transpose("t", "bands", "y", "x")
    stacked.attrs = {"grid_mapping": "spatial_ref", "_FillValue": np.uint16(0)}
    return xr.Dataset({"reflectance": stacked, "spatial_ref": cube["crs"]}, attrs=cube.attrs)


def write(cube: xr.Dataset, path: Path, **encoding: object) -> Path:
    names = [str(name) for name, variable in cube.data_vars.items() if variable.ndim > 2]
    if path.suffix == ".zarr":
        cube.to_zarr(path, encoding=dict.fromkeys(names, encoding), consolidated=False)
    else:
        cube.to_netcdf(path, engine="h5netcdf", encoding=dict.fromkeys(names, encoding))
    return path


def assert_same(cube: Path, series: Series) -> None:
    found = open_series(cube)
    assert (found.bands, found.dates, found.sensor) == (series.bands, series.dates, series.sensor)
    assert (found.grid, found.dtype, found.nodata) == (series.grid, series.dtype, series.nodata)
    assert [(a.scale, a.offset) for a in found.acquisitions] == [(a.scale, a.offset) for a in series.acquisitions]
    for window in WINDOWS:
        left, right = (read_stack(each, window, series.grid) for each in (found, series))
        assert np.array_equal(left.values, right.values)
        assert np.array_equal(left.valid, right.valid)


@pytest.mark.parametrize("name", ["cube.nc", "cube.zarr"])
@pytest.mark.parametrize("form", [cube_of, lambda series: by_band(cube_of(series))], ids=["variables", "bands"])
@pytest.mark.parametrize("turned", [False, True], ids=["south", "north"])
def test_a_cube_gives_the_same_stack_as_files(
    series_folder: Folder, tmp_path: Path, name: str, form: Callable[[Series], xr.Dataset], turned: bool
) -> None:
    series = open_series(series_folder())
    cube = form(series)
    assert_same(write(cube.isel(y=slice(None, None, -1)) if turned else cube, tmp_path / name), series)


@pytest.mark.parametrize(("name", "key"), [("cube.nc", "chunksizes"), ("cube.zarr", "chunks")])
@pytest.mark.parametrize("chunk", [(1, 8, 16), (2, 23, 5), (3, 9, 31)])
def test_chunks_change_nothing(
    series_folder: Folder, tmp_path: Path, name: str, key: str, chunk: tuple[int, int, int]
) -> None:
    series = open_series(series_folder())
    assert_same(write(cube_of(series), tmp_path / name, **{key: chunk}), series)


def test_a_folder_that_holds_one_cube(series_folder: Folder, tmp_path: Path) -> None:
    series = open_series(series_folder())
    (tmp_path / "cubes").mkdir()
    write(cube_of(series), tmp_path / "cubes" / "s2.nc")
    assert_same(tmp_path / "cubes", series)


def test_a_netcdf_file_per_date_dated_by_name(series_folder: Folder, tmp_path: Path) -> None:
    series = open_series(series_folder())
    cube = cube_of(series)
    (tmp_path / "cubes").mkdir()
    for index, day in enumerate(series.dates):
        write(cube.isel(t=index, drop=True), tmp_path / "cubes" / f"S2_{day:%Y%m%d}.nc")
        path = tmp_path / "cubes" / f"S2_{day:%Y%m%d}.nc"
        assert path.exists()
    assert_same(tmp_path / "cubes", series)


@pytest.mark.parametrize(("name", "clear"), [("cloud_mask", {0}), ("SCL", {4, 11})])
def test_a_mask_among_the_variables(series_folder: Folder, tmp_path: Path, name: str, clear: set[int]) -> None:
    series = open_series(series_folder())
    cube = cube_of(series)
    codes = np.resize(np.array([0, 4, 9, 11], np.uint8), (3, 23, 31))
    cube[name] = (("t", "y", "x"), codes)
    found = open_series(write(cube, tmp_path / "cube.nc"))
    assert found.bands == BANDS
    valid = read_stack(found, whole(series.grid), series.grid).valid
    assert np.array_equal(valid, np.isin(codes, list(clear)))


def test_scale_and_offset_of_variables(series_folder: Folder, tmp_path: Path) -> None:
    cube = cube_of(open_series(series_folder()))
    for band in BANDS:
        cube[band].attrs |= {"scale_factor": 1e-4, "add_offset": -0.1}
    series = open_series(write(cube, tmp_path / "cube.nc"))
    assert {(a.scale, a.offset) for a in series.acquisitions} == {(1e-4, -0.1)}
    assert series.dtype == "uint16"


def test_temperature_is_scaled_apart_from_reflectance(series_folder: Folder, tmp_path: Path) -> None:
    cube = cube_of(open_series(series_folder())).rename({"B02": "LST"}).assign_attrs(platform="landsat-8")
    for band in cube.data_vars.keys() - {"crs"}:
        cube[band].attrs |= {"scale_factor": 2.75e-5, "add_offset": -0.2}
    cube["LST"].attrs |= {"scale_factor": 0.00341802, "add_offset": 149.0}
    series = open_series(write(cube, tmp_path / "cube.nc"))
    assert {(a.scale, a.offset) for a in series.acquisitions} == {(2.75e-5, -0.2)}
    assert {a.thermal for a in series.acquisitions} == {(0.00341802, 149.0)}


def test_an_angle_that_comes_first_does_not_scale_reflectance(series_folder: Folder, tmp_path: Path) -> None:
    cube = cube_of(open_series(series_folder()))
    angle = cube["B02"].copy()
    angle.attrs |= {"scale_factor": 0.01}
    series = open_series(write(xr.Dataset({"angle": angle}).merge(cube).assign_attrs(cube.attrs), tmp_path / "cube.nc"))
    assert series.acquisitions[0].bands == {*BANDS, "angle"}
    assert {(a.scale, a.offset) for a in series.acquisitions} == {(1e-4, 0.0)}


def test_two_times_of_one_day_are_merged(series_folder: Folder, tmp_path: Path) -> None:
    cube = cube_of(open_series(series_folder()))
    times = np.array(["2022-01-08T10:00", "2022-01-08T10:30", "2022-04-13T10:00"], "datetime64[ns]")
    series = open_series(write(cube.assign_coords(t=times), tmp_path / "cube.nc"))
    assert series.dates == (date(2022, 1, 8), date(2022, 4, 13))
    first = read_stack(series, whole(series.grid), series.grid).values[0]
    assert np.array_equal(first[0], cube["B02"].values[1])


def test_inputs_of_a_cube(series_folder: Folder, tmp_path: Path) -> None:
    series = open_series(series_folder())
    netcdf, zarr = (open_series(write(cube_of(series), tmp_path / name)) for name in ("c.nc", "c.zarr"))
    assert [name for name, _, _ in netcdf.inputs()] == ["c.nc"]
    (before,) = zarr.inputs()
    next(path for path in (tmp_path / "c.zarr").rglob("zarr.json")).write_text("{}")
    assert zarr.inputs() != [before]


# --- bad input


def test_a_cube_without_crs(series_folder: Folder, tmp_path: Path) -> None:
    cube = cube_of(open_series(series_folder())).drop_vars("crs")
    for band in BANDS:
        del cube[band].attrs["grid_mapping"]
    with pytest.raises(SeriesError, match=r"cube.nc has no CRS. Expected a variable 'crs' or 'spatial_ref' with"):
        open_series(write(cube, tmp_path / "cube.nc"))


def test_a_cube_with_uneven_coordinates(series_folder: Folder, tmp_path: Path) -> None:
    cube = cube_of(open_series(series_folder()))
    x = cube["x"].values.copy()
    x[5] += 3
    with pytest.raises(SeriesError, match=r"x of .*cube.nc has 31 coordinates. Expected two or more, evenly spaced."):
        open_series(write(cube.assign_coords(x=x), tmp_path / "cube.nc"))


def test_a_cube_of_other_dimensions(tmp_path: Path) -> None:
    cube = xr.Dataset({"a": (("station", "depth"), np.zeros((2, 3)))})
    with pytest.raises(
        SeriesError, match=r"has dimensions station, depth and no variable over y and x. Expected bands"
    ):
        open_series(write(cube, tmp_path / "cube.nc"))


def test_a_cube_without_time(series_folder: Folder, tmp_path: Path) -> None:
    cube = cube_of(open_series(series_folder())).drop_vars("t")
    with pytest.raises(SeriesError, match=r"cube.nc has no coordinate of time, and no date in its name. Expected one"):
        open_series(write(cube, tmp_path / "cube.nc"))


def test_a_file_that_is_no_netcdf(tmp_path: Path) -> None:
    (tmp_path / "cube.nc").write_bytes(b"this is no cube")
    with pytest.raises(SeriesError, match=r"^Cannot open .*cube.nc: .* Replace the file.$"):
        open_series(tmp_path / "cube.nc")


def test_a_truncated_netcdf(series_folder: Folder, tmp_path: Path) -> None:
    path = write(cube_of(open_series(series_folder())), tmp_path / "cube.nc")
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(SeriesError, match=r"^Cannot open .*cube.nc: .* Replace the file.$"):
        open_series(path)


def test_real_sentinel_2_from_a_netcdf(shared_data: Path, tmp_path: Path) -> None:
    series = open_series(shared_data / "worldcereal_be_2018" / "s2")
    cube = write(cube_of(series), tmp_path / "cube.nc")
    found = open_series(cube)
    window = Window(-4, 9, 60, 70)
    left, right = (read_stack(each, window, series.grid) for each in (found, series))
    assert np.array_equal(left.values, right.values)
    assert found.dates == series.dates

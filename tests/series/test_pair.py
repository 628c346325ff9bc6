import pickle
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from sitsinfer.errors import SeriesError
from sitsinfer.grid import Grid, Window, whole, window_grid
from sitsinfer.series import Series, open_series, read_stack
from sitsinfer.series.pair import Pair, covered, open_pair
from tests.conftest import write_raster
from tests.series.sites import DAYS, LEFT, NODATA, TOP, place, write_sensor

FINE, COARSE = (60, 81), (20, 27)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site whose sensors lie on nested grids."""
    write_sensor(tmp_path, "sentinel2", shape=FINE)
    write_sensor(tmp_path, "landsat", shape=COARSE)
    return tmp_path


def two(folder: Path, hr: dict[str, object] | None = None, lr: dict[str, object] | None = None) -> Pair:
    """A pair of 60 x 81 pixels of Sentinel-2 and 20 x 27 of Landsat, but for what is given."""
    return open_pair(
        None,
        write_sensor(folder, "sentinel2", **{"shape": FINE, **(hr or {})}),  # type: ignore[arg-type]
        write_sensor(folder, "landsat", **{"shape": COARSE, **(lr or {})}),  # type: ignore[arg-type]
    )


def check_nested(pair: Pair) -> None:
    """Check what holds for every pair."""
    assert pair.fine.affine.a == -pair.fine.affine.e == 10
    assert pair.coarse.affine.a == -pair.coarse.affine.e == 30
    assert (pair.fine.affine.c, pair.fine.affine.f) == (pair.coarse.affine.c, pair.coarse.affine.f)
    assert pair.fine.shape == tuple(3 * n for n in pair.coarse.shape)
    inside = pair.footprint.intersection(whole(pair.fine))
    assert inside == pair.footprint
    assert not pair.footprint.is_empty
    assert max(inside.row, inside.col) < 3  # no coarse pixel more than the footprint needs
    assert max(n - stop for n, stop in zip(pair.fine.shape, (inside.stop_row, inside.stop_col), strict=True)) < 3


def check_places(series: Series | None, grid: Grid, within: float, margin: int = 2) -> None:
    """Check that pixels read on a grid tell where they are, to so many metres, also around it; and are all there."""
    assert series is not None
    height, width = grid.shape
    window = Window(-margin, -margin, height + 2 * margin, width + 2 * margin)
    stack, around = read_stack(series, window, grid), window_grid(grid, window)
    expected = place(around.affine, window.shape, len(series.bands), str(grid.crs))
    error = np.abs(stack.values.astype(int) - expected)
    seen = np.broadcast_to(stack.valid[:, None], error.shape)
    assert error[seen].max() <= within
    rows, cols = covered(around, series.grid).intersection(whole(around)).slices_in(whole(around))
    there = np.zeros(window.shape, bool)
    there[rows, cols] = True
    assert np.array_equal(stack.valid[0], there)
    assert (stack.values[~seen] == NODATA).all()


def test_a_site_whose_sensors_fit_is_read_as_it_is(site: Path) -> None:
    pair = open_pair(site)
    check_nested(pair)
    assert pair.hr is not None
    assert pair.lr is not None
    assert (pair.fine, pair.coarse) == (pair.hr.grid, pair.lr.grid)
    assert pair.footprint == Window(0, 0, *FINE)
    assert (pair.hr.dates, pair.lr.dates) == (DAYS["sentinel2"], DAYS["landsat"])
    assert pair.notes == ()
    check_places(pair.hr, pair.fine, 0)
    check_places(pair.lr, pair.coarse, 0)


def test_two_folders_are_a_site(site: Path) -> None:
    assert open_pair(None, site / "sentinel2", site / "landsat") == open_pair(site)


def test_a_pair_travels(site: Path) -> None:
    pair = open_pair(site)
    assert pickle.loads(pickle.dumps(pair)) == pair


def test_the_sites_that_we_simulate_are_pairs(tmp_path: Path) -> None:
    for day in DAYS["sentinel2"]:
        values = place(Affine(10, 0, LEFT, 0, -10, TOP), FINE, 10)
        write_raster(tmp_path / "sentinel2" / f"S2_{day:%Y%m%d}.tif", values, nodata=NODATA)
        write_raster(tmp_path / "sentinel2_mask" / f"mask_{day:%Y%m%d}.tif", np.zeros((1, *FINE), np.uint8))
    write_sensor(tmp_path, "landsat", shape=COARSE)
    pair = open_pair(tmp_path)
    check_nested(pair)
    check_places(pair.hr, pair.fine, 0)


def test_sentinel2_alone_lies_on_multiples_of_30_metres(tmp_path: Path) -> None:
    folder = write_sensor(tmp_path, "sentinel2", shape=(10, 11), offset=(50, 20))
    pair = open_pair(tmp_path)
    check_nested(pair)
    assert (pair.lr, pair.pan) == (None, None)
    assert (pair.coarse.affine.c % 30, pair.coarse.affine.f % 30) == (0, 0)
    # 600 020 and 5 199 950 are 20 m right of a multiple of 30 and 10 m below one
    assert pair.footprint == Window(1, 2, 10, 11)
    check_places(pair.hr, pair.fine, 0)
    assert open_pair(None, folder) == pair


def test_landsat_alone_is_divided_by_three(tmp_path: Path) -> None:
    write_sensor(tmp_path, "landsat", shape=(5, 7), offset=(15, 45))
    pair = open_pair(tmp_path)
    check_nested(pair)
    assert pair.hr is None
    assert pair.lr is not None
    assert pair.coarse == pair.lr.grid
    assert pair.footprint == Window(0, 0, 15, 21)
    assert pair.notes == ()


@pytest.mark.parametrize("offset", [(10, 20), (-20, -20), (-500, 130), (590, 790)])
def test_landsat_that_fits_keeps_its_pixels(tmp_path: Path, offset: tuple[float, float]) -> None:
    pair = two(tmp_path, lr={"offset": offset})
    check_nested(pair)
    assert pair.notes == ()
    check_places(pair.lr, pair.coarse, 0)
    check_places(pair.hr, pair.fine, 0)


def test_an_overlap_that_is_no_multiple_of_three_is_covered(tmp_path: Path) -> None:
    pair = two(tmp_path, lr={"offset": (-20, 20)})
    # Landsat covers 58 rows from the first on, and 79 columns from the third on
    assert pair.footprint == Window(2, 0, 58, 79)
    assert pair.fine.shape == (60, 81)
    assert (pair.fine.affine.c, pair.fine.affine.f) == (LEFT + 20, TOP + 20)


def test_landsat_half_a_fine_pixel_off_is_moved(tmp_path: Path) -> None:
    pair = two(tmp_path, lr={"offset": (-15, -15), "shape": (22, 29)})
    check_nested(pair)
    assert pair.notes == (
        "Landsat is resampled to pixels that lie 5 m east (0.17 pixels) and 5 m south (0.17 pixels) of its own.",
    )
    assert (pair.coarse.affine.c, pair.coarse.affine.f) == (LEFT - 10, TOP + 10)
    assert pair.footprint == Window(1, 1, *FINE)
    check_places(pair.hr, pair.fine, 0)


@pytest.mark.parametrize(
    ("offset", "told"),
    [
        ((-12, 2), "2 m west (0.067 pixels) and 2 m south (0.067 pixels)"),
        ((0, 3.3333), "3.33 m west (0.11 pixels)"),
        ((-26, -10), "4 m north (0.13 pixels)"),
    ],
)
def test_landsat_is_moved_to_the_closest_pixels(tmp_path: Path, offset: tuple[float, float], told: str) -> None:
    pair = two(tmp_path, lr={"offset": offset, "shape": (22, 29)})
    check_nested(pair)
    assert pair.notes == (f"Landsat is resampled to pixels that lie {told} of its own.",)


def test_moved_pixels_tell_their_place(tmp_path: Path) -> None:
    """At the border there is no neighbour to interpolate to: looked at is what lies within."""
    pair = two(tmp_path, lr={"offset": (-105, -105), "shape": (28, 35)})
    check_places(pair.lr, pair.coarse, 1, margin=1)


@pytest.mark.parametrize("offset", [(0, 0), (10, 0), (-15, -15), (7, 13)])
@pytest.mark.parametrize("begin", [(0, 0), (70, 110), (-100, 340)])
def test_coarse_pixels_lie_the_same_whatever_the_area(
    tmp_path: Path, offset: tuple[float, float], begin: tuple[float, float]
) -> None:
    first = {"days": DAYS["landsat"][:1]}
    there = two(tmp_path / "a", first, {**first, "offset": offset}).coarse.affine
    cut = {**first, "offset": begin, "shape": (31, 20)}
    moved = {**first, "offset": (offset[0] + 120, offset[1] + 30), "shape": (9, 14)}
    for name, hr, lr in (("b", cut, {**first, "offset": offset}), ("c", first, moved), ("d", cut, moved)):
        here = two(tmp_path / name, hr, lr).coarse.affine
        assert ((here.c - there.c) % 30, (here.f - there.f) % 30) == (0, 0)


def test_landsat_of_another_zone_is_resampled(tmp_path: Path) -> None:
    write_sensor(tmp_path, "sentinel2", shape=FINE)
    transform, shape = Affine(30, 0, 142_500, 0, -30, 5_212_500), (150, 150)
    folder = tmp_path / "landsat"
    values = place(transform, shape, 8, "EPSG:32632")
    for day in DAYS["landsat"]:
        path = folder / f"LC08_{day:%Y%m%d}.tif"
        bands = [f"B{number:02d}" for number in range(1, 8)] + ["LST"]
        write_raster(path, values, bands, transform=transform, crs="EPSG:32632", nodata=NODATA)
    pair = open_pair(tmp_path)
    check_nested(pair)
    assert pair.notes == ("Landsat is resampled from EPSG:32632 to EPSG:32631, at 30 m.",)
    assert (pair.coarse.affine.c % 30, pair.coarse.affine.f % 30) == (0, 0)
    stack = read_stack(pair.lr, whole(pair.coarse), pair.coarse)  # type: ignore[arg-type]
    assert stack.valid.all()
    assert np.abs(stack.values - place(pair.coarse.affine, tuple(pair.coarse.shape), 8).astype(int)).max() <= 1


def test_other_resolutions_are_resampled(tmp_path: Path) -> None:
    pair = two(tmp_path, {"pixel": 20.0, "shape": (40, 45)}, {"pixel": 10.0, "shape": (90, 90)})
    check_nested(pair)
    assert pair.notes == (
        "Sentinel-2 is resampled from pixels of 20 m to pixels of 10 m.",
        "Landsat is resampled from pixels of 10 m to pixels of 30 m.",
    )
    stack = read_stack(pair.hr, Window(6, 6, 9, 12), pair.fine)  # type: ignore[arg-type]
    around = window_grid(pair.fine, Window(6, 6, 9, 12))
    assert np.abs(stack.values - place(around.affine, (9, 12), 10).astype(int)).max() <= 1


def test_the_panchromatic_band_comes_along(site: Path) -> None:
    write_sensor(site, "landsat_pan", shape=(40, 54))
    pair = open_pair(site)
    assert pair.pan is not None
    assert pair.pan.bands == ("B08",)
    assert pair.notes == ()


def test_a_panchromatic_band_off_the_pixels_is_noted(site: Path) -> None:
    write_sensor(site, "landsat_pan", shape=(40, 54), offset=(0, 6))
    (note,) = open_pair(site).notes
    assert note == ("Landsat's panchromatic band is resampled to pixels that lie 6 m west (0.4 pixels) of its own.")


# --- bands


def landsat(folder: Path, bands: tuple[str, ...], name: str = "LC08", dtype: str = "int16") -> Path:
    """A Landsat series that names its bands, B01 holding 101, B02 102 and so on."""
    values = np.stack([np.full(COARSE, 101 + index) for index in range(len(bands))]).astype(dtype)
    at = Affine(30, 0, LEFT, 0, -30, TOP)
    for day in DAYS["landsat"]:
        write_raster(folder / f"{name}_{day:%Y%m%d}.tif", values, bands, transform=at, nodata=-9999)
    return folder


def test_the_thermal_band_is_the_temperature_and_what_is_missing_is_named(tmp_path: Path) -> None:
    pair = open_pair(None, None, landsat(tmp_path, ("B02", "B03", "B04", "B05", "B06", "B07", "B10", "B11")))
    assert pair.lr is not None
    assert pair.lr.bands == ("B02", "B03", "B04", "B05", "B06", "B07", "LST")
    assert pair.notes == (
        "Landsat has no B01: algorithms cannot read it.",
        "Landsat's B10 is taken for its temperature, LST; B11 is not used.",
    )
    stack = read_stack(pair.lr.select(bands=("LST", "B03")), Window(0, 0, 1, 1), pair.coarse)
    assert stack.values[0, :, 0, 0].tolist() == [107, 102]


@pytest.mark.parametrize(("bands", "value"), [(("B01", "ST_B10"), 102), (("B10", "LST"), 102), (("B10", "B01"), 101)])
def test_names_of_the_temperature(tmp_path: Path, bands: tuple[str, ...], value: int) -> None:
    pair = open_pair(None, None, landsat(tmp_path, bands))
    assert pair.lr is not None
    assert pair.lr.bands[-1] == "LST"
    stack = read_stack(pair.lr.select(bands=("LST",)), Window(0, 0, 1, 1), pair.coarse)
    assert stack.values.flat[0] == value


def test_a_finer_band_that_is_not_read_does_not_make_the_grid(tmp_path: Path) -> None:
    landsat(tmp_path, ("B01", "B02"), "LC08_L1TP")
    fine = Affine(15, 0, LEFT, 0, -15, TOP)
    for day in DAYS["landsat"]:
        values = np.full((1, 40, 54), 7, np.int16)
        write_raster(tmp_path / f"LC08_L1TP_{day:%Y%m%d}_B08.tif", values, ("B08",), transform=fine, nodata=-9999)
    pair = open_pair(None, None, tmp_path)
    assert pair.lr is not None
    assert pair.lr.grid.affine.a == 30
    assert pair.lr.bands == ("B01", "B02")


def test_bands_that_are_none_of_the_sensor_s(tmp_path: Path) -> None:
    folder = landsat(tmp_path, ("red", "green"))
    with pytest.raises(SeriesError, match=r"has bands red, green\. Expected some of B01, B02, .*, LST, the bands of"):
        open_pair(None, None, folder)


@pytest.mark.parametrize(("dtype", "scale"), [("int16", 1e-4), ("float32", 1.0)])
def test_a_sensor_that_is_not_named_is_taken_at_the_users_word(tmp_path: Path, dtype: str, scale: float) -> None:
    folder = landsat(tmp_path, ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "LST"), "x", dtype)
    assert open_series(folder).sensor == "unknown"
    pair = open_pair(None, None, folder)
    assert pair.lr is not None
    assert {acquisition.scale for acquisition in pair.lr.acquisitions} == {scale}
    assert len(pair.notes) == (scale != 1)
    assert all("names no sensor: taken for Landsat" in note for note in pair.notes)


# --- what cannot be paired


def test_sensors_that_do_not_overlap(tmp_path: Path) -> None:
    told = (
        rf"Sentinel-2 and Landsat do not overlap: .*sentinel2 covers {LEFT:.0f} {TOP - 600:.0f} {LEFT + 810:.0f} "
        rf"{TOP:.0f} and .*landsat covers {LEFT + 810:.0f} .* in EPSG:32631\."
    )
    with pytest.raises(SeriesError, match=told):
        two(tmp_path, lr={"offset": (0, 810)})


@pytest.mark.parametrize("crs", ["EPSG:2154", "EPSG:3035"])
def test_a_grid_that_is_not_utm(tmp_path: Path, crs: str) -> None:
    with pytest.raises(SeriesError, match=rf"sentinel2 is in {crs}\. Expected a UTM zone .* Reproject"):
        two(tmp_path, hr={"crs": crs})


@pytest.mark.parametrize("crs", ["EPSG:32660", "EPSG:32701"])
def test_every_utm_zone_will_do(tmp_path: Path, crs: str) -> None:
    assert str(two(tmp_path, hr={"crs": crs}, lr={"crs": crs}).fine.crs) == crs


def test_sensors_that_are_swapped(site: Path) -> None:
    with pytest.raises(SeriesError, match=r"swapped: .*landsat, given as hr, holds Landsat, .* Swap the two\."):
        open_pair(None, site / "landsat", site / "sentinel2")


@pytest.mark.parametrize(
    ("hr", "lr", "message"),
    [
        ("sentinel2", "sentinel2", r"sentinel2, given as lr, holds sentinel-2\. Expected Landsat 8 or 9\."),
        ("landsat", "landsat", r"landsat, given as hr, holds landsat-8\. Expected Sentinel-2\."),
        ("landsat", None, r"given as hr, holds landsat-8"),
        (None, "old", r"old, given as lr, holds landsat-5\. Expected Landsat 8 or 9\."),
        ("bare", "bare", r"bare is given both as hr and as lr\."),
        (None, None, r"No series is given\. Set ts"),
        ("gone", None, r"gone does not exist"),
    ],
)
def test_series_of_the_wrong_sensor(site: Path, hr: str | None, lr: str | None, message: str) -> None:
    landsat(site / "old", ("B01", "B02"), "LT05")
    landsat(site / "bare", ("B02", "B03"), "x")
    folders = [None if name is None else site / name for name in (hr, lr)]
    with pytest.raises(SeriesError, match=message) as error:
        open_pair(None, *folders)
    assert "\n" not in str(error.value)


def test_a_site_and_a_folder_are_too_much(site: Path) -> None:
    with pytest.raises(SeriesError, match="Both ts and hr or lr are given"):
        open_pair(site, lr=site / "landsat")


def test_a_folder_that_is_no_site(site: Path) -> None:
    with pytest.raises(SeriesError, match="has no folder sentinel2 and none landsat"):
        open_pair(site / "landsat")


def test_strict_takes_notes_for_errors(site: Path) -> None:
    assert open_pair(site, strict=True) == open_pair(site)
    write_sensor(site, "landsat", shape=COARSE, offset=(0, -15))
    with pytest.raises(SeriesError, match=r"Landsat is resampled to pixels .* Mend the series, or do not be strict\."):
        open_pair(site, strict=True)


@pytest.mark.parametrize(
    ("source", "window"),
    [
        (GeoBox((4, 5), Affine(10, 0, 30, 0, -10, -20), "EPSG:32631"), Window(2, 3, 4, 5)),
        (GeoBox((4, 5), Affine(10, 0, 34, 0, -10, -24), "EPSG:32631"), Window(2, 3, 4, 5)),
        (GeoBox((4, 5), Affine(10, 0, 36, 0, -10, -26), "EPSG:32631"), Window(3, 4, 4, 5)),
        (GeoBox((2, 1), Affine(30, 0, -45, 0, -30, 15), "EPSG:32631"), Window(-2, -5, 6, 3)),
    ],
)
def test_pixels_are_covered_by_their_centres(source: Grid, window: Window) -> None:
    assert covered(GeoBox((9, 9), Affine(10, 0, 0, 0, -10, 0), "EPSG:32631"), source) == window


def test_real_series_of_two_sensors(shared_data: Path) -> None:
    folder = shared_data / "worldcereal_be_2018"
    pair = open_pair(None, folder / "s2", folder / "l8_30m")
    check_nested(pair)
    assert pair.footprint.shape == (64, 64)
    assert [note.split(" ")[0] for note in pair.notes] == ["Landsat", "Landsat's", "Landsat"]
    assert "5 m east" in pair.notes[-1]
    assert pair.lr is not None
    clear = read_stack(pair.lr, whole(pair.coarse), pair.coarse)
    summer = clear.values[[day.month in (6, 7, 8) for day in pair.lr.dates], -1]
    assert 2900 < np.median(summer[summer > 0]) < 3100  # tenths of kelvin


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(
        SeriesError, match=r"nothere does not exist\. Expected a folder with sentinel2 or landsat in it"
    ):
        open_pair(tmp_path / "nothere")

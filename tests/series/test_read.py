from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from sitsinfer.errors import ReadError
from sitsinfer.grid import Window, whole, window_grid
from sitsinfer.series import Series, open_series, read_stack
from tests.conftest import BANDS, CORNER, DATES, place_values, write_raster

Folder = Callable[..., Path]
LEFT, TOP = CORNER
SHAPE = (23, 31)
WINDOWS = [
    Window(0, 0, 23, 31),
    Window(4, 7, 9, 13),
    Window(22, 30, 1, 1),
    Window(-5, -3, 11, 40),
    Window(18, 25, 20, 20),
    Window(100, 100, 3, 4),
    Window(-50, 0, 20, 9),
]


def expected(window: Window, day: date, band: int) -> NDArray[np.uint16]:
    """What the pixels of a window must hold: their own place, or 0 beyond the data."""
    values = np.zeros(window.shape, np.uint16)
    inside = window.intersection(Window(0, 0, *SHAPE))
    if not inside.is_empty:
        values[inside.slices_in(window)] = place_values(inside.shape, day, band, (inside.row, inside.col))
    return values


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("profile", [{}, {"interleave": "band"}, {"tiled": True, "blockxsize": 16, "blockysize": 16}])
def test_pixels_keep_their_place(series_folder: Folder, window: Window, profile: dict[str, object]) -> None:
    series = open_series(series_folder(**profile))
    stack = read_stack(series, window, series.grid)
    assert stack.values.dtype == np.uint16
    assert stack.dates == DATES
    for time, day in enumerate(DATES):
        for band in range(len(BANDS)):
            assert np.array_equal(stack.values[time, band], expected(window, day, band))
        assert np.array_equal(stack.valid[time], expected(window, day, 0) != 0)


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_threads_change_nothing(series_folder: Folder, threads: int) -> None:
    series = open_series(series_folder())
    stack = read_stack(series, Window(3, 2, 9, 8), series.grid, threads=threads)
    assert np.array_equal(stack.values[2, 1], expected(Window(3, 2, 9, 8), DATES[2], 1))


def test_the_order_of_files_changes_nothing(series_folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    folder = series_folder()
    write_raster(folder / "S2_20220413_b.tif", np.full((4, 30, 9), 77, np.uint16), BANDS)
    write_raster(folder.parent / "s2_mask" / "m_20220322.tif", np.ones((1, 9, 9), np.uint8), nodata=None)
    forward = open_series(folder)
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: reversed(list(scandir(path))))
    assert open_series(folder) == forward


def test_a_window_of_another_grid_of_the_same_pixels(series_folder: Folder) -> None:
    series = open_series(series_folder())
    cropped = window_grid(series.grid, Window(5, 6, 10, 10))
    stack = read_stack(series, Window(-2, -3, 8, 9), cropped)
    assert np.array_equal(stack.values[0, 3], expected(Window(3, 3, 8, 9), DATES[0], 3))


# --- resampling

FINE = GeoBox(SHAPE, Affine(10, 0, LEFT, 0, -10, TOP), "EPSG:32631")


def plane(shape: tuple[int, int], transform: Affine, crs: str = "EPSG:32631") -> NDArray[np.uint16]:
    """A plane over the coordinates of EPSG:32631, (2, H, W): bands that grow by 20 a pixel of 10 m, east and south."""
    rows, cols = np.mgrid[: shape[0], : shape[1]] + 0.5
    x, y = transform.a * cols + transform.b * rows + transform.c, transform.d * cols + transform.e * rows + transform.f
    x, y = Transformer.from_crs(crs, "EPSG:32631", always_xy=True).transform(x, y)
    return np.rint(np.stack([20_000 + 2 * (x - LEFT), 20_000 + 2 * (TOP - y)])).astype(np.uint16)


SOURCES = {
    "coarse": ("EPSG:32631", Affine(20, 0, LEFT - 40, 0, -20, TOP + 40), (20, 25)),
    "half a pixel off": ("EPSG:32631", Affine(10, 0, LEFT - 45, 0, -10, TOP + 45), (40, 45)),
    "a third of a pixel off": ("EPSG:32631", Affine(10, 0, LEFT - 43.3333, 0, -10, TOP + 43.3333), (40, 45)),
    "another CRS": ("EPSG:32632", Affine(10, 0, 143_100, 0, -10, 5_210_200), (120, 130)),
    "rows that run north": ("EPSG:32631", Affine(10, 0, LEFT - 40, 0, 10, TOP - 270), (31, 41)),
    "turned": ("EPSG:32631", Affine(8, 6, LEFT - 200, 6, -8, TOP - 100), (60, 60)),
}


def resampled(folder: Path, names: Iterable[str]) -> Series:
    for day, name in enumerate(names, 1):
        crs, transform, shape = SOURCES[name]
        write_raster(
            folder / f"S2_2022010{day}.tif", plane(shape, transform, crs), ("B02", "B03"), crs=crs, transform=transform
        )
    return open_series(folder)


@pytest.mark.parametrize("name", SOURCES)
def test_resampled_pixels_keep_their_place(tmp_path: Path, name: str) -> None:
    stack = read_stack(resampled(tmp_path, [name]), whole(FINE), FINE)
    assert stack.valid.mean() > 0.5
    error = np.abs(stack.values[0].astype(int) - plane(SHAPE, FINE.affine))[:, stack.valid[0]]
    assert error.max() <= 1  # of 20 a pixel: a shift of a tenth of a pixel would show


@pytest.mark.parametrize("window", [Window(-3, -4, 20, 21), Window(7, 9, 5, 6), Window(13, 1, 40, 3)])
def test_resampled_windows_are_crops_of_the_whole(tmp_path: Path, window: Window) -> None:
    series = resampled(tmp_path, SOURCES)
    outer = Window(-10, -10, 70, 70)
    everything = read_stack(series, outer, FINE)
    stack = read_stack(series, window, FINE)
    moved = read_stack(series, window.shift(-3, 5), window_grid(FINE, Window(3, -5, 9, 9)))
    crop = (slice(None), slice(None), *window.slices_in(outer))
    assert np.array_equal(stack.values, everything.values[crop])
    assert np.array_equal(stack.values, moved.values)
    assert np.array_equal(stack.valid, everything.valid[crop[1:]])


def test_resampling_does_not_mix_in_nodata(tmp_path: Path) -> None:
    values = np.full((1, 12, 16), 1000, np.uint16)
    values[:, :, 8:] = 0
    write_raster(tmp_path / "S2_20220101.tif", values, ["B02"], transform=Affine(20, 0, LEFT, 0, -20, TOP))
    stack = read_stack(open_series(tmp_path), whole(FINE), FINE)
    assert np.unique(stack.values).tolist() == [0, 1000]
    assert stack.valid[0].sum(axis=1).tolist() == [16] * 23


def test_masks_are_resampled_to_the_nearest(series_folder: Folder) -> None:
    folder = series_folder(DATES[:1])
    mask = np.zeros((1, 12, 16), np.uint8)
    mask[0, 2, 3] = 1
    write_raster(folder.parent / "s2_mask" / "20220108.tif", mask, transform=Affine(20, 0, LEFT, 0, -20, TOP))
    series = open_series(folder)
    invalid = ~read_stack(series, whole(series.grid), series.grid).valid[0]
    assert np.argwhere(invalid).tolist() == [[4, 6], [4, 7], [5, 6], [5, 7]]


# --- nodata and masks


def one(folder: Path, values: NDArray[np.generic], **options: object) -> Series:
    write_raster(folder / "S2_20220413.tif", values, BANDS[: len(values)], **options)  # type: ignore[arg-type]
    return open_series(folder)


def read_whole(series: Series) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
    stack = read_stack(series, whole(series.grid), series.grid)
    return stack.values[0], stack.valid[0]


def test_a_pixel_without_any_band_is_not_valid(tmp_path: Path) -> None:
    values = np.full((2, 3, 4), 500, np.uint16)
    values[0, 0, 0] = values[:, 1, 1] = 0
    _, valid = read_whole(one(tmp_path, values))
    assert np.argwhere(~valid).tolist() == [[1, 1]]


def test_all_nodata_is_not_an_error(tmp_path: Path) -> None:
    _, valid = read_whole(one(tmp_path, np.zeros((2, 3, 4), np.uint16)))
    assert not valid.any()


def test_nan_and_infinity_are_nodata(tmp_path: Path) -> None:
    values = np.full((2, 3, 4), 0.5, np.float32)
    values[0, 0, :3] = np.nan, np.inf, -np.inf
    values[:, 2, 3] = np.inf
    values[:, 2, 2] = -9999
    read, valid = read_whole(one(tmp_path, values, nodata=-9999))
    assert np.isnan(read[0, 0, :3]).all()
    assert np.isnan(read[:, 2, 2:]).all()
    assert np.argwhere(~valid).tolist() == [[2, 2], [2, 3]]


def test_each_file_has_its_own_nodata(tmp_path: Path) -> None:
    for day, nodata in ((1, 0), (2, 0), (3, 65535)):
        values = np.full((1, 3, 4), 500, np.uint16)
        values[0, 1, 2] = nodata
        write_raster(tmp_path / f"S2_2022010{day}.tif", values, ["B02"], nodata=nodata)
    series = open_series(tmp_path)
    stack = read_stack(series, Window(0, 0, 4, 4), series.grid)
    assert (stack.values[:, 0, 1, 2] == 0).all()
    assert (stack.values[:, 0, 3] == 0).all()
    assert stack.valid.sum() == 3 * 11


@pytest.mark.parametrize(
    ("name", "codes", "clear"),
    [
        ("SCL", range(12), {2, 4, 5, 6, 7, 11}),
        ("mask", (0, 1, 2, 100, 255), {0, 255}),
    ],
)
def test_masks_take_valid_away(tmp_path: Path, name: str, codes: Iterable[int], clear: set[int]) -> None:
    row = np.array(list(codes), np.uint8)
    write_raster(tmp_path / f"S2_20220413_{name}.tif", row[None, None], nodata=0 if name == "SCL" else 255)
    values, valid = read_whole(one(tmp_path, np.full((1, 1, row.size), 500, np.uint16)))
    assert set(row[valid[0]].tolist()) == clear
    assert (values == 500).all()


def test_a_mask_that_ends_early_says_nothing_of_the_rest(series_folder: Folder) -> None:
    folder = series_folder(DATES[:1])
    write_raster(folder.parent / "s2_scl" / "20220108.tif", np.full((1, 5, 6), 9, np.uint8), nodata=0)
    series = open_series(folder)
    assert read_stack(series, whole(series.grid), series.grid).valid[0].sum() == 23 * 31 - 30


# --- products of one day


def test_holes_are_filled_from_the_earlier_product(tmp_path: Path) -> None:
    late = np.full((2, 4, 5), 900, np.uint16)
    late[:, 0] = 0
    late[:, 1] = 901
    early = np.full((2, 4, 5), 300, np.uint16)
    cloudy = np.zeros((1, 4, 5), np.uint8)
    cloudy[0, 1] = 1
    for version, values in ((1, early), (2, late)):
        write_raster(tmp_path / f"S2_20220413_N030{version}.tif", values, ["B02", "B03"])
    write_raster(tmp_path / "S2_20220413_N0302_mask.tif", cloudy, nodata=None)
    write_raster(tmp_path / "S2_20220413_N0301_mask.tif", np.zeros((1, 4, 5), np.uint8), nodata=None)
    values, valid = read_whole(open_series(tmp_path))
    assert values[0].tolist() == [[300] * 5, [300] * 5, [900] * 5, [900] * 5]
    assert valid.all()


def test_neighbouring_products_of_a_day_are_put_side_by_side(tmp_path: Path) -> None:
    for name, left in (("T31UES", LEFT), ("T31UFS", LEFT + 50)):
        write_raster(
            tmp_path / f"S2_20220413_{name}.tif",
            np.full((1, 4, 5), 100 + int(left - LEFT), np.uint16),
            ["B02"],
            transform=Affine(10, 0, left, 0, -10, TOP),
        )
    values, valid = read_whole(open_series(tmp_path))
    assert values[0, 0].tolist() == [100] * 5 + [150] * 5
    assert valid.all()


# --- bad input


def first_block(path: Path) -> str:
    """Where the first block of a GeoTIFF begins."""
    with rasterio.open(path) as dataset:
        return str(dataset.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=1))


def test_damaged_pixels_are_told_with_their_place(series_folder: Folder) -> None:
    path = series_folder(tiled=True, blockxsize=16, blockysize=16, compress="deflate") / "S2_20220322.tif"
    series = open_series(path.parent)
    data = bytearray(path.read_bytes())
    first = int(first_block(path))
    data[first : first + 100] = bytes(100)
    path.write_bytes(data)
    with pytest.raises(
        ReadError, match=r"^Cannot read .*S2_20220322.tif at row 0, col 2 \(23 x 29 pixels\): .+"
    ) as raised:
        read_stack(series, Window(-1, 2, 40, 40), series.grid)
    assert "\n" not in str(raised.value)
    assert raised.value.__cause__ is not None


def test_a_file_that_is_gone(series_folder: Folder) -> None:
    folder = series_folder()
    series = open_series(folder)
    (folder / "S2_20220322.tif").unlink()
    with pytest.raises(ReadError, match=r"Cannot read .*S2_20220322.tif at row 0, col 0 \(23 x 31 pixels\): "):
        read_stack(series, whole(series.grid), series.grid)


def test_files_that_the_window_does_not_touch_are_not_opened(series_folder: Folder) -> None:
    folder = series_folder()
    series = open_series(folder)
    (folder / "S2_20220322.tif").unlink()
    assert not read_stack(series, Window(50, 0, 8, 9), series.grid).valid.any()

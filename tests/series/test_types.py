import pickle
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from sitsinfer.errors import SeriesError
from sitsinfer.grid import Window, whole
from sitsinfer.series import open_series, read_stack
from sitsinfer.series.types import listing
from tests.conftest import BANDS, DATES, place_values, write_raster

Folder = Callable[..., Path]


def test_select_keeps_the_bands_in_the_order_asked(series_folder: Folder) -> None:
    series = open_series(series_folder())
    chosen = series.select(bands=("B08", "B02"))
    assert chosen.bands == ("B08", "B02")
    stack, all_bands = (read_stack(s, whole(s.grid), s.grid).values for s in (chosen, series))
    assert np.array_equal(stack, all_bands[:, [3, 0]])


def test_select_takes_both_ends_of_the_dates(series_folder: Folder) -> None:
    series = open_series(series_folder())
    assert series.select(start=DATES[1]).dates == DATES[1:]
    assert series.select(end=DATES[1]).dates == DATES[:2]
    assert series.select(start=DATES[1], end=DATES[1]).dates == DATES[1:2]


def test_dates_outside_the_series(series_folder: Folder) -> None:
    expected = r"No acquisition from 2023-01-01 to the last: .* has 3 from 2022-01-08 to 2022-04-13. Choose dates"
    with pytest.raises(SeriesError, match=expected):
        open_series(series_folder()).select(start=date(2023, 1, 1))


def test_a_start_after_the_end(series_folder: Folder) -> None:
    with pytest.raises(SeriesError, match=r"^The start, 2022-07-01, lies after the end, 2022-06-01\. Swap them"):
        open_series(series_folder()).select(start=date(2022, 7, 1), end=date(2022, 6, 1))


def test_a_band_missing_from_some_acquisitions(series_folder: Folder) -> None:
    folder = series_folder(DATES[1:])
    for day in (date(2022, 1, 8), date(2022, 2, 1)):
        write_raster(folder / f"S2_{day:%Y%m%d}.tif", place_values((23, 31), day, 0)[None], BANDS[:1])
    series = open_series(folder)
    assert series.notes[0] == ("Band 'B03' is missing from 2 of 4 acquisitions: S2_20220108.tif, S2_20220201.tif.")
    with pytest.raises(
        SeriesError,
        match=r"^Band 'B04' is missing from 2 of 4 acquisitions: S2_20220108.tif, S2_20220201.tif. "
        r"Leave them out, or choose other bands.$",
    ):
        series.select(bands=("B02", "B04"))
    assert series.select(bands=("B02", "B04"), start=DATES[1]).dates == DATES[1:]


def test_a_band_that_no_acquisition_has(series_folder: Folder) -> None:
    with pytest.raises(
        SeriesError,
        match=r"Band 'B12' is missing from all 3 acquisitions of .*, which have B02, B03, B04, B08. Use weights",
    ):
        open_series(series_folder()).select(bands=("B02", "B12"))


def test_long_lists_are_abbreviated() -> None:
    assert listing(list("abcde")) == "a, b, c, d, e"
    assert listing(list("abcdef")) == "a, b, c, d and 2 more"


def test_days_count_from_the_reference_date(series_folder: Folder) -> None:
    days = open_series(series_folder()).days(date(2022, 1, 1))
    assert days.tolist() == [7, 80, 102]
    assert days.dtype == np.int64


def test_inputs_name_every_file_and_tell_a_changed_one(series_folder: Folder) -> None:
    folder = series_folder()
    write_raster(folder.parent / "s2_mask" / "m_20220108.tif", np.zeros((1, 23, 31), np.uint8))
    series = open_series(folder)
    inputs = series.inputs()
    assert [name for name, _, _ in inputs] == [
        "S2_20220108.tif",
        "S2_20220322.tif",
        "S2_20220413.tif",
        "../s2_mask/m_20220108.tif",
    ]
    with (folder / "S2_20220322.tif").open("ab") as file:
        file.write(b"more")
    assert [a == b for a, b in zip(inputs, series.inputs(), strict=True)] == [True, False, True, True]


def test_an_input_that_is_gone(series_folder: Folder) -> None:
    folder = series_folder()
    series = open_series(folder)
    (folder / "S2_20220322.tif").unlink()
    with pytest.raises(SeriesError, match=r"S2_20220322.tif is gone since the series was opened"):
        series.inputs()


def test_a_series_travels_small(series_folder: Folder) -> None:
    series = open_series(series_folder())
    data = pickle.dumps(series)
    assert pickle.loads(data) == series
    assert len(data) < 6000


def test_without_masks_every_pixel_with_data_is_seen(series_folder: Folder) -> None:
    folder = series_folder(nodata=0)
    write_raster(folder.parent / "s2_mask" / "m_20220322.tif", np.ones((1, 23, 31), np.uint8), nodata=None)
    series = open_series(folder)
    assert [len(a.images[0].masks) for a in series.acquisitions] == [0, 1, 0]
    bare = series.without_masks()
    assert [len(a.images[0].masks) for a in bare.acquisitions] == [0, 0, 0]
    assert len(bare.inputs()) == len(series.inputs()) - 1
    window = Window(2, 3, 5, 7)
    assert read_stack(series, window, series.grid).valid.any(axis=(1, 2)).tolist() == [True, False, True]
    assert read_stack(bare, window, series.grid).valid.all()

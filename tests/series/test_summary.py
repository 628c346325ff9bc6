from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from sitsinfer.grid import Window
from sitsinfer.series import open_series
from sitsinfer.series.summary import DateSummary, Gap, longest_gap, sample_windows, shade, summarise, timeline
from tests.conftest import BANDS, DATES, write_raster

Folder = Callable[..., Path]


def test_coverage_and_cloud_of_each_date(series_folder: Folder) -> None:
    folder = series_folder(shape=(20, 30))
    write_raster(folder / "S2_20220501.tif", np.ones((4, 20, 15), np.uint16), BANDS)
    for day, cloudy in ((DATES[1], 10), (date(2022, 5, 1), 5)):
        mask = np.zeros((1, 20, 30), np.uint8)
        mask[0, :cloudy] = 1
        write_raster(folder.parent / "s2_mask" / f"{day:%Y%m%d}.tif", mask, nodata=None)
    summary = summarise(open_series(folder))
    assert [entry.coverage for entry in summary.dates] == [1, 1, 1, 0.5]
    assert [entry.cloud for entry in summary.dates] == [None, 0.5, None, 0.25]
    assert not summary.is_sampled
    assert summary.longest_gap == Gap(DATES[0], DATES[1], 73)


def test_a_summary_is_plain_json(series_folder: Folder) -> None:
    import json

    summary = summarise(open_series(series_folder()))
    told = json.loads(json.dumps(summary.to_dict()))
    assert told["crs"] == "EPSG:32631"
    assert told["bands"] == list(BANDS)
    assert told["shape"] == [23, 31]
    assert told["dates"][0] == {"date": "2022-01-08", "products": ["S2_20220108.tif"], "coverage": 1.0, "cloud": None}
    assert told["longest_gap"]["days"] == 73


def test_large_series_are_sampled_all_over() -> None:
    area = Window(0, 0, 3000, 600)
    windows = sample_windows(area)
    assert len(windows) == 16
    assert all(window.intersection(area) == window for window in windows)
    assert {window.row // 750 for window in windows} == {0, 1, 2, 3}
    assert sample_windows(Window(0, 0, 512, 40)) == [Window(0, 0, 512, 40)]


def test_a_sampled_share_is_of_the_samples(series_folder: Folder) -> None:
    summary = summarise(open_series(series_folder(DATES[:1], ("B02",), (600, 40))))
    assert summary.is_sampled
    assert summary.dates[0].coverage == 1


def test_one_date_has_no_gap() -> None:
    assert longest_gap(DATES[:1]) is None


@pytest.mark.parametrize(
    ("coverage", "cloud", "character"),
    [(1.0, 0.0, "█"), (1.0, 0.2, "▓"), (1.0, 0.5, "▒"), (1.0, 1.0, "░"), (1.0, None, "█"), (0.0, None, "·")],
)
def test_clouds_shade_the_timeline(coverage: float, cloud: float | None, character: str) -> None:
    assert shade(DateSummary(DATES[0], ("x",), coverage, cloud)) == character


def test_the_timeline_fits_and_keeps_the_clearest(series_folder: Folder) -> None:
    days = (date(2022, 1, 1), date(2022, 1, 2), date(2022, 1, 20))
    folder = series_folder(days)
    write_raster(folder.parent / "s2_mask" / "20220101.tif", np.ones((1, 23, 31), np.uint8), nodata=None)
    summary = summarise(open_series(folder))
    assert timeline(summary, 100) == ("░█" + "·" * 17 + "█", 1)
    assert timeline(summary, 7) == ("█·····█", 3)

from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from sitsinfer.api import imports
from sitsinfer.errors import SeriesError, WeightsError
from sitsinfer.series import open_series
from sitsinfer.weights.release import BANDS
from tests.conftest import write_raster
from tests.weights.published import write_pse

DATES = (date(2022, 1, 8), date(2022, 3, 22), date(2022, 4, 13))


@pytest.fixture
def masked_series(tmp_path: Path) -> tuple[Path, np.ndarray]:
    """A series of two bands with clouds, and its clear digital numbers, (C, N)."""
    rng = np.random.default_rng(2)
    clear = []
    for day in DATES:
        values = rng.integers(100, 4000, (2, 5, 7)).astype(np.uint16)
        cloudy = rng.random((5, 7)) < 0.3
        values[:, 4, 6] = 0  # nodata
        clear.append(values[:, ~cloudy & (values[0] != 0)])
        values[:, cloudy] = 9000
        write_raster(tmp_path / "s2" / f"S2_{day:%Y%m%d}.tif", values, ("B04", "B08"))
        write_raster(tmp_path / "s2" / f"S2_{day:%Y%m%d}_mask.tif", cloudy[None].astype(np.uint8), nodata=None)
    return tmp_path / "s2", np.concatenate(clear, axis=1)


def test_statistics_of_a_series_leave_clouds_out(masked_series: tuple[Path, np.ndarray]) -> None:
    folder, clear = masked_series
    assert len(open_series(folder).acquisitions[0].images[0].masks) == 1
    found = imports.series_statistics(folder, ("B08", "B04"))
    np.testing.assert_allclose(found.mean, clear.mean(axis=1)[None, ::-1] * 1e-4, rtol=1e-5)
    np.testing.assert_allclose(found.std, clear.std(axis=1)[None, ::-1] * 1e-4, rtol=1e-5)
    assert found.origin == "the statistics of the series s2"


def test_blocks_of_a_large_series_spread_over_it(
    series_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "_BLOCK", 4)
    grid = open_series(series_folder(DATES[:1], BANDS[:2], (23, 31))).grid
    assert sum(window.height * window.width for window in imports._blocks(grid)) == 23 * 31
    monkeypatch.setattr(imports, "_MOST_BLOCKS", 5)
    windows = list(imports._blocks(grid))
    assert len(windows) == 5
    assert (windows[0].row, windows[0].col) == (0, 0)
    assert (windows[-1].stop_row, windows[-1].stop_col) == (23, 31)


def test_a_series_that_shows_nothing_has_no_statistics(tmp_path: Path) -> None:
    write_raster(tmp_path / "s2" / "S2_20220108.tif", np.full((1, 4, 5), 7, np.uint16), ("B04",))
    with pytest.raises(SeriesError, match="same everywhere"):
        imports.series_statistics(tmp_path / "s2", ("B04",))


def test_a_release_is_normalised_by_a_series(tmp_path: Path, series_folder: Callable[..., Path]) -> None:
    series = series_folder(DATES, BANDS)
    card = imports.import_pse(write_pse(tmp_path / "release"), tmp_path / "out", statistics_from=series)
    expected = imports.series_statistics(series, BANDS)
    np.testing.assert_allclose(card.members[1].std, expected.std[0])
    assert "normalised by the statistics of the series s2" in card.description


def test_a_release_is_normalised_by_a_file(tmp_path: Path) -> None:
    np.savez(tmp_path / "s.npz", mean=np.full(10, 0.2), std=0.1)
    card = imports.import_pse(
        write_pse(tmp_path / "release"),
        tmp_path / "out",
        statistics=tmp_path / "s.npz",
        statistics_units="reflectance",
        reference_date=date(2017, 1, 3),
    )
    assert card.members[0].mean == (0.2,) * 10
    assert card.members[0].std == (0.1,) * 10
    assert card.reference_date == date(2017, 1, 3)


def test_statistics_come_from_one_place(tmp_path: Path) -> None:
    folder = write_pse(tmp_path / "release")
    for given, words in (
        ({}, "No source of statistics"),
        ({"statistics": "a", "statistics_from": "b"}, "More than one"),
    ):
        with pytest.raises(
            WeightsError, match=f"{words}.*Set statistics to a file .* or statistics_from to the series"
        ) as caught:
            imports.import_pse(folder, tmp_path / "out", **given)
        assert "\n" not in str(caught.value)

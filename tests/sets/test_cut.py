import datetime

import numpy as np
import pytest
from numpy.typing import NDArray

from sitsinfer.grid import Window
from sitsinfer.series import Stack
from sitsinfer.sets import Samples
from sitsinfer.sets.cut import batched, cut_sets
from sitsinfer.sets.gather import join

READ = Window(40, 7, 6, 9)
DAYS = np.array([3, 10, 40, 41])
WANTED = np.array([0, 10, 25, 60])
DATES = tuple(datetime.date(2022, 1, 1) + datetime.timedelta(int(day)) for day in DAYS)


def samples(parcels: list[int], seed: int = 0) -> Samples:
    """Pixels of parcels, anywhere in the window; ranks with gaps."""
    rng = np.random.default_rng(seed)
    numbers = np.array(parcels, np.int64)
    ranks = np.concatenate(
        [np.sort(rng.permutation(20)[:count]) for count in np.unique(numbers, return_counts=True)[1]]
    )
    rows, cols = rng.integers(0, READ.height, len(numbers)), rng.integers(0, READ.width, len(numbers))
    return Samples(numbers, ranks.astype(np.int16), (rows + 40).astype(np.int32), (cols + 7).astype(np.int32))


def stack(dtype: type[np.generic] = np.uint16, nodata: float = 0, clear: float = 1) -> Stack:
    rng = np.random.default_rng(9)
    values = rng.integers(1, 5000, (4, 2, *READ.shape)).astype(dtype)
    valid = rng.random((4, *READ.shape)) < clear
    scale, offset = np.array([1e-4, 1e-4, 2e-4, 1e-4], np.float32), np.array([0, -0.1, 0, 0], np.float32)
    return Stack(values, valid, DATES, scale, offset, nodata)


def interpolated(seen: Stack, row: int, col: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The series of one pixel on the days wanted, (D, C), and its clear dates."""
    values = seen.values[:, :, row, col].astype(np.float64)
    observed = np.isfinite(values) if np.isnan(seen.nodata) else values != seen.nodata
    clear = seen.valid[:, row, col] & observed.all(axis=1)
    reflectance = values * seen.scale[:, None] + seen.offset[:, None]
    bands = [
        np.interp(WANTED, DAYS[clear], reflectance[clear, band]) if clear.any() else WANTED * np.nan for band in (0, 1)
    ]
    return np.stack(bands, axis=1), clear


@pytest.mark.parametrize(("dtype", "nodata"), [(np.uint16, 0), (np.float32, float("nan")), (np.int16, -9999)])
def test_pixels_are_reflectance_on_the_days_wanted_between_their_clear_dates(
    dtype: type[np.generic], nodata: float
) -> None:
    seen, chosen = stack(dtype, nodata, clear=0.6), samples([2] * 7 + [5] * 3 + [6] * 9)
    seen.values[1, 0, 2:4] = nodata  # one band of a date
    seen.values[:, 1, 5] = nodata  # a band of all dates
    found = cut_sets(chosen, seen, READ, DAYS, WANTED)
    one_by_one = [interpolated(seen, row - 40, col - 7) for row, col in zip(chosen.rows, chosen.cols, strict=True)]
    clear = np.stack([dates for _, dates in one_by_one])
    ever = clear.any(axis=1)
    assert 0 < (~ever).sum() < len(ever)
    np.testing.assert_allclose(found.values, np.stack([series for series, _ in one_by_one])[ever], rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(found.ranks, chosen.ranks[ever])
    assert found.parcels.tolist() == [2, 5, 6]
    assert found.drawn.tolist() == [7, 3, 9]
    owners = np.repeat([0, 1, 2], [7, 3, 9])
    assert found.counts.tolist() == np.bincount(owners[ever], minlength=3).tolist()
    assert found.date_counts.tolist() == [clear[owners == owner].any(axis=0).sum() for owner in range(3)]


def test_parcels_that_were_never_clear_are_told_without_pixels() -> None:
    found = cut_sets(samples([1, 1, 4]), stack(clear=0), READ, DAYS, WANTED)
    assert (found.drawn.tolist(), found.counts.tolist(), found.date_counts.tolist()) == ([2, 1], [0, 0], [0, 0])
    assert found.values.shape == (0, 4, 2)


def test_pixels_do_not_depend_on_those_that_they_are_cut_with() -> None:
    seen, chosen = stack(clear=0.7), samples([0] * 5 + [1] * 8 + [2] * 2 + [9] * 6)
    whole = cut_sets(chosen, seen, READ, DAYS, WANTED)
    parts = join([cut_sets(part, seen, READ, DAYS, WANTED) for part in batched(chosen, 3)])
    for name in ("parcels", "drawn", "counts", "dates", "ranks", "values"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))


@pytest.mark.parametrize(
    ("size", "expected"), [(1, [5, 8, 2, 6]), (5, [5, 8, 8]), (6, [13, 8]), (14, [15, 6]), (15, [15, 6]), (99, [21])]
)
def test_batches_hold_whole_parcels(size: int, expected: list[int]) -> None:
    chosen = samples([0] * 5 + [1] * 8 + [2] * 2 + [9] * 6)
    parts = list(batched(chosen, size))
    assert [len(part) for part in parts] == expected
    for name in ("parcels", "ranks", "rows", "cols"):
        np.testing.assert_array_equal(np.concatenate([getattr(part, name) for part in parts]), getattr(chosen, name))

import datetime
from dataclasses import replace

import numpy as np
import pytest

from sitsinfer.grid import Window
from sitsinfer.patches import cut_patch, dates_seen, source_window
from sitsinfer.series import Stack

EXTENT = Window(3, -2, 11, 17)
POSITIONS = np.array([5, 9, 40])


def stack_over(window: Window) -> Stack:
    """Pixels that hold their own coordinates, as row * 100 + col + 1000, in 2 bands and on 3 dates."""
    rows, cols = np.mgrid[window.row : window.stop_row, window.col : window.stop_col]
    band = (rows * 100 + cols + 1000).astype(np.uint16)
    values = np.stack([np.stack([band + 10_000 * date, band + 30_000]) for date in range(3)])
    return Stack(
        values,
        np.ones((3, *window.shape), bool),
        tuple(datetime.date(2022, 3, day) for day in (6, 10, 20)),
        np.full(3, 1e-4, np.float32),
        np.array([0, 0, -0.1], np.float32),
        0,
    )


def test_a_patch_within_the_data_is_a_view() -> None:
    stack = stack_over(EXTENT)
    patch = cut_patch(stack, EXTENT, Window(4, 1, 8, 8), EXTENT, "reflect", POSITIONS)
    assert patch is not None
    assert np.shares_memory(patch.values, stack.values)
    assert patch.values.shape == (3, 2, 8, 8)
    assert patch.values[0, 0, 0, 0] == 1401
    assert patch.positions.tolist() == [5, 9, 40]
    assert patch.nodata == 0


@pytest.mark.parametrize("where", [Window(0, -4, 8, 8), Window(9, 11, 8, 8), Window(-1, 2, 8, 8), Window(1, -30, 8, 8)])
def test_beyond_the_data_they_are_mirrored(where: Window) -> None:
    stack = stack_over(EXTENT)
    patch = cut_patch(stack, EXTENT, where, EXTENT, "reflect", POSITIONS)
    assert patch is not None
    above, left = 60, 60  # pad far enough on every side, in whole periods or not
    mirrored = np.pad(stack.values, ((0, 0), (0, 0), (above, 60), (left, 60)), mode="reflect")
    row, col = where.row - EXTENT.row + above, where.col - EXTENT.col + left
    np.testing.assert_array_equal(patch.values, mirrored[:, :, row : row + 8, col : col + 8])


@pytest.mark.parametrize("fill", ["reflect", "constant"])
def test_what_is_valid_goes_with_the_values(fill: str) -> None:
    stack = stack_over(EXTENT)
    valid = np.zeros_like(stack.valid)
    valid[1, 2, 3] = valid[2, 0, 5] = True  # rows 5 and 3, columns 1 and 3 of the grid
    patch = cut_patch(replace(stack, valid=valid), EXTENT, Window(0, -4, 8, 8), EXTENT, fill, POSITIONS)  # type: ignore[arg-type]
    assert patch is not None
    assert patch.positions.tolist() == [9, 40]
    seen = dates_seen(replace(stack, valid=valid), EXTENT, Window(0, -4, 8, 8), EXTENT, fill)  # type: ignore[arg-type]
    assert seen.tolist() == [False, True, True]
    assert patch.valid.shape == (2, 8, 8)
    beyond = [[1, 5], [5, 5]] if fill == "reflect" else [[5, 5]]  # row 1 mirrors row 5 at row 3
    assert np.argwhere(patch.valid[0]).tolist() == beyond
    assert np.argwhere(patch.valid[1]).tolist() == [[3, 7]]


def test_beyond_the_data_there_is_nodata_if_the_fill_is_constant() -> None:
    stack = stack_over(EXTENT)
    patch = cut_patch(stack, EXTENT, Window(0, -4, 8, 8), EXTENT, "constant", POSITIONS)
    assert patch is not None
    assert (patch.values[:, :, :3] == 0).all()
    assert (patch.values[:, :, :, :2] == 0).all()
    np.testing.assert_array_equal(patch.values[:, :, 3:, 2:], stack.values[:, :, :5, :6])
    assert cut_patch(stack, EXTENT, Window(30, 30, 8, 8), EXTENT, "constant", POSITIONS) is None


@pytest.mark.parametrize("fill", ["reflect", "constant"])
@pytest.mark.parametrize("where", [Window(0, -4, 8, 8), Window(10, 12, 8, 8), Window(5, 3, 8, 8)])
def test_the_stack_does_not_show_in_the_patch(where: Window, fill: str) -> None:
    source = source_window(where, EXTENT, fill)  # type: ignore[arg-type]
    assert source.intersection(EXTENT) == source
    small = cut_patch(stack_over(source), source, where, EXTENT, fill, POSITIONS)  # type: ignore[arg-type]
    large = cut_patch(stack_over(EXTENT), EXTENT, where, EXTENT, fill, POSITIONS)  # type: ignore[arg-type]
    assert small is not None
    assert large is not None
    np.testing.assert_array_equal(small.values, large.values)


def test_dates_that_see_nothing_are_left_out() -> None:
    stack = stack_over(EXTENT)
    valid = stack.valid.copy()
    valid[1] = False
    valid[1, 10, 16] = True  # beside the patch
    patch = cut_patch(replace(stack, valid=valid), EXTENT, Window(4, 1, 4, 4), EXTENT, "reflect", POSITIONS)
    assert patch is not None
    assert patch.positions.tolist() == [5, 40]
    assert patch.valid.all()
    np.testing.assert_allclose(patch.offset, [0, -0.1])
    np.testing.assert_array_equal(patch.values, stack.values[[0, 2], :, 1:5, 3:7])
    empty = replace(stack, valid=np.zeros_like(valid))
    assert cut_patch(empty, EXTENT, Window(4, 1, 4, 4), EXTENT, "reflect", POSITIONS) is None


def test_batches_need_equal_dates_and_scales() -> None:
    patch = cut_patch(stack_over(EXTENT), EXTENT, Window(4, 1, 4, 4), EXTENT, "reflect", POSITIONS)
    assert patch is not None
    assert patch.has_dates_of(replace(patch, values=patch.values + 1))
    assert not patch.has_dates_of(replace(patch, positions=patch.positions + 1))
    assert not patch.has_dates_of(replace(patch, offset=patch.offset + 1))
    assert not patch.has_dates_of(replace(patch, values=patch.values.astype(np.int32)))

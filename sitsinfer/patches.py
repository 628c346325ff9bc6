"""Cut patches out of a stack: what a model sees, in digital numbers still."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from sitsinfer.grid import Window, reflect
from sitsinfer.weights import Fill

if TYPE_CHECKING:
    from sitsinfer.series import Stack

Value = TypeVar("Value", bound=np.generic)


@dataclass(frozen=True, eq=False)
class Patch:
    """A square of a time series, of the dates that observed something in it.

    Attributes:
        values: Digital numbers, (T, C, P, P), equal to ``nodata`` where nothing was observed.
        valid: Where something was observed and no mask says otherwise, (T, P, P); beyond the data as ``values`` are
            filled.
        scale: Reflectance is digital number times ``scale`` plus ``offset``, date by date, (T,).
        offset: See ``scale``, (T,).
        positions: What the model takes dates as, (T,), int64.
        nodata: What ``values`` hold where nothing was observed; NaN for floats.
    """

    values: NDArray[np.generic]
    valid: NDArray[np.bool_]
    scale: NDArray[np.float32]
    offset: NDArray[np.float32]
    positions: NDArray[np.int64]
    nodata: float

    def has_dates_of(self, other: Patch) -> bool:
        """Whether two patches can be in one batch: equal dates, scales, shape and data type."""
        return (
            self.values.shape == other.values.shape
            and self.values.dtype == other.values.dtype
            and np.array_equal(self.positions, other.positions)
            and np.array_equal(self.scale, other.scale)
            and np.array_equal(self.offset, other.offset)
        )


def source_window(patch: Window, extent: Window, fill: Fill) -> Window:
    """The pixels of the data that a patch is made of: a stack to cut it from must cover them.

    Args:
        patch: The patch; it may reach beyond the data, or lie beside them.
        extent: The pixels that the data cover, in pixels of the same grid.
        fill: What a patch sees beyond the data.

    Returns:
        A window within ``extent``. With ``reflect`` it may reach further into the data than ``patch`` does.
    """
    if fill == "constant":
        return patch.intersection(extent)
    rows = reflect(patch.row, patch.stop_row, extent.row, extent.stop_row)
    cols = reflect(patch.col, patch.stop_col, extent.col, extent.stop_col)
    row, col = int(rows.min()), int(cols.min())
    return Window(row, col, int(rows.max()) + 1 - row, int(cols.max()) + 1 - col)


def cut_patch(
    stack: Stack,
    stack_window: Window,
    patch: Window,
    extent: Window,
    fill: Fill,
    positions: NDArray[np.int64],
) -> Patch | None:
    """Cut one patch out of a stack. What comes out depends on the data, not on which window the stack covers.

    Beyond the data the patch is filled: with the data mirrored at their border (``reflect``; the border pixels
    themselves are not repeated), or with nodata (``constant``), which is the bands' means to the model. Dates without
    a valid pixel in the patch are left out, as they would be padding to the model.

    Args:
        stack: T dates over ``stack_window``.
        stack_window: What the stack covers, in pixels of any grid. It must hold :func:`source_window` of the patch.
        patch: What to cut, in pixels of that grid.
        extent: The pixels that the data cover, likewise.
        fill: What a patch sees beyond the data.
        positions: What the model takes the stack's dates as, (T,).

    Returns:
        The patch, which may share memory with the stack; None if no date has a valid pixel in it.
    """
    source = source_window(patch, extent, fill)
    if source.is_empty:
        return None
    rows, cols = source.slices_in(stack_window)
    valid = stack.valid[:, rows, cols]
    values = stack.values[:, :, rows, cols]
    assert values.shape[2:] == source.shape, "the stack does not cover what the patch is made of"
    seen = dates_seen(stack, stack_window, patch, extent, fill)
    if not seen.any():
        return None
    if not seen.all():
        values, valid = values[seen], valid[seen]
    if source != patch:
        fit = _mirror if fill == "reflect" else _surround
        values = fit(values, source, patch, extent, stack.nodata)
        valid = fit(valid, source, patch, extent, False)
    return Patch(values, valid, stack.scale[seen], stack.offset[seen], positions[seen], stack.nodata)


def dates_seen(stack: Stack, stack_window: Window, patch: Window, extent: Window, fill: Fill) -> NDArray[np.bool_]:
    """Which dates of a stack :func:`cut_patch` keeps: those with a valid pixel in the patch, (T,)."""
    rows, cols = source_window(patch, extent, fill).slices_in(stack_window)
    return np.asarray(stack.valid[:, rows, cols].any(axis=(1, 2)))


def _mirror(values: NDArray[Value], source: Window, patch: Window, extent: Window, nothing: float) -> NDArray[Value]:
    rows = reflect(patch.row, patch.stop_row, extent.row, extent.stop_row) - source.row
    cols = reflect(patch.col, patch.stop_col, extent.col, extent.stop_col) - source.col
    return values[..., rows[:, None], cols]


def _surround(values: NDArray[Value], source: Window, patch: Window, extent: Window, nothing: float) -> NDArray[Value]:
    whole = np.full((*values.shape[:-2], *patch.shape), nothing, values.dtype)
    rows, cols = source.slices_in(patch)
    whole[..., rows, cols] = values
    return whole

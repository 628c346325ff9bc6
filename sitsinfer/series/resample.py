"""Values between pixels: bilinear and nearest, the same for a pixel whatever window it is read in.

GDAL warps by blocks and lets rounding depend on where a block starts. Here each output pixel is computed from its own
position in the source, rounded to a millionth of a pixel, so that windows agree to the bit on pixels that they share.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sitsinfer.grid import Grid, Window, whole

_FAR = -1e9  # where a position cannot be projected: outside any source


@dataclass(frozen=True)
class Positions:
    """Where the centres of output pixels lie in a source, in its pixels; its first pixel's centre is at 0.5, 0.5.

    Attributes:
        rows: (H, W), or (H, 1) where all columns share them.
        cols: (H, W), or (1, W) where all rows share them.
        source: All pixels of the source.
    """

    rows: NDArray[np.float64]
    cols: NDArray[np.float64]
    source: Window

    @classmethod
    def of(cls, target: Grid, source: Grid) -> Self:
        """Positions of all pixels of ``target`` in ``source``."""
        y = np.arange(target.shape.y)[:, None] + 0.5
        x = np.arange(target.shape.x)[None, :] + 0.5
        to_crs, to_pixels = target.affine, ~source.affine
        x, y = to_crs.a * x + to_crs.b * y + to_crs.c, to_crs.d * x + to_crs.e * y + to_crs.f
        if target.crs != source.crs:
            x, y = _project(np.broadcast_arrays(x, y), target, source)
        elif not (to_crs.b or to_crs.d or to_pixels.b or to_pixels.d):
            x, y = x[:1, :], y[:, :1]
        cols, rows = to_pixels.a * x + to_pixels.b * y + to_pixels.c, to_pixels.d * x + to_pixels.e * y + to_pixels.f
        if not (to_pixels.b or to_pixels.d):
            cols, rows = to_pixels.a * x + to_pixels.c, to_pixels.e * y + to_pixels.f
        return cls(np.round(rows, 6), np.round(cols, 6), whole(source))

    @cached_property
    def window(self) -> Window:
        """What must be read of the source; empty if no output pixel lies in it."""
        inside = self.inside
        if not inside.any():
            return Window(0, 0, 0, 0)
        rows = np.broadcast_to(self.rows, inside.shape)[inside]
        cols = np.broadcast_to(self.cols, inside.shape)[inside]
        row, col = int(np.floor(rows.min() - 0.5)), int(np.floor(cols.min() - 0.5))
        stop_row, stop_col = int(np.floor(rows.max() - 0.5)) + 2, int(np.floor(cols.max() - 0.5)) + 2
        return Window(row, col, stop_row - row, stop_col - col).intersection(self.source)

    @cached_property
    def inside(self) -> NDArray[np.bool_]:
        """Which output pixels have their centre in the source, (H, W)."""
        rows = (self.rows >= 0) & (self.rows < self.source.height)
        return rows & (self.cols >= 0) & (self.cols < self.source.width)


def _project(
    xy: tuple[NDArray[np.float64], ...], target: Grid, source: Grid
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    assert target.crs is not None
    assert source.crs is not None
    x, y = target.crs.transformer_to_crs(source.crs)(*xy)
    lost = ~(np.isfinite(x) & np.isfinite(y))
    return np.where(lost, _FAR, x), np.where(lost, _FAR, y)


def nearest(block: NDArray[Any], window: Window, positions: Positions, out: NDArray[Any], nodata: float) -> None:
    """Take the source pixel that each output pixel's centre lies in.

    Args:
        block: The source within ``window``, (N, h, w).
        window: As :attr:`Positions.window` says.
        positions: Where output pixels lie.
        out: What is written, (N, H, W).
        nodata: What is written where a pixel lies outside the source.
    """
    rows, cols = (
        np.clip(np.floor(axis).astype(np.intp) - start, 0, size - 1)
        for axis, start, size in (
            (positions.rows, window.row, window.height),
            (positions.cols, window.col, window.width),
        )
    )
    inside = positions.inside
    for band, target in zip(block, out, strict=True):
        target[...] = np.where(inside, band[rows, cols], np.asarray(nodata, out.dtype))


def bilinear(block: NDArray[Any], window: Window, positions: Positions, out: NDArray[Any], nodata: float) -> None:
    """Interpolate between the four nearest source pixels, those without data left out.

    An output pixel has data where the source pixel that its centre lies in has. Arguments as in :func:`nearest`;
    ``block`` and ``out`` share their data type and ``nodata``. Integers are rounded to the nearest, ties to even.
    """
    top, bottom, down = _neighbours(positions.rows, window.row, window.height)
    left, right, along = _neighbours(positions.cols, window.col, window.width)
    corners = (
        (top, left, (1 - down) * (1 - along)),
        (top, right, (1 - down) * along),
        (bottom, left, down * (1 - along)),
        (bottom, right, down * along),
    )
    own_row, own_col = np.where(down < 0.5, top, bottom), np.where(along < 0.5, left, right)
    inside = positions.inside
    for band, target in zip(block, out, strict=True):
        has_data = _has_data(band, nodata)
        if has_data.all():
            value = sum(band[rows, cols] * weight for rows, cols, weight in corners)
        else:
            kept = [has_data[rows, cols] * weight for rows, cols, weight in corners]
            clean = np.where(has_data, band, 0)
            total = sum(kept)
            value = sum(clean[rows, cols] * weight for (rows, cols, _), weight in zip(corners, kept, strict=True))
            value = np.divide(value, total, out=np.zeros(inside.shape), where=total > 0)
        if out.dtype.kind in "iu":
            value = np.rint(value)
        observed = inside & has_data[own_row, own_col]
        target[...] = np.where(observed, value, nodata).astype(out.dtype)


def _neighbours(
    axis: NDArray[np.float64], start: int, size: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """Indices of the pixels before and after each position, kept within the block, and how far it is between them."""
    between = axis - 0.5
    before = np.floor(between)
    index = before.astype(np.intp) - start
    return np.clip(index, 0, size - 1), np.clip(index + 1, 0, size - 1), between - before


def _has_data(band: NDArray[Any], nodata: float) -> NDArray[np.bool_]:
    if band.dtype.kind == "f":
        return np.asarray(np.isfinite(band))
    return np.asarray(band != np.asarray(nodata, band.dtype))

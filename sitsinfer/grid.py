"""Output grid, patch lattice, tiles and windows: pure arithmetic.

A grid is an :class:`odc.geo.geobox.GeoBox`: CRS, affine transform and shape of a pixel plane. A :class:`Window` is
counted in pixels of a grid from its first row and column, and may reach beyond it. The :class:`Lattice` says where
patches lie; it is fixed by the CRS and the pixel size alone, so that a pixel is decided by the same patches whatever
area or tile it is in.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from sitsinfer.errors import GridError

Grid = GeoBox

Bounds = tuple[float, float, float, float]
"""Left, bottom, right and top, in units of a CRS."""


@dataclass(frozen=True, order=True)
class Window:
    """A rectangle of pixels: first row and column, height and width."""

    row: int
    col: int
    height: int
    width: int

    @property
    def stop_row(self) -> int:
        """The row after the last."""
        return self.row + self.height

    @property
    def stop_col(self) -> int:
        """The column after the last."""
        return self.col + self.width

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.width

    @property
    def is_empty(self) -> bool:
        """Whether no pixel lies in it."""
        return self.height <= 0 or self.width <= 0

    def shift(self, rows: int, cols: int) -> Self:
        """Move by whole pixels."""
        return type(self)(self.row + rows, self.col + cols, self.height, self.width)

    def expand(self, pixels: int) -> Self:
        """Take in so many more pixels on each side."""
        return type(self)(self.row - pixels, self.col - pixels, self.height + 2 * pixels, self.width + 2 * pixels)

    def intersection(self, other: "Window") -> Self:
        """What two windows share; of height or width 0 where they share nothing."""
        row, col = max(self.row, other.row), max(self.col, other.col)
        height = max(0, min(self.stop_row, other.stop_row) - row)
        width = max(0, min(self.stop_col, other.stop_col) - col)
        return type(self)(row, col, height, width)

    def union(self, other: "Window") -> Self:
        """The smallest window that holds both."""
        row, col = min(self.row, other.row), min(self.col, other.col)
        stop_row, stop_col = max(self.stop_row, other.stop_row), max(self.stop_col, other.stop_col)
        return type(self)(row, col, stop_row - row, stop_col - col)

    def slices_in(self, outer: "Window") -> tuple[slice, slice]:
        """Row and column slices of this window in an array that covers ``outer``."""
        row, col = self.row - outer.row, self.col - outer.col
        return slice(row, row + self.height), slice(col, col + self.width)


def whole(grid: Grid) -> Window:
    """The window of all pixels of a grid."""
    height, width = grid.shape
    return Window(0, 0, height, width)


def window_grid(grid: Grid, window: Window) -> Grid:
    """The grid of a window, which may reach beyond ``grid``."""
    return GeoBox(window.shape, grid.affine @ Affine.translation(window.col, window.row), grid.crs)


def is_aligned(grid: Grid, other: Grid, tolerance: float = 1e-3) -> bool:
    """Whether two grids share CRS, pixel size and phase, to ``tolerance`` pixels over both of them."""
    if grid.crs != other.crs or not _same_pixel_size(grid, other):
        return False
    col, row = ~grid.affine @ (other.affine.c, other.affine.f)
    return bool(abs(col - round(col)) <= tolerance and abs(row - round(row)) <= tolerance)


def _same_pixel_size(grid: Grid, other: Grid) -> bool:
    height, width = max(grid.shape.y, other.shape.y), max(grid.shape.x, other.shape.x)
    drift = np.abs(np.array((~grid.affine @ other.affine)[:6]) - np.array([1, 0, 0, 0, 1, 0]))
    return bool(max(drift[0], drift[3]) * width <= 0.05 and max(drift[1], drift[4]) * height <= 0.05)


def offset_in(grid: Grid, inner: Grid) -> tuple[int, int]:
    """Row and column of an aligned grid's first pixel in ``grid``."""
    col, row = ~grid.affine @ (inner.affine.c, inner.affine.f)
    return round(row), round(col)


def crop(grid: Grid, bounds: Bounds, crs: CRS | None = None) -> Grid:
    """The pixels of a grid that a rectangle touches, as a grid of the same phase.

    Args:
        grid: The grid to crop.
        bounds: Left, bottom, right and top.
        crs: The CRS of ``bounds``; that of ``grid`` if ``None``.

    Raises:
        GridError: If the rectangle encloses nothing, or lies outside the grid.
    """
    left, bottom, right, top = bounds
    if not (np.isfinite(bounds).all() and right > left and top > bottom):
        raise GridError(
            f"Bounds {_bounds_text(bounds)} enclose nothing. Give left, bottom, right and top, in this order."
        )
    window = _touched(grid, _project(bounds, crs, grid)).intersection(whole(grid))
    if window.is_empty:
        raise GridError(
            f"The area {_bounds_text(bounds)} lies outside the data, which cover "
            f"{_bounds_text(grid.boundingbox.bbox)} in {grid.crs}. Choose an area within."
        )
    return window_grid(grid, window)


def _project(bounds: Bounds, crs: CRS | None, grid: Grid) -> Bounds:
    """Bounds in the CRS of a grid."""
    if crs is None or crs == grid.crs:
        return bounds
    assert grid.crs is not None
    transformer = Transformer.from_crs(crs.proj, grid.crs.proj, always_xy=True)
    left, bottom, right, top = transformer.transform_bounds(*bounds)
    if not np.isfinite([left, bottom, right, top]).all():
        raise GridError(
            f"The area {_bounds_text(bounds)} in {crs} does not exist in {grid.crs}. Choose an area within."
        )
    return left, bottom, right, top


def _touched(grid: Grid, bounds: Bounds) -> Window:
    """The pixels that bounds in the CRS of the grid touch; bounds on a pixel's edge do not touch the next."""
    left, bottom, right, top = bounds
    (first_col, first_row), (last_col, last_row) = (~grid.affine @ corner for corner in ((left, top), (right, bottom)))
    snug = 1e-6  # pixels
    row, col = math.floor(first_row + snug), math.floor(first_col + snug)
    return Window(row, col, math.ceil(last_row - snug) - row, math.ceil(last_col - snug) - col)


def _bounds_text(bounds: Bounds) -> str:
    return " ".join(f"{value:g}" if abs(value) < 1000 else f"{value:.1f}" for value in bounds)


@dataclass(frozen=True)
class Lattice:
    """Where patches lie on a grid: one endless lattice, fixed by the CRS and the pixel size.

    Patch origins are multiples of ``stride`` pixels from the origin of the CRS. A patch answers for its core, what is
    left of it within ``margin`` pixels on each side. Across the border of two cores their scores fade into each other,
    over ``blend`` pixels on each side of it.

    Attributes:
        patch: Height and width of a patch, in pixels.
        margin: Pixels on each side of a patch that are context.
        blend: Pixels on each side of a core's border over which scores fade, at most ``margin``.
        row: Row of the grid's first pixel, counted in pixels from the origin of the CRS.
        col: Column of the grid's first pixel, likewise.
    """

    patch: int
    margin: int
    blend: int
    row: int = 0
    col: int = 0

    def __post_init__(self) -> None:
        """Check that a core is left, and that it is wider than what fades.

        Raises:
            GridError: If it is not.
        """
        if not 0 <= self.margin < self.patch / 2:
            raise GridError(
                f"A margin of {self.margin} pixels leaves nothing of a patch of {self.patch}. "
                f"Choose a margin from 0 to {(self.patch - 1) // 2}."
            )
        if not 0 <= self.blend <= min(self.margin, self.stride // 2):
            raise GridError(
                f"Scores cannot fade over {self.blend} pixels: expected 0 to {min(self.margin, self.stride // 2)}, "
                f"the smaller of the margin and half the core. Choose another margin."
            )

    @classmethod
    def on(cls, grid: Grid, patch: int, margin: int, blend: int) -> Self:
        """The lattice of a grid."""
        row, col = (
            _whole_pixels(start / step)
            for start, step in ((grid.affine.f, grid.affine.e), (grid.affine.c, grid.affine.a))
        )
        return cls(patch, margin, blend, row, col)

    @property
    def stride(self) -> int:
        """Distance from one patch to the next, in pixels: the width of a core."""
        return self.patch - 2 * self.margin

    def tile_shift(self) -> tuple[int, int]:
        """Rows and columns that tiles begin before the grid, so that they share the fewest patches.

        Tile borders then lie where the scores of one core have just faded out; a tile of n by n strides needs (n + 1)²
        patches.
        """
        border = self.margin + self.blend
        return (self.row - border) % self.stride, (self.col - border) % self.stride

    def patches(self, window: Window) -> list[Window]:
        """Patches that have a say in a window, row by row, in pixels of the grid."""
        if window.is_empty:
            return []
        rows = self._starts(window.row, window.stop_row, self.row)
        cols = self._starts(window.col, window.stop_col, self.col)
        return [Window(row, col, self.patch, self.patch) for row in rows for col in cols]

    def _starts(self, start: int, stop: int, origin: int) -> range:
        """First pixels of the patches along one axis whose scores reach into ``start`` to ``stop``."""
        unused = self.margin - self.blend
        used = self.patch - 2 * unused
        first = (start + origin - unused - used) // self.stride + 1
        last = -((unused - stop - origin) // self.stride) - 1
        return range(first * self.stride - origin, last * self.stride - origin + 1, self.stride)

    def weights(self) -> NDArray[np.float32]:
        """Weight of each pixel of a patch in the blend, (patch, patch).

        The weights of all patches add up to 1 at every pixel.
        """
        along = np.ones(self.patch, np.float64)
        unused = self.margin - self.blend
        along[:unused] = 0
        if self.blend:
            along[unused : unused + 2 * self.blend] = (np.arange(2 * self.blend) + 0.5) / (2 * self.blend)
        along = np.minimum(along, along[::-1])
        return np.outer(along, along).astype(np.float32)


def _whole_pixels(position: float) -> int:
    """A position in pixels, less its phase. Phases of 0 and 1/2, the common ones, are far from where this jumps."""
    return math.floor(position + 0.25)


def reflect(start: int, stop: int, first: int, end: int) -> NDArray[np.intp]:
    """Indices ``start`` to ``stop``, mirrored at the borders of ``first`` to ``end`` as often as need be.

    The border pixels themselves are not repeated, as in reflect padding. Never wraps.
    """
    period = max(1, 2 * (end - first - 1))
    offset = (np.arange(start, stop) - first) % period
    return first + np.minimum(offset, period - offset).astype(np.intp)


@dataclass(frozen=True)
class Tile:
    """Our unit of work: row and column among the tiles of a grid, and its core."""

    row: int
    col: int
    core: Window

    @property
    def name(self) -> str:
        """How logs and markers call it."""
        return f"r{self.row}_c{self.col}"


@dataclass(frozen=True)
class Tiles:
    """The tiles of a grid, counted but not listed.

    Attributes:
        shape: Height and width of the grid, in pixels.
        size: Height and width of a tile, in pixels; those at the borders may be smaller.
        shift: Rows and columns that the first tile begins before the grid.
    """

    shape: tuple[int, int]
    size: int
    shift: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        """Check the size, and keep the shift below it.

        Raises:
            GridError: If the size is below 1.
        """
        if self.size < 1:
            raise GridError(f"A tile size of {self.size} pixels holds nothing. Choose 1 or more.")
        object.__setattr__(self, "shift", (self.shift[0] % self.size, self.shift[1] % self.size))

    @property
    def counts(self) -> tuple[int, int]:
        """Tiles along rows and columns."""
        (height, width), (down, right) = self.shape, self.shift
        return -(-(height + down) // self.size), -(-(width + right) // self.size)

    def __len__(self) -> int:
        """How many tiles there are."""
        return self.counts[0] * self.counts[1]

    def __iter__(self) -> Iterator[Tile]:
        """Yield the tiles row by row."""
        rows, cols = self.counts
        return (self[row, col] for row in range(rows) for col in range(cols))

    def __getitem__(self, index: tuple[int, int]) -> Tile:
        """The tile at a row and column."""
        row, col = index
        whole_tile = Window(row * self.size, col * self.size, self.size, self.size)
        core = whole_tile.shift(-self.shift[0], -self.shift[1])
        return Tile(row, col, core.intersection(Window(0, 0, *self.shape)))

"""Output grid, patch lattice, tiles and windows: pure arithmetic.

A grid is an :class:`odc.geo.geobox.GeoBox`: CRS, affine transform and shape of a pixel plane. A :class:`Window` is
counted in pixels of a grid from its first row and column, and may reach beyond it. The :class:`Lattice` says where
patches lie; it is fixed by the CRS and the pixel size alone, so that a pixel is decided by the same patches whatever
area or tile it is in.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry

from sitsinfer.errors import GridError

Grid = GeoBox


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

    def pad(self, margin: int) -> Self:
        """Grow by ``margin`` pixels on each side."""
        return type(self)(self.row - margin, self.col - margin, self.height + 2 * margin, self.width + 2 * margin)

    def shift(self, rows: int, cols: int) -> Self:
        """Move by whole pixels."""
        return type(self)(self.row + rows, self.col + cols, self.height, self.width)

    def intersection(self, other: "Window") -> Self:
        """What two windows share; of height or width 0 where they share nothing."""
        row, col = max(self.row, other.row), max(self.col, other.col)
        height = max(0, min(self.stop_row, other.stop_row) - row)
        width = max(0, min(self.stop_col, other.stop_col) - col)
        return type(self)(row, col, height, width)

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
    return GeoBox(window.shape, grid.affine * Affine.translation(window.col, window.row), grid.crs)


def is_aligned(grid: Grid, other: Grid, tolerance: float = 1e-3) -> bool:
    """Whether two grids share CRS, pixel size and phase, to ``tolerance`` pixels over both of them."""
    if grid.crs != other.crs or not _same_pixel_size(grid, other):
        return False
    col, row = ~grid.affine * (other.affine.c, other.affine.f)
    return bool(abs(col - round(col)) <= tolerance and abs(row - round(row)) <= tolerance)


def _same_pixel_size(grid: Grid, other: Grid) -> bool:
    height, width = max(grid.shape.y, other.shape.y), max(grid.shape.x, other.shape.x)
    drift = np.abs(np.array((~grid.affine * other.affine)[:6]) - np.array([1, 0, 0, 0, 1, 0]))
    return bool(max(drift[0], drift[3]) * width <= 0.05 and max(drift[1], drift[4]) * height <= 0.05)


def offset_in(grid: Grid, inner: Grid) -> tuple[int, int]:
    """Row and column of an aligned grid's first pixel in ``grid``."""
    col, row = ~grid.affine * (inner.affine.c, inner.affine.f)
    return round(row), round(col)


def crop(grid: Grid, area: Geometry) -> Grid:
    """The pixels of a grid that an area touches, as a grid of the same phase.

    Args:
        grid: The grid to crop.
        area: A geometry in any CRS; its bounding box in the CRS of ``grid`` counts.

    Raises:
        GridError: If the area lies outside the grid.
    """
    box = area.to_crs(_crs(grid), resolution=_densify(area)).boundingbox
    corners = [~grid.affine * (x, y) for x in (box.left, box.right) for y in (box.bottom, box.top)]
    cols, rows = [c for c, _ in corners], [r for _, r in corners]
    snug = 1e-6  # pixels: bounds that lie on a pixel's edge do not take in the next pixel
    row, col = int(np.floor(min(rows) + snug)), int(np.floor(min(cols) + snug))
    stop_row, stop_col = int(np.ceil(max(rows) - snug)), int(np.ceil(max(cols) - snug))
    window = Window(row, col, stop_row - row, stop_col - col).intersection(whole(grid))
    if window.is_empty:
        raise GridError(
            f"The area {_bounds_text(box)} lies outside the data, which cover {_bounds_text(grid.boundingbox)} in "
            f"{grid.crs}. Choose an area within."
        )
    return window_grid(grid, window)


def _crs(grid: Grid) -> CRS:
    """The CRS of a grid, which every grid of ours has."""
    assert grid.crs is not None
    return grid.crs


def _densify(area: Geometry) -> float:
    """Length of the longest straight piece of an outline before it is projected, in its own units."""
    box = area.boundingbox
    return max(box.span_x, box.span_y, 1e-9) / 32


def _bounds_text(box: "object") -> str:
    return " ".join(f"{value:g}" if abs(value) < 1000 else f"{value:.1f}" for value in box)  # type: ignore[attr-defined]


def area_of(bounds: tuple[float, float, float, float], crs: CRS) -> Geometry:
    """The rectangle left, bottom, right, top.

    Raises:
        GridError: If right is not beyond left, or top not beyond bottom.
    """
    from odc.geo.geom import box

    left, bottom, right, top = bounds
    if not (right > left and top > bottom):
        raise GridError(
            f"Bounds {left:g} {bottom:g} {right:g} {top:g} enclose nothing. "
            f"Give left, bottom, right and top, in this order."
        )
    return box(left, bottom, right, top, crs)


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

    def reach(self, window: Window) -> Window:
        """The window that all patches of ``window`` cover together."""
        patches = self.patches(window)
        if not patches:
            return window
        first, last = patches[0], patches[-1]
        return Window(first.row, first.col, last.stop_row - first.row, last.stop_col - first.col)

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
    return int(np.floor(position + 0.25))


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

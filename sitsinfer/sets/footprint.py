"""The pixels of a grid that parcels cover, and the geometric features of parcels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from odc.geo.crs import CRS
from pyproj import Transformer
from shapely import GeometryType

from sitsinfer.grid import Grid, Window

CROSSINGS = 2**21
"""Places where outlines cross rows of pixel centres that are held at a time."""
LONG = 100
"""Pixels; a longer edge is bent by reprojection, in steps of this length."""

Shapes = NDArray[np.object_]
"""Geometries of shapely, ``None`` where there is none, (N,)."""


@dataclass(frozen=True, eq=False)
class Footprint:
    """The pixels of a parcel, as runs along rows, (R,) each, ordered by row, then by column.

    Attributes:
        rows: Row of each run in the grid, int64.
        starts: Its first column, int64.
        stops: The column after its last, int64.
    """

    rows: NDArray[np.int64]
    starts: NDArray[np.int64]
    stops: NDArray[np.int64]

    @property
    def count(self) -> int:
        """How many pixels there are."""
        return int((self.stops - self.starts).sum())

    @property
    def box(self) -> Window:
        """The smallest window that holds them; of height and width 0 if there is none."""
        if not len(self.rows):
            return Window(0, 0, 0, 0)
        row, col = int(self.rows[0]), int(self.starts.min())
        return Window(row, col, int(self.rows[-1]) + 1 - row, int(self.stops.max()) - col)

    def pixels(self, places: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows and columns of some pixels, given by their places in the list of all of them, row by row."""
        ends: NDArray[np.int64] = np.cumsum(self.stops - self.starts)
        runs = np.searchsorted(ends, places, side="right")
        return self.rows[runs], self.stops[runs] - ends[runs] + places


def areas(shapes: Shapes) -> tuple[Shapes, NDArray[np.bool_]]:
    """Keep of geometries what has an area, made valid.

    Rings that cross themselves enclose what lies within any of their loops, and polygons of one geometry that overlap
    are united. Of collections the polygons count.

    Args:
        shapes: Geometries of any type.

    Returns:
        Polygons and multipolygons without heights, ``None`` where nothing has an area, and which geometries were not
        valid, (N,).
    """
    kept = shapely.force_2d(shapes)
    invalid: NDArray[np.bool_] = ~shapely.is_missing(kept) & ~shapely.is_valid(kept)
    kept[invalid] = [_mended(shape) for shape in kept[invalid]]
    kinds = shapely.get_type_id(kept)
    for index in np.flatnonzero(kinds == GeometryType.GEOMETRYCOLLECTION):
        kept[index] = shapely.union_all([part for part in _parts(kept[index]) if part.geom_type == "Polygon"])
    kept[~np.isin(shapely.get_type_id(kept), (GeometryType.POLYGON, GeometryType.MULTIPOLYGON))] = None
    kept[shapely.is_empty(kept)] = None
    return kept, invalid


def _mended(shape: Any) -> Any:
    """A valid geometry in place of one that is not; ``None`` if its coordinates are no numbers."""
    if not np.isfinite(shapely.get_coordinates(shape)).all():
        return None
    return shapely.make_valid(shape, method="structure", keep_collapsed=False)


def _parts(shape: Any) -> Iterator[Any]:
    """Single geometries of a collection, which may hold others."""
    for part in shapely.get_parts(shape):
        if hasattr(part, "geoms"):
            yield from _parts(part)
        else:
            yield part


def placed(shapes: Shapes, crs: CRS, grid: Grid) -> Shapes:
    """Reproject geometries to the CRS of a grid; edges that are long there follow the curves that they become.

    Args:
        shapes: Polygons in ``crs``.
        crs: Of their coordinates, in the order x, y.
        grid: The grid.

    Returns:
        Polygons, ``None`` for those that do not exist in the CRS of the grid, (N,). Of those that this CRS tears, such
        as the whole globe, there is what lies in the grid and a little around it.
    """
    assert grid.crs is not None, "every grid of ours has a CRS"
    if crs == grid.crs:
        return shapes
    transformer = Transformer.from_crs(crs.proj, grid.crs.proj, always_xy=True)
    longest = LONG * abs(grid.affine.determinant) ** 0.5
    moved = _moved(shapes, transformer, longest)
    frame = _frame(transformer, grid, longest)
    missed = ~shapely.intersects(shapely.box(*grid.boundingbox.bbox), moved)
    torn = np.flatnonzero(missed & shapely.intersects(frame, shapes))
    near, _ = areas(shapely.intersection(shapes[torn], frame))
    moved[torn] = _moved(near, transformer, longest)
    return moved


def _moved(shapes: Shapes, transformer: Transformer, longest: float) -> Shapes:
    """Reproject polygons, ``None`` where a point of one does not exist in the other CRS.

    Args:
        shapes: The polygons, or ``None``, (N,).
        transformer: From their CRS to the other.
        longest: An edge that is longer in the other CRS is bent in steps of this length.
    """

    def reproject(points: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.column_stack(transformer.transform(points[:, 0], points[:, 1]))

    moved: Shapes = shapely.transform(shapes, reproject)
    moved[~np.isfinite(shapely.bounds(moved)).all(axis=1)] = None
    bent = np.flatnonzero(_longest_edges(moved) > longest)
    steps = longest * shapely.length(shapes[bent]) / shapely.length(moved[bent])
    moved[bent] = shapely.transform(shapely.segmentize(shapes[bent], steps), reproject)
    moved[~np.isfinite(shapely.bounds(moved)).all(axis=1)] = None
    return moved


def _frame(transformer: Transformer, grid: Grid, distance: float) -> Any:
    """A grid and what lies up to a distance from it, as a polygon in the CRS that a transformer leads from."""

    def back(points: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.column_stack(transformer.transform(points[:, 0], points[:, 1], direction="INVERSE"))

    around = shapely.box(*grid.boundingbox.bbox).buffer(distance, join_style="mitre")
    frame = shapely.transform(shapely.segmentize(around, distance), back)
    return shapely.make_valid(frame) if np.isfinite(shapely.bounds(frame)).all() else None


def _longest_edges(shapes: Shapes) -> NDArray[np.float64]:
    """Length of the longest edge of each geometry, or of the way from one ring to the next, (N,)."""
    points, owners = shapely.get_coordinates(shapes, return_index=True)
    within = owners[1:] == owners[:-1]
    longest = np.zeros(len(shapes))
    np.maximum.at(longest, owners[1:][within], np.hypot(*np.diff(points, axis=0)[within].T))
    return longest


def footprints(shapes: Shapes, grid: Grid) -> Iterator[Footprint]:
    """Find the pixels of a grid whose centres lie in polygons, as GDAL does; those beyond the grid are left out.

    Centres that lie just on an outline count where they do for GDAL, too. Memory does not grow with the area of
    polygons, but with the length of their outlines.

    Args:
        shapes: Valid polygons in the CRS of the grid, or ``None``, (N,).
        grid: The grid.

    Yields:
        The pixels of each, in the order of ``shapes``.
    """
    edges = _edges(shapes, grid)
    crossings = np.bincount(edges.owners, edges.stops - edges.firsts, len(shapes))
    groups = (np.cumsum(crossings) // CROSSINGS).astype(np.int64)
    for group in np.unique(groups):
        first, stop = np.searchsorted(groups, [group, group + 1])
        some = edges.select(*np.searchsorted(edges.owners, [first, stop]))
        yield from _split(_runs(some, grid, float(crossings[first:stop].sum())), range(first, stop))


@dataclass(frozen=True, eq=False)
class _Edges:
    """Edges of outlines in pixels of a grid, (E,) each, from the upper end to the lower.

    Attributes:
        owners: Which geometry each belongs to, ascending.
        x: Column of the upper end.
        y: Row of the upper end.
        right: Columns from there to the lower end.
        down: Rows from there to the lower end.
        firsts: First row of the grid whose centres lie level with the edge, the upper end included.
        stops: The row after the last such row, the lower end not included; at least ``firsts``.
        bottoms: Whether an edge is horizontal, and what its ring encloses lies above it.
    """

    owners: NDArray[np.int64]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    right: NDArray[np.float64]
    down: NDArray[np.float64]
    firsts: NDArray[np.int64]
    stops: NDArray[np.int64]
    bottoms: NDArray[np.bool_]

    def select(self, first: int, stop: int) -> "_Edges":
        """Some that follow each other."""
        return _Edges(*(getattr(self, name)[first:stop] for name in self.__dataclass_fields__))


def _edges(shapes: Shapes, grid: Grid) -> _Edges:
    parts, owners = shapely.get_parts(shapes, return_index=True)
    rings, owners_of_rings = shapely.get_rings(parts, return_index=True)
    points, owners_of_points = shapely.get_coordinates(rings, return_index=True)
    columns, rows = ~grid.affine @ (points[:, 0], points[:, 1])
    begins = np.flatnonzero(owners_of_points[1:] == owners_of_points[:-1])
    owners_of_edges = owners_of_points[begins]
    x0, y0, x1, y1 = columns[begins], rows[begins], columns[begins + 1], rows[begins + 1]
    falls = y0 <= y1
    x, y, low = np.where(falls, x0, x1), np.where(falls, y0, y1), np.where(falls, y1, y0)
    return _Edges(
        owners[owners_of_rings[owners_of_edges]],
        x,
        y,
        np.where(falls, x1 - x0, x0 - x1),
        low - y,
        np.clip(np.ceil(y - 0.5), 0, grid.shape.y).astype(np.int64),
        np.clip(np.ceil(low - 0.5), 0, grid.shape.y).astype(np.int64),
        # A ring that runs counter-clockwise goes right at its bottom.
        (y0 == y1) & ((x1 > x0) == shapely.is_ccw(rings)[owners_of_edges]),
    )


@dataclass(frozen=True, eq=False)
class _Runs:
    """Runs of pixels along rows, (R,) each, ordered by owner, then by row, then by column."""

    owners: NDArray[np.int64]
    rows: NDArray[np.int64]
    starts: NDArray[np.int64]
    stops: NDArray[np.int64]


def _runs(edges: _Edges, grid: Grid, crossings: float) -> _Runs:
    """Runs of pixels between edges, found in as many bands of rows as keep what is held at a time small."""
    height, width = grid.shape
    borders = np.linspace(0, height, int(crossings // CROSSINGS) + 2).astype(np.int64)
    found = [_runs_of_band(edges, width, *band) for band in pairwise(borders)]
    owners, rows, starts, stops = (
        np.concatenate(parts) for parts in zip(*found, _runs_of_bottoms(edges, grid), strict=True)
    )
    # Places in one line in which all owners and their rows follow each other: runs that overlap there are one.
    line = (owners * height + rows) * (width + 1)
    order = np.argsort(line + starts, kind="stable")
    reached = np.maximum.accumulate((line + stops)[order])
    begins = np.ones(len(order), np.bool_)
    begins[1:] = (line + starts)[order][1:] > reached[:-1]
    ends = np.roll(begins, -1)
    into = order[begins]
    return _Runs(owners[into], rows[into], starts[into], reached[ends] - line[into])


def _runs_of_band(edges: _Edges, width: int, top: int, bottom: int) -> tuple[NDArray[np.int64], ...]:
    """Owner, row, first column and the column after the last of the runs in some rows, (R,) each."""
    firsts, stops = np.clip(edges.firsts, top, bottom), np.clip(edges.stops, top, bottom)
    counts = stops - firsts
    crossed = np.repeat(np.arange(len(counts)), counts)
    rows = np.arange(len(crossed)) + np.repeat(stops - np.cumsum(counts), counts)
    x = (rows + 0.5 - edges.y[crossed]) * edges.right[crossed] / edges.down[crossed] + edges.x[crossed]
    owners = edges.owners[crossed]
    order = np.lexsort((x, rows, owners))
    # An outline is closed: it crosses a row an even number of times, into the polygon and out of it.
    columns = _columns(x[order], width).reshape(-1, 2)
    into = order[::2]
    return _filled(owners[into], rows[into], columns[:, 0], columns[:, 1])


def _runs_of_bottoms(edges: _Edges, grid: Grid) -> tuple[NDArray[np.int64], ...]:
    """The same of edges that lie just on the centres of a row, and bound from below."""
    height, width = grid.shape
    rows = np.clip(np.floor(edges.y), -1, height)
    level = np.flatnonzero(edges.bottoms & (edges.y == rows + 0.5) & (rows >= 0) & (rows < height))
    sides = _columns(edges.x[level], width), _columns(edges.x[level] + edges.right[level], width)
    return _filled(edges.owners[level], rows[level].astype(np.int64), np.minimum(*sides), np.maximum(*sides))


def _columns(x: NDArray[np.float64], width: int) -> NDArray[np.int64]:
    """The first columns whose centres lie to the right of places, within the grid."""
    return np.clip(np.floor(x + 0.5), 0, width).astype(np.int64)


def _filled(
    owners: NDArray[np.int64], rows: NDArray[np.int64], starts: NDArray[np.int64], stops: NDArray[np.int64]
) -> tuple[NDArray[np.int64], ...]:
    """Those of some runs that hold a pixel."""
    some = starts < stops
    return owners[some], rows[some], starts[some], stops[some]


def _split(runs: _Runs, owners: range) -> Iterator[Footprint]:
    """The runs of each owner by themselves."""
    borders = np.searchsorted(runs.owners, np.arange(owners.start, owners.stop + 1))
    for first, stop in pairwise(borders.tolist()):
        yield Footprint(runs.rows[first:stop], runs.starts[first:stop], runs.stops[first:stop])


def features(shapes: Shapes, prints: Sequence[Footprint], grid: Grid) -> NDArray[np.float64]:
    """Compute the four geometric features that the pixel-set encoder was published with.

    Garnot et al., Satellite Image Time Series Classification with Pixel-Set Encoders and Temporal Self-Attention, CVPR
    2020: perimeter, pixel count, cover ratio (the share of its pixels in the box around them), and the ratio of
    perimeter to area. Outlines of holes count towards the perimeter.

    Args:
        shapes: Polygons in the CRS of the grid, or ``None``, (N,).
        prints: The pixels of each.
        grid: The grid.

    Returns:
        (N, 4), float64: metres, pixels, pixels per pixel, and metres per square metre; NaN without pixels.
    """
    counts = np.array([footprint.count for footprint in prints], np.float64)
    boxes = np.array([footprint.box.height * footprint.box.width for footprint in prints], np.float64)
    perimeters, square_metres = _measure(shapes, grid)
    columns = np.full((len(shapes), 4), np.nan)
    some = counts > 0
    columns[some, 0], columns[some, 1] = perimeters[some], counts[some]
    columns[some, 2], columns[some, 3] = counts[some] / boxes[some], perimeters[some] / square_metres[some]
    return columns


def _measure(shapes: Shapes, grid: Grid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Perimeters in metres, and areas in square metres, (N,) each; on the ellipsoid if the CRS is geographic."""
    assert grid.crs is not None, "every grid of ours has a CRS"
    if not grid.crs.geographic:
        metres = grid.crs.proj.axis_info[0].unit_conversion_factor
        return shapely.length(shapes) * metres, shapely.area(shapes) * metres**2
    geod = grid.crs.proj.get_geod()
    assert geod is not None, "a geographic CRS has an ellipsoid"
    # Geod takes the area of a hole off only if its ring runs the other way, and does not know missing geometries.
    polygons = [shapely.Polygon() if shape is None else shapely.orient_polygons(shape) for shape in shapes]
    perimeters = [geod.geometry_length(shapely.boundary(polygon)) for polygon in polygons]
    square_metres = [abs(geod.geometry_area_perimeter(polygon)[0]) for polygon in polygons]
    return np.array(perimeters, np.float64), np.array(square_metres, np.float64)

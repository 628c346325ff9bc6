"""Areas of classes, pixels and polygons."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import shapely
from numpy.typing import NDArray
from odc.geo.crs import CRS
from pyproj import Transformer

from sitsinfer.grid import Grid
from sitsinfer.layers import ClassInfo
from sitsinfer.products import LayerSource
from sitsinfer.products.windows import windows

CODES = 256
"""Class codes are uint8."""
SQUARE_METRES = 10_000
"""In a hectare."""
EQUAL_AREA = "EPSG:6933"
"""A projection of the whole Earth that keeps areas."""


@dataclass(frozen=True)
class ClassArea:
    """How much of a map one class covers."""

    info: ClassInfo
    pixels: int
    hectares: float


def class_areas(source: LayerSource) -> tuple[ClassArea, ...]:
    """Measure the classes of a layer, by windows.

    Args:
        source: A layer of class codes, uint8, of one band.

    Returns:
        The classes that occur, in the order of the legend.
    """
    pixels = np.zeros(CODES, np.int64)
    metres = np.zeros(CODES, np.float64)
    area_of_row = pixel_areas(source.grid)
    for window in windows(source.grid):
        counts = _count_rows(source.read(window)[0])
        pixels += counts.sum(axis=0)
        metres += area_of_row[window.row : window.stop_row] @ counts
    return tuple(
        ClassArea(info, int(pixels[info.code]), float(metres[info.code]) / SQUARE_METRES)
        for info in source.layer.classes
        if pixels[info.code]
    )


def _count_rows(codes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Count the codes of each row, (height, 256)."""
    height = codes.shape[0]
    cells = codes + CODES * np.arange(height)[:, None]
    return np.bincount(cells.ravel(), minlength=height * CODES).reshape(height, CODES)


def pixel_areas(grid: Grid) -> NDArray[np.float64]:
    """Area of a pixel in each row, in square metres, (height,).

    In a projected CRS it is what the projection makes of it: exact where that keeps areas, within 0.2 % in UTM, too
    large far from the equator in Web Mercator. In a geographic CRS it is measured on the ellipsoid, row by row.
    """
    assert grid.crs is not None, "every grid of ours has a CRS"
    if not grid.crs.geographic:
        return np.full(grid.shape.y, abs(grid.affine.determinant) * _metres_per_unit(grid.crs) ** 2)
    geod = grid.crs.proj.get_geod()
    assert geod is not None, "a geographic CRS has an ellipsoid"
    edges = grid.affine.f + grid.affine.e * np.arange(grid.shape.y + 1)
    west, east = grid.affine.c, grid.affine.c + grid.affine.a
    outlines = (((west, west, east, east), (low, high, high, low)) for low, high in pairwise(edges))
    return np.array([abs(geod.polygon_area_perimeter(*outline)[0]) for outline in outlines])


def _metres_per_unit(crs: CRS) -> float:
    return float(crs.proj.axis_info[0].unit_conversion_factor)


def polygon_areas(polygons: NDArray[np.object_], crs: CRS) -> NDArray[np.float64]:
    """Area of polygons on the ground, in square metres, (N,); 0 for what has none, or is no geometry.

    They are measured in a projection of the whole Earth that keeps areas, whatever their CRS does to them.

    Args:
        polygons: Shapely geometries, or ``None``, (N,).
        crs: Of these, with coordinates in the order x, y.
    """
    project = Transformer.from_crs(crs.proj, EQUAL_AREA, always_xy=True).transform
    flat = shapely.transform(shapely.force_2d(polygons), lambda places: np.column_stack(project(*places.T)))
    return np.asarray(np.nan_to_num(shapely.area(flat), posinf=0))

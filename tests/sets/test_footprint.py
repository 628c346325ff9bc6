import struct
from typing import Any

import numpy as np
import pytest
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from pyproj import Geod
from rasterio.features import rasterize

from sitsinfer.grid import Grid, Window
from sitsinfer.sets import footprint
from sitsinfer.sets.footprint import Footprint, areas, features, footprints, placed

LEFT, TOP = 600_000, 5_200_000
UTM = CRS("EPSG:32631")
GRID = GeoBox((41, 57), Affine(10, 0, LEFT, 0, -10, TOP), UTM)
SOUTH_UP = GeoBox((41, 57), Affine(10, 0, LEFT, 0, 10, TOP - 410), UTM)


def objects(*shapes: Any) -> NDArray[np.object_]:
    array = np.empty(len(shapes), object)
    array[:] = shapes
    return array


def at(rows_and_cols: Any) -> Any:
    """A polygon by rows and columns of the grid."""
    rows, cols = np.array(rows_and_cols, float).T
    return shapely.Polygon(np.column_stack([LEFT + 10 * cols, TOP - 10 * rows]))


def box(row: float, col: float, height: float, width: float) -> Any:
    return shapely.box(LEFT + 10 * col, TOP - 10 * (row + height), LEFT + 10 * (col + width), TOP - 10 * row)


def painted(found: Footprint, grid: Grid = GRID) -> NDArray[np.bool_]:
    mask = np.zeros(grid.shape, bool)
    for row, start, stop in zip(found.rows, found.starts, found.stops, strict=True):
        assert start < stop
        assert not mask[row, start:stop].any()
        mask[row, start:stop] = True
    return mask


def assert_as_gdal(shapes: NDArray[np.object_], grid: Grid = GRID) -> None:
    found = list(footprints(shapes, grid))
    assert len(found) == len(shapes)
    for shape, pixels in zip(shapes, found, strict=True):
        expected = rasterize([shape], grid.shape, transform=grid.affine) == 1
        assert (painted(pixels, grid) == expected).all(), shape


def blobs(count: int) -> NDArray[np.object_]:
    """Polygons with holes, several parts, and some of it beyond the grid."""
    rng = np.random.default_rng(count)
    found = []
    for row, col in rng.uniform((-4, -4), (45, 61), (count, 2)):
        angles = np.linspace(0, 2 * np.pi, 9)[:-1]
        radii = rng.uniform(1, 9, 8)
        star = at(np.column_stack([row + radii * np.sin(angles), col + radii * np.cos(angles)]))
        star = star.difference(shapely.Point(LEFT + 10 * col, TOP - 10 * row).buffer(12))
        found.append(star.union(box(row + 3, col + 12, *rng.uniform(0.2, 4, 2))))
    return objects(*found)


def on_centres(count: int) -> NDArray[np.object_]:
    """Polygons along rows and columns, with holes, whose vertices are corners or centres of pixels."""
    rng = np.random.default_rng(count)

    def boxes(number: int, size: int) -> Any:
        sides = np.column_stack([rng.integers(-6, 100, (number, 2)), rng.integers(1, size, (number, 2))])
        return shapely.union_all([box(*side / 2) for side in sides])

    shapes = areas(objects(*(boxes(5, 40).difference(boxes(4, 15)) for _ in range(count))))[0]
    shapes[::2] = shapely.reverse(shapes[::2])
    return shapes


def test_pixels_are_those_that_gdal_burns() -> None:
    assert_as_gdal(blobs(150))


def test_centres_just_on_an_outline_are_decided_as_by_gdal() -> None:
    shapes = on_centres(150)
    assert_as_gdal(shapes)
    assert_as_gdal(shapes[:40], SOUTH_UP)


def test_little_memory_changes_no_pixel(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = np.concatenate([blobs(20), objects(None), on_centres(10)])
    whole = [painted(found) for found in footprints(shapes, GRID)]
    for crossings in (3, 30, 200):
        monkeypatch.setattr(footprint, "CROSSINGS", crossings)
        assert all((painted(a) == b).all() for a, b in zip(footprints(shapes, GRID), whole, strict=True))


def test_what_covers_no_centre_has_no_pixels() -> None:
    sliver = at([(1, 3.1), (30, 3.1), (30, 3.4), (1, 3.4)])
    far = box(500, 500, 9, 9)
    beyond = box(-9, -9, 9, 9)
    found = list(footprints(objects(sliver, None, far, beyond), GRID))
    assert [(one.count, one.box.is_empty, len(one.rows)) for one in found] == [(0, True, 0)] * 4


def test_no_polygon_is_no_error() -> None:
    assert list(footprints(objects(), GRID)) == []
    assert areas(objects())[0].shape == (0,)
    assert features(objects(), [], GRID).shape == (0, 4)


def test_a_huge_polygon_takes_little() -> None:
    grid = GeoBox((10**6, 10**6), Affine(1, 0, LEFT, 0, -1, TOP), UTM)
    (found,) = footprints(objects(shapely.box(LEFT - 9, TOP - 2 * 10**6, LEFT + 10**6 + 7, TOP + 5)), grid)
    assert found.count == 10**12
    rows, cols = found.pixels(np.array([0, 10**6, 10**12 - 1]))
    assert rows.tolist() == [0, 1, 10**6 - 1]
    assert cols.tolist() == [0, 0, 10**6 - 1]


def test_places_are_counted_row_by_row() -> None:
    for found in footprints(blobs(12), GRID):
        rows, cols = found.pixels(np.arange(found.count))
        assert (np.column_stack([rows, cols]) == np.argwhere(painted(found))).all()


def test_the_box_holds_all_pixels_and_no_more() -> None:
    (found,) = footprints(objects(box(3, 5, 2, 9).union(box(10, 40, 4, 99))), GRID)
    assert found.box == Window(3, 5, 11, 52)


def test_only_what_has_an_area_is_kept() -> None:
    square = box(2, 3, 4, 5)
    points = shapely.MultiPoint([(0, 0), (1, 1)])
    line = shapely.LineString([(0, 0), (100, 100)])
    nested = shapely.GeometryCollection([line, shapely.GeometryCollection([square, points, box(9, 9, 1, 1)])])
    collapsed = at([(0, 0), (5, 5), (0, 0), (5, 5)])
    with np.errstate(invalid="ignore"):
        broken = shapely.from_wkb(struct.pack("<BIII8d", 1, 3, 1, 4, 0, 0, np.nan, 1, 2, 0, 0, 0))
    empty = shapely.Polygon()
    shapes = objects(square, points, line, nested, None, empty, collapsed, broken, shapely.GeometryCollection([line]))
    kept, invalid = areas(shapes)
    assert kept[0] == square
    assert kept[3].equals(square.union(box(9, 9, 1, 1)))
    assert [shape is None for shape in kept] == [False, True, True, False, True, True, True, True, True]
    assert invalid.tolist() == [False] * 6 + [True, True, False]


def test_heights_are_left_out() -> None:
    kept, invalid = areas(objects(shapely.Polygon([(0, 0, 5), (9, 0, 5), (9, 9, 7)])))
    assert not kept[0].has_z
    assert not invalid[0]


def test_rings_that_cross_themselves_enclose_all_of_their_loops() -> None:
    bow = at([(0, 0), (10, 10), (0, 10), (10, 0)])
    kept, invalid = areas(objects(bow))
    assert invalid.tolist() == [True]
    assert kept[0].area == pytest.approx(100 * 50)
    assert_as_gdal(kept)


def test_parts_that_overlap_are_united() -> None:
    kept, invalid = areas(objects(shapely.MultiPolygon([box(0, 0, 6, 6), box(3, 3, 6, 6)])))
    assert invalid.tolist() == [True]
    assert kept[0].equals(box(0, 0, 6, 6).union(box(3, 3, 6, 6)))


def test_polygons_of_another_crs_cover_the_same_pixels() -> None:
    shapes = blobs(40)
    degrees = placed(shapes, UTM, GeoBox((9, 9), Affine(1e-4, 0, 4, 0, -1e-4, 47), "EPSG:4326"))
    assert np.nanmax(shapely.bounds(degrees)[:, 2]) < 5
    back = placed(degrees, CRS("EPSG:4326"), GRID)
    for before, after in zip(footprints(shapes, GRID), footprints(back, GRID), strict=True):
        assert (painted(before) == painted(after)).all()


def test_long_edges_follow_the_curves_that_they_become() -> None:
    wide = shapely.box(0.5, 46.0, 5.5, 46.5)  # its sides are parallels, which are curved in UTM
    (bent,) = placed(objects(wide), CRS("EPSG:4326"), GRID)
    fine = placed(objects(shapely.segmentize(wide, 1e-3)), CRS("EPSG:4326"), GRID)[0]
    assert shapely.hausdorff_distance(bent, fine) < 1
    assert shapely.get_num_coordinates(bent) < 1500
    (short,) = placed(objects(shapely.box(3, 46, 3.001, 46.001)), CRS("EPSG:4326"), GRID)
    assert shapely.get_num_coordinates(short) == 5


def test_what_does_not_exist_in_the_crs_of_the_grid_is_left_out() -> None:
    away = shapely.box(170, -1, 179, 95)
    moved = placed(objects(away, None, shapely.box(3, 46, 3.001, 46.001)), CRS("EPSG:4326"), GRID)
    assert [shape is None for shape in moved] == [True, True, False]


def test_the_globe_covers_all_that_any_grid_has() -> None:
    globe = shapely.box(-180, -90, 180, 90)
    for shapes in (objects(globe), objects(None, globe, shapely.box(100, -60, 120, -50))):
        found = list(footprints(placed(shapes, CRS("EPSG:4326"), GRID), GRID))
        assert [one.count for one in found] == [0 if s is not globe else GRID.shape[0] * GRID.shape[1] for s in shapes]


def test_features_are_perimeter_pixels_cover_and_perimeter_by_area() -> None:
    angle = box(2, 3, 4, 2).union(box(4, 3, 2, 6))  # 4 rows by 6 columns around it, 16 pixels
    ring = box(10, 10, 5, 5).difference(box(12, 12, 1, 1))
    cut = box(-2, 0, 4, 3)
    shapes = objects(angle, ring, cut, box(0.6, 0.6, 0.2, 0.2), None)
    found = features(shapes, list(footprints(shapes, GRID)), GRID)
    np.testing.assert_allclose(found[0], [200, 16, 16 / 24, 200 / 1600])
    np.testing.assert_allclose(found[1], [240, 24, 24 / 25, 240 / 2400])
    np.testing.assert_allclose(found[2], [140, 6, 1, 140 / 1200])
    assert np.isnan(found[3:]).all()


def test_features_are_in_metres_on_any_grid() -> None:
    feet = GeoBox((9, 9), Affine(100, 0, 0, 0, -100, 900), "EPSG:2263")
    square = shapely.box(100, 100, 500, 500)
    found = features(objects(square), list(footprints(objects(square), feet)), feet)
    np.testing.assert_allclose(found[0, [0, 3]], [1600 * 0.3048006, 4 / (400 * 0.3048006)], rtol=1e-5)
    degrees = GeoBox((90, 90), Affine(1e-3, 0, 4, 0, -1e-3, 47), "EPSG:4326")
    holed = shapely.box(4.01, 46.95, 4.05, 46.98).difference(shapely.box(4.02, 46.96, 4.03, 46.97))
    for shape in (holed, shapely.reverse(holed)):
        found = features(objects(shape, None), list(footprints(objects(shape, None), degrees)), degrees)
        geod = Geod(ellps="WGS84")
        outer, inner = (geod.geometry_area_perimeter(shapely.Polygon(ring)) for ring in shapely.get_rings(holed))
        perimeter, area = outer[1] + inner[1], abs(outer[0]) - abs(inner[0])
        np.testing.assert_allclose(found[0, [0, 3]], [perimeter, perimeter / area])

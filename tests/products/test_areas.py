import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox

from sitsinfer.products.areas import class_areas, pixel_areas, polygon_areas


def test_areas_count_pixels_by_class(class_source):
    source = class_source(1100, 1301)
    areas = class_areas(source)
    assert [area.info.code for area in areas] == [0, 1, 4]
    for area in areas:
        assert area.pixels == (source.values == area.info.code).sum()
        assert area.hectares == pytest.approx(area.pixels / 100)


def test_absent_classes_are_left_out(class_source):
    source = class_source(5, 7)
    source.values[:] = 4
    assert [(area.info.code, area.pixels) for area in class_areas(source)] == [(4, 35)]


def test_feet_become_metres():
    grid = GeoBox((3, 4), Affine(100, 0, 0, 0, -100, 0), "EPSG:2229")  # US survey feet
    assert pixel_areas(grid) == pytest.approx((100 * 1200 / 3937) ** 2)


def test_degrees_shrink_towards_the_pole():
    areas = pixel_areas(GeoBox((90, 360), Affine(1, 0, -180, 0, -1, 90), "EPSG:4326"))
    assert (np.diff(areas) > 0).all()
    assert 360 * areas.sum() == pytest.approx(510_065_621_724_088 / 2, rel=1e-3), "half of the WGS 84 ellipsoid"


@pytest.mark.parametrize("crs", [32631, 3857, 4326, 2154])
def test_polygons_have_their_area_on_the_ground_in_any_crs(crs):
    hole = shapely.box(500_010, 5_000_010, 500_050, 5_000_020)
    polygons = gpd.GeoSeries(
        [shapely.box(500_000, 5_000_000, 500_100, 5_000_200) - hole, shapely.Point(500_000, 5_000_000), None], crs=32631
    ).to_crs(crs)
    found = polygon_areas(polygons.to_numpy(), CRS(crs))
    assert found.tolist() == pytest.approx([(20_000 - 400) / 0.9996**2, 0, 0], rel=1e-4)

from pathlib import Path

import geopandas
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox
from shapely.geometry import Point, box

from sitsinfer.area import Area
from sitsinfer.errors import GridError
from sitsinfer.grid import is_aligned, offset_in

GRID = GeoBox((40, 60), Affine(10, 0, 600_000, 0, -10, 5_200_000), "EPSG:32631")
FIELD = (600_105, 5_199_755, 600_195, 5_199_895)  # left, bottom, right, top: cuts pixels in half


def write(path: Path, shapes: list[object], crs: str | None = "EPSG:32631") -> Path:
    geopandas.GeoDataFrame(geometry=shapes, crs=crs).to_file(path)
    return path


def test_no_area_is_all_of_it() -> None:
    assert Area().crop(GRID) is GRID


def test_bounds_take_every_pixel_they_touch() -> None:
    grid = Area(FIELD).crop(GRID)
    assert grid.shape == (15, 10)
    assert offset_in(GRID, grid) == (10, 10)
    assert is_aligned(grid, GRID)


def test_bounds_of_another_crs_are_projected() -> None:
    left, bottom, right, top = geopandas.GeoSeries([box(*FIELD)], crs="EPSG:32631").to_crs("EPSG:4326").total_bounds
    grid = Area((left, bottom, right, top), "EPSG:4326").crop(GRID)
    assert all(a <= b <= a + 1 for a, b in zip((15, 10), grid.shape, strict=True))
    assert all(b - 1 <= a <= b for a, b in zip(offset_in(GRID, grid), (10, 10), strict=True))


@pytest.mark.parametrize("name", ["field.gpkg", "field.geojson", "field.shp"])
def test_a_vector_file_counts_by_its_extent(tmp_path: Path, name: str) -> None:
    left, bottom, right, top = FIELD
    corners = [Point(left, bottom).buffer(1e-3), Point(right, top).buffer(1e-3)]
    assert Area(aoi=write(tmp_path / name, corners)).crop(GRID) == Area(FIELD).crop(GRID)


def test_a_vector_file_brings_its_own_crs(tmp_path: Path) -> None:
    shapes = list(geopandas.GeoSeries([box(*FIELD)], crs="EPSG:32631").to_crs("EPSG:3035"))
    grid = Area(aoi=write(tmp_path / "field.gpkg", shapes, "EPSG:3035")).crop(GRID)
    assert grid.crs == GRID.crs
    assert grid.boundingbox.left <= FIELD[0]
    assert grid.boundingbox.top >= FIELD[3]
    assert 15 <= grid.shape.y < 20
    assert 10 <= grid.shape.x < 16


def test_a_vector_file_without_a_crs_is_refused(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="'crs' was not provided"):
        path = write(tmp_path / "field.gpkg", [box(*FIELD)], None)
    with pytest.raises(GridError, match="has no CRS. Write one into it"):
        Area(aoi=path).crop(GRID)


def test_an_empty_vector_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "field.geojson"
    path.write_text('{"type": "FeatureCollection", "features": []}')
    with pytest.raises(GridError, match="holds no feature|has no CRS"):
        Area(aoi=path).crop(GRID)


def test_a_file_that_is_no_vector_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "field.gpkg").write_text("no vectors")
    with pytest.raises(GridError, match="Cannot read the area of interest .*field.gpkg"):
        Area(aoi=tmp_path / "field.gpkg").crop(GRID)


def test_an_area_is_one_thing(tmp_path: Path) -> None:
    with pytest.raises(GridError, match="Both bounds and an area of interest"):
        Area(FIELD, aoi=tmp_path / "field.gpkg")


def test_a_crs_without_bounds_is_an_error(tmp_path: Path) -> None:
    for aoi in (None, tmp_path / "field.gpkg"):
        with pytest.raises(GridError, match=r"A CRS of bounds is given, EPSG:4326, but no bounds\. Set bounds"):
            Area(crs="EPSG:4326", aoi=aoi)


@pytest.mark.parametrize("crs", ["EPSG:12", "moon", ""])
def test_a_crs_that_is_none_is_refused(crs: str) -> None:
    with pytest.raises(GridError, match=f"'{crs}' is not a CRS. Expected a code such as EPSG:4326"):
        Area(FIELD, crs).crop(GRID)


@pytest.mark.parametrize("bounds", [(0, 0, 1, 1), (600_600, 5_199_600, 600_700, 5_200_000)])
def test_an_area_beside_the_data_is_refused(bounds: tuple[float, float, float, float]) -> None:
    with pytest.raises(GridError, match=r"lies outside the data, which cover 600000.0 5199600.0 600600.0 5200000.0"):
        Area(bounds).crop(GRID)


@pytest.mark.parametrize("bounds", [(1, 1, 0, 2), (0, 0, 0, 0), (float("nan"), 0, 1, 1), (0, 0, float("inf"), 1)])
def test_bounds_that_enclose_nothing_are_refused(bounds: tuple[float, float, float, float]) -> None:
    with pytest.raises(GridError, match="enclose nothing. Give left, bottom, right and top"):
        Area(bounds).crop(GRID)

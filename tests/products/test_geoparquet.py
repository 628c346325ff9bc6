import json

import geopandas
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from odc.geo.crs import CRS

from sitsinfer.products.geoparquet import read_geoparquet, write_geoparquet
from sitsinfer.products.table import Header

SCHEMA = pa.schema([("id", pa.int64()), ("geometry", pa.binary())])


def batch_of(*polygons: shapely.Polygon) -> pa.RecordBatch:
    wkb = pa.array(list(shapely.to_wkb(polygons)), pa.binary())
    return pa.RecordBatch.from_arrays([pa.array(range(len(polygons)), pa.int64()), wkb], schema=SCHEMA)


@pytest.fixture
def file(tmp_path):
    """Two row groups, of two polygons and one."""
    batches = [batch_of(shapely.box(3, 5, 4, 9), shapely.box(2, 6, 8, 7)), batch_of(shapely.box(-1, 6, 0, 11))]
    write_geoparquet(batches, Header(SCHEMA, CRS("EPSG:32631"), {"TAG": "é"}), tmp_path / "a.parquet")
    return tmp_path / "a.parquet"


def test_metadata_are_those_of_the_specification(file):
    geo = json.loads(pq.read_schema(file).metadata[b"geo"])
    assert geo["version"] == "1.1.0"
    assert geo["primary_column"] == "geometry"
    column = geo["columns"]["geometry"]
    assert column["encoding"] == "WKB"
    assert column["geometry_types"] == ["Polygon"]
    assert column["orientation"] == "counterclockwise"
    assert column["crs"]["id"] == {"authority": "EPSG", "code": 32631}
    assert column["bbox"] == [-1, 5, 8, 11]
    assert column["covering"] == {"bbox": {side: ["bbox", side] for side in ("xmin", "ymin", "xmax", "ymax")}}


def test_covering_holds_the_bounds_of_each_polygon(file):
    table = pq.read_table(file)
    assert table.column_names == ["id", "geometry", "bbox"]
    assert table["bbox"].to_pylist()[1] == {"xmin": 2, "ymin": 6, "xmax": 8, "ymax": 7}
    assert table.schema.field("geometry").type == pa.binary()


def test_coordinates_that_are_no_numbers_have_no_bounds(tmp_path):
    with np.errstate(invalid="ignore"):
        odd = shapely.Polygon([(1, 1), (5, 1), (float("nan"), 5), (1, 1)])
    write_geoparquet([batch_of(odd)], Header(SCHEMA, CRS("EPSG:32631"), {}), tmp_path / "a.parquet")
    assert read_geoparquet(tmp_path / "a.parquet").count == 1


def test_bounds_choose_what_is_read(file):
    assert geopandas.read_parquet(file, bbox=(-2, 0, 1, 20)).geometry.tolist() == [shapely.box(-1, 6, 0, 11)]


def test_row_groups_have_statistics_of_bounds(file):
    metadata = pq.read_metadata(file)
    assert metadata.num_row_groups == 2
    columns = [metadata.row_group(1).column(index) for index in range(metadata.num_columns)]
    statistics = {column.path_in_schema: column.statistics for column in columns}
    assert statistics["bbox.xmin"].max == -1


def test_count_and_notes_come_back(file):
    found = read_geoparquet(file)
    assert (found.count, found.notes, found.geometry_type) == (3, {"TAG": "é"}, "Polygon")


def test_parquet_without_geometry_is_another_file(tmp_path):
    pq.write_table(pa.table({"a": [1]}), tmp_path / "a.parquet")
    with pytest.raises(OSError, match="no geometry"):
        read_geoparquet(tmp_path / "a.parquet")

import json
import pickle
import sqlite3
import struct
from contextlib import closing
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
import pytest
import shapely
from odc.geo.crs import CRS

from sitsinfer.errors import ReadError, SeriesError
from sitsinfer.series.parcels import ParcelBatch, ParcelLayer, open_parcels

SHAPES = (
    shapely.box(0, 0, 30, 20),
    None,
    shapely.MultiPolygon([shapely.box(0, 0, 5, 5), shapely.box(10, 0, 15, 5)]),
    shapely.Polygon([(0, 0), (10, 10), (10, 0), (0, 10)]),
    shapely.box(50, 0, 60, 9).difference(shapely.box(53, 3, 56, 6)),
)
NAMES = ("b", None, "a", "a", "ü 7")
ENDINGS = ("gpkg", "fgb", "shp", "geojson", "parquet")


def write(path: Path, shapes: Any = SHAPES, crs: str | None = "EPSG:32631", **columns: Any) -> Path:
    table = gpd.GeoDataFrame(columns or {"name": list(NAMES)}, geometry=list(shapes), crs=crs)
    if path.suffix == ".parquet":
        table.to_parquet(path)
    elif path.suffix == ".fgb":
        table.to_file(path, SPATIAL_INDEX="NO")  # with an index, GDAL writes no feature without a geometry
    else:
        table.to_file(path)
    return path


def read(layer: ParcelLayer, size: int = 2) -> tuple[list[int], list[str], list[Any]]:
    """First numbers of batches, identifiers and geometries of all features."""
    batches = list(layer.batches(size))
    shapes = [shape for batch in batches for shape in layer.shapes(batch)]
    return [batch.first for batch in batches], [name for batch in batches for name in batch.names()], shapes


def parts(shape: Any) -> Any:
    """Some formats make multipolygons of all polygons."""
    return shapely.normalize(shapely.multipolygons(shapely.get_parts(shape)))


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_feature_comes_in_the_order_of_the_file(tmp_path: Path, ending: str) -> None:
    layer = open_parcels(write(tmp_path / f"parcels.{ending}"), "name")
    assert (layer.count, layer.crs) == (5, CRS("EPSG:32631"))
    firsts, names, shapes = read(layer)
    assert firsts == [0, 2, 4]
    assert names == ["b", "", "a", "a", "ü 7"]
    assert shapes[1] is None
    drawn = [index for index in range(5) if SHAPES[index] is not None]
    assert [parts(shapes[i]) for i in drawn] == [parts(SHAPES[i]) for i in drawn]


@pytest.mark.parametrize(("ending", "expected"), [("gpkg", "12345"), ("shp", "01234"), ("parquet", "01234")])
def test_without_a_column_features_are_known_by_their_number_in_the_file(
    tmp_path: Path, ending: str, expected: str
) -> None:
    layer = open_parcels(write(tmp_path / f"parcels.{ending}"))
    assert layer.id_type == pa.int64()
    assert read(layer)[1] == list(expected)


def test_the_number_of_a_feature_is_a_column_too(tmp_path: Path) -> None:
    layer = open_parcels(write(tmp_path / "parcels.gpkg"), "fid")
    assert read(layer)[1] == list("12345")


@pytest.mark.parametrize("ending", ENDINGS)
def test_identifiers_keep_their_type(tmp_path: Path, ending: str) -> None:
    columns = {"whole": [3, 2, 1], "broken": [0.5, 2.0, np.nan], "text": ["x", "y", "z"]}
    path = write(tmp_path / f"parcels.{ending}", [shapely.box(0, 0, 1, 1)] * 3, **columns)
    kinds = {name: open_parcels(path, name).id_type for name in columns}
    assert pa.types.is_integer(kinds["whole"])
    assert pa.types.is_floating(kinds["broken"])
    assert kinds["text"] in (pa.string(), pa.large_string())
    batch = next(open_parcels(path, "whole").batches())
    assert batch.identifiers.type == kinds["whole"]
    assert read(open_parcels(path, "broken"))[1] == ["0.5", "2", ""]


def test_a_whole_number_reads_the_same_in_any_type() -> None:
    columns = (pa.array([7]), pa.array([7.0]), pa.array(["7"]), pa.array([7], pa.int16()))
    assert {ParcelBatch(0, column, pa.array([None], pa.binary())).names()[0] for column in columns} == {"7"}


def test_geometries_are_handed_on_as_the_file_has_them(tmp_path: Path) -> None:
    bow = SHAPES[3]
    path = write(tmp_path / "parcels.parquet", [bow, shapely.Point(1, 2, 3)], name=["a", "b"])
    batch = next(open_parcels(path).batches())
    assert shapely.from_wkb(batch.geometries.to_pylist()).tolist() == [bow, shapely.Point(1, 2, 3)]
    assert not open_parcels(path).shapes(batch)[0].is_valid


def test_curves_become_polylines(tmp_path: Path) -> None:
    circle = "CURVEPOLYGON(CIRCULARSTRING(600000 0, 600100 100, 600200 0, 600100 -100, 600000 0))"
    (tmp_path / "curves.csv").write_text(f'id,WKT\n1,"{circle}"\n2,"POLYGON((0 0, 1 0, 1 1, 0 0))"\n')
    with pyogrio.open_arrow(tmp_path / "curves.csv", columns=["id"], use_pyarrow=True) as (_, reader):
        table = reader.read_all()
    path = tmp_path / "curves.gpkg"
    pyogrio.write_arrow(
        table, path, layer="a", driver="GPKG", crs="EPSG:32631", geometry_type="Unknown", geometry_name="wkb_geometry"
    )
    layer = open_parcels(path, "id")
    for size in (1, 2):
        _, names, (disc, triangle) = read(layer, size)
        assert names == ["1", "2"]
        assert disc.area == pytest.approx(np.pi * 100**2, rel=2e-3)
        assert triangle.area == 0.5


def test_open_rings_are_closed_and_what_is_no_geometry_is_none(tmp_path: Path) -> None:
    rings: list[list[list[float]]] = [[[0, 0], [10, 0], [10, 10], [0, 10]], []]
    features = [
        {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}} for ring in rings
    ]
    path = tmp_path / "open.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    square, empty = read(open_parcels(path))[2]
    assert square.area == 100
    assert empty.is_empty
    layer = open_parcels(path)
    broken = pa.array([b"\x01\x11" + struct.pack("<II", 0, 0), b"nonsense", None], pa.binary())
    assert layer.shapes(ParcelBatch(0, pa.array([1, 2, 3]), broken)).tolist() == [None, None, None]


def test_geojson_says_nothing_of_its_crs_and_has_one(tmp_path: Path) -> None:
    path = tmp_path / "parcels.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": None}]}))
    assert open_parcels(path).crs == CRS("EPSG:4326")


def test_a_layer_is_chosen_among_several(tmp_path: Path) -> None:
    path = write(tmp_path / "many.gpkg")
    write_layer = gpd.GeoDataFrame({"n": [1]}, geometry=[shapely.box(0, 0, 1, 1)], crs="EPSG:4326")
    write_layer.to_file(path, layer="fields", mode="a")
    assert open_parcels(path, "n", "fields").crs == CRS("EPSG:4326")
    assert open_parcels(path, layer="many").count == 5
    with pytest.raises(SeriesError, match="has 2 layers: many, fields. Set layer to choose one."):
        open_parcels(path)
    with pytest.raises(SeriesError, match="no layer 'meadows' with geometries. Expected one of many, fields."):
        open_parcels(path, layer="meadows")


def test_tables_without_geometries_are_no_layers(tmp_path: Path) -> None:
    path = write(tmp_path / "parcels.gpkg")
    pyogrio.write_dataframe(gpd.pd.DataFrame({"style": ["x"]}), path, layer="layer_styles", append=True)
    assert open_parcels(path).name == "parcels"
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    with pytest.raises(SeriesError, match="table.csv has no layer with geometries. Expected parcels as polygons."):
        open_parcels(tmp_path / "table.csv")


@pytest.mark.parametrize("ending", ["gpkg", "fgb", "shp", "parquet"])
@pytest.mark.filterwarnings("ignore:'crs' was not provided")
def test_a_layer_without_a_crs_is_refused(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path / f"lost.{ending}", crs=None)
    with pytest.raises(SeriesError, match=f"lost.{ending} has no CRS that is known. Assign the one"):
        open_parcels(path)


def test_a_column_that_is_missing_is_named_beside_those_that_are_there(tmp_path: Path) -> None:
    for ending in ENDINGS:
        path = write(tmp_path / f"parcels.{ending}", [shapely.box(0, 0, 1, 1)], a=[1], b=["x"])
        with pytest.raises(SeriesError, match=r"has no column 'id'. Choose one of its columns: a, b(, fid)?\."):
            open_parcels(path, "id")
        assert open_parcels(path).columns[:2] == ("a", "b")


def test_what_cannot_be_read_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="none.gpkg does not exist. Expected a vector file of parcels."):
        open_parcels(tmp_path / "none.gpkg")
    for name, content in (("text.gpkg", b"Hello"), ("short.parquet", b"PAR1"), ("empty.shp", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ReadError, match=rf"Cannot read parcels from \S+{name}: .*Expected a whole vector file.$"):
            open_parcels(tmp_path / name)


def test_parquet_without_geometries_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / "a.parquet")
    with pytest.raises(SeriesError, match="a.parquet is Parquet without geometries. Expected GeoParquet."):
        open_parcels(tmp_path / "a.parquet")


def test_geoparquet_of_other_encodings_is_refused(tmp_path: Path) -> None:
    table = gpd.GeoDataFrame({"a": [1]}, geometry=[shapely.box(0, 0, 1, 1)], crs="EPSG:4326")
    table.to_parquet(tmp_path / "a.parquet", geometry_encoding="geoarrow")
    with pytest.raises(SeriesError, match="geometries encoded as 'polygon'. Expected WKB"):
        open_parcels(tmp_path / "a.parquet")


def test_geoparquet_has_longitude_and_latitude_unless_it_says_otherwise(tmp_path: Path) -> None:
    path = write(tmp_path / "parcels.parquet")
    table = pq.read_table(path)
    notes = json.loads(table.schema.metadata[b"geo"])
    del notes["columns"]["geometry"]["crs"]
    pq.write_table(table.replace_schema_metadata({b"geo": json.dumps(notes)}), path)
    assert str(open_parcels(path).crs) == "OGC:CRS84"


def test_features_that_went_missing_are_noticed(tmp_path: Path) -> None:
    layer = open_parcels(write(tmp_path / "parcels.gpkg"))
    with closing(sqlite3.connect(layer.path)) as file, file:
        for trigger in file.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            file.execute(f"DROP TRIGGER {trigger[0]}")
        file.execute("DELETE FROM parcels WHERE fid = 3")
    with pytest.raises(ReadError, match="has 4 parcels where 5 were found first. Start again."):
        list(layer.batches())


def test_an_empty_layer_has_no_batches(tmp_path: Path) -> None:
    layer = open_parcels(write(tmp_path / "parcels.gpkg", [], name=[]), "name")
    assert layer.count == 0
    assert list(layer.batches()) == []


def test_inputs_are_all_files_of_a_layer(tmp_path: Path) -> None:
    layer = open_parcels(write(tmp_path / "parcels.shp"))
    write(tmp_path / "parcels.gpkg")
    names = {name: size for name, size, _ in layer.inputs()}
    assert set(names) == {f"parcels.{ending}" for ending in ("shp", "dbf", "shx", "prj", "cpg")}
    assert names["parcels.dbf"] == (tmp_path / "parcels.dbf").stat().st_size
    layer.path.unlink()
    with pytest.raises(SeriesError, match="parcels.shp is gone since it was opened. Start again."):
        layer.inputs()


def test_a_layer_can_be_pickled(tmp_path: Path) -> None:
    for ending in ("gpkg", "parquet"):
        layer = open_parcels(write(tmp_path / f"parcels.{ending}"), "name")
        assert pickle.loads(pickle.dumps(layer)) == layer

import json
import pickle
import sqlite3
import struct
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
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
    (batch,) = layer.batches()
    assert shapely.from_wkb(layer.plain(batch).to_pylist()).tolist() == [disc, triangle]


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
    batch = ParcelBatch(0, pa.array([1, 2, 3]), broken)
    assert layer.shapes(batch).tolist() == [None, None, None]
    assert layer.plain(batch) == pa.array([None, None, None], pa.binary())


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
        told = rf"Cannot read parcels from \S+{name}: [^;]*Expected a whole vector file.$"  # no advice for programmers
        with pytest.raises(ReadError, match=told):
            open_parcels(tmp_path / name)


def test_parquet_without_geometries_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / "a.parquet")
    with pytest.raises(SeriesError, match="a.parquet is Parquet without geometries. Expected GeoParquet."):
        open_parcels(tmp_path / "a.parquet")


BROKEN = (
    [1],
    "GeoParquet",
    {"columns": {}},
    {"primary_column": "geometry", "columns": {}},
    {"primary_column": "geometry", "columns": ["geometry"]},
    {"primary_column": ["geometry"], "columns": {}},
    {"primary_column": "geometry", "columns": {"geometry": "WKB"}},
    {"primary_column": "geometry", "columns": {"geometry": {"encoding": "WKB", "crs": {"id": {"authority": "EPSG"}}}}},
    {"primary_column": "geometry", "columns": {"geometry": {"encoding": "WKB", "crs": {"id": 32631}}}},
)


@pytest.mark.parametrize("notes", [*map(json.dumps, BROKEN), "{", b"\xff"])
def test_broken_metadata_of_geoparquet_are_told_in_one_line(tmp_path: Path, notes: str | bytes) -> None:
    table = pa.table({"geometry": pa.array([shapely.to_wkb(SHAPES[0])], pa.binary())})
    pq.write_table(table.replace_schema_metadata({"geo": notes}), tmp_path / "a.parquet")
    with pytest.raises(SeriesError, match=r"a\.parquet has metadata of GeoParquet that are broken \(.*Write it anew"):
        open_parcels(tmp_path / "a.parquet")


@pytest.mark.parametrize("crs", [7, ["EPSG:32631"], "nowhere", None])
def test_geoparquet_with_a_crs_that_is_none_is_refused(tmp_path: Path, crs: Any) -> None:
    notes = {"primary_column": "geometry", "columns": {"geometry": {"encoding": "WKB", "crs": crs}}}
    table = pa.table({"geometry": pa.array([shapely.to_wkb(SHAPES[0])], pa.binary())})
    pq.write_table(table.replace_schema_metadata({"geo": json.dumps(notes)}), tmp_path / "a.parquet")
    with pytest.raises(SeriesError, match="a.parquet has no CRS that is known"):
        open_parcels(tmp_path / "a.parquet")


def test_geoparquet_without_the_column_that_it_tells_of_is_refused(tmp_path: Path) -> None:
    table = pq.read_table(write(tmp_path / "a.parquet"))
    pq.write_table(table.drop_columns("geometry"), tmp_path / "a.parquet")
    with pytest.raises(SeriesError, match="a.parquet has no column 'geometry' with the geometries that it tells of"):
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


def delete_one(path: Path) -> None:
    """Delete a feature of a GeoPackage as a program does that knows nothing of the count which GDAL keeps."""
    with closing(sqlite3.connect(path)) as file, file:
        for trigger in file.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            file.execute(f"DROP TRIGGER {trigger[0]}")
        file.execute("DELETE FROM parcels WHERE fid = 3")


def test_a_layer_that_was_changed_is_not_read(tmp_path: Path) -> None:
    layer = open_parcels(write(tmp_path / "parcels.gpkg"), "name")
    delete_one(layer.path)
    with pytest.raises(SeriesError, match="parcels.gpkg was changed since it was opened. Start again.") as caught:
        list(layer.batches())
    assert not isinstance(caught.value, ReadError)  # which would be tried again
    with pytest.raises(SeriesError, match="changed since it was opened"):
        layer.check_unchanged()


@pytest.mark.parametrize("ending", ["gpkg", "parquet"])
def test_a_layer_that_is_changed_while_it_is_read_is_noticed(tmp_path: Path, ending: str) -> None:
    layer = open_parcels(write(tmp_path / f"parcels.{ending}"), "name")
    batches = layer.batches(2)
    next(batches)
    write(tmp_path / f"other.{ending}", SHAPES[::-1]).replace(layer.path)
    with pytest.raises(SeriesError, match="changed since it was opened"):
        list(batches)


@pytest.mark.parametrize(("counted", "told"), [(4, "more"), (6, "5")])
def test_another_number_of_features_than_the_header_tells_is_noticed(tmp_path: Path, counted: int, told: str) -> None:
    layer = replace(open_parcels(write(tmp_path / "parcels.fgb")), count=counted)
    with pytest.raises(ReadError, match=f"has {told} parcels where {counted} were found first. Start again."):
        list(layer.batches(2))


def test_features_of_a_geopackage_are_counted_whatever_it_says(tmp_path: Path) -> None:
    path = write(tmp_path / "parcels.gpkg")
    delete_one(path)
    layer = open_parcels(path, "name")
    assert (layer.count, read(layer)[1]) == (4, ["b", "", "a", "ü 7"])


def test_an_empty_layer_has_no_batches(tmp_path: Path) -> None:
    layer = open_parcels(write(tmp_path / "parcels.gpkg", [], name=[]), "name")
    assert layer.count == 0
    assert list(layer.batches()) == []


def test_inputs_are_all_files_of_a_layer(tmp_path: Path) -> None:
    layer = open_parcels(write(tmp_path / "parcels.shp"))
    write(tmp_path / "parcels.gpkg")
    names = {name: size for name, size, _ in layer.inputs}
    assert set(names) == {f"parcels.{ending}" for ending in ("shp", "dbf", "shx", "prj", "cpg")}
    assert names["parcels.dbf"] == (tmp_path / "parcels.dbf").stat().st_size
    layer.path.unlink()
    with pytest.raises(SeriesError, match="parcels.shp is gone since it was opened. Start again."):
        list(layer.batches())


def test_files_of_a_layer_may_have_endings_in_capitals(tmp_path: Path) -> None:
    write(tmp_path / "parcels.shp")
    for path in list(tmp_path.iterdir()):
        path.rename(path.with_suffix(path.suffix.upper()))
    names = [name for name, _, _ in open_parcels(tmp_path / "parcels.SHP", "name").inputs]
    assert names == [f"parcels.{ending}" for ending in ("SHP", "CPG", "DBF", "PRJ", "SHX")]


def test_files_of_mapinfo_are_inputs_too(tmp_path: Path) -> None:
    table = gpd.GeoDataFrame({"name": ["a"]}, geometry=[SHAPES[0]], crs="EPSG:32631")
    table.to_file(tmp_path / "parcels.tab", driver="MapInfo File")
    names = [name for name, _, _ in open_parcels(tmp_path / "parcels.tab").inputs]
    assert names == ["parcels.tab", "parcels.dat", "parcels.id", "parcels.map"]


WRITER = """
import sqlite3, sys
file = sqlite3.connect(sys.argv[1], isolation_level=None)
for command in ("journal_mode = WAL", "wal_autocheckpoint = 0"):
    file.execute(f"PRAGMA {command}").fetchall()
for (trigger,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
    file.execute(f"DROP TRIGGER {trigger}")
file.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
for change in ("SELECT 1", "UPDATE parcels SET name = 'z'"):
    file.execute(change).fetchall()
    print("done", flush=True)
    input()
"""
"""Another program that has a GeoPackage open, and changes it on demand."""


def test_what_another_program_has_yet_to_write_into_a_database_is_an_input(tmp_path: Path) -> None:
    path = write(tmp_path / "parcels.gpkg", name=list("abcde"))
    words = [sys.executable, "-c", WRITER, str(path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin
        assert other.stdout
        other.stdout.readline()
        before = open_parcels(path, "name")
        assert [name for name, _, _ in before.inputs] == ["parcels.gpkg"]
        assert read(before)[1] == list("abcde")
        other.stdin.write("\n")
        other.stdin.flush()
        other.stdout.readline()
        with pytest.raises(SeriesError, match="changed since it was opened"):
            list(before.batches())
        after = open_parcels(path, "name")
        assert [name for name, _, _ in after.inputs] == ["parcels.gpkg", "parcels.gpkg-wal"]
        assert read(after)[1] == list("zzzzz")
        other.kill()


def test_a_layer_can_be_pickled(tmp_path: Path) -> None:
    for ending in ("gpkg", "parquet"):
        layer = open_parcels(write(tmp_path / f"parcels.{ending}"), "name")
        assert pickle.loads(pickle.dumps(layer)) == layer

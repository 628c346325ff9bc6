import dataclasses
import json
import sqlite3
import subprocess
import sys
import weakref
from contextlib import closing
from pathlib import Path

import geopandas
import numpy as np
import pyogrio
import pytest
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

from sitsinfer.errors import OutputError, SeriesError
from sitsinfer.layers import ClassInfo
from sitsinfer.products import parcels as module
from sitsinfer.products import vector
from sitsinfer.products.parcels import Parcel, write_parcels
from sitsinfer.products.style import style, style_path
from sitsinfer.products.trace import trace
from sitsinfer.products.vector import format_of, is_vector, read_vector_file, read_vector_tags
from tests.products.conftest import utm_grid

CLASSES = (ClassInfo(1, "Winter wheat", (236, 196, 72)), ClassInfo(4, "Prairie & forêt", (74, 140, 66)))
TAGS = {"FINGERPRINT": json.dumps({"inputs": "<a> & 'b' \n ü"}), "MODEL": "paps-demo", "MODEL_SHA256": "0" * 64}
MEASURES = ("area_ha", "center_x", "center_y")
ENDINGS = [".gpkg", ".parquet", ".fgb"]
GRID = utm_grid(70, 110)


def some_parcels(count: int, grid=GRID) -> list[Parcel]:
    """L-shaped parcels with a hole, in a pattern."""
    mask = np.array([[1, 1, 1, 1], [1, 0, 1, 1], [1, 1, 1, 0]], bool)
    made = []
    for index in range(count):
        row, col = divmod(5 * index, 100)
        polygon = trace(mask, grid.affine @ Affine.translation(col, 4 * row))
        x, y = polygon.centroid.coords[0]
        entry = CLASSES[index % 2]
        made.append(Parcel(index + 1, f"r{row}c{col}", entry.code, entry.name, 0.9 - index / 200, 0.1, x, y, polygon))
    return made


def read_frame(path: Path) -> geopandas.GeoDataFrame:
    """All parcels, in the order of their ids."""
    frame = geopandas.read_parquet(path) if path.suffix == ".parquet" else geopandas.read_file(path, layer="parcels")
    return frame.sort_values("id").reset_index(drop=True)


@pytest.mark.parametrize("ending", ENDINGS)
def test_parcels_come_back(ending, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BATCH", 9)
    made = some_parcels(23)
    write_parcels(iter(made), tmp_path / f"p{ending}", GRID, CLASSES, TAGS)
    frame = read_frame(tmp_path / f"p{ending}")
    assert frame.crs.to_epsg() == 32631
    assert frame.is_valid.all()
    assert [polygon.wkb for polygon in frame.geometry] == [parcel.polygon.wkb for parcel in made]
    for column in ("id", "identifier", "class_name", *MEASURES):
        assert frame[column].tolist() == [getattr(parcel, column) for parcel in made], column
    assert frame["class"].tolist() == [parcel.code for parcel in made]
    np.testing.assert_array_equal(frame["confidence"], np.array([parcel.confidence for parcel in made], np.float32))
    numbers = {"id": "int64", "class": "int16", "confidence": "float32", **dict.fromkeys(MEASURES, "float64")}
    assert {name: str(frame.dtypes[name]) for name in numbers} == numbers
    assert set(frame.columns) - {"bbox"} == {*numbers, "identifier", "class_name", "geometry"}


@pytest.mark.parametrize("ending", [".gpkg", ".parquet"])
def test_order_is_kept(ending, tmp_path):
    made = some_parcels(23)[::-1]
    write_parcels(made, tmp_path / f"p{ending}", GRID, CLASSES, TAGS)
    path = tmp_path / f"p{ending}"
    frame = geopandas.read_parquet(path) if ending == ".parquet" else geopandas.read_file(path, layer="parcels")
    assert frame["id"].tolist() == list(range(23, 0, -1))


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("count", [0, 7])
def test_files_tell_what_they_hold(ending, count, tmp_path):
    path = tmp_path / f"p{ending}"
    write_parcels(some_parcels(count), path, GRID, CLASSES, TAGS)
    file = read_vector_file(path)
    assert (file.count, file.classes, file.tags) == (count, CLASSES, TAGS)
    assert read_vector_tags(path) == TAGS


@pytest.mark.parametrize("ending", ENDINGS)
def test_file_without_a_parcel_has_columns_and_crs(ending, tmp_path):
    write_parcels([], tmp_path / f"p{ending}", GRID, CLASSES, TAGS)
    frame = read_frame(tmp_path / f"p{ending}")
    assert len(frame) == 0
    assert frame.crs.to_epsg() == 32631
    assert {"id", "identifier", "class", "class_name", "confidence", *MEASURES} < set(frame)


@pytest.mark.parametrize("ending", ENDINGS)
def test_crs_without_a_code_comes_back(ending, tmp_path):
    crs = "+proj=laea +lat_0=47 +lon_0=3.25 +ellps=GRS80 +units=m"
    grid = GeoBox((20, 110), Affine(10, 0, 0, 0, -10, 0), crs)
    write_parcels(some_parcels(4, grid), tmp_path / f"p{ending}", grid, CLASSES, TAGS)
    found = read_frame(tmp_path / f"p{ending}").crs.coordinate_operation
    assert found.method_name == "Lambert Azimuthal Equal Area"
    assert [parameter.value for parameter in found.params[:2]] == [47, 3.25]


@pytest.mark.parametrize("ending", ENDINGS)
def test_same_parcels_give_same_bytes(ending, tmp_path):
    for name in "ab":
        write_parcels(some_parcels(23), tmp_path / f"{name}{ending}", GRID, CLASSES, TAGS)
    assert (tmp_path / f"a{ending}").read_bytes() == (tmp_path / f"b{ending}").read_bytes()


@pytest.mark.parametrize("ending", ENDINGS)
def test_only_a_batch_of_parcels_is_in_memory(ending, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BATCH", 4)
    made, alive = some_parcels(23), []

    def watched():
        for parcel in made:
            own = dataclasses.replace(parcel)
            alive.append(weakref.ref(own))
            yield own
            del own
            assert sum(reference() is not None for reference in alive) <= 2 * module.BATCH

    write_parcels(watched(), tmp_path / f"p{ending}", GRID, CLASSES, TAGS)
    assert len(alive) == 23


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("error", [SeriesError("cannot be read"), KeyboardInterrupt(), AssertionError("a bug")])
def test_what_goes_wrong_before_is_told_as_it_is_and_leaves_the_old_file(ending, error, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BATCH", 4)
    path = tmp_path / f"p{ending}"
    write_parcels(some_parcels(3), path, GRID, CLASSES, TAGS)
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}

    def broken():
        yield from some_parcels(9)
        raise error

    with pytest.raises(type(error)) as told:
        write_parcels(broken(), path, GRID, CLASSES, TAGS)
    assert told.value is error
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


@pytest.mark.parametrize("ending", ENDINGS)
def test_file_that_lost_parcels_is_not_published(ending, tmp_path, monkeypatch):
    form = vector.FORMATS[ending]
    lossy = dataclasses.replace(form, read=lambda path: dataclasses.replace(form.read(path), count=22))
    monkeypatch.setattr(vector, "FORMATS", {ending: lossy})
    with pytest.raises(OutputError, match=r"^Cannot write .*: 22 parcels are in the file, but 23 were written"):
        write_parcels(some_parcels(23), tmp_path / f"p{ending}", GRID, CLASSES, TAGS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("count", [0, 300])
def test_files_that_are_not_whole_have_no_tags(ending, count, tmp_path):
    path = tmp_path / f"p{ending}"
    write_parcels(some_parcels(count), path, GRID, CLASSES, TAGS)
    content = path.read_bytes()
    for length in (0, 9, 100, 700, len(content) // 2, len(content) - 4097, len(content) - 50, len(content) - 1):
        path.write_bytes(content[: max(length, 0)])
        assert read_vector_tags(path) == {}, length


@pytest.mark.parametrize("ending", ENDINGS)
def test_files_of_others_have_no_tags(ending, tmp_path):
    frame = geopandas.GeoDataFrame({"a": [1]}, geometry=[shapely.box(0, 0, 1, 1)], crs="EPSG:32631")
    other = tmp_path / f"other{ending}"
    frame.to_parquet(other) if ending == ".parquet" else frame.to_file(other)
    (tmp_path / f"text{ending}").write_text("text")
    (tmp_path / f"folder{ending}").mkdir()
    for name in ("other", "text", "folder", "missing"):
        assert read_vector_tags(tmp_path / f"{name}{ending}") == {}, name
    with pytest.raises(OutputError, match=r"^Cannot read .*Expected parcels as sitsinfer writes them\.$"):
        read_vector_file(other)


@pytest.mark.parametrize("name", ["parcels.shp", "parcels", "parcels.gpkg.zip"])
def test_unknown_ending_names_the_known_ones(name):
    with pytest.raises(OutputError, match=r"names no format of parcels\. Expected \.gpkg, \.parquet or \.fgb\.$"):
        format_of(Path(name))
    assert not is_vector(Path(name))


@pytest.mark.parametrize("name", ["parcels.gpkg", "PARCELS.FGB", "a.b.parquet"])
def test_known_endings_have_a_format(name):
    assert format_of(Path(name)) is vector.FORMATS[Path(name).suffix.lower()]
    assert is_vector(Path(name))


def test_geopackage_holds_its_style(tmp_path):
    write_parcels(some_parcels(3), tmp_path / "p.gpkg", GRID, CLASSES, TAGS)
    with closing(sqlite3.connect(tmp_path / "p.gpkg")) as file:
        styles = file.execute(
            "SELECT f_table_schema, f_table_name, f_geometry_column, useAsDefault, styleQML FROM layer_styles"
        ).fetchall()
        columns = file.execute("SELECT table_name, column_name FROM gpkg_geometry_columns").fetchall()
        assert file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    ((schema, table, column, default, qml),) = styles
    assert (schema, default) == ("", 1)
    assert columns == [(table, column)]
    assert qml == style("class", CLASSES)
    assert {path.name for path in tmp_path.iterdir()} == {"p.gpkg"}


EDITED = """
import os, signal, sqlite3, sys
file = sqlite3.connect(sys.argv[1])
file.execute("PRAGMA journal_mode = WAL")
file.execute("UPDATE layer_styles SET description = 'edited'")
file.execute("CREATE TABLE notes AS SELECT randomblob(90000) AS note")
file.commit()
os.kill(os.getpid(), signal.SIGKILL)
"""
"""Another program that changes a GeoPackage and crashes."""


def test_journal_of_another_program_does_not_touch_a_new_geopackage(tmp_path):
    path = tmp_path / "p.gpkg"
    write_parcels(some_parcels(3), path, GRID, CLASSES, TAGS)
    subprocess.run([sys.executable, "-c", EDITED, path], check=False)
    assert {file.name for file in tmp_path.iterdir()} == {"p.gpkg", "p.gpkg-wal", "p.gpkg-shm"}
    write_parcels(some_parcels(23), path, GRID, CLASSES, TAGS)
    assert {file.name for file in tmp_path.iterdir()} == {"p.gpkg"}
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert read_frame(path)["id"].tolist() == list(range(1, 24))


@pytest.mark.parametrize("ending", [".parquet", ".fgb"])
def test_style_lies_beside_other_files(ending, tmp_path):
    write_parcels(some_parcels(3), tmp_path / f"p{ending}", GRID, CLASSES, TAGS)
    assert {path.name for path in tmp_path.iterdir()} == {f"p{ending}", "p.qml"}
    assert style("class", CLASSES) in style_path(tmp_path / f"p{ending}").read_text(encoding="utf-8")


@pytest.mark.parametrize("ending", [".gpkg", ".fgb"])
def test_gdal_reads_layer_columns_and_index(ending, tmp_path):
    write_parcels(some_parcels(23), tmp_path / f"p{ending}", GRID, CLASSES, TAGS)
    info = pyogrio.read_info(tmp_path / f"p{ending}", layer="parcels")
    assert info["geometry_type"] == "Polygon"
    assert info["crs"] == "EPSG:32631"
    assert info["features"] == 23
    assert info["capabilities"]["fast_spatial_filter"]
    assert info["ogr_subtypes"][2] == "OFSTInt16"
    assert info["ogr_subtypes"][4] == "OFSTFloat32"


@pytest.mark.parametrize("count", [900, 1500, 2900])
@pytest.mark.parametrize("ending", [".gpkg", ".fgb"])
def test_full_disk_is_one_line_and_leaves_nothing(ending, count, tiny_disk):
    with pytest.raises(OutputError, match=r"^Cannot write .*the disk is full.* MB are free in .*Make room.*$"):
        write_parcels(some_parcels(count), tiny_disk / f"p{ending}", GRID, CLASSES, TAGS)
    assert list(tiny_disk.iterdir()) == []


def test_full_disk_is_told_of_parquet_as_well(tiny_disk):
    digits = np.random.default_rng(0)
    made = [dataclasses.replace(parcel, identifier=digits.bytes(100).hex()) for parcel in some_parcels(3000)]
    with pytest.raises(OutputError, match=r"^Cannot write .*the disk is full.* MB are free in .*Make room.*$"):
        write_parcels(made, tiny_disk / "p.parquet", GRID, CLASSES, TAGS)
    assert list(tiny_disk.iterdir()) == []


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(OutputError, match=r"there is no folder .*nowhere\. Create it"):
        write_parcels([], tmp_path / "nowhere" / "p.gpkg", GRID, CLASSES, TAGS)

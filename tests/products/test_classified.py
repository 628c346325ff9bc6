import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from decimal import Decimal

import geopandas
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
import pytest
import shapely
from odc.geo.crs import CRS

from sitsinfer.errors import OutputError
from sitsinfer.layers import ClassInfo
from sitsinfer.products import vector
from sitsinfer.products.classified import ClassifiedParcels, probability_columns, schema_of, write_classified
from sitsinfer.products.stac import item_path, write_item
from sitsinfer.products.vector import read_vector_file
from tests.products.conftest import utm_grid

CLASSES = (
    ClassInfo(3, "Blé d'hiver", (230, 200, 60)),
    ClassInfo(7, "Maïs", (60, 200, 60)),
    ClassInfo(20, "Prairie", (9, 9, 9)),
)
TAGS = {"FINGERPRINT": json.dumps({"inputs": "a"}), "MODEL": "tiny"}
ENDINGS = [".gpkg", ".parquet", ".fgb"]
LAMBERT = CRS("EPSG:2154")
NAME = pa.field("parcel", pa.string())
SHAPES = [
    shapely.box(700_000, 6_600_000, 700_030, 6_600_020),
    shapely.MultiPolygon([shapely.box(700_100, 6_600_000, 700_120, 6_600_010), shapely.box(0, 1, 2, 3)]),
    None,
    shapely.from_wkt("POLYGON ((0 0, 4 4, 4 0, 0 4, 0 0))"),  # crosses itself
    shapely.Point(5, 7),
    shapely.box(700_000, 6_600_000, 700_030, 6_600_020, ccw=False),
]
"""What may be in somebody's layer, clockwise or not."""


def parts(identifiers=("f", "b", "b", "a", "é", "c"), kind=NAME.type) -> list[ClassifiedParcels]:
    """Six parcels in two parts; the third and the fifth have no pixels."""
    rng = np.random.default_rng(5)
    probabilities = rng.dirichlet((1, 1, 1), 6).astype(np.float32)
    probabilities[5] = 0.4, 0.4, 0.2
    pixels, dates = np.array([9, 64, 0, 1, 0, 12], np.int32), np.array([3, 4, 0, 1, 0, 2], np.int32)
    shapes = pa.array([None if shape is None else shapely.to_wkb(shape) for shape in SHAPES], pa.binary())
    whole = pa.array(identifiers, kind)
    return [
        ClassifiedParcels(whole[part], shapes[part], probabilities[part], pixels[part], dates[part])
        for part in (slice(0, 4), slice(4, 6))
    ]


def read_frame(path) -> geopandas.GeoDataFrame:
    if path.suffix == ".parquet":
        return geopandas.read_parquet(path)
    return geopandas.read_file(path, layer="parcels")


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_parcel_comes_out_in_order_with_what_is_known_of_it(ending, tmp_path):
    made = parts()
    write_classified(iter(made), tmp_path / f"c{ending}", LAMBERT, NAME, CLASSES, TAGS)
    frame = read_frame(tmp_path / f"c{ending}")
    assert frame["parcel"].tolist() == ["f", "b", "b", "a", "é", "c"]
    probabilities = np.concatenate([part.probabilities for part in made])
    known = np.array([True, True, False, True, False, True])
    best = probabilities.argmax(axis=1)
    assert best[5] == 0  # of two alike
    codes = [float("nan") if not there else CLASSES[at].code for at, there in zip(best, known, strict=True)]
    np.testing.assert_array_equal(frame["class_code"].astype(float), codes)
    assert list(frame["class_name"][known]) == [CLASSES[at].name for at in best[known]]
    assert frame["class_name"][~known].isna().all()
    expected = np.where(known[:, None], probabilities, np.float32("nan"))
    np.testing.assert_array_equal(frame[["p_ble_d_hiver", "p_mais", "p_prairie"]], expected)
    np.testing.assert_array_equal(frame["confidence"], expected.max(axis=1))
    assert frame["pixels"].tolist() == [9, 64, 0, 1, 0, 12]
    assert frame["dates"].tolist() == [3, 4, 0, 1, 0, 2]
    assert frame.crs == "EPSG:2154"
    assert [shape and shapely.to_wkb(shape) for shape in frame.geometry] == [
        shape and shapely.to_wkb(shape) for shape in SHAPES
    ]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(
    ("name", "kind", "values"),
    [
        ("fid", pa.int64(), (0, 9, 4, 5, 6, 7)),
        ("FID", pa.string(), ("f", None, "b", "a", "c", "c")),
        ("code", pa.int32(), (3, 3, -1, None, 5, 6)),
        ("number", pa.float64(), (0.5, 1, 2, 3, 4, 5)),
    ],
)
def test_identifiers_keep_their_name_and_type(ending, name, kind, values, tmp_path):
    path = tmp_path / f"c{ending}"
    write_classified(parts(values, kind), path, LAMBERT, pa.field(name, kind), CLASSES, TAGS)
    frame = read_frame(path)
    assert [None if value != value else value for value in frame[name]] == list(values)
    assert read_vector_file(path).columns[name] == str(kind)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (pa.null(), [None] * 6),
        (pa.uint64(), [2**64 - 1, 0, None, 4, 5, 6]),
        (pa.decimal128(20, 2), [Decimal("123456789012345678.25"), *[None] * 5]),
    ],
)
def test_identifiers_of_types_that_gdal_lacks_are_text_where_it_writes(ending, kind, values, tmp_path):
    path = tmp_path / f"c{ending}"
    column = vector.format_of(path).column_type(kind)
    write_classified(parts(values, kind), path, LAMBERT, pa.field("name", column), CLASSES, TAGS)
    if ending == ".parquet":
        assert pq.read_table(path)["name"].to_pylist() == values
    else:
        found = pyogrio.raw.read_arrow(path, layer="parcels")[1]["name"]
        assert (found.type, found.to_pylist()) == (
            pa.string(),
            [None if value is None else str(value) for value in values],
        )


@pytest.mark.parametrize("ending", ENDINGS)
def test_files_tell_their_count_columns_legend_and_tags(ending, tmp_path):
    path = tmp_path / f"c{ending}"
    write_classified(parts(), path, LAMBERT, NAME, CLASSES, TAGS)
    file = read_vector_file(path)
    assert (file.count, file.classes, file.tags) == (6, CLASSES, TAGS)
    written = [name for name in schema_of(NAME, CLASSES).names if name != "geometry"]
    assert [name for name in file.columns if name not in ("geometry", "bbox")] == written
    assert file.columns["class_code"] == "int16"
    write_item(item_path(path), {"parcels": path}, {"dates": ["2022-05-01"]}, utm_grid(37, 61))
    asset = json.loads(item_path(path).read_text())["assets"]["parcels"]
    assert asset["table:row_count"] == 6
    assert {"name": "p_mais", "type": "float"} in asset["table:columns"]
    (geometry,) = (column for column in asset["table:columns"] if column["name"] == "geometry")
    assert geometry["type"] in ("Geometry", "Unknown")


def test_geoparquet_tells_types_and_bounds_of_geometries(tmp_path):
    write_classified(parts(), tmp_path / "c.parquet", LAMBERT, NAME, CLASSES, TAGS)
    column = json.loads(pq.read_schema(tmp_path / "c.parquet").metadata[b"geo"])["columns"]["geometry"]
    assert column["geometry_types"] == ["MultiPolygon", "Point", "Polygon"]
    assert "orientation" not in column
    assert column["bbox"] == [0, 0, 700_120, 6_600_020]
    assert pq.read_table(tmp_path / "c.parquet")["bbox"].to_pylist()[2] is None


def test_heights_are_kept_where_the_format_has_them(tmp_path):
    shape = shapely.from_wkt("POLYGON Z ((0 0 5, 4 0 6, 4 4 7, 0 0 5))")
    (first, _) = parts()
    made = replace(first, geometries=pa.array([shapely.to_wkb(shape)] * 4, pa.binary()))
    for ending in (".gpkg", ".parquet"):
        write_classified([made], tmp_path / f"c{ending}", LAMBERT, NAME, CLASSES, TAGS)
        assert read_frame(tmp_path / f"c{ending}").geometry.has_z.all()
    column = json.loads(pq.read_schema(tmp_path / "c.parquet").metadata[b"geo"])["columns"]["geometry"]
    assert column["geometry_types"] == ["Polygon Z"]
    assert "bbox" not in column


@pytest.mark.parametrize("ending", ENDINGS)
def test_same_parcels_give_same_bytes(ending, tmp_path):
    for name in "ab":
        write_classified(parts(), tmp_path / f"{name}{ending}", LAMBERT, NAME, CLASSES, TAGS)
    assert (tmp_path / f"a{ending}").read_bytes() == (tmp_path / f"b{ending}").read_bytes()


def test_geopackage_draws_class_codes(tmp_path):
    write_classified(parts(), tmp_path / "c.gpkg", LAMBERT, NAME, CLASSES, TAGS)
    with closing(sqlite3.connect(tmp_path / "c.gpkg")) as file:
        ((qml,),) = file.execute("SELECT styleQML FROM layer_styles").fetchall()
        assert file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert 'attr="class_code"' in qml
    assert pyogrio.read_info(tmp_path / "c.gpkg", layer="parcels")["fid_column"] == "fid"


@pytest.mark.parametrize("name", ["class_code", "Pixels", "confidence", "p_mais", "geometry", "bbox"])
def test_identifiers_with_the_name_of_another_column_are_refused(name, tmp_path):
    with pytest.raises(OutputError, match=rf"^The identifiers are in column '{name}', but .* Rename it in the layer"):
        write_classified(parts(), tmp_path / "c.gpkg", LAMBERT, pa.field(name, pa.string()), CLASSES, TAGS)


def test_columns_of_probabilities_are_plain_letters_and_differ():
    names = ("Blé d'hiver", "ble-D hiver", "小麦", "a 5", "a", "Á!")
    classes = [ClassInfo(code, name, (0, 0, 0)) for code, name in enumerate(names)]
    columns = ["p_ble_d_hiver", "p_ble_d_hiver_1", "p_2", "p_a_5", "p_a", "p_a_5_5"]
    assert probability_columns(classes) == columns


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_file_that_lost_parcels_is_not_published(ending, tmp_path, monkeypatch):
    form = vector.FORMATS[ending]
    lossy = replace(form, read=lambda path: replace(form.read(path), count=5))
    monkeypatch.setattr(vector, "FORMATS", {ending: lossy})
    with pytest.raises(OutputError, match="5 parcels are in the file, but 6 were written"):
        write_classified(parts(), tmp_path / f"c{ending}", LAMBERT, NAME, CLASSES, TAGS)
    assert list(tmp_path.iterdir()) == []

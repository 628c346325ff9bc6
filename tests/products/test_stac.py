import hashlib
import json
from pathlib import Path

import pyarrow.parquet as pq
import pyogrio
import pystac
import pytest
import shapely

from sitsinfer.errors import OutputError
from sitsinfer.products import dated
from sitsinfer.products.cog import write_cog
from sitsinfer.products.parcels import Parcel, write_parcels
from sitsinfer.products.stac import item_path, write_item
from tests.products.conftest import CLASSES, utm_grid

PROVENANCE = {"dates": ["2022-05-19", "2022-01-03", "2022-11-30"], "inputs": [{"name": "a.tif", "size": 12}]}


@pytest.fixture
def products(class_source, score_source, tmp_path):
    files = {"classes": tmp_path / "map.tif", "probabilities": tmp_path / "probs.tif"}
    write_cog(class_source(37, 61), files["classes"], {})
    write_cog(score_source(37, 61), files["probabilities"], {})
    return files


@pytest.fixture
def item(products):
    path = item_path(products["classes"])
    write_item(path, products, PROVENANCE)
    return path


def test_item_is_read_by_pystac(item):
    read = pystac.Item.from_dict(json.loads(item.read_text(encoding="utf-8")))
    assert read.id == "map"
    assert read.datetime is None
    assert read.properties["start_datetime"] == "2022-01-03T00:00:00Z"
    assert read.properties["end_datetime"] == "2022-11-30T23:59:59Z"
    assert read.properties["proj:code"] == "EPSG:32631"
    assert read.properties["proj:shape"] == [37, 61]
    assert read.properties["proj:transform"] == [10, 0, 499_980, 0, -10, 5_000_040]
    assert read.properties["sitsinfer:inputs"] == [{"name": "a.tif", "size": 12}]
    assert read.bbox == pytest.approx([2.99974, 45.1502, 3.00751, 45.1535], abs=1e-3)


def test_assets_tell_bytes_and_bands(item):
    assets = json.loads(item.read_text(encoding="utf-8"))["assets"]
    content = (item.parent / "map.tif").read_bytes()
    assert assets["classes"]["href"] == "./map.tif"
    assert assets["classes"]["file:size"] == len(content)
    assert assets["classes"]["file:checksum"] == "1220" + hashlib.sha256(content).hexdigest()
    assert assets["classes"]["bands"][0]["classification:classes"][2] == {
        "value": 4,
        "name": "Prairie-forêt",
        "title": "Prairie & forêt",
        "color_hint": "4A8C42",
    }
    assert [band["name"] for band in assets["probabilities"]["bands"]] == ["Water", "Winter wheat", "Maize"]
    assert assets["probabilities"]["bands"][0]["raster:scale"] == 1 / 250


def test_products_elsewhere_are_named_in_full(products, tmp_path):
    other = tmp_path / "elsewhere" / "map.json"
    other.parent.mkdir()
    write_item(other, products, PROVENANCE)
    href = json.loads(other.read_text(encoding="utf-8"))["assets"]["classes"]["href"]
    assert Path(href) == products["classes"]


def test_missing_product_is_an_error(tmp_path):
    with pytest.raises(OutputError, match="^Cannot read .*map.tif: "):
        write_item(tmp_path / "map.json", {"classes": tmp_path / "map.tif"}, PROVENANCE)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("out", ["l3a", "l3a.nc", "l3a.zarr"])
def test_item_describes_layers_of_several_dates(out, dated_source, tmp_path):
    sources = [dated_source("sentinel2", bands=("B02", "B04")), dated_source("landsat", bands=("B04", "LST"))]
    dated.write(tmp_path / out, "L3A", sources, {})
    files = dated.outputs_of(tmp_path / out, "L3A", [source.layer for source in sources])
    path = dated.item_of(tmp_path / out, "L3A")
    write_item(path, dated.assets_of(files), PROVENANCE)
    read = pystac.Item.from_dict(json.loads(path.read_text(encoding="utf-8")))
    assert read.properties["proj:shape"] == [37, 61]
    assert len(read.assets) == (6 if out == "l3a" else 1)


def test_date_of_a_file_is_the_date_of_its_asset(dated_source, tmp_path):
    source = dated_source(bands=("B04", "LST"))
    dated.write(tmp_path / "l3a", "L3A", [source], {})
    files = dated.outputs_of(tmp_path / "l3a", "L3A", [source.layer])
    write_item(tmp_path / "l3a" / "L3A.json", dated.assets_of(files), PROVENANCE)
    asset = json.loads((tmp_path / "l3a" / "L3A.json").read_text(encoding="utf-8"))["assets"]["landsat_20220103"]
    assert asset["href"] == "./L3A_20220103_landsat.tif"
    assert asset["datetime"] == "2022-01-03T00:00:00Z"
    assert asset["bands"] == [
        {"name": "B04", "raster:scale": 1e-4, "raster:offset": 0.0},
        {"name": "LST", "unit": "K", "raster:scale": 0.1, "raster:offset": 0.0},
    ]


@pytest.mark.parametrize(("out", "kind"), [("l3a.nc", "application/x-netcdf"), ("l3a.zarr", "application/vnd+zarr")])
def test_cube_is_one_asset(out, kind, dated_source, tmp_path):
    sources = [dated_source("sentinel2", bands=("B02", "B04")), dated_source("landsat", bands=("B04", "LST"))]
    dated.write(tmp_path / out, "L3A", sources, {})
    write_item(tmp_path / "l3a.json", {"cube": tmp_path / out}, PROVENANCE)
    asset = json.loads((tmp_path / "l3a.json").read_text(encoding="utf-8"))["assets"]["cube"]
    assert asset["type"] == kind
    assert [band["name"] for band in asset["bands"]] == ["sentinel2/B02", "sentinel2/B04", "landsat/B04", "landsat/LST"]
    files = [tmp_path / out, *(tmp_path / out).rglob("*")]
    assert asset["file:size"] == sum(file.stat().st_size for file in files if file.is_file())
    assert ("file:checksum" in asset) == (out == "l3a.nc")


def columns_of(path: Path) -> list[str]:
    """Columns of a file of parcels, the geometry after its attributes."""
    if path.suffix == ".parquet":
        return pq.read_schema(path).names
    return [*pyogrio.read_info(path, layer="parcels")["fields"], "geometry"]


@pytest.mark.parametrize(
    ("ending", "kind"),
    [
        (".gpkg", "application/geopackage+sqlite3"),
        (".parquet", "application/vnd.apache.parquet"),
        (".fgb", "application/vnd.flatgeobuf"),
    ],
)
def test_parcels_alone_make_an_item(ending, kind, tmp_path):
    grid, path = utm_grid(37, 61), tmp_path / f"parcels{ending}"
    parcel = Parcel(
        1, "r3c5", 4, "Prairie & forêt", 0.5, 1.0, 500_030, 5_000_010, shapely.box(500_000, 5e6, 500_100, 5e6 + 40)
    )
    write_parcels([parcel], path, grid, CLASSES, {})
    write_item(item_path(path), {"parcels": path}, PROVENANCE, grid)
    item = json.loads(item_path(path).read_text(encoding="utf-8"))
    pystac.Item.from_dict(item)
    assert item["properties"]["proj:shape"] == [37, 61]
    assert any("/table/v1.2.0/" in extension for extension in item["stac_extensions"])
    asset = item["assets"]["parcels"]
    assert asset["type"] == kind
    assert asset["table:row_count"] == 1
    assert asset["table:columns"][0] == {"name": "id", "type": "int64"}
    assert {"name": asset["table:primary_geometry"], "type": "Polygon"} in asset["table:columns"]
    assert [entry["name"] for entry in asset["table:columns"]] == columns_of(path)
    assert [entry["value"] for entry in asset["classification:classes"]] == [0, 1, 4]
    assert asset["file:checksum"] == "1220" + hashlib.sha256(path.read_bytes()).hexdigest()


def test_items_without_parcels_have_no_table(item):
    assert "table" not in item.read_text(encoding="utf-8")


def test_parcels_and_rasters_are_assets_of_one_item(products, tmp_path):
    grid, path = utm_grid(37, 61), tmp_path / "parcels.gpkg"
    write_parcels([], path, grid, CLASSES, {})
    write_item(item_path(path), {"parcels": path, **products}, PROVENANCE, grid)
    assets = json.loads(item_path(path).read_text(encoding="utf-8"))["assets"]
    assert list(assets) == ["parcels", "classes", "probabilities"]
    assert assets["parcels"]["table:row_count"] == 0
    assert "bands" not in assets["parcels"]
    assert assets["classes"]["data_type"] == "uint8"

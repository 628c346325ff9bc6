import hashlib
import json
from pathlib import Path

import pystac
import pytest

from sitsinfer.errors import OutputError
from sitsinfer.products.cog import write_cog
from sitsinfer.products.stac import item_path, write_item

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

import subprocess
import sys

import numpy as np
import pytest
import rasterio

from sitsinfer.products.cog import write_cog
from sitsinfer.products.tags import read_tags

TAGS = {"SOFTWARE": "sitsinfer 0.1", "FINGERPRINT": "abc", "OPTIONS": '{"name": "<forêt> & co"}'}


def test_tags_come_back_as_they_were_given(class_source, tmp_path):
    write_cog(class_source(37, 61), tmp_path / "map.tif", TAGS)
    assert read_tags(tmp_path / "map.tif") == TAGS


@pytest.mark.parametrize(
    "options", [{"BIGTIFF": "YES"}, {"ENDIANNESS": "BIG"}, {"BIGTIFF": "YES", "ENDIANNESS": "BIG"}]
)
def test_tags_are_found_in_every_kind_of_tiff(tmp_path, options):
    profile = {"driver": "GTiff", "height": 5, "width": 7, "count": 1, "dtype": "uint8", "crs": "EPSG:32631"}
    transform = rasterio.Affine(10, 0, 0, 0, -10, 0)
    with rasterio.open(tmp_path / "map.tif", "w", **profile, transform=transform, **options) as file:
        file.write(np.zeros((1, 5, 7), np.uint8))
        file.update_tags(**TAGS)
        file.update_tags(1, CLASS_0="Water")
    assert read_tags(tmp_path / "map.tif") == TAGS


def test_other_files_have_no_tags_of_ours(class_source, tmp_path):
    write_cog(class_source(37, 61), tmp_path / "foreign.tif", {"SOFTWARE": "other"})
    whole = (tmp_path / "foreign.tif").read_bytes()
    (tmp_path / "cut.tif").write_bytes(whole[:9])
    (tmp_path / "text.tif").write_text("not a raster")
    (tmp_path / "empty.tif").touch()
    (tmp_path / "folder.tif").mkdir()
    for name in ("foreign", "cut", "text", "empty", "folder", "missing"):
        assert read_tags(tmp_path / f"{name}.tif") == {}, name


def test_gdal_is_not_imported():
    code = "import sys, sitsinfer.products.tags; print(sorted({'rasterio', 'numpy', 'odc.geo'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

import re

import rasterio.shutil

from sitsinfer.products.cog import write_cog


def test_gdal_reads_the_category_names(class_source, tmp_path):
    write_cog(class_source(5, 7), tmp_path / "map.tif", {})
    # rasterio cannot ask for category names, but GDAL hands them on to a VRT, which is text.
    rasterio.shutil.copy(tmp_path / "map.tif", tmp_path / "map.vrt", driver="VRT")
    text = (tmp_path / "map.vrt").read_text(encoding="utf-8")
    names = re.findall(r"<Category>(.*?)</Category>|<Category ?/>", text)
    assert names == ["Water", "Winter wheat", "", "", "Prairie &amp; forêt"]


def test_map_says_the_same_without_its_sidecar(class_source, tmp_path):
    write_cog(class_source(5, 7), tmp_path / "map.tif", {})
    (tmp_path / "map.tif.aux.xml").unlink()
    with rasterio.open(tmp_path / "map.tif") as file:
        assert file.tags(1)["CLASS_4"] == "Prairie & forêt"
        assert file.descriptions == ("class",)

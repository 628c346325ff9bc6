"""The ``.aux.xml`` beside a map of classes, where GDAL and QGIS look for their names.

GDAL writes category names nowhere else for a GeoTIFF, and rasterio does not write them at all. The file is GDAL's
"persistent auxiliary metadata": a list of names by code, and a raster attribute table with the colours.
"""

from pathlib import Path
from xml.etree import ElementTree as ET

from sitsinfer.layers import ClassInfo, Layer
from sitsinfer.products.whole import whole_file

INTEGER, STRING = "0", "2"
"""GDAL's numbers for types of columns (GDALRATFieldType)."""
VALUE, NAME, RED, GREEN, BLUE = "5", "2", "6", "7", "8"
"""GDAL's numbers for what columns mean (GDALRATFieldUsage)."""
COLUMNS = (
    ("Value", INTEGER, VALUE),
    ("Class", STRING, NAME),
    ("Red", INTEGER, RED),
    ("Green", INTEGER, GREEN),
    ("Blue", INTEGER, BLUE),
)


def sidecar_path(path: Path) -> Path:
    """The name of a raster's sidecar."""
    return path.with_name(f"{path.name}.aux.xml")


def write_sidecar(path: Path, layer: Layer) -> None:
    """Write the class names of a layer beside the raster ``path``.

    A layer without classes has no sidecar; one that is left from an earlier file of this name is removed.

    Raises:
        OutputError: If it cannot be written.
    """
    sidecar = sidecar_path(path)
    if not layer.is_categorical:
        sidecar.unlink(missing_ok=True)
        return
    root = ET.Element("PAMDataset")
    for number, name in enumerate(layer.bands, start=1):
        band = ET.SubElement(root, "PAMRasterBand", band=str(number))
        ET.SubElement(band, "Description").text = name
        _add_names(band, layer.classes)
        _add_table(band, layer.classes)
    ET.indent(root)
    with whole_file(sidecar) as draft:
        draft.write_bytes(ET.tostring(root, encoding="utf-8") + b"\n")


def _add_names(band: ET.Element, classes: tuple[ClassInfo, ...]) -> None:
    """List the names from code 0 on, empty where a code has no class."""
    names = {entry.code: entry.name for entry in classes}
    categories = ET.SubElement(band, "CategoryNames")
    for code in range(max(names) + 1):
        ET.SubElement(categories, "Category").text = names.get(code, "")


def _add_table(band: ET.Element, classes: tuple[ClassInfo, ...]) -> None:
    """Add a raster attribute table, one row a class."""
    table = ET.SubElement(band, "GDALRasterAttributeTable", tableType="thematic")
    for index, (name, kind, usage) in enumerate(COLUMNS):
        column = ET.SubElement(table, "FieldDefn", index=str(index))
        for tag, text in (("Name", name), ("Type", kind), ("Usage", usage)):
            ET.SubElement(column, tag).text = text
    for index, entry in enumerate(classes):
        row = ET.SubElement(table, "Row", index=str(index))
        for value in (entry.code, entry.name, *entry.color):
            ET.SubElement(row, "F").text = str(value)

"""How parcels are drawn: a style that QGIS reads (QML), a colour a class and a thin outline.

QGIS applies a style of its own accord from a file beside the data, ``parcels.qml`` for ``parcels.fgb``, or from a table
within a GeoPackage. A file beside the data that a person changed is kept when parcels are written again; a style that a
person saved within a GeoPackage is replaced together with it.
"""

from pathlib import Path
from xml.etree import ElementTree as ET

from sitsinfer.layers import ClassInfo
from sitsinfer.products.whole import whole_file

QGIS_VERSION = "3.28.0"
"""The oldest that is known to read it; options are elements ``Option`` only since 3.20."""
OUTLINE = {
    "outline_color": "35,35,35,255",
    "outline_style": "solid",
    "outline_width": "0.1",
    "outline_width_unit": "MM",
    "joinstyle": "miter",
}
OURS = b"<!--sitsinfer-->"
"""What our files have, and lose as soon as QGIS saves them: what a person changed is theirs."""


def style_path(path: Path) -> Path:
    """Where QGIS looks for the style of a file."""
    return path.with_suffix(".qml")


def write_style(path: Path, qml: str) -> None:
    """Write a style beside a file, unless there is one that is not ours.

    Args:
        path: The file that is drawn.
        qml: The style.

    Raises:
        OutputError: If it cannot be written.
    """
    target = style_path(path)
    if target.exists() and OURS not in target.read_bytes():
        return
    with whole_file(target) as draft:
        draft.write_bytes(OURS + b"\n" + qml.encode() + b"\n")


def style(attribute: str, classes: tuple[ClassInfo, ...]) -> str:
    """A style as QML: categories by class code, no labels.

    Args:
        attribute: The attribute with class codes.
        classes: The legend.
    """
    root = ET.Element("qgis", version=QGIS_VERSION, styleCategories="Symbology|Labeling", labelsEnabled="0")
    renderer = ET.SubElement(root, "renderer-v2", type="categorizedSymbol", attr=attribute, symbollevels="0")
    categories, symbols = ET.SubElement(renderer, "categories"), ET.SubElement(renderer, "symbols")
    for number, entry in enumerate(classes):
        name = str(number)
        ET.SubElement(
            categories, "category", symbol=name, value=str(entry.code), type="long", label=entry.name, render="true"
        )
        _add_symbol(symbols, name, entry.color)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode")


def _add_symbol(symbols: ET.Element, name: str, color: tuple[int, int, int]) -> None:
    """Add a simple fill."""
    symbol = ET.SubElement(symbols, "symbol", name=name, type="fill", alpha="1", clip_to_extent="1")
    layer = {"class": "SimpleFill", "enabled": "1", "locked": "0", "pass": "0"}
    options = ET.SubElement(ET.SubElement(symbol, "layer", layer), "Option", type="Map")
    for key, value in {"color": ",".join(map(str, (*color, 255))), "style": "solid", **OUTLINE}.items():
        ET.SubElement(options, "Option", name=key, value=value, type="QString")

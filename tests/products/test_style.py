from xml.etree import ElementTree as ET

import pytest

from sitsinfer.products.style import style, style_path, write_style
from tests.products.conftest import CLASSES


def test_each_class_has_its_name_and_colour():
    renderer = ET.fromstring(style("class", CLASSES)).find("renderer-v2")
    assert renderer.attrib["type"] == "categorizedSymbol"
    assert renderer.attrib["attr"] == "class"
    symbols = {symbol.attrib["name"]: symbol for symbol in renderer.iter("symbol")}
    for category, entry in zip(renderer.iter("category"), CLASSES, strict=True):
        symbol = symbols[category.attrib["symbol"]]
        assert (category.attrib["value"], category.attrib["label"]) == (str(entry.code), entry.name)
        assert symbol.attrib["type"] == "fill"
        assert symbol.find("layer").attrib["class"] == "SimpleFill"
        options = {option.attrib["name"]: option.attrib["value"] for option in symbol.find("layer/Option")}
        assert options["color"] == ",".join(map(str, (*entry.color, 255)))
        assert float(options["outline_width"]) <= 0.2


def test_labels_are_off():
    assert ET.fromstring(style("class", CLASSES)).attrib["labelsEnabled"] == "0"


def test_style_lies_where_qgis_looks(tmp_path):
    write_style(tmp_path / "a.b.fgb", style("class", CLASSES))
    assert style_path(tmp_path / "a.b.fgb") == tmp_path / "a.b.qml"
    assert ET.parse(tmp_path / "a.b.qml").getroot().tag == "qgis"


@pytest.mark.parametrize("changed", [False, True])
def test_style_is_replaced_unless_somebody_changed_it(changed, tmp_path):
    write_style(tmp_path / "a.fgb", style("class", CLASSES[:1]))
    if changed:  # as QGIS saves it, without comments
        ET.parse(tmp_path / "a.qml").write(tmp_path / "a.qml")
    before = (tmp_path / "a.qml").read_bytes()
    write_style(tmp_path / "a.fgb", style("class", CLASSES))
    assert ((tmp_path / "a.qml").read_bytes() == before) == changed

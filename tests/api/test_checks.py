from pathlib import Path

import numpy as np
import pytest

from sitsinfer.api import checks
from sitsinfer.engine import Options
from sitsinfer.errors import OutputError
from sitsinfer.products.stac import item_path, write_item
from tests.conftest import write_raster


def described(path: Path) -> Path:
    """A raster with its STAC item."""
    write_raster(path, np.ones((1, 5, 7), np.uint8), ["class"])
    write_item(item_path(path), {"classes": path}, {"dates": ["2022-03-04"]})
    return path


def test_the_item_of_an_output_may_be_replaced(tmp_path: Path) -> None:
    checks.check_item(tmp_path / "new.tif", Options())
    checks.check_item(described(tmp_path / "map.tif"), Options())


@pytest.mark.parametrize("overwrite", [False, True])
def test_the_item_of_another_output_may_not(tmp_path: Path, overwrite: bool) -> None:
    described(tmp_path / "map.tif")
    with pytest.raises(OutputError, match=r"map.json describes other outputs than map.gpkg. Choose another name"):
        checks.check_item(tmp_path / "map.gpkg", Options(overwrite=overwrite))


def test_what_is_no_item_is_replaced_only_if_asked(tmp_path: Path) -> None:
    (tmp_path / "map.json").write_text("{}")
    with pytest.raises(OutputError, match="map.json already exists"):
        checks.check_item(tmp_path / "map.tif", Options())
    checks.check_item(tmp_path / "map.tif", Options(overwrite=True))

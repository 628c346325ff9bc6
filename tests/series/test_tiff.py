from pathlib import Path

import numpy as np
import pytest

from sitsinfer.series.tiff import least_size
from tests.conftest import BANDS, write_raster

VALUES = np.arange(4 * 23 * 31, dtype=np.uint16).reshape(4, 23, 31)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"BIGTIFF": "YES"},
        {"ENDIANNESS": "BIG"},
        {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "deflate", "interleave": "band"},
    ],
)
def test_a_tiff_is_as_long_as_it_says(tmp_path: Path, options: dict[str, object]) -> None:
    path = write_raster(tmp_path / "a.tif", VALUES, BANDS, tags={"SCALE": "0.0001"}, **options)  # type: ignore[arg-type]
    assert path.stat().st_size - 1 <= least_size(path) <= path.stat().st_size


def test_what_is_no_tiff_needs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    for content in (b"", b"II", b"this is no raster at all"):
        path.write_bytes(content)
        assert least_size(path) == 0


def test_a_directory_beyond_the_end_is_left_to_gdal(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", VALUES, BANDS)
    path.write_bytes(path.read_bytes()[:200])
    assert least_size(path) >= 0

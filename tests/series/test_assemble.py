import re
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from sitsinfer.errors import SeriesError
from sitsinfer.series import open_series
from sitsinfer.series.assemble import common_grid
from sitsinfer.series.types import RasterSource
from tests.conftest import BANDS, CORNER, DATES, place_values, write_raster
from tests.series.scaled import (
    COLLECTION_2,
    KELVIN,
    OLI,
    REFLECTANCE,
    TENTHS,
    UNTOLD,
    write_products,
    write_scaled,
)

Folder = Callable[..., Path]
Bands = Mapping[str, tuple[float, float]]
LEFT, TOP = CORNER


def write(folder: Path, name: str, **options: object) -> Path:
    values = np.stack([place_values((23, 31), DATES[0], band) for band in range(len(BANDS))])
    return write_raster(folder / name, values, BANDS, **options)  # type: ignore[arg-type]


def source(shape: tuple[int, int], size: float, left: float, top: float, crs: str = "EPSG:32631") -> RasterSource:
    grid = GeoBox(shape, Affine(size, 0, left, 0, -size, top), crs)
    return RasterSource(Path("x"), ("B02",), (1,), grid, "uint16", 0)


def test_the_grid_is_the_union_of_footprints() -> None:
    grid = common_grid([source((10, 20), 10, 0, 0), source((5, 5), 10, 190, 30), source((4, 3), 10, -50, -80)])
    assert grid.affine[:6] == (10, 0, -50, 0, -10, 30)
    assert grid.shape == (15, 29)


def test_the_grid_has_the_finest_resolution_of_the_main_crs() -> None:
    sources = [source((5, 5), 20, 0, 0), source((10, 10), 10, 0, 0), source((50, 50), 2, 0, 0, "EPSG:32632")]
    grid = common_grid([*sources, sources[0]])
    assert str(grid.crs) == "EPSG:32631"
    assert grid.affine.a == 10


def test_the_grid_has_the_most_common_phase() -> None:
    grid = common_grid([source((5, 5), 10, 5, 5), source((5, 5), 10, 2, 3), source((5, 5), 10, 12, 13)])
    assert (grid.affine.c % 10, grid.affine.f % 10) == (2, 3)
    assert grid.shape == (6, 6)


def test_a_footprint_in_another_crs_lies_within_the_grid() -> None:
    far = source((40, 30), 10, 250_000, 5_200_000, "EPSG:32632")
    grid = common_grid([source((9, 9), 10, 690_000, 5_200_000), source((9, 9), 10, 690_000, 5_200_000), far])
    to_main = Transformer.from_crs("EPSG:32632", "EPSG:32631", always_xy=True)
    for col, row in ((0, 0), (30, 0), (0, 40), (30, 40)):
        x, y = to_main.transform(250_000 + 10 * col, 5_200_000 - 10 * row)
        at_col, at_row = ~grid.affine @ (x, y)
        assert 0 <= at_col <= grid.shape.x
        assert 0 <= at_row <= grid.shape.y


def test_each_kind_of_resampling_is_noted(series_folder: Folder) -> None:
    folder = series_folder()
    write(folder, "S2_20220501.tif", transform=Affine(10, 0, LEFT + 5, 0, -10, TOP + 2.5))
    write(folder, "S2_20220502.tif", crs="EPSG:32632", transform=Affine(10, 0, 143_000, 0, -10, 5_212_000))
    series = open_series(folder)
    assert series.notes == (
        "1 of 5 acquisitions are resampled from pixels that lie 0.25 up and 0.5 right of the others to these: "
        "S2_20220501.tif.",
        "1 of 5 acquisitions are resampled from EPSG:32632 to EPSG:32631: S2_20220502.tif.",
    )


def test_two_sensors_are_refused(series_folder: Folder) -> None:
    folder = series_folder()
    write(folder, "L8_20220501.tif")
    expected = r"holds two sensors: landsat-8 \(1 files\) and sentinel-2 \(3 files\). Expected one .* Put each in a"
    with pytest.raises(SeriesError, match=expected):
        open_series(folder)


def test_files_that_name_no_sensor_go_with_those_that_do(series_folder: Folder) -> None:
    folder = series_folder()
    write(folder, "x_20220501.tif")
    assert open_series(folder).sensor == "sentinel-2"


def test_the_later_product_of_a_day_comes_first(tmp_path: Path) -> None:
    old = "S2A_MSIL2A_20220413T105031_N0300_R051_T31UFS_20220413T143022.tif"
    new = "S2A_MSIL2A_20220413T105031_N0301_R051_T31UFS_20230101T000000.tif"
    for name in (new, old):
        write(tmp_path, name)
    series = open_series(tmp_path)
    (acquisition,) = series.acquisitions
    assert [image.name for image in acquisition.images] == [new, old]
    assert "1 of 1 dates have several products, merged, the latest on top: 2022-04-13" in series.notes[0]


def test_a_product_scaled_otherwise_fills_no_holes(tmp_path: Path) -> None:
    old = "S2A_MSIL2A_20220413T105031_N0301_R051_T31UFS_20220413T143022.tif"
    new = "S2A_MSIL2A_20220413T105031_N0500_R051_T31UFS_20230101T000000.tif"
    for name in (new, old):
        write(tmp_path, name)
    series = open_series(tmp_path)
    (acquisition,) = series.acquisitions
    assert [image.name for image in acquisition.images] == [new]
    assert [(out.path.name, out.reason) for out in series.left_out] == [
        (old, f"scaled unlike {new}, a later product of 2022-04-13")
    ]


@pytest.mark.parametrize(
    ("name", "tags", "scaling"),
    [
        ("S2A_MSIL2A_20220413T105031_N0400_R051.tif", {}, (1e-4, -0.1)),
        ("S2A_MSIL2A_20220413T105031_N0301_R051.tif", {}, (1e-4, 0.0)),
        ("S2_20220413.tif", {}, (1e-4, 0.0)),
        ("S2_20220413.tif", {"PROCESSING_BASELINE": "05.09"}, (1e-4, -0.1)),
        ("S2_20220413.tif", {"PROCESSING_BASELINE": "05.09", "BOA_ADD_OFFSET_APPLIED": "true"}, (1e-4, 0.0)),
        ("S2_20220413.tif", {"PROCESSING_BASELINE": "05.09", "BOA_ADD_OFFSET": "0"}, (1e-4, 0.0)),
        ("S2_20220413.tif", {"PROCESSING_BASELINE": "05.09", "OFFSET": "-0.2"}, (1e-4, -0.2)),
        ("S2_20220413.tif", {"SCALE": "0.001"}, (1e-3, 0.0)),
        ("L8_20220413.tif", {"SCALE": "SR 0.0001; B10 0.1 K"}, (1e-4, 0.0)),
        ("x_20220413.tif", {}, (1.0, 0.0)),
    ],
)
def test_scaling_goes_by_metadata_then_by_sensor(
    tmp_path: Path, name: str, tags: dict[str, str], scaling: tuple[float, float]
) -> None:
    write(tmp_path, name, tags=tags)
    (acquisition,) = open_series(tmp_path).acquisitions
    assert (acquisition.scale, acquisition.offset) == pytest.approx(scaling)


def test_the_baseline_counts_for_its_own_acquisition(tmp_path: Path) -> None:
    write(tmp_path, "S2_20211201.tif", tags={"PROCESSING_BASELINE": "03.01"})
    write(tmp_path, "S2_20220413.tif", tags={"PROCESSING_BASELINE": "04.00"})
    assert [a.offset for a in open_series(tmp_path).acquisitions] == [0.0, -0.1]


def test_floats_are_reflectance_and_their_nodata_nan(tmp_path: Path) -> None:
    write_raster(tmp_path / "S2_20220413.tif", np.ones((4, 5, 7), np.float32), BANDS, nodata=-9999)
    series = open_series(tmp_path)
    assert (series.dtype, series.acquisitions[0].scale) == ("float32", 1.0)
    assert np.isnan(series.nodata)


def test_integers_of_two_types_are_read_as_one_that_holds_both(tmp_path: Path) -> None:
    write_raster(tmp_path / "S2_20220413.tif", np.ones((4, 5, 7), np.uint16), BANDS, nodata=65535)
    write_raster(tmp_path / "S2_20220414.tif", np.ones((4, 5, 7), np.int16), BANDS, nodata=-9999)
    write_raster(tmp_path / "S2_20220415.tif", np.ones((4, 5, 7), np.int16), BANDS, nodata=-9999)
    series = open_series(tmp_path)
    assert (series.dtype, series.nodata) == ("int32", -9999)


def test_without_nodata_unsigned_integers_take_zero(tmp_path: Path) -> None:
    write(tmp_path, "S2_20220413.tif", nodata=None)
    assert open_series(tmp_path).nodata == 0


def test_dates_are_sorted_whatever_the_names(tmp_path: Path) -> None:
    write(tmp_path, "a_S2_20220413.tif")
    write(tmp_path, "b_S2_20210413.tif")
    assert open_series(tmp_path).dates == (date(2021, 4, 13), date(2022, 4, 13))


def test_the_folder_names_the_sensor_if_nothing_else_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "sentinel2", "20220413.tif")
    monkeypatch.chdir(tmp_path / "sentinel2")
    assert open_series(Path()).sensor == "sentinel-2"


# --- scaling of bands


@pytest.mark.parametrize(
    ("bands", "dtype", "scaling", "thermal"),
    [
        (COLLECTION_2, "uint16", REFLECTANCE, KELVIN),
        ({**COLLECTION_2, "B10": KELVIN, "B11": (0.01, 0.0)}, "uint16", REFLECTANCE, KELVIN),
        (TENTHS, "int16", (1e-4, 0.0), (0.1, 0.0)),
        (dict.fromkeys(TENTHS, UNTOLD), "int16", (1e-4, 0.0), (0.1, 0.0)),
        (dict.fromkeys(TENTHS, UNTOLD), "float32", (1.0, 0.0), (1.0, 0.0)),
        (dict.fromkeys(TENTHS, (1e-3, 0.0)), "int16", (1e-3, 0.0), (0.1, 0.0)),
        ({**TENTHS, "LST": UNTOLD}, "int16", (1e-4, 0.0), (0.1, 0.0)),
        ({"B02": UNTOLD, "LST": (0.02, 100.0)}, "int16", (1e-4, 0.0), (0.02, 100.0)),
        ({"LST": (0.02, 100.0)}, "int16", (0.02, 100.0), (0.02, 100.0)),
        ({**dict.fromkeys(OLI, REFLECTANCE), "angle": (0.01, 0.0)}, "uint16", REFLECTANCE, None),
        ({"angle": (0.01, 0.0), "LST": KELVIN}, "uint16", (0.01, 0.0), KELVIN),
    ],
)
def test_temperature_is_scaled_apart_from_reflectance(
    tmp_path: Path, bands: Bands, dtype: str, scaling: tuple[float, float], thermal: tuple[float, float] | None
) -> None:
    write_scaled(tmp_path / "LC08_L2SP_20220413.tif", bands, dtype)
    (acquisition,) = open_series(tmp_path).acquisitions
    assert (acquisition.scale, acquisition.offset) == scaling
    assert acquisition.thermal == thermal


def test_sentinel_2_has_no_temperature_though_it_has_a_band_10(tmp_path: Path) -> None:
    write_scaled(tmp_path / "S2_20220413.tif", dict.fromkeys(("B02", "B10"), (1e-4, -0.1)))
    (acquisition,) = open_series(tmp_path).acquisitions
    assert (acquisition.scale, acquisition.offset, acquisition.thermal) == (1e-4, -0.1, None)


def test_the_file_of_temperature_does_not_scale_those_of_reflectance(tmp_path: Path) -> None:
    write_products(tmp_path, {"ST_B10": KELVIN, **COLLECTION_2}, "LC09_L2SP_198030_20220413_20220415_02_T1")
    series = open_series(tmp_path)
    (acquisition,) = series.acquisitions
    assert [len(image.sources) for image in acquisition.images] == [8]
    assert series.bands == (*OLI, "B10")
    assert ((acquisition.scale, acquisition.offset), acquisition.thermal) == (REFLECTANCE, KELVIN)
    assert not series.left_out


def test_a_file_that_comes_first_and_says_nothing_leaves_the_scale_to_the_others(tmp_path: Path) -> None:
    stem = "LC09_L2SP_198030_20220413_20220415_02_T1"
    write_products(tmp_path, {"B01": UNTOLD, "B02": REFLECTANCE, "ST_B10": KELVIN}, stem)
    (acquisition,) = open_series(tmp_path).acquisitions
    assert ((acquisition.scale, acquisition.offset), acquisition.thermal) == (REFLECTANCE, KELVIN)


def test_bands_of_a_file_that_are_scaled_differently_are_refused(tmp_path: Path) -> None:
    path = write_scaled(tmp_path / "L8_20220413.tif", {**COLLECTION_2, "B03": (1e-4, 0.0)})
    expected = (
        rf"^{re.escape(str(path))}: bands are scaled differently, B01, B02, B04, B05 and 2 more x 2\.75e-05 -0\.2; "
        rf"B03 x 0\.0001 \+0\. Expected one .* Write all bands alike, or leave the acquisition out\.$"
    )
    with pytest.raises(SeriesError, match=expected):
        open_series(tmp_path)


def test_files_of_an_image_that_are_scaled_differently_are_refused(tmp_path: Path) -> None:
    stem = "LC09_L2SP_198030_20220413_20220415_02_T1"
    write_products(tmp_path, {"B02": REFLECTANCE, "B03": (1e-4, 0.0), "ST_B10": KELVIN}, stem)
    with pytest.raises(SeriesError, match=rf"{stem}_SR_B2.TIF and 2 more: .* B02 x 2.75e-05 -0.2; B03 x 0.0001 \+0"):
        open_series(tmp_path)


COOL = dict.fromkeys(OLI, REFLECTANCE)


@pytest.mark.parametrize(("older", "newer"), [(COLLECTION_2, COLLECTION_2), (COOL, COLLECTION_2), (COLLECTION_2, COOL)])
def test_products_merge_whether_or_not_each_has_temperature(tmp_path: Path, older: Bands, newer: Bands) -> None:
    write_scaled(tmp_path / "LC08_L2SP_198030_20220413_20220415.tif", older)
    write_scaled(tmp_path / "LC08_L2SP_198030_20220413_20220420.tif", newer)
    (acquisition,) = open_series(tmp_path).acquisitions
    assert (len(acquisition.images), acquisition.thermal) == (2, KELVIN)


def test_temperature_scaled_otherwise_fills_no_holes(tmp_path: Path) -> None:
    write_scaled(tmp_path / "LC08_L2SP_198030_20220413_20220415.tif", {**COLLECTION_2, "ST_B10": (0.1, 0.0)})
    write_scaled(tmp_path / "LC08_L2SP_198030_20220413_20220420.tif", COLLECTION_2)
    series = open_series(tmp_path)
    (acquisition,) = series.acquisitions
    assert (len(acquisition.images), acquisition.thermal) == (1, KELVIN)
    assert [out.path.name for out in series.left_out] == ["LC08_L2SP_198030_20220413_20220415.tif"]

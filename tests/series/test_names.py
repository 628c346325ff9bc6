from datetime import date
from pathlib import PurePath

import pytest

from sitsinfer.series import names

DAY = date(2022, 4, 13)


@pytest.mark.parametrize(
    "name",
    [
        "S2_20220413",
        "2022-04-13_s2",
        "S2_2022_04_13_B02",
        "S2A_MSIL2A_20220413T105031_N0400_R051_T31UFS_20220420T143022",
        "LC08_L2SP_199024_20220413_20220420_02_T1_SR_B4",
        "tile_99999999_20220413",
        "20220413105031_S2",
        "HLS.S30.T31UFS.2022103T105031.v2.0.B02",
    ],
)
def test_the_first_date_in_a_name_is_the_acquisition(name: str) -> None:
    assert names.first_date(name) == DAY


@pytest.mark.parametrize(
    "name", ["mosaic", "T31UFS_12345678", "S2_20221345", "S2_202204131", "a_2022103_2022104", "2021366", "10980_10980"]
)
def test_digits_that_are_no_date_are_not_taken_for_one(name: str) -> None:
    assert names.first_date(name) is None


def test_a_folder_dates_what_its_files_do_not() -> None:
    assert names.date_in_path(PurePath("20220413/B02")) == DAY
    assert names.date_in_path(PurePath("20220413/S2_20220501_B02")) == date(2022, 5, 1)
    assert names.date_in_path(PurePath("2022/04/B02.tif")) is None


def test_metadata_tell_the_acquisition_and_when_the_file_was_written() -> None:
    tags = {"acquisition": "2022-04-13T10:53:28Z", "TIFFTAG_DATETIME": "2024:01:02 03:04:05"}
    assert names.date_in_tags(tags) == DAY
    assert names.written_date(tags) == date(2024, 1, 2)
    assert names.date_in_tags({"SCALE": "0.0001"}) is None


@pytest.mark.parametrize(
    ("spelled", "name"),
    [
        ("B2", "B02"),
        ("b02", "B02"),
        ("Band_8A", "B8A"),
        ("b8a", "B8A"),
        ("band 11", "B11"),
        ("SR_B4", "B04"),
        ("B12, central wavelength 2190 nm", "B12"),
        ("vv", "VV"),
        ("NDVI", "NDVI"),
    ],
)
def test_bands_have_one_spelling(spelled: str, name: str) -> None:
    assert names.band_name(spelled) == name


@pytest.mark.parametrize(
    ("stem", "band"),
    [
        ("S2_20220413_B02", "B02"),
        ("T31UFS_20220413T105031_B8A_20m", "B8A"),
        ("S2B_20220413", None),
        ("B_20220413", None),
        ("20220413_band_3", "B03"),
        ("S1A_20220413_vh", "VH"),
    ],
)
def test_bands_are_found_in_names(stem: str, band: str | None) -> None:
    assert names.band_in_name(stem) == band


def test_files_of_one_image_share_what_is_left_of_their_names() -> None:
    stems = ["T31_20220413_B02_10m", "T31_20220413_B8A_20m"]
    assert {names.without_band(stem) for stem in stems} == {"T31_20220413"}
    stems = ["LC09_L2SP_198030_20220413_20220415_02_T1_SR_B2", "LC09_L2SP_198030_20220413_20220415_02_T1_ST_B10"]
    assert {names.without_band(stem) for stem in stems} == {"LC09_L2SP_198030_20220413_20220415_02_T1"}


@pytest.mark.parametrize(
    ("name", "sensor"),
    [
        ("S2_20220413", "sentinel-2"),
        ("S2B_MSIL2A_20220413", "sentinel-2"),
        ("Sentinel-2 MSI L2A", "sentinel-2"),
        ("sentinel2", "sentinel-2"),
        ("LC09_L2SP_20220413", "landsat-8"),
        ("Landsat-8 OLI/TIRS C1", "landsat-8"),
        ("LE07_20020413", "landsat-7"),
        ("S1A_20220413", "sentinel-1"),
    ],
)
def test_sensors_are_recognised(name: str, sensor: str) -> None:
    found = names.sensor_in(name)
    assert found
    assert found.name == sensor


def test_a_name_without_sensor_tells_none() -> None:
    assert names.sensor_in("mosaic_T31UFS_20220413_l2a") is None


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("S2_20220413_mask", "mask"),
        ("s2_cloudmask", "mask"),
        ("S2_CLM_20220413", "mask"),
        ("S2_SCL_20220413", "scl"),
        ("dataMask", None),
        ("sclera", None),
        ("B02", None),
    ],
)
def test_masks_are_recognised(name: str, kind: str | None) -> None:
    assert names.mask_kind(name) == kind


def test_the_baseline_is_in_metadata_or_in_the_product_name() -> None:
    assert names.baseline("S2A_MSIL2A_20220413T105031_N0400_R051", {}) == 4.0
    assert names.baseline("x", {"PROCESSING_BASELINE": "05.10"}) == 5.1
    assert names.baseline("S2_20220413", {}) is None


def test_later_processing_sorts_later() -> None:
    first = names.processing_time("S2A_MSIL2A_20220413T105031_N0400_R051_T31UFS_20220413T143022", {})
    second = names.processing_time("S2A_MSIL2A_20220413T105031_N0400_R051_T31UFS_20230101T000000", {})
    assert "" == names.processing_time("S2_20220413", {}) < first < second


def test_scalings_in_the_header_are_those_of_bands_that_have_one() -> None:
    bands, scales, offsets = ("B02", "B10", "QA"), (2e-5, 1.0, 1.0), (-0.2, 149.0, 0.0)
    assert names.scalings_in_header(bands, scales, offsets) == {"B02": (2e-5, -0.2), "B10": (1.0, 149.0)}


@pytest.mark.parametrize(
    ("sensor", "band", "is_thermal"),
    [
        ("landsat-8", "B10", True),
        ("landsat-8", "B06", False),
        ("landsat-7", "B06", True),
        ("sentinel-2", "B10", False),
        ("sentinel-2", "LST", True),
        ("landsat-5", "ST_B6", True),
    ],
)
def test_temperature_goes_by_its_name_or_its_sensor(sensor: str, band: str, is_thermal: bool) -> None:
    (known,) = (one for one in names.SENSORS if one.name == sensor)
    assert names.is_thermal(band, known) == is_thermal


def test_an_angle_is_nothing_that_a_sensor_measures() -> None:
    sentinel2, landsat = names.SENSORS[:2]
    assert names.is_measured("B10", sentinel2)
    assert not names.is_measured("B10", landsat)
    assert not names.is_measured("sunZenithAngles", sentinel2)


def test_scaling_in_tags_is_taken_where_it_is_a_number() -> None:
    assert names.scaling_in_tags({}) == (None, None)
    assert names.scaling_in_tags({"SCALE": "SR 0.0001; B10 0.1 K"}) == (None, None)
    assert names.scaling_in_tags({"SCALE": "0.001", "OFFSET": "-0.1"}) == (0.001, -0.1)
    assert names.scaling_in_tags({"BOA_ADD_OFFSET": "-1000"}) == (None, -0.1)

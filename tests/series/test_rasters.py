from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from affine import Affine

from sitsinfer.errors import SeriesError
from sitsinfer.series import open_series
from tests.conftest import BANDS, CORNER, DATES, place_values, write_raster

Folder = Callable[..., Path]


def one_band(folder: Path, name: str, band: int = 0, **options: object) -> Path:
    return write_raster(folder / name, place_values((23, 31), DATES[0], band)[None], **options)  # type: ignore[arg-type]


def test_a_file_per_date_is_a_series(series_folder: Folder) -> None:
    series = open_series(series_folder())
    assert series.dates == DATES
    assert series.bands == BANDS
    assert series.sensor == "sentinel-2"
    assert series.grid.shape == (23, 31)
    assert (series.grid.affine.c, series.grid.affine.f) == CORNER
    assert (series.dtype, series.nodata) == ("uint16", 0)
    assert {(a.scale, a.offset) for a in series.acquisitions} == {(1e-4, 0.0)}
    assert series.left_out == series.notes == ()


def test_a_file_per_band_and_date_is_the_same_series(tmp_path: Path) -> None:
    for day in DATES:
        for band in ("B11", "B8A", "B02"):
            one_band(tmp_path / "s2", f"S2_{day:%Y%m%d}_{band}.tif")
    series = open_series(tmp_path / "s2")
    assert series.bands == ("B02", "B8A", "B11")
    assert series.dates == DATES
    assert series.notes == ()


def test_folders_of_dates_hold_files_of_bands(tmp_path: Path) -> None:
    for day in DATES:
        for band in ("B03", "B04"):
            one_band(tmp_path / "s2", f"{day:%Y-%m-%d}/{band}.tif")
    series = open_series(tmp_path / "s2")
    assert (series.bands, series.dates) == (("B03", "B04"), DATES)
    assert all(len(acquisition.images) == 1 for acquisition in series.acquisitions)


def test_bands_at_two_resolutions_are_one_image(tmp_path: Path) -> None:
    one_band(tmp_path, "S2_20220413_B02_10m.tif")
    write_raster(
        tmp_path / "S2_20220413_B11_20m.tif",
        np.ones((1, 12, 16), np.uint16),
        transform=Affine(20, 0, CORNER[0], 0, -20, CORNER[1]),
    )
    series = open_series(tmp_path)
    assert series.bands == ("B02", "B11")
    assert series.grid.affine.a == 10
    assert series.grid.shape == (24, 32)
    assert "from pixels of 20 to 10" in " ".join(series.notes)


def test_ten_unnamed_bands_of_sentinel_2_are_in_its_order(tmp_path: Path) -> None:
    values = np.ones((10, 5, 7), np.uint16)
    expected = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
    write_raster(tmp_path / "a" / "S2_20220413.tif", values)
    assert open_series(tmp_path / "a").bands == expected
    write_raster(tmp_path / "b" / "S2_20220413.tif", values, [f"Band {number}" for number in range(1, 11)])
    assert open_series(tmp_path / "b").bands == expected


def test_bands_that_nobody_names_are_numbered(tmp_path: Path) -> None:
    write_raster(tmp_path / "x_20220413.tif", np.ones((3, 5, 7), np.uint16))
    series = open_series(tmp_path)
    assert series.bands == ("1", "2", "3")
    assert series.sensor == "unknown"


def test_metadata_date_a_file_whose_name_does_not(tmp_path: Path) -> None:
    one_band(tmp_path, "first.tif", tags={"ACQUISITION": "2022-04-13T10:53:28Z"})
    one_band(tmp_path, "second.tif", tags={"TIFFTAG_DATETIME": "2022:05:01 10:00:00"})
    assert open_series(tmp_path).dates == (date(2022, 4, 13), date(2022, 5, 1))


def test_a_name_counts_more_than_when_the_file_was_written(tmp_path: Path) -> None:
    one_band(tmp_path, "S2_20220413.tif", tags={"TIFFTAG_DATETIME": "2024:05:01 10:00:00"})
    assert open_series(tmp_path).dates == (date(2022, 4, 13),)


def test_a_name_that_contradicts_metadata_is_noted(tmp_path: Path) -> None:
    one_band(tmp_path, "S2_20220414.tif", tags={"ACQUISITION": "2022-04-13"})
    series = open_series(tmp_path)
    assert series.dates == (date(2022, 4, 13),)
    assert series.notes == (
        "1 files are named by another date than their metadata tell: S2_20220414.tif (2022-04-13).",
    )


def test_what_does_not_belong_is_left_out_with_the_reason(series_folder: Folder) -> None:
    folder = series_folder()
    (folder / "notes.txt").write_text("hello")
    (folder / "S2_20220413.tif.aux.xml").write_text("<PAMDataset/>")
    one_band(folder, "mosaic.tif")
    one_band(folder, "S2_20220413_quicklook.tif")
    one_band(folder / "truth", "classes.tif")
    series = open_series(folder)
    assert [(out.path.name, out.reason) for out in series.left_out] == [
        ("S2_20220413_quicklook.tif", "a quicklook"),
        ("mosaic.tif", "no date in its metadata or name"),
        ("notes.txt", "not a raster"),
        ("truth", "a folder that is named by no date, band or mask"),
    ]
    assert series.dates == DATES
    with pytest.raises(SeriesError, match=r"4 files of .* cannot be used: .*a quicklook.* do not be strict"):
        open_series(folder, strict=True)


def test_strict_refuses_what_is_noted(tmp_path: Path) -> None:
    one_band(tmp_path, "S2_20220414.tif", tags={"ACQUISITION": "2022-04-13"})
    with pytest.raises(SeriesError, match="named by another date"):
        open_series(tmp_path, strict=True)


def test_strict_takes_a_series_without_doubts(series_folder: Folder) -> None:
    assert open_series(series_folder(), strict=True).dates == DATES


# --- masks


@pytest.mark.parametrize(
    ("images", "masks"), [("s2", "s2_cloudmask"), ("sentinel2", "sentinel2_mask"), ("s2", "s2_scl"), ("s2", "s2")]
)
def test_masks_are_found_beside_the_images(series_folder: Folder, images: str, masks: str) -> None:
    folder = series_folder(folder=images)
    for day in DATES[1:]:
        write_raster(folder.parent / masks / f"S2_{day:%Y%m%d}_mask.tif", np.zeros((1, 23, 31), np.uint8), nodata=None)
    series = open_series(folder)
    assert [len(a.images[0].masks) for a in series.acquisitions] == [0, 1, 1]
    assert series.bands == BANDS


def test_a_mask_wins_over_scene_classes(series_folder: Folder) -> None:
    folder = series_folder(DATES[:1])
    for name in ("s2_scl/S2_SCL_20220108.tif", "s2_clm/S2_CLM_20220108.tif"):
        write_raster(folder.parent / name, np.zeros((1, 23, 31), np.uint8), nodata=None)
    (mask,) = open_series(folder).acquisitions[0].images[0].masks
    assert (mask.kind, mask.source.path.name) == ("mask", "S2_CLM_20220108.tif")


def test_masks_of_a_series_with_a_longer_name_are_not_taken(series_folder: Folder) -> None:
    folder = series_folder(DATES[:1], folder="l8")
    series_folder(DATES[:1], folder="l8_30m")
    write_raster(folder.parent / "l8_30m_cloudmask" / "CLM_20220108.tif", np.ones((1, 23, 31), np.uint8))
    assert open_series(folder).acquisitions[0].images[0].masks == ()
    assert len(open_series(folder.parent / "l8_30m").acquisitions[0].images[0].masks) == 1


def test_scene_classes_among_the_bands_are_a_mask(series_folder: Folder) -> None:
    series = open_series(series_folder(bands=(*BANDS, "SCL")))
    assert series.bands == BANDS
    (mask,) = series.acquisitions[0].images[0].masks
    assert (mask.kind, mask.source.indexes) == ("scl", (5,))


# --- bad input


def test_a_path_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(SeriesError, match=r"nowhere does not exist. Expected a folder of GeoTIFFs, or"):
        open_series(tmp_path / "nowhere")


def test_a_file_that_is_no_cube(tmp_path: Path) -> None:
    with pytest.raises(SeriesError, match=r"S2_20220413.tif is no time series. Expected a folder of GeoTIFFs, or"):
        open_series(one_band(tmp_path, "S2_20220413.tif"))


def test_an_empty_folder(tmp_path: Path) -> None:
    expected = r"No acquisition found in .*\. Expected GeoTIFF or NetCDF files named with their date, such as"
    with pytest.raises(SeriesError, match=expected):
        open_series(tmp_path)


def test_no_dates_in_names(tmp_path: Path) -> None:
    for name in ("a.tif", "b.tif"):
        one_band(tmp_path, name)
    with pytest.raises(SeriesError, match=r"No date in the names or metadata of 2 files in .*: a.tif, b.tif. Expected"):
        open_series(tmp_path)


def test_the_folder_above_the_series(series_folder: Folder) -> None:
    with pytest.raises(SeriesError, match=r"No acquisition found in .*, but folders: s2. Choose one of them."):
        open_series(series_folder().parent)


def test_an_unreadable_file(series_folder: Folder) -> None:
    folder = series_folder()
    (folder / "S2_20220501.tif").write_bytes(b"this is no raster")
    with pytest.raises(SeriesError, match=r"^Cannot open .*S2_20220501.tif: .* Replace the file, or leave it out.$"):
        open_series(folder)


@pytest.mark.parametrize("options", [{}, {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "deflate"}])
def test_a_truncated_geotiff(series_folder: Folder, options: dict[str, object]) -> None:
    path = series_folder(**options) / "S2_20220322.tif"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - 40])
    with pytest.raises(SeriesError, match=r"S2_20220322.tif is truncated: \d+ bytes, expected \d+ or more. Replace"):
        open_series(path.parent)


def test_a_file_without_crs(series_folder: Folder) -> None:
    folder = series_folder()
    one_band(folder, "S2_20220501.tif", crs=None)
    with pytest.raises(SeriesError, match=r"S2_20220501.tif has no CRS or no geotransform. Assign them"):
        open_series(folder)


def test_files_that_name_no_band_among_files_that_do(tmp_path: Path) -> None:
    for name in ("S2_20220413_B02.tif", "S2_20220413_AOT.tif"):
        one_band(tmp_path, name)
    series = open_series(tmp_path)
    assert series.bands == ("B02",)
    assert [(out.path.name, out.reason) for out in series.left_out] == [
        ("S2_20220413_AOT.tif", "no band in its metadata or name")
    ]


def test_real_sentinel_2(shared_data: Path) -> None:
    series = open_series(shared_data / "worldcereal_be_2018" / "s2", strict=True)
    assert len(series.acquisitions) == 118
    assert (series.dates[0], series.dates[-1]) == (date(2017, 8, 4), date(2018, 11, 27))
    assert all(a.images[0].masks[0].source.path.parent.name == "s2_cloudmask" for a in series.acquisitions)


def test_real_series_of_another_phase(shared_data: Path) -> None:
    series = open_series(shared_data / "nrt_romania_s2" / "s2", strict=True)
    assert series.bands == ("B02", "B03", "B04", "B08", "B8A", "B11")
    assert series.grid.affine.c == pytest.approx(5271982.576551932)
    with pytest.raises(SeriesError, match=r"Bands 'B05', 'B12' are missing from all 140 acquisitions .* Use weights"):
        series.select(bands=("B02", "B05", "B12"))

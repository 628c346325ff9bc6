from datetime import date
from pathlib import Path

import numpy as np
import pytest

from sitsinfer.errors import SeriesError
from sitsinfer.grid import Window, whole
from sitsinfer.series import Series, Stack, open_series, read_stack
from sitsinfer.series.ls2s2 import open_pan
from tests.conftest import write_raster
from tests.series.scaled import COLLECTION_2, OLI, REFLECTANCE, write_scaled
from tests.series.sites import DAYS, NODATA, write_date, write_index, write_sensor

SHAPE = (6, 9)
DAY = date(2022, 1, 8)


def read(series: Series) -> Stack:
    return read_stack(series, whole(series.grid), series.grid)


def one_date(folder: Path, values: np.ndarray, mask: np.ndarray | None = None, **options: object) -> Series:
    """A Sentinel-2 series of one date."""
    mask = np.zeros(SHAPE, np.uint8) if mask is None else mask
    write_index(folder, [(DAY, True, *write_date(folder, "sentinel2", DAY, values, mask, **options))])
    return open_series(folder)


def numbers() -> np.ndarray:
    return np.full((10, *SHAPE), 500, np.int16)


def test_landsat_s_header_scales_reflectance_and_temperature(tmp_path: Path) -> None:
    path = write_scaled(tmp_path / "20220413/landsat_bands_20220413.tif", {**COLLECTION_2, "LST": (0.02, 100.0)})
    write_index(tmp_path, [(DAY, True, path.relative_to(tmp_path), "", "")])
    (acquisition,) = open_series(tmp_path).select(bands=(*OLI, "LST")).acquisitions
    assert ((acquisition.scale, acquisition.offset), acquisition.thermal) == (REFLECTANCE, (0.02, 100.0))


def test_sentinel2_has_ten_bands_of_reflectance(tmp_path: Path) -> None:
    series = open_series(write_sensor(tmp_path, "sentinel2"))
    assert series.sensor == "sentinel-2"
    assert series.bands == ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
    assert series.dates == DAYS["sentinel2"]
    assert {(a.scale, a.offset) for a in series.acquisitions} == {(1e-4, 0.0)}
    assert (series.dtype, series.nodata, series.left_out, series.notes) == ("int16", NODATA, (), ())


def test_landsat_has_seven_bands_and_a_temperature(tmp_path: Path) -> None:
    series = open_series(write_sensor(tmp_path, "landsat"))
    assert series.sensor == "landsat-8"
    assert series.bands == ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "LST")
    assert series.grid.affine.a == 30


def test_names_in_the_files_win(tmp_path: Path) -> None:
    folder = tmp_path / "landsat"
    path = write_date(folder, "landsat", DAY, np.ones((3, *SHAPE), np.int16), np.zeros(SHAPE))[0]
    write_raster(folder / path, np.ones((3, *SHAPE), np.int16), ("B02", "B10", "B11"))
    write_index(folder, [(DAY, True, path, "", "")])
    assert open_series(folder).bands == ("B02", "B10", "B11")


def test_rows_that_are_not_valid_have_no_files(tmp_path: Path) -> None:
    folder = write_sensor(tmp_path, "sentinel2")
    with (folder / "index.csv").open("a") as stream:
        stream.write("x\tx\t2022-02-02\t0.1\tFalse\t\t\t\n")
    series = open_series(folder)
    assert series.dates == DAYS["sentinel2"]
    assert not series.left_out


def test_the_order_of_rows_changes_nothing(tmp_path: Path) -> None:
    folder = write_sensor(tmp_path, "sentinel2")
    before = open_series(folder)
    head, *rows = (folder / "index.csv").read_text().splitlines()
    (folder / "index.csv").write_text("\n".join([head, *reversed(rows)]))
    assert open_series(folder) == before


def test_absolute_paths_are_those_of_another_machine(tmp_path: Path) -> None:
    folder = tmp_path / "sentinel2"
    paths = write_date(folder, "sentinel2", DAY, numbers(), np.zeros(SHAPE))
    write_index(folder, [(DAY, True, *(f"/home/them/site/sentinel2/{path}" for path in paths))])
    series = open_series(folder)
    assert {path for path, _, _ in series.inputs()} == set(paths[:2])


def test_masks_say_what_is_not_valid_and_snow_does_not(tmp_path: Path) -> None:
    mask = np.zeros(SHAPE, np.uint8)
    mask[2:4, 5], mask[5, 0] = 1, 255
    series = one_date(tmp_path, numbers(), mask)
    assert np.array_equal(read(series).valid[0], mask == 0)
    assert not any("snow" in name for name, _, _ in series.inputs())


def test_zero_in_any_band_that_is_read_is_not_valid(tmp_path: Path) -> None:
    values = numbers()
    values[3, 1, 2] = values[0, 4, 8] = 0
    values[:, 0, 0] = NODATA
    series = one_date(tmp_path, values)
    assert np.argwhere(~read(series).valid[0]).tolist() == [[0, 0], [1, 2], [4, 8]]
    assert np.argwhere(~read(series.select(bands=("B02", "B12"))).valid[0]).tolist() == [[0, 0], [4, 8]]
    assert read(series).values[0, 3, 1, 2] == 0


def test_zero_is_a_value_in_other_layouts(tmp_path: Path) -> None:
    write_raster(tmp_path / "S2_20220108.tif", np.zeros((10, *SHAPE), np.int16), nodata=NODATA)
    assert read(open_series(tmp_path)).valid.all()


def test_nodata_is_known_where_files_do_not_say(tmp_path: Path) -> None:
    values = numbers()
    values[:, 2:, 3] = NODATA
    series = one_date(tmp_path, values, nodata=None)
    assert series.nodata == NODATA
    assert np.array_equal(read(series).valid[0], values[0] != NODATA)


def test_beyond_the_footprint_nothing_is_valid(tmp_path: Path) -> None:
    series = one_date(tmp_path, numbers())
    stack = read_stack(series, Window(-2, 4, 5, 8), series.grid)
    assert np.array_equal(stack.valid[0], np.pad(np.ones((3, 5), bool), ((2, 0), (0, 3))))
    assert (stack.values[0, :, ~stack.valid[0]] == NODATA).all()


def test_dates_without_a_mask_are_noted(tmp_path: Path) -> None:
    folder = write_sensor(tmp_path, "landsat")
    index = folder / "index.csv"
    index.write_text(index.read_text().replace("20220501/landsat_mask_20220501.tif", ""))
    series = open_series(folder)
    assert series.notes == ("1 of 2 acquisitions have no mask: landsat_bands_20220501.tif.",)
    assert [len(a.images[0].masks) for a in series.acquisitions] == [1, 0]


@pytest.mark.parametrize("kind", ["bands", "mask"])
def test_a_date_whose_files_are_gone_is_left_out(tmp_path: Path, kind: str) -> None:
    folder = write_sensor(tmp_path, "sentinel2")
    (folder / "20220322" / f"sentinel2_{kind}_20220322.tif").unlink()
    series = open_series(folder)
    assert series.dates == (DAYS["sentinel2"][0], DAYS["sentinel2"][2])
    (out,) = series.left_out
    assert out.reason == f"index.csv names sentinel2_{kind}_20220322.tif, which is not there"
    with pytest.raises(SeriesError, match="1 files of .* cannot be used"):
        open_series(folder, strict=True)


def test_an_index_without_anything_valid(tmp_path: Path) -> None:
    write_index(tmp_path, [(DAY, False, "", "", "")])
    with pytest.raises(SeriesError, match=r"names no acquisition that is valid\. Expected rows"):
        open_series(tmp_path)
    write_index(tmp_path, [(DAY, True, "20220108/gone.tif", "", "")])
    with pytest.raises(SeriesError, match="but 1 dates without their files"):
        open_series(tmp_path)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            ("2022-13-01", True, "a.tif", "", ""),
            r"has the date '2022-13-01' in line 2\. Expected one such as 2022-04-13\.",
        ),
        (("", True, "a.tif", "", ""), "has the date '' in line 2"),
        ((DAY, True, "", "", ""), r"has a valid row of 2022-01-08 without bands, line 2\. Name their file\."),
        ((DAY, "Tr", "a.tif", "", ""), r"has 'Tr' as 'valid' in line 2, not True or False\. Expected columns"),
        ((DAY, "", "", "", ""), r"has '' as 'valid' in line 2"),
    ],
)
def test_rows_that_cannot_be_used(tmp_path: Path, row: tuple[object, ...], message: str) -> None:
    index = write_index(tmp_path, [row])
    with pytest.raises(SeriesError, match=message) as error:
        open_series(tmp_path)
    assert str(error.value).startswith(str(index))


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("\t", ",", r"is separated by commas, not by tabs\."),
        ("\t", ";", r"is separated by semicolons, not by tabs\."),
        ("\t", "    ", r"is separated by spaces, not by tabs\."),
        (
            "acquisition_date",
            "date",
            r"has no column acquisition_date; its first line holds 'product_id', 'product_id', 'date', ",
        ),
        ("x_2022-03-22\tx_", "garbage\nx_", "has 1 column in line 3, and 8 in its first"),
        ("\t2022-03-22\t", "\t2022-03-22\t\t", "has 9 columns in line 3, and 8 in its first"),
        ("x_2022-03-22", "\xff\xfe", "is no text: line 3 holds the byte 0xff"),
        ("x_2022-03-22\tx_", '"x_2022-03-22\tx_', "cannot be read at line 4: unexpected end of data"),
    ],
)
def test_a_damaged_index_is_not_passed_by(tmp_path: Path, old: str, new: str, found: str) -> None:
    folder = write_sensor(tmp_path, "sentinel2")
    index = folder / "index.csv"
    content = index.read_bytes().replace(b"\r\n", b"\n")
    index.write_bytes(content.replace(old.encode(), new.encode("latin-1")))
    with pytest.raises(SeriesError, match=found) as error:
        open_series(folder)
    told = str(error.value)
    assert told.startswith(str(index))
    assert "Expected columns separated by tabs, among them acquisition_date, valid, bands, mask" in told
    assert "\n" not in told


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf \n\n", "is empty"),
        (bytes(range(256)), "is no text: line 2 holds the byte 0x80"),
        (bytes(400), r"has no column acquisition_date, valid, bands, mask; its first line holds '.x00.{1,40}\. Exp"),
        (b"id,path\n1,x.tif\n", r"its first line holds 'id,path'\. .* if it is an index of something else, rename it"),
    ],
)
def test_an_index_decides_whatever_it_holds(tmp_path: Path, content: bytes, found: str) -> None:
    write_raster(tmp_path / "S2_20220108.tif", numbers())
    (tmp_path / "index.csv").write_bytes(content)
    with pytest.raises(SeriesError, match=found):
        open_series(tmp_path)


def test_an_index_that_is_cut_short(tmp_path: Path) -> None:
    folder = write_sensor(tmp_path, "landsat")
    index = folder / "index.csv"
    content = index.read_bytes()
    index.write_bytes(content[: content.rindex(b"True") + 2])
    with pytest.raises(SeriesError, match="has 5 columns in line 3, and 8 in its first"):
        open_series(folder)


def test_an_index_that_cannot_be_opened(tmp_path: Path) -> None:
    folder = write_sensor(tmp_path, "landsat")
    (folder / "index.csv").unlink()
    (folder / "index.csv").symlink_to(tmp_path / "gone.csv")
    with pytest.raises(SeriesError, match=r"Cannot read .*index\.csv: No such file or directory\."):
        open_series(folder)


def test_an_index_decides_over_a_cube_beside_its_dates(tmp_path: Path) -> None:
    folder = write_sensor(tmp_path, "sentinel2")
    (folder / "l3a.nc").write_bytes(b"")
    assert open_series(folder).dates == DAYS["sentinel2"]


def test_blank_lines_and_a_byte_order_mark_are_no_damage(tmp_path: Path) -> None:
    folder = write_sensor(tmp_path, "sentinel2")
    before = open_series(folder)
    index = folder / "index.csv"
    index.write_bytes(b"\xef\xbb\xbf" + index.read_bytes().replace(b"\n", b"\n\r\n") + b"  \n")
    assert open_series(folder) == before


def test_the_panchromatic_band_is_a_series_of_its_own(tmp_path: Path) -> None:
    folder = write_sensor(tmp_path, "landsat", shape=(8, 10))
    assert open_pan(folder) is None
    write_sensor(tmp_path, "landsat_pan", shape=(16, 20), days=DAYS["landsat"][:1])
    pan = open_pan(folder)
    assert pan is not None
    assert (pan.sensor, pan.bands, pan.dates) == ("landsat-8", ("B08",), DAYS["landsat"][:1])
    assert (pan.grid.affine.a, pan.grid.shape) == (15, (16, 20))
    assert read(pan).valid.all()
    assert open_series(folder).bands[-1] == "LST"


def test_a_panchromatic_index_may_be_empty(tmp_path: Path) -> None:
    folder = write_sensor(tmp_path, "landsat")
    write_index(folder, [], "index_pan.csv")
    assert open_pan(folder) is None


def test_a_panchromatic_index_without_its_columns(tmp_path: Path) -> None:
    folder = write_sensor(tmp_path, "landsat")
    (folder / "index_pan.csv").write_text("acquisition_date\tvalid\n")
    with pytest.raises(SeriesError, match=r"index_pan\.csv has no column bands, mask; its first line holds"):
        open_pan(folder)

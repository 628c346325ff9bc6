import json
import re

import numpy as np
import pytest
import rasterio
from affine import Affine
from typer.testing import CliRunner

from sitsinfer.cli.evaluate import app
from sitsinfer.metrics.overlaps import Overlaps
from sitsinfer.metrics.panoptic import panoptic_scores
from tests.cli.conftest import refusal
from tests.metrics.maps import blobs, lines

NAMES = {0: "Nothing", 1: "Wheat", 2: "Prairie fleurie", 9: "Maize"}

TRUE = lines(
    "111.22",
    "111.22",
    "333.44",
)
TRUE_CLASSES = lines(
    "111022",
    "111022",
    "222022",
)
PREDICTED = lines(
    "11..55",
    "11..55",
    "777888",
)
PREDICTED_CLASSES = lines(
    "110022",
    "110022",
    "999222",
)


def write(path, values, *, left=0, nodata=None, names=None, pixel=10, dtype="uint8"):
    profile = {"driver": "GTiff", "count": 1, "dtype": dtype, "nodata": nodata, "crs": "EPSG:32631"}
    transform = Affine(pixel, 0, 500_000 + left, 0, -pixel, 5_000_000)
    height, width = values.shape
    with rasterio.open(path, "w", height=height, width=width, transform=transform, **profile) as file:
        file.write(values.astype(dtype), 1)
        file.update_tags(1, **{f"CLASS_{code}": name for code, name in (names or {}).items()})
    return path


@pytest.fixture
def parcels(tmp_path):
    """Four rasters of 3 x 6 pixels, as the command takes them: all matches but one are of the right class."""
    return [
        write(tmp_path / "parcels.tif", PREDICTED, dtype="uint32", nodata=0),
        write(tmp_path / "classes.tif", PREDICTED_CLASSES, nodata=255),
        write(tmp_path / "true_parcels.tif", TRUE, dtype="uint16"),
        write(tmp_path / "true_classes.tif", TRUE_CLASSES, nodata=255, names=NAMES),
    ]


@pytest.fixture
def refused(command, tmp_path):
    return refusal(command, tmp_path)


def scores(*arguments) -> dict:
    result = CliRunner().invoke(app, ["panoptic", *map(str, arguments), "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def counts(found: dict) -> dict:
    return {entry["code"]: (entry["true"], entry["predicted"], entry["matched"]) for entry in found["classes"]}


def test_scores_are_those_computed_by_hand(parcels):
    found = scores(*parcels)
    assert counts(found) == {1: (1, 1, 1), 2: (3, 2, 2), 9: (0, 1, 0)}
    sq = {entry["name"]: entry["sq"] for entry in found["classes"]}
    assert sq == pytest.approx({"Wheat": 4 / 6, "Prairie fleurie": (1 + 2 / 3) / 2, "Maize": 0})
    assert found["mean_sq"] == pytest.approx((4 / 6 + 5 / 6) / 3)
    assert found["mean_rq"] == pytest.approx((1 + 4 / 5) / 3)
    assert found["mean_pq"] == pytest.approx((4 / 6 + 5 / 6 * 4 / 5) / 3)
    outlines = found["outlines"]
    assert (outlines["parcels"], outlines["touched"], outlines["found"]) == (4, 4, 4)
    assert outlines["oversegmentation"] == pytest.approx({"by_parcel": 2 / 6 / 4, "by_area": 2 / 15})
    assert outlines["undersegmentation"] == pytest.approx({"by_parcel": 1 / 3 / 4, "by_area": 2 / 3 / 15})


def test_table_names_the_classes(parcels):
    result = CliRunner().invoke(app, ["panoptic", *map(str, parcels)], catch_exceptions=False)
    assert result.exit_code == 0
    rows = [line.split() for line in result.stdout.splitlines()]
    assert ["Prairie", "fleurie", "3", "2", "2", "83.3", "80.0", "66.7"] in rows
    assert ["mean", "of", "classes", "50.0", "60.0", "44.4"] in rows
    assert "4 of 4 true parcels are found" in result.stdout
    assert "over-segmentation 8.3 % (13.3 % by area), under-segmentation 8.3 % (4.4 % by area)" in result.stdout


def test_nothing_predicted_is_a_score_too(parcels, tmp_path):
    write(parcels[0], np.zeros((3, 6)))
    found = scores(*parcels)
    assert counts(found) == {1: (1, 0, 0), 2: (3, 0, 0)}
    assert found["mean_pq"] == 0
    assert found["outlines"]["oversegmentation"] == {"by_parcel": None, "by_area": None}
    result = CliRunner().invoke(app, ["panoptic", *map(str, parcels)], catch_exceptions=False)
    assert result.stdout.splitlines()[-1] == "Whatever their class, 0 of 4 true parcels are found."


def test_void_says_nothing_of_its_pixels(parcels):
    assert counts(scores(*parcels, "--void", "1")) == {2: (3, 2, 2), 9: (0, 1, 0)}
    assert counts(scores(*parcels, "--void", "2", "--void", "9")) == {1: (1, 1, 1)}


def test_background_is_no_parcel_in_either_map(parcels):
    assert counts(scores(*parcels, "--background", "1")) == {2: (3, 2, 2), 9: (0, 1, 0)}


def test_reference_without_a_class_is_void(parcels):
    write(parcels[3], np.where(TRUE == 3, 255, TRUE_CLASSES), nodata=255)
    assert counts(scores(*parcels)) == {1: (1, 1, 1), 2: (2, 2, 2)}


def test_prediction_without_a_value_misses_the_parcels(parcels):
    write(parcels[1], np.where(PREDICTED == 5, 255, PREDICTED_CLASSES), nodata=255)
    assert counts(scores(*parcels)) == {1: (1, 1, 1), 2: (3, 1, 1), 9: (0, 1, 0)}


def test_windows_add_up_to_the_whole(tmp_path):
    true, true_classes = blobs(1, (1030, 61), 300, [3, 4])  # two windows high
    assert np.intersect1d(true[1023][true[1023] > 0], true[1024]).size, "a parcel lies in both"
    rasters = np.roll(true, 1, axis=0), np.roll(true_classes, 1, axis=0), true, true_classes
    paths = [
        write(tmp_path / f"{n}.tif", raster, dtype=dtype)
        for n, (raster, dtype) in enumerate(zip(rasters, ("uint32", "uint8") * 2, strict=True))
    ]
    found, expected = scores(*paths), panoptic_scores(Overlaps.of(true, true_classes, *rasters[:2]), [3, 4])
    assert [entry["matched"] for entry in found["classes"]] == expected.matched.tolist()
    assert found["mean_pq"] == pytest.approx(expected.mean_pq)
    assert found["outlines"]["parcels"] == np.unique(true[true > 0]).size


@pytest.mark.parametrize("nodata", [0, None])
def test_reference_on_another_grid_is_read_by_place(parcels, tmp_path, nodata):
    ids = 2**32 - 1 - np.arange(8, dtype=np.uint32).reshape(2, 4)  # floats of 32 bits would hold them all as one
    codes = np.ones((2, 4), np.uint8)
    coarse = [
        write(tmp_path / "coarse.tif", ids, dtype="uint32", nodata=nodata, pixel=20, left=40),
        write(tmp_path / "coarse_classes.tif", codes, nodata=nodata and 255, pixel=20, left=40),
    ]
    fine = np.kron(np.arange(1, 13).reshape(2, 6), np.ones((2, 2)))
    write(parcels[0], fine)
    write(parcels[1], np.ones((4, 12)))
    found = scores(*parcels[:2], *coarse)
    assert counts(found) == {1: (8, 8, 8)}, "the reference covers the right eight columns"
    assert found["mean_pq"] == 1


@pytest.mark.parametrize(
    ("which", "values", "options", "words"),
    [
        (0, PREDICTED, {"dtype": "float32"}, r"parcels.tif holds float32 values; expected ids: integers\.$"),
        (2, TRUE, {"dtype": "float64"}, r"true_parcels.tif holds float64 values; expected ids"),
        (3, TRUE_CLASSES, {"dtype": "float32"}, r"classes.tif holds float32 values; expected class codes: integers\.$"),
        (3, TRUE_CLASSES.astype(int) + 255, {"dtype": "int16"}, "Truth holds classes 255 to 257, expected 0 to 255"),
        (0, PREDICTED[:2], {}, r"parcels.tif and \S*classes.tif lie on different grids. Expected ids and classes of"),
        (1, PREDICTED_CLASSES, {"left": 10}, "lie on different grids"),
        (3, TRUE_CLASSES, {"left": 9000, "nodata": 255}, r"classes.tif and \S*true_classes.tif share no pixel that"),
        (2, TRUE, {"left": 9000}, r"true_parcels.tif has no parcel of a known class where \S*parcels.tif lies"),
        (2, -TRUE.astype(int), {"dtype": "int32"}, "Truth holds ids -4 to 0, expected 0 to 4294967295"),
        (1, PREDICTED_CLASSES + 3, {}, r"Parcels of class 4, 5, 12 are predicted, but \S*true_classes.tif has classes"),
    ],
)
def test_rasters_that_do_not_fit_are_one_line(parcels, refused, which, values, options, words):
    write(parcels[which], values, **options)
    line = refused("evaluate", "panoptic", *parcels)
    assert re.search(words, line), line


@pytest.mark.parametrize("option", ["void", "background"])
@pytest.mark.parametrize("code", [-1, 256])
def test_codes_out_of_range_are_one_line(parcels, refused, option, code):
    line = refused("evaluate", "panoptic", *parcels, f"--{option}", code)
    assert line == f"Error: Class code {code} of {option} is out of range; expected 0 to 255."


def test_a_reference_without_a_legend_may_lack_classes_that_are_predicted(parcels):
    write(parcels[3], TRUE_CLASSES)
    assert counts(scores(*parcels)) == {1: (1, 1, 1), 2: (3, 2, 2), 9: (0, 1, 0)}


def test_maps_without_a_legend_that_share_no_class_code_are_one_line(parcels, refused):
    write(parcels[3], TRUE_CLASSES)
    write(parcels[1], PREDICTED_CLASSES + 3)
    line = refused("evaluate", "panoptic", *parcels)
    assert re.search(r"Parcels of class 4, 5, 12 are predicted, but \S*true_classes.tif has classes 1, 2\. Com", line)
    line = refused("evaluate", "panoptic", *parcels, "--void", "1")
    assert "has classes 2. Compare" in line
    write(parcels[0], np.zeros((3, 6)))
    assert counts(scores(*parcels)) == {1: (1, 0, 0), 2: (3, 0, 0)}, "nothing predicted is of no other class"

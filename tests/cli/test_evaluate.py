import csv
import json

import numpy as np
import pytest
import rasterio
from affine import Affine
from PIL import Image
from rasterio.errors import NotGeoreferencedWarning
from typer.testing import CliRunner

from sitsinfer.cli.evaluate import app
from sitsinfer.cli.evaluate._accuracy import _part
from sitsinfer.errors import MetricError, OutputError
from sitsinfer.simulate import Scene, landsat, write_scene
from sitsinfer.simulate.sensor import SENTINEL2
from tests.metrics.fusion.files import FEBRUARY, JANUARY, LR, MARCH, write_fused, write_series

NAMES = {0: "Water", 1: "Winter wheat", 4: "Maize"}


def write_classes(path, values, *, left=0, nodata=255, names=NAMES, pixel=10):
    profile = {"driver": "GTiff", "count": 1, "dtype": "uint8", "nodata": nodata, "crs": "EPSG:32631"}
    transform = Affine(pixel, 0, 500_000 + left, 0, -pixel, 5_000_000)
    height, width = values.shape
    with rasterio.open(path, "w", height=height, width=width, transform=transform, **profile) as file:
        file.write(values.astype(np.uint8), 1)
        file.update_tags(1, **{f"CLASS_{code}": name for code, name in names.items()})
    return str(path)


@pytest.fixture
def maps(tmp_path):
    """A map and its reference of 3 x 4 pixels: 6 of 9 observed pixels agree."""
    predicted = np.array([[0, 0, 1, 1], [0, 1, 1, 4], [4, 4, 255, 1]])
    right = np.array([[0, 0, 1, 4], [1, 1, 1, 4], [0, 255, 0, 255]])
    return write_classes(tmp_path / "map.tif", predicted), write_classes(tmp_path / "truth.tif", right)


def scores(*arguments: str) -> dict:
    result = CliRunner().invoke(app, ["segmentation", *arguments, "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_scores_are_those_computed_by_hand(maps):
    found = scores(*maps)
    assert found["pixels"] == 9
    assert found["overall_accuracy"] == pytest.approx(6 / 9)
    iou = {entry["code"]: entry["iou"] for entry in found["classes"]}
    assert iou == pytest.approx({0: 2 / 4, 1: 3 / 5, 4: 1 / 3})
    assert found["mean_iou"] == pytest.approx((2 / 4 + 3 / 5 + 1 / 3) / 3)
    assert {entry["name"]: entry["f1"] for entry in found["classes"]} == pytest.approx(
        {"Water": 4 / 6, "Winter wheat": 6 / 8, "Maize": 2 / 4}
    )


def test_ignored_codes_do_not_count_in_either_map(maps):
    found = scores(*maps, "--ignore", "4")
    assert found["pixels"] == 6
    assert found["overall_accuracy"] == pytest.approx(5 / 6)
    assert [entry["code"] for entry in found["classes"]] == [0, 1]


def test_windows_add_up(tmp_path):
    predicted, right = np.random.default_rng(0).choice([0, 1, 4, 255], (2, 1030, 61))  # two windows high
    found = scores(write_classes(tmp_path / "map.tif", predicted), write_classes(tmp_path / "truth.tif", right))
    both = (predicted != 255) & (right != 255)
    assert found["pixels"] == both.sum()
    assert found["overall_accuracy"] == pytest.approx((predicted == right)[both].mean())


@pytest.mark.parametrize("nodata", [255, None])
def test_reference_on_another_grid_is_read_by_place(tmp_path, nodata):
    predicted = np.arange(24).reshape(4, 6)
    coarse = write_classes(tmp_path / "truth.tif", predicted[::2, 2::2], left=20, pixel=20, nodata=nodata)
    fine = write_classes(tmp_path / "map.tif", np.kron(predicted[::2, ::2], np.ones((2, 2))))
    found = scores(fine, coarse)
    assert found["pixels"] == 4 * 4, "the reference covers the right four columns"
    assert found["overall_accuracy"] == 1


def test_table_names_the_classes(maps):
    result = CliRunner().invoke(app, ["segmentation", *maps], catch_exceptions=False)
    assert result.exit_code == 0
    for words in ("Winter wheat", "66.7", "60.0", "Overall accuracy", "mean IoU"):
        assert words in result.stdout


def test_json_has_the_matrix_and_areas_of_the_whole_map(maps):
    found = scores(*maps)
    assert found["confusion_matrix"] == [[2, 0, 1], [1, 3, 0], [0, 1, 1]]
    assert [entry["precision"] for entry in found["classes"]] == pytest.approx([2 / 3, 3 / 4, 1 / 2])
    assert [entry["recall"] for entry in found["classes"]] == pytest.approx([2 / 3, 3 / 4, 1 / 2])
    assert [entry["mapped_ha"] for entry in found["classes"]] == pytest.approx([0.03, 0.05, 0.03])
    assert found["area_weighted"]["share_of_pixels_with_reference"] == pytest.approx(9 / 11)
    assert found["area_weighted"]["overall_accuracy"] == pytest.approx((3 * 2 / 3 + 5 * 3 / 4 + 3 / 2) / 11)
    wheat = found["classes"][1]
    assert wheat["area_ha"] == pytest.approx(0.03 / 3 + 0.05 * 3 / 4)
    assert wheat["area_ha_ci95"] == pytest.approx(1.96 * np.sqrt(0.03**2 / 9 + 0.05**2 / 16))
    assert (wheat["users_accuracy"], wheat["users_accuracy_ci95"]) == pytest.approx((0.75, 1.96 * 0.25))


def test_table_says_what_intervals_are_worth(maps, tmp_path):
    sampled = CliRunner().invoke(app, ["segmentation", *maps]).stdout
    assert "50.0 ± 98.0" in sampled
    assert "drawn at random" in sampled
    assert "82 % have a reference" in sampled
    complete = CliRunner().invoke(app, ["segmentation", maps[1], maps[1]]).stdout
    assert "±" not in complete
    assert "All pixels have a reference" in complete
    few = write_classes(tmp_path / "few.tif", np.array([[0, 0, 255, 255], [255] * 4, [255] * 4]))
    assert "It is said of 27.3 % of the area, for want of a reference in Winter wheat (0.05 ha), Maize (0.03 ha)." in (
        CliRunner().invoke(app, ["segmentation", maps[0], few]).stdout
    )


def test_scores_and_matrix_are_written_as_csv(maps, tmp_path):
    table = tmp_path / "scores.csv"
    scores(*maps, "--csv", str(table))
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["code"], row["name"], row["mapped_as_0"], row["mapped_as_4"]) for row in rows] == [
        ("0", "Water", "2", "1"),
        ("1", "Winter wheat", "1", "0"),
        ("4", "Maize", "0", "1"),
    ]
    assert float(rows[1]["recall"]) == pytest.approx(0.75)


def test_the_matrix_is_drawn(maps, tmp_path):
    picture = tmp_path / "matrix.png"
    scores(*maps, "--picture", str(picture))
    with Image.open(picture) as image:
        assert image.format == "PNG"
        assert min(image.size) > 300


@pytest.mark.parametrize(
    ("share", "words"),
    [(0.999, "more than 99"), (0.8181, "82"), (0.1, "10"), (0.012, "1.2"), (0.00000123, "0.00012")],
)
def test_shares_can_be_read(share, words):
    assert _part(share) == words


def test_files_that_cannot_be_written_are_told_before_others_are(maps, tmp_path):
    table, matrix = tmp_path / "scores.csv", tmp_path / "nowhere" / "matrix.png"
    with pytest.raises(OutputError, match=r"^Cannot write \S+matrix\.png: there is no folder \S+nowhere\. Create it"):
        scores(*maps, "--csv", str(table), "--picture", str(matrix))
    with pytest.raises(OutputError, match=r"scores\.csv is to hold the scores and the picture\. Give each a name"):
        scores(*maps, "--csv", str(table), "--picture", str(tmp_path / "nowhere" / ".." / "scores.csv"))
    with pytest.raises(OutputError, match=r"truth\.tif is what is read\. Choose another file for the scores\."):
        scores(*maps, "--csv", maps[1], "--overwrite")
    assert not table.exists()


@pytest.mark.parametrize("option", ["--csv", "--picture"])
def test_nothing_is_replaced_unasked(maps, tmp_path, option):
    path = tmp_path / "out.png"
    path.write_text("mine")
    with pytest.raises(OutputError, match=r"out\.png already exists\. Set overwrite to replace it\."):
        scores(*maps, option, str(path))
    assert path.read_text() == "mine"
    scores(*maps, option, str(path), "--overwrite")
    assert path.read_bytes() != b"mine"
    with pytest.raises(OutputError, match=r"is a folder\. Choose a file for the (scores|picture)\.$"):
        scores(*maps, option, str(tmp_path), "--overwrite")


def test_maps_that_share_no_pixel_are_an_error(maps, tmp_path):
    elsewhere = write_classes(tmp_path / "far.tif", np.zeros((3, 4)), left=9000)
    with pytest.raises(OutputError, match="share no pixel"):
        scores(maps[0], elsewhere)


def test_raster_that_holds_no_class_codes_is_an_error(maps, tmp_path):
    with rasterio.open(
        tmp_path / "f.tif", "w", driver="GTiff", height=3, width=4, count=1, dtype="float32",
        crs="EPSG:32631", transform=Affine(10, 0, 500_000, 0, -10, 5_000_000),
    ) as file:  # fmt: skip
        file.write(np.zeros((1, 3, 4), np.float32))
    with pytest.raises(OutputError, match="float32.*expected uint8"):
        scores(str(tmp_path / "f.tif"), maps[1])


@pytest.fixture
def dates(tmp_path):
    """Two dates of both sensors as ``fuse`` writes them, and one of them as Landsat saw it."""
    fused = write_fused(tmp_path / "fused", [JANUARY, FEBRUARY])
    return str(fused), str(write_series(tmp_path / "l8", [FEBRUARY], LR, shape=(8, 10), pixel=30))


def fusion(*arguments: str):
    result = CliRunner().invoke(app, ["fusion", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def test_fusion_prints_a_table_of_bands_and_tells_what_stands_alone(dates):
    result = fusion(*dates)
    lines = result.stdout.splitlines()
    assert lines[0] == "lr, 1 date", "one reflective band has no spectral angle"
    assert [line.split()[:3] for line in lines[2:]] == [["B04", "0.1000", "0.5000"], ["LST", "2.00", "K"]]
    assert "1 of 2 dates" in result.stderr
    assert "2022-01-15" in result.stderr


def test_fusion_writes_scores_of_each_date(dates, tmp_path):
    table = tmp_path / "scores.csv"
    fusion(*dates, "--csv", str(table), "--bands", "LST")
    with table.open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["name"], row["sensor"], row["date"]) == ("L3A_20220215_landsat.tif", "lr", "2022-02-15")
    assert float(row["rmse_LST"]) == pytest.approx(2, rel=1e-4)
    assert "rmse_B04" not in row
    with pytest.raises(OutputError, match="scores.csv already exists. Set overwrite to replace it"):
        fusion(*dates, "--csv", str(table))
    assert row["margin"] == "6"
    fusion(*dates, "--csv", str(table), "--overwrite")
    assert "rmse_B04" in table.read_text()


@pytest.mark.parametrize("words", [[], ["--overwrite"]])
def test_fusion_writes_no_scores_in_place_of_a_folder(dates, tmp_path, words):
    with pytest.raises(OutputError, match=r"^\S*fused is a folder\. Choose a file for the scores\.$"):
        fusion(*dates, "--csv", str(tmp_path / "fused"), *words)


def test_fusion_compares_with_truth_as_it_is(tmp_path):
    write_scene(tmp_path / "scene", Scene(height=72, width=81, dates=1, seed=4), truth_dates=[JANUARY, FEBRUARY])
    for sensor, bands in (("sentinel2", SENTINEL2.bands), ("landsat", landsat.BANDS)):
        truth = str(tmp_path / "scene" / "truth" / sensor)
        lines = fusion(truth, truth, "--truth").stdout.splitlines()
        assert "2 dates" in lines[0]
        assert [line.split()[:2] for line in lines[2:]] == [[band, "0.00" + "00" * (band != "LST")] for band in bands]
    truth = str(tmp_path / "scene" / "truth" / "sentinel2")
    blurred = {line.split()[0]: float(line.split()[1]) for line in fusion(truth, truth).stdout.splitlines()[2:]}
    assert blurred["B08"] == 0
    assert blurred["B8A"] > 0.005, "seen at 20 m, as an observation is"


def test_fusion_tells_of_its_defaults():
    text = " ".join(CliRunner().invoke(app, ["fusion", "--help"], env={"COLUMNS": "300"}).output.split())
    for words in ("30, or a quarter of the shorter side where that is less", "all in both", "names and pixels"):
        assert words in text


def test_fusion_with_truth_of_30_m_is_an_error(dates):
    with pytest.raises(MetricError, match="lies on pixels of 30, and is no truth on pixels of 10"):
        fusion(*dates, "--truth")


@pytest.mark.parametrize("kind", ["fusion", "segmentation"])
def test_what_has_no_place_is_one_line(dates, tmp_path, command, kind):
    picture = tmp_path / "picture.tif"
    with pytest.warns(NotGeoreferencedWarning), rasterio.open(
        picture, "w", driver="GTiff", height=3, width=4, count=1, dtype="uint8"
    ) as file:  # fmt: skip
        file.write(np.zeros((1, 3, 4), np.uint8))
    (line,) = command("evaluate", kind, picture, dates[1]).err
    assert line.startswith(f"Error: {picture} has no CRS.")


def test_fusion_leaves_out_a_margin(dates):
    fusion(*dates, "--margin", "9")
    by_default, quarter, whole = (fusion(*dates, *words).stdout for words in ([], ["--margin", "6"], ["--margin", "0"]))
    assert by_default == quarter
    assert whole == quarter, "each pixel is as wrong as the next"
    with pytest.raises(MetricError, match="A margin of 12 pixels leaves nothing of 24 x 30"):
        fusion(*dates, "--margin", "12")


def test_fusion_without_a_common_date_or_band_is_an_error(dates, tmp_path):
    with pytest.raises(MetricError, match="share no date"):
        fusion(dates[0], str(write_series(tmp_path / "late", [MARCH])))
    with pytest.raises(MetricError, match="Compare images that share bands"):
        fusion(*dates, "--bands", "B11")


def test_fusion_of_an_unknown_sensor_is_misuse(dates):
    result = CliRunner().invoke(app, ["fusion", *dates, "--sensor", "sar"])
    assert result.exit_code == 2

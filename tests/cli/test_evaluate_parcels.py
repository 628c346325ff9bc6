import csv
import json

import pytest
import shapely
from PIL import Image
from typer.testing import CliRunner

from sitsinfer.cli.evaluate import app
from tests.api.evaluation.test_parcels import write_parcels, write_truth
from tests.cli.conftest import refusal


@pytest.fixture
def words(tmp_path):
    """What the command takes: five of six classified parcels have a label, and three are right."""
    parcels, truth = write_parcels(tmp_path / "classified.gpkg"), write_truth(tmp_path / "truth.gpkg")
    return ["parcels", str(parcels), str(truth), "--label-column", "code"]


def run(*arguments):
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def test_tables_are_by_parcel_and_by_hectare(words):
    result = run(*words)
    rows = [line.split() for line in result.stdout.splitlines()]
    assert ["Maïs", "2", "33.3", "50.0", "50.0", "50.0"] in rows
    assert ["Maïs", "3.51", "66.7", "75.0", "85.7", "80.0"] in rows
    assert "Overall accuracy 60.0 %, mean IoU 41.7 %, over 5 parcels." in result.stdout
    assert "Overall accuracy 80.0 %, mean IoU 66.7 %, over 7.51 hectares." in result.stdout
    assert "for want of a reference in Prairie (2.00 ha)." in result.stdout


def test_what_is_left_out_is_told(words):
    assert run(*words).stderr.splitlines() == [
        "1 parcel without a class left out of the scores.",
        "1 parcel without a label: f.",
        "2 parcels in the labels that were not classified: x, y.",
    ]


def test_json_and_csv_have_both_weights(words, tmp_path):
    table, picture = tmp_path / "scores.csv", tmp_path / "matrix.png"
    found = json.loads(run(*words, "--json", "--csv", str(table), "--picture", str(picture)).stdout)
    assert (found["parcels"], found["overall_accuracy"]) == (5, 0.6)
    assert found["by_area"]["overall_accuracy"] == pytest.approx(0.8, abs=1e-3)
    assert found["classes"][0]["by_area"]["hectares"] == pytest.approx(4, rel=3e-3)
    assert (found["unclassified"], found["without_reference"], found["without_parcel"]) == (1, ["f"], ["x", "y"])
    assert found["area_weighted"]["not_represented"][0]["name"] == "Prairie"
    with table.open(newline="") as file:
        first, second = csv.DictReader(file)
    assert (first["name"], first["parcels"], first["mapped_as_7"]) == ("Blé d'hiver", "3", "1")
    assert float(second["recall_by_area"]) == pytest.approx(3 / 3.5, rel=1e-3)
    with Image.open(picture) as image:
        assert image.format == "PNG"


def test_parcels_without_an_area_have_scores_by_number(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.api.evaluation.test_parcels.BOXES", [shapely.Point(700_000, 6_600_000)] * 7)
    parcels, truth = write_parcels(tmp_path / "classified.gpkg"), write_truth(tmp_path / "truth.gpkg")
    words = ["parcels", str(parcels), str(truth), "--label-column", "code"]
    found = json.loads(run(*words, "--json").stdout)
    assert found["overall_accuracy"] == 0.6
    assert found["by_area"]["overall_accuracy"] is None
    assert found["area_weighted"]["overall_accuracy"] is None
    assert "nan" not in run(*words).stdout


def test_bad_input_is_one_line(words, command, tmp_path):
    refused = refusal(command, tmp_path)
    assert "Set label_column to the one of classes." in refused("evaluate", *words[:-2])
    assert "There is no" in refused("evaluate", words[0], tmp_path / "gone.gpkg", *words[2:])
    nowhere = tmp_path / "nowhere" / "matrix.png"
    assert "there is no folder" in refused("evaluate", *words, "--csv", tmp_path / "new.csv", "--picture", nowhere)
    assert not (tmp_path / "new.csv").exists()
    (tmp_path / "scores.csv").touch()
    assert "already exists" in refused("evaluate", *words, "--csv", tmp_path / "scores.csv")

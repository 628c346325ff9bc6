import csv
import json

import pytest
from typer.testing import CliRunner

from sitsinfer.cli.evaluate import app
from tests.api.evaluation.test_clouds import DATES, clouds, write_masks, write_scores
from tests.cli.conftest import refusal

__all__ = ["clouds"]


@pytest.fixture
def words(tmp_path, clouds):
    """What the command takes: the second of three dates is all cloud, the third has no mask."""
    truth, scores = clouds
    out = write_scores(tmp_path / "out", scores)
    masks = write_masks(tmp_path / "masks", truth[:2], DATES[:2])
    return ["clouds", str(out), str(masks), "--threshold", "0.6"]


def run(*arguments):
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def test_table_has_a_row_a_date_and_one_of_all(words):
    result = run(*words)
    rows = {line.split()[0]: line.split()[1:] for line in result.stdout.splitlines() if line}
    assert list(rows)[:4] == ["date", "2022-01-08", "2022-01-31", "all"]
    assert rows["2022-01-31"][1:4] == ["100.0", "-", "100.0"]
    assert 0.7 < float(rows["2022-01-08"][2]) < 0.9
    assert "Pixels that score 0.6 or more are taken for cloud." in result.stdout
    assert result.stderr == "1 date has scores but no mask: 2022-03-20.\n"


def test_json_and_csv_have_each_date(words, tmp_path):
    table = tmp_path / "scores.csv"
    found = json.loads(run(*words, "--json", "--csv", str(table)).stdout)
    assert (found["threshold"], found["without_mask"], found["without_scores"]) == (0.6, ["2022-03-20"], [])
    assert found["dates"][1]["auc"] is None
    assert found["all"]["pixels"] == sum(entry["pixels"] for entry in found["dates"])
    with table.open(newline="") as file:
        first, second = csv.DictReader(file)
    assert float(first["auc"]) == found["dates"][0]["auc"]
    assert (second["date"], second["auc"], second["precision"]) == ("2022-01-31", "", "1.0")


@pytest.mark.parametrize(("date", "some"), [(1, "Every"), (2, "No")])
def test_masks_that_tell_nothing_apart_are_told(tmp_path, clouds, date, some):
    truth, scores = clouds
    masks = write_masks(tmp_path / "masks", truth[[date]], DATES[date : date + 1])
    result = run("clouds", str(write_scores(tmp_path / "out", scores)), str(masks))
    assert f"{some} pixel that has a score is cloud in the masks, on any date. See that" in result.stderr


def test_bad_input_is_one_line(words, command, tmp_path):
    refused = refusal(command, tmp_path)
    assert "holds no cloud_score" in refused("evaluate", words[0], tmp_path / "masks", *words[2:])
    assert "There is no" in refused("evaluate", words[0], tmp_path / "gone.zarr", *words[2:])
    assert CliRunner().invoke(app, [*words[:-1], "2"]).exit_code == 2

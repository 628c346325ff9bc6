from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from sitsinfer.cli.train import app
from sitsinfer.errors import SeriesError, TrainingError


def run(*arguments: object, catch: bool = True) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=catch)


def test_each_series_needs_its_labels(tmp_path: Path) -> None:
    result = run("segment", "--ts", "a", "--ts", "b", "--labels", "a.tif", "--out", tmp_path / "model")
    assert result.exit_code == 2
    assert "1 label rasters for 2 series" in result.output


def test_each_series_needs_its_parcels(tmp_path: Path) -> None:
    given = ["--ts", "a", "--labels", "a.tif", "--parcels", "a.tif", "--parcels", "b.tif"]
    result = run("panoptic", *given, "--out", tmp_path / "model")
    assert result.exit_code == 2
    assert "2 parcel rasters for 1 series" in result.output


@pytest.mark.parametrize(
    ("command", "own"),
    [
        ("segment", ["--preset", "utae-small", "--loss", "focal"]),
        ("panoptic", ["--preset", "paps-small", "--parcels", "p.tif", "--warm-up", "5"]),
        ("pixels", ["--preset", "pixel-ltae-small", "--members", "2", "--cloudy", "0.5", "--positions", "days"]),
    ],
)
def test_options_reach_the_training(tmp_path: Path, command: str, own: list[str]) -> None:
    given = [command, "--ts", tmp_path / "nowhere", "--labels", "a.tif", "--out", tmp_path / "model", *own]
    with pytest.raises(SeriesError, match="nowhere"):
        run(*given, "--dates", 3, 9, catch=False)
    with pytest.raises(TrainingError, match="cannot have 9 to 3 dates"):
        run(*given, "--dates", 9, 3, catch=False)


def test_options_reach_the_training_of_parcels(tmp_path: Path) -> None:
    given = ["classify", "--ts", tmp_path / "nowhere", "--parcels", "p.gpkg", "--out", tmp_path / "model"]
    with pytest.raises(SeriesError, match="nowhere"):
        run(
            *given,
            "--preset",
            "pse-ltae-small",
            "--label-column",
            "crop",
            "--reference-date",
            "2022-01-01",
            catch=False,
        )
    with pytest.raises(TrainingError, match="The gap is 30 pixels. Expected 0 or more, less than a block of 16"):
        run(*given, "--block", 16, "--gap", 30, catch=False)
    result = run(*given, "--parcels", "q.gpkg")
    assert result.exit_code == 2
    assert "2 layers of parcels for 1 series" in result.output


@pytest.mark.parametrize("command", ["pixels", "classify"])
@pytest.mark.parametrize(
    ("option", "value", "words"), [("--validation", 0.6, "equal to 0.5"), ("--batch-size", 1, "equal to 2")]
)
def test_what_leaves_nothing_to_learn_from_is_misuse(
    tmp_path: Path, command: str, option: str, value: float, words: str
) -> None:
    labels = ("--labels", "a.tif") if command == "pixels" else ("--parcels", "p.gpkg")
    result = run(command, "--ts", tmp_path, *labels, "--out", tmp_path / "model", option, value)
    assert result.exit_code == 2
    assert words in " ".join(result.output.replace("│", " ").split())


def test_an_encoder_is_looked_for(tmp_path: Path) -> None:
    given = ["--ts", tmp_path / "nowhere", "--labels", "a.tif", "--parcels", "p.tif", "--bands", "B04"]
    with pytest.raises(TrainingError, match="utae-demo feeds on .* Do not give bands"):
        run("panoptic", *given, "--out", tmp_path / "model", "--encoder", "utae-demo", catch=False)


@pytest.mark.parametrize(
    ("command", "architecture", "words"),
    [
        ("segment", "paps", "is of 'paps'. Expected 'utae'"),
        ("panoptic", "utae", "is of 'utae'. Expected 'paps'"),
        ("pixels", "utae", "is of 'utae'. Expected 'pixel_ltae'"),
    ],
)
def test_a_config_for_the_other_command_is_refused(tmp_path: Path, command: str, architecture: str, words: str) -> None:
    config = tmp_path / "model.json"
    config.write_text(f'{{"architecture": "{architecture}", "hyperparameters": {{}}}}')
    given = ["--ts", "a", "--labels", "a.tif", *(["--parcels", "p.tif"] if command == "panoptic" else [])]
    with pytest.raises(TrainingError, match=words):
        run(command, *given, "--out", tmp_path / "model", "--config", config, catch=False)


def test_what_comes_with_an_encoder_is_not_missed_where_it_was_not_given(tmp_path: Path) -> None:
    given = ["--ts", tmp_path / "nowhere", "--labels", "a.tif", "--parcels", "p.tif", "--encoder", "utae-demo"]
    with pytest.raises(SeriesError, match="nowhere"):
        run("panoptic", *given, "--out", tmp_path / "model", catch=False)
    options = ["--positions", "day-of-year", "--reference-date", "2022-01-01"]
    with pytest.raises(TrainingError, match="Do not give positions and reference_date"):
        run("panoptic", *given, *options, "--out", tmp_path / "model", catch=False)
    with pytest.raises(TrainingError, match="Expected 0.01 to 0.5"):
        run("panoptic", *given, "--spread", 0.7, "--out", tmp_path / "model", catch=False)

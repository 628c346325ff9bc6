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
    ],
)
def test_options_reach_the_training(tmp_path: Path, command: str, own: list[str]) -> None:
    given = [command, "--ts", tmp_path / "nowhere", "--labels", "a.tif", "--out", tmp_path / "model", *own]
    with pytest.raises(SeriesError, match="nowhere"):
        run(*given, "--dates", 3, 9, catch=False)
    with pytest.raises(TrainingError, match="cannot have 9 to 3 dates"):
        run(*given, "--dates", 9, 3, catch=False)


def test_an_encoder_is_looked_for(tmp_path: Path) -> None:
    given = ["--ts", tmp_path / "nowhere", "--labels", "a.tif", "--parcels", "p.tif", "--bands", "B04"]
    with pytest.raises(TrainingError, match="Bands come with the encoder of utae-demo"):
        run("panoptic", *given, "--out", tmp_path / "model", "--encoder", "utae-demo", catch=False)

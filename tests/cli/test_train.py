from pathlib import Path

import pytest
from typer.testing import CliRunner

from sitsinfer.cli.train import app
from sitsinfer.errors import SeriesError


def test_each_series_needs_its_labels(tmp_path: Path) -> None:
    arguments = ["segment", "--ts", "a", "--ts", "b", "--labels", "a.tif", "--out", str(tmp_path / "model")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "1 label rasters for 2 series" in result.output


def test_options_reach_the_training(tmp_path: Path) -> None:
    arguments = ["segment", "--ts", str(tmp_path / "nowhere"), "--labels", "a.tif", "--out", str(tmp_path / "model")]
    with pytest.raises(SeriesError, match="nowhere"):
        CliRunner().invoke(app, [*arguments, "--preset", "utae-small", "--dates", "3", "9"], catch_exceptions=False)

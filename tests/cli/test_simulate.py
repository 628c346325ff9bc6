"""``sitsinfer simulate``."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from sitsinfer.cli import app

OPTIONS = ["--height", "24", "--width", "31", "--dates", "2", "--seed", "3", "--cloud-cover", "0", "--quiet"]


def test_sensors_and_truth_are_written_as_asked(tmp_path: Path) -> None:
    out = tmp_path / "scene"
    asked = ["--landsat", "3", "--truth", "l3a", "--truth", "2022-07-04"]
    result = CliRunner().invoke(app, ["simulate", str(out), *OPTIONS, *asked])
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(out)
    assert len(list(out.glob("sentinel2/*.tif"))) == 2
    assert len(list(out.glob("landsat/*/landsat_bands_*.tif"))) == 3
    for sensor in ("sentinel2", "landsat"):
        truth = [path.stem for path in sorted(out.glob(f"truth/{sensor}/*.tif"))]
        assert len(truth) == 25
        assert f"{sensor}_20220704" in truth


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["--truth", "yesterday"], "neither a date nor l3a"), (["--truth", "2021-07-04", "--quiet"], "is not in 2022")],
)
def test_truth_that_cannot_be_made_is_refused(tmp_path: Path, arguments: list[str], words: str) -> None:
    result = CliRunner().invoke(app, ["simulate", str(tmp_path / "scene"), *arguments])
    assert result.exit_code != 0
    assert words in result.output + str(result.exception)
    assert not list(tmp_path.iterdir())

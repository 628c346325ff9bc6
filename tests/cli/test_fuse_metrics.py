"""``sitsinfer fuse --metrics``: what counts, when scores are made anew, and when they go."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from sitsinfer import cli
from tests.cli.conftest import Outcome, refusal

Fuse = Callable[..., Outcome]


def margins(table: Path) -> set[str]:
    with table.open(newline="") as file:
        return {row["margin"] for row in csv.DictReader(file)}


def test_help_tells_of_the_margin() -> None:
    text = " ".join(CliRunner().invoke(cli.app, ["fuse", "--help"], env={"COLUMNS": "300"}).output.split())
    assert "30, or a quarter of the shorter side where that is less" in text


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "out" / "GAPS.metrics.csv"


def test_the_border_does_not_count(fuse: Fuse, table: Path, tmp_path: Path) -> None:
    assert fuse("--metrics", strategy="GAPS").code == 0
    assert margins(table) == {"6"}, "a quarter of 24 pixels, for both sensors"
    assert fuse("--metrics", strategy="GAPS", out=tmp_path / "cube.nc", metrics_margin=0).code == 0
    assert margins(tmp_path / "cube.nc.metrics.csv") == {"0"}
    assert (tmp_path / "cube.nc.metrics.csv").read_text() != table.read_text()


def test_another_margin_makes_scores_anew(fuse: Fuse, table: Path) -> None:
    first = fuse("--metrics", strategy="GAPS")
    whole = fuse("--metrics", strategy="GAPS", metrics_margin=0)
    assert whole.out[0].endswith("out is up to date.")
    assert whole.out[1:] != first.out[1:]
    assert margins(table) == {"0"}
    assert fuse("--metrics", strategy="GAPS").out[1:] == first.out[1:]


def test_scores_that_are_there_are_shown_again(fuse: Fuse, table: Path) -> None:
    first = fuse("--metrics", strategy="GAPS")
    before = table.stat()
    again = fuse("--metrics", strategy="GAPS")
    assert again.out[0].endswith("out is up to date.")
    assert again.out[1:] == first.out[1:]
    assert len(again.out) > 10
    assert (table.stat().st_ino, table.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("out", ["out", "cube.nc"])
def test_scores_go_with_the_outputs_that_they_are_of(fuse: Fuse, tmp_path: Path, out: str) -> None:
    table = tmp_path / "out" / "GAPS.metrics.csv" if out == "out" else tmp_path / "cube.nc.metrics.csv"
    assert fuse("--metrics", strategy="GAPS", out=tmp_path / out).code == 0
    assert fuse(strategy="GAPS", out=tmp_path / out).code == 0
    assert table.exists(), "nothing was made anew"
    assert fuse("--overwrite", strategy="GAPS", out=tmp_path / out, gap_size=100).code == 0
    assert not table.exists()


def test_a_table_of_somebody_else_stays_where_none_is_asked_for(fuse: Fuse, table: Path) -> None:
    table.parent.mkdir()
    table.write_text("precious")
    assert fuse("--overwrite", strategy="GAPS").code == 0
    assert table.read_text() == "precious"


@pytest.mark.parametrize(
    ("words", "options", "told"),
    [
        (["--metrics"], {"metrics_margin": 12}, "A margin of 12 pixels leaves nothing of 24 x 30. Choose 11 or less."),
        ([], {"metrics_margin": 3}, "A margin of 3 pixels is for metrics. Set metrics, or leave it out."),
    ],
)
def test_margins_that_cannot_be_are_told_before_anything_is_made(
    fuse: Fuse, tmp_path: Path, words: list[str], options: dict[str, Any], told: str
) -> None:
    assert told in refusal(fuse, tmp_path)(*words, strategy="GAPS", **options)

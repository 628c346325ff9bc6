import json
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from sitsinfer.cli.inspect import inspect
from sitsinfer.errors import SeriesError

Folder = Callable[..., Path]

app = typer.Typer()
app.command()(inspect)


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_it_shows_what_is_understood(series_folder: Folder) -> None:
    folder = series_folder()
    (folder / "notes.txt").write_text("hello")
    shown = run(str(folder))
    for words in (
        "Sensor       sentinel-2",
        "Bands        4: B02 B03 B04 B08",
        "Dates        3: 2022-01-08 to 2022-04-13",
        "Longest gap  73 days, 2022-01-08 to 2022-03-22",
        "CRS          EPSG:32631",
        "Size         23 x 31 pixels (rows x columns)",
        "2022-03-22       100%      -  S2_20220322.tif",
        "2 days a character; cloud up to: █ 10%",
        f"Left out: {folder / 'notes.txt'} (not a raster)",
    ):
        assert words in shown


def test_json_is_all_that_stdout_holds(series_folder: Folder) -> None:
    told = json.loads(run(str(series_folder()), "--json"))
    assert [entry["date"] for entry in told["dates"]] == ["2022-01-08", "2022-03-22", "2022-04-13"]


def test_strict_fails_on_what_is_left_out(series_folder: Folder) -> None:
    folder = series_folder()
    (folder / "notes.txt").write_text("hello")
    with pytest.raises(SeriesError, match=r"1 files of .* cannot be used: notes.txt \(not a raster\)"):
        run(str(folder), "--strict")

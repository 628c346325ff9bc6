import logging
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from sitsinfer.api import checks
from sitsinfer.api.provenance import provenance
from sitsinfer.engine import Summary
from sitsinfer.errors import OutputError, SeriesError
from sitsinfer.series import open_series
from sitsinfer.tasks.segment import Segment
from sitsinfer.weights import Member
from tests.conftest import BANDS, DATES
from tests.fakes import CARD as FAKE

CARD = replace(FAKE, bands=BANDS, positions="days", margin=2, blend=2, members=(Member("", (0,) * 4, (1,) * 4),))


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch):
    """What a user is told of a series: ``told(series, card, reference_date)``."""
    monkeypatch.setattr(logging.getLogger("sitsinfer"), "propagate", True)

    def call(series, card=CARD, reference_date=None, strict=False):
        caplog.clear()
        checks.tell_series(series)
        checks.tell_doubts(checks.doubts(series, card, reference_date), strict)
        return caplog.messages

    return call


def test_a_series_that_fits_needs_no_words(told, series_folder) -> None:
    assert told(open_series(series_folder())) == []


def test_files_left_out_are_named_with_the_reason(told, series_folder) -> None:
    (series_folder() / "notes.txt").write_text("no raster")
    assert told(open_series(series_folder())) == ["notes.txt is left out: not a raster"]


def test_another_sensor_than_that_of_the_weights_is_told(told, series_folder) -> None:
    series = open_series(series_folder())
    assert series.sensor == "sentinel-2"
    assert told(series, replace(CARD, sensor="landsat-8")) == ["The series is of sentinel-2, the weights of landsat-8."]


def test_days_far_from_the_reference_date_are_told(told, series_folder) -> None:
    series = open_series(series_folder())
    (line,) = told(series, replace(CARD, reference_date=date(2018, 9, 1)))
    assert line.startswith("Days run from 1225 to 1320 since 2018-09-01")
    assert told(series, CARD, date(2017, 1, 1))


def test_more_than_a_year_is_told_where_days_of_the_year_count(told, series_folder) -> None:
    by_day = replace(CARD, positions="day-of-year")
    assert told(open_series(series_folder()), by_day) == []
    (line,) = told(open_series(series_folder(dates=[date(2023, 6, 1)])), by_day)
    assert line.startswith("Dates run from 2022-01-08 to 2023-06-01, but the weights know one year")


def test_doubts_are_errors_where_strict(told, series_folder) -> None:
    with pytest.raises(SeriesError, match="The series is of sentinel-2, the weights of landsat-8"):
        told(open_series(series_folder()), replace(CARD, sensor="landsat-8"), strict=True)


def test_a_reference_date_that_plays_no_part_is_told(told, series_folder) -> None:
    (line,) = told(open_series(series_folder()), replace(CARD, positions="day-of-year"), date(2022, 1, 1))
    assert line == "Weights fake know days of the year: the reference date 2022-01-01 plays no part."


def test_outputs_need_names_of_their_own(series_folder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    series = open_series(series_folder())
    monkeypatch.chdir(tmp_path)
    checks.check_names([Path("map.tif"), Path("map.json"), Path("confidence.tif")], series)
    with pytest.raises(OutputError, match="map.tif is to hold two outputs at once"):
        checks.check_names([Path("map.tif"), Path("map.json"), tmp_path / "map.tif"], series)


def test_an_output_may_not_replace_an_input(series_folder) -> None:
    series = open_series(series_folder())
    with pytest.raises(OutputError, match="S2_20220108.tif is a file of the series. Choose another output"):
        checks.check_names([series.root / ".." / series.root.name / "S2_20220108.tif"], series)


def test_provenance_tells_what_went_in(series_folder) -> None:
    series = open_series(series_folder())
    task = Segment(series, CARD, Path("weights"), end=DATES[1], reference_date=date(2022, 1, 1), margin=3)
    found = provenance(task, Summary(unchanged=False, seconds={"wall": 1.5}))
    assert found["inputs"] == ["S2_20220108.tif", "S2_20220322.tif"]
    assert found["dates"] == ["2022-01-08", "2022-03-22"]
    assert (found["model"], found["reference_date"], found["margin"]) == ("fake", "2022-01-01", 3)
    assert (found["margin"], found["blend"], found["device"] != "auto") == (3, 3, True)
    assert found["seconds"] == {"wall": 1.5}

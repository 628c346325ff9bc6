"""What can be wrong with what a user gives: one line that names it, exit code 1, nothing under the final name."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import pytest

from tests.cli.conftest import DATES, Outcome, masked, refusal, spoil_pixels
from tests.field_layer import fields, odd, write_layer

Classify = Callable[..., Outcome]
Refuse = Callable[..., str]

FIRST = f"S2_{DATES[0]:%Y%m%d}.tif"


@pytest.fixture(scope="module")
def year(year: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The year with a mask, of which nothing is to be told. Not to be written to."""
    return masked(year, tmp_path_factory.mktemp("masked") / "s2")


@pytest.fixture
def refuse(classify: Classify, tmp_path: Path) -> Refuse:
    """Call classify, see that it fails as it should, and return the one line that says why."""
    return refusal(classify, tmp_path)


@pytest.fixture
def mine(layer: Path, tmp_path: Path) -> Path:
    """A copy of the layer, to be spoilt."""
    return Path(shutil.copy(layer, tmp_path / "mine.gpkg"))


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("pixels", 0, "pixels is 0. Expected 1 to 32767"),
        ("pixels", -3, "pixels is -3"),
        ("tile_size", 0, "tile size of 0 pixels"),
        ("memory", "100MiB", "Set memory higher"),
        ("device", "abacus", "no device 'abacus'"),
        ("precision", "fp8", "no precision 'fp8'"),
        ("start", "2031-01-01", "No acquisition from 2031-01-01"),
        ("reference_date", "2019-01-01", "Set the reference date to where their year begins"),
        ("id_column", "nombre", "nombre"),
        ("layer", "woods", "woods"),
        ("model", "nobody", "There is no model 'nobody'"),
    ],
)
def test_an_option_out_of_range(refuse: Refuse, option: str, value: Any, told: str) -> None:
    assert told in refuse("--quiet", **{option: value})  # some are noticed after which days are used is told


@pytest.mark.parametrize("option", ["pixels", "start", "workers"])
def test_an_option_that_is_no_number_is_misuse(classify: Classify, tmp_path: Path, option: str) -> None:
    outcome = classify(**{option: "much"})
    assert outcome.code == 2
    assert "Invalid value for" in " ".join(outcome.err)
    assert not list(tmp_path.iterdir())


# --- the layer


def test_a_layer_without_a_crs(refuse: Refuse, mine: Path) -> None:
    path = mine.with_suffix(".parquet")
    geopandas.read_file(mine).set_crs(None, allow_override=True).to_parquet(path)
    assert "CRS" in refuse(parcels=path)


def test_a_layer_that_is_none(refuse: Refuse, mine: Path, year: Path) -> None:
    assert "nowhere.gpkg" in refuse(parcels=mine.with_name("nowhere.gpkg"))
    mine.write_text("text")
    assert "mine.gpkg" in refuse(parcels=mine)
    assert FIRST in refuse(parcels=year / FIRST)


def test_a_layer_that_is_cut_short(refuse: Refuse, mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sitsinfer.engine.RETRY_DELAYS", ())
    path = mine.with_suffix(".fgb")
    geopandas.read_file(mine).to_file(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    assert "mine.fgb" in refuse(parcels=path)


def test_identifiers_in_a_column_that_is_written(refuse: Refuse, mine: Path) -> None:
    geopandas.read_file(mine).rename(columns={"name": "pixels"}).to_file(mine, layer="fields")
    assert "The identifiers are in column 'pixels', but a column of that name" in refuse(
        parcels=mine, id_column="pixels"
    )


def test_odd_parcels_where_nothing_may_be_odd(refuse: Refuse, tmp_path: Path) -> None:
    layer = write_layer(tmp_path / "odd.gpkg", odd())
    assert "Mend the layer, or leave strict out" in refuse("--strict", parcels=layer)


def test_parcels_that_lie_elsewhere(classify: Classify, tmp_path: Path) -> None:
    shapes = [shape for name, shape in odd().items() if name == "outside"]
    far = write_layer(tmp_path / "far.gpkg", shapes)
    outcome = classify("--strict", parcels=far)
    assert outcome.code == 1
    assert "outside the data" in outcome.err[0]
    outcome = classify(parcels=far)
    assert (outcome.code, outcome.err[-1]) == (0, "0 of 1 parcels have a class.")
    assert "outside the data" in outcome.err[0]
    (row,) = geopandas.read_file(tmp_path / "classes.gpkg", layer="parcels").itertuples()
    assert (row.name, row.pixels, row.class_name) == ("field 0", 0, None)
    assert classify(parcels=far).out[0].endswith("is up to date.")


# --- the outputs


@pytest.mark.parametrize("name", ["classes.shp", "classes", "classes.tif"])
def test_a_format_that_nobody_knows(refuse: Refuse, tmp_path: Path, name: str) -> None:
    assert "names no format of parcels. Expected .gpkg, .parquet or .fgb" in refuse(out=tmp_path / name)


def test_an_output_that_is_an_input(refuse: Refuse, mine: Path) -> None:
    content = mine.read_bytes()
    for words in ((), ("--overwrite",)):
        assert "mine.gpkg is the layer of parcels itself. Choose another output" in refuse(
            *words, parcels=mine, out=mine
        )
    assert mine.read_bytes() == content


def test_an_output_folder_that_is_not_there(refuse: Refuse, tmp_path: Path) -> None:
    assert "nowhere of c.gpkg does not exist. Create it" in refuse(out=tmp_path / "nowhere" / "c.gpkg")


@pytest.mark.parametrize("name", ["classes.gpkg", "classes.json"])
def test_a_file_that_another_program_made_is_kept(refuse: Refuse, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("precious")
    assert f"{name} already exists, and is damaged, or sitsinfer did not make it. Set overwrite" in refuse()
    assert (tmp_path / name).read_text() == "precious"


# --- the model and the series


def test_a_model_for_another_command_names_that(refuse: Refuse, tiny_model: Path, parcel_model: Path) -> None:
    assert "is a model for segment, not for classify. Use 'sitsinfer segment'" in refuse(model=tiny_model)
    assert "is a model for panoptic, not for classify. Use 'sitsinfer panoptic'" in refuse(model=parcel_model)


def test_a_series_without_a_band_of_the_model(refuse: Refuse, classifier: Path, tmp_path: Path) -> None:
    model = shutil.copytree(classifier, tmp_path / "model")
    card = (model / "model.json").read_text()
    (model / "model.json").write_text(card.replace('"B08"', '"B8A"'))
    assert "Band 'B8A' is missing from all 6 acquisitions" in refuse(model=model)


def test_files_that_cannot_be_read_fail_their_tiles_and_the_others_are_kept(
    classify: Classify, series: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, year: Path
) -> None:
    monkeypatch.setattr("sitsinfer.engine.RETRY_DELAYS", ())
    broken = series / f"S2_{DATES[2]:%Y%m%d}.tif"
    spoil_pixels(broken)
    stamp = broken.stat().st_mtime_ns
    outcome = classify(ts=series, tile_size=20)
    assert outcome.code == 3
    assert "tiles failed" in outcome.err[-1]
    assert stamp == broken.stat().st_mtime_ns
    assert not (tmp_path / "classes.gpkg").exists()
    assert list((tmp_path / "classes.gpkg.partial" / "tiles").iterdir())


def test_layers_of_other_systems_of_coordinates_and_formats_will_do(classify: Classify, tmp_path: Path) -> None:
    for name in ("fields.parquet", "fields.fgb", "fields.geojson"):
        layer = write_layer(tmp_path / name, fields((30, 40)), "EPSG:4326")
        assert classify(parcels=layer, out=tmp_path / f"of_{layer.suffix[1:]}.parquet").code == 0

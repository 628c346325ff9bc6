"""What can be wrong with what a user gives: one line that names it, exit code 1, nothing under the final name."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import rasterio.shutil

from sitsinfer import weights
from sitsinfer.errors import OutputError
from sitsinfer.store import locked
from tests.cli.conftest import BANDS, DATES, Outcome, refusal, spoil_pixels
from tests.conftest import write_raster
from tests.parcel_model import CARD, network

Panoptic = Callable[..., Outcome]
Refuse = Callable[..., str]

FIRST = f"S2_{DATES[0]:%Y%m%d}.tif"


@pytest.fixture
def refuse(panoptic: Panoptic, tmp_path: Path) -> Refuse:
    """Call panoptic, see that it fails as it should, and return the one line that says why."""
    return refusal(panoptic, tmp_path)


@pytest.fixture
def spoilt_model(parcel_model: Path, tmp_path: Path) -> Path:
    """A copy of the model, to be spoilt."""
    return Path(shutil.copytree(parcel_model, tmp_path / "model"))


# --- thresholds and other options


@pytest.mark.parametrize("option", ["min_confidence", "min_remain", "mask_threshold"])
@pytest.mark.parametrize("value", [-0.1, 1.01, "nan", "inf"])
def test_a_threshold_out_of_range(refuse: Refuse, option: str, value: Any) -> None:
    assert f"{option} is {value}. Expected 0 to 1" in refuse(**{option: value})


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("min_area", -0.5, "min_area is -0.5. Expected hectares, 0 or more"),
        ("min_area", "nan", "min_area is nan. Expected hectares"),
        ("min_area", "inf", "min_area is inf. Expected hectares"),
        ("simplify", 0, "simplify is 0.0. Expected a distance in units of the CRS, more than 0"),
        ("simplify", -3, "simplify is -3.0. Expected a distance"),
        ("simplify", "nan", "simplify is nan. Expected a distance"),
        ("void", 5, "Class 5 cannot be void: weights tiny parcels predict 3, 7, 20. Choose of these"),
        ("void", 0, "Class 0 cannot be void"),
        ("void", 21, "Class 21 cannot be void"),
        ("margin", 16, "margin of 16 pixels leaves nothing of a patch of 32"),
        ("margin", -1, "margin of -1 pixels"),
        ("tile_size", 0, "tile size of 0 pixels"),
        ("memory", "100MiB", "Set memory higher"),
        ("device", "abacus", "no device 'abacus'"),
        ("precision", "fp8", "no precision 'fp8'"),
    ],
)
def test_an_option_out_of_range(refuse: Refuse, option: str, value: Any, told: str) -> None:
    assert told in refuse(**{option: value})


@pytest.mark.parametrize("option", ["min_confidence", "void", "simplify"])
def test_an_option_that_is_no_number_is_misuse(panoptic: Panoptic, tmp_path: Path, option: str) -> None:
    outcome = panoptic(**{option: "much"})
    assert outcome.code == 2
    assert "Invalid value for" in " ".join(outcome.err)
    assert not list(tmp_path.iterdir())


# --- the outputs


@pytest.mark.parametrize("name", ["parcels.shp", "parcels", "parcels.geojson", "parcels.tif"])
def test_a_format_that_nobody_knows(refuse: Refuse, tmp_path: Path, name: str) -> None:
    line = refuse(out=tmp_path / name)
    assert f"{name} ends in '{Path(name).suffix}', which names no format of parcels" in line
    assert "Expected .gpkg, .parquet or .fgb" in line


@pytest.mark.parametrize("option", ["raster", "classes"])
def test_a_raster_that_is_none(refuse: Refuse, tmp_path: Path, option: str) -> None:
    assert "names no product. Known endings: .tif" in refuse(**{option: tmp_path / "map.gpkg"})


@pytest.mark.parametrize(("option", "name"), [("out", "p.gpkg"), ("raster", "i.tif"), ("classes", "c.tif")])
def test_an_output_folder_that_is_not_there(refuse: Refuse, tmp_path: Path, option: str, name: str) -> None:
    assert f"nowhere of {name} does not exist. Create it" in refuse(**{option: tmp_path / "nowhere" / name})


def test_an_output_folder_that_is_read_only(refuse: Refuse, disk: Callable[[str], Path]) -> None:
    folder = disk("1m")
    subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
    assert "Read-only" in refuse(out=folder / "parcels.gpkg")
    assert not list(folder.iterdir())


@pytest.mark.parametrize("name", ["parcels.gpkg", "parcels.json", "i.tif", "c.tif"])
def test_a_file_that_another_program_made_is_kept(refuse: Refuse, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("precious")
    line = refuse(raster=tmp_path / "i.tif", classes=tmp_path / "c.tif")
    assert f"{name} already exists, and is damaged, or sitsinfer did not make it. Set overwrite" in line
    assert (tmp_path / name).read_text() == "precious"


def test_vectors_of_another_program_are_kept(refuse: Refuse, tmp_path: Path) -> None:
    import geopandas
    from shapely import Point

    points = geopandas.GeoDataFrame({"name": ["well"]}, geometry=[Point(1, 2)], crs="EPSG:32631")
    points.to_parquet(tmp_path / "parcels.parquet")
    points.to_file(tmp_path / "parcels.gpkg", layer="parcels")
    for ending in ("parquet", "gpkg"):
        content = (tmp_path / f"parcels.{ending}").read_bytes()
        assert "sitsinfer did not make it" in refuse(out=tmp_path / f"parcels.{ending}")
        assert (tmp_path / f"parcels.{ending}").read_bytes() == content


def test_a_file_that_another_program_made_is_replaced_on_demand(panoptic: Panoptic, tmp_path: Path) -> None:
    for name in ("parcels.gpkg", "parcels.json", "i.tif"):
        (tmp_path / name).write_text("worthless")
    assert panoptic("--overwrite", raster=tmp_path / "i.tif", min_confidence=1).code == 0
    assert json.loads((tmp_path / "parcels.json").read_text())["type"] == "Feature"
    assert (tmp_path / "parcels.gpkg").read_bytes().startswith(b"SQLite")


def test_a_folder_in_the_way_is_kept(refuse: Refuse, tmp_path: Path) -> None:
    for name in ("parcels.gpkg", "i.tif"):
        (tmp_path / name).mkdir()
        for words in ((), ("--overwrite",)):
            assert f"{name} is a folder" in refuse(*words, raster=tmp_path / "i.tif")
        (tmp_path / name).rmdir()


def test_an_output_that_is_cut_short_is_told(panoptic: Panoptic, refuse: Refuse, tmp_path: Path) -> None:
    assert panoptic().code == 0
    content = (tmp_path / "parcels.gpkg").read_bytes()
    (tmp_path / "parcels.gpkg").write_bytes(content[: len(content) // 2])
    assert "is damaged, or sitsinfer did not make it. Set overwrite" in refuse()
    assert panoptic("--overwrite").code == 0
    assert (tmp_path / "parcels.gpkg").read_bytes() == content


def test_two_outputs_of_one_name(refuse: Refuse, tmp_path: Path) -> None:
    assert "two outputs at once" in refuse(raster=tmp_path / "i.tif", classes=tmp_path / "i.tif")
    assert "two outputs at once" in refuse(raster=tmp_path / "i.tif", classes=tmp_path / "." / "i.tif")


def test_an_output_that_is_an_input(refuse: Refuse, series: Path) -> None:
    content = (series / FIRST).read_bytes()
    for option in ("raster", "classes"):
        for words in ((), ("--overwrite",)):
            line = refuse(*words, ts=series, **{option: series / FIRST})
            assert f"{FIRST} is a file of the series. Choose another output" in line
    assert (series / FIRST).read_bytes() == content


# --- the model


def test_a_model_for_another_command_names_that(
    refuse: Refuse, segment: Callable[..., Outcome], tiny_model: Path, parcel_model: Path, tmp_path: Path
) -> None:
    assert "is a model for segment, not for panoptic. Use 'sitsinfer segment'" in refuse(model=tiny_model)
    line = refusal(segment, tmp_path)(model=parcel_model)
    assert "is a model for panoptic, not for segment. Use 'sitsinfer panoptic'" in line


def test_a_model_that_is_not_there(refuse: Refuse, tmp_path: Path) -> None:
    assert "There is no model" in refuse(model=tmp_path / "nowhere")


def test_weights_that_are_not_those_of_the_card(refuse: Refuse, spoilt_model: Path) -> None:
    content = bytearray((spoilt_model / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (spoilt_model / "model.safetensors").write_bytes(content)
    assert "SHA-256" in refuse(model=spoilt_model)


def test_weights_that_lack_a_head(refuse: Refuse, spoilt_model: Path) -> None:
    state = {name: values for name, values in network().state_dict().items() if not name.startswith("shape_mlp.3")}
    weights.save(spoilt_model, CARD, [state])
    assert "it lacks 'shape_mlp" in refuse(model=spoilt_model)


def test_classes_that_do_not_match_the_weights(refuse: Refuse, spoilt_model: Path) -> None:
    card = json.loads((spoilt_model / "model.json").read_text())
    (spoilt_model / "model.json").write_text(json.dumps({**card, "classes": card["classes"][:4], "ignore": [0]}))
    assert "lists 4 classes but the weights have 5" in refuse(model=spoilt_model)


def test_weights_that_give_no_numbers(refuse: Refuse, spoilt_model: Path) -> None:
    module = network()
    module.heatmap_conv[0].conv[4].bias.data.fill_(float("nan"))
    weights.save(spoilt_model, CARD, [module.state_dict()])
    assert "gives values that are not numbers" in refuse(model=spoilt_model)


# --- the series


def test_a_series_that_is_not_there(refuse: Refuse, tmp_path: Path) -> None:
    assert "nowhere does not exist" in refuse(ts=tmp_path / "nowhere")


def test_a_missing_band(refuse: Refuse, series: Path) -> None:
    for path in series.iterdir():
        with rasterio.open(path) as file:
            values = file.read()
        write_raster(path, values[:3], BANDS[:3])
    line = refuse(ts=series)
    assert "'B08'" in line
    assert "Use weights trained on these" in line


def test_a_file_that_is_truncated(refuse: Refuse, series: Path, year: Path) -> None:
    rasterio.shutil.copy(year / FIRST, series / FIRST, driver="COG")
    content = (series / FIRST).read_bytes()
    (series / FIRST).write_bytes(content[: len(content) * 2 // 3])
    assert f"{FIRST} is truncated" in refuse(ts=series)


def test_pixels_that_cannot_be_read_fail_their_tiles_alone(
    panoptic: Panoptic, series: Path, year: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sitsinfer.engine.RETRY_DELAYS", ())
    spoil_pixels(series / FIRST)
    outcome = panoptic(ts=series, min_confidence=1)
    assert outcome.code == 3
    assert outcome.err[-1].startswith("Error: 1 of 1 tiles failed")
    assert FIRST in outcome.err[-1]
    assert not (tmp_path / "parcels.gpkg").exists()
    shutil.copy2(year / FIRST, series / FIRST)
    assert panoptic(ts=series, min_confidence=1).code == 0


def test_nothing_but_nodata(refuse: Refuse, series: Path) -> None:
    for path in series.iterdir():
        with rasterio.open(path) as file:
            values = file.read()
        write_raster(path, values * 0, BANDS)
    assert "Nothing that goes in was observed" in refuse(ts=series)


def test_an_area_outside(refuse: Refuse) -> None:
    assert "lies outside the data" in refuse("--bounds", 0, 0, 100, 100)


# --- other runs


def test_an_unfinished_run_of_other_thresholds_stays_until_it_is_overwritten(
    panoptic: Panoptic, refuse: Refuse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*arguments: Any, **options: Any) -> None:
        raise OutputError("Enough.")

    with monkeypatch.context() as patched:
        patched.setattr("sitsinfer.api.parcel_run.settle", stop)
        assert panoptic().err == ["Error: Enough."]
    line = refuse(mask_threshold=0.5)
    assert "holds an unfinished run that differs in: mask threshold" in line
    assert "overwrite" in line
    assert panoptic("--overwrite", mask_threshold=0.5).code == 0
    assert not (tmp_path / "parcels.gpkg.partial").exists()


def test_two_runs_do_not_write_one_file(panoptic: Panoptic, tmp_path: Path) -> None:
    with locked(tmp_path / "parcels.gpkg.partial"):
        outcome = panoptic()
    assert outcome.code == 1
    (line,) = outcome.err
    assert line.startswith("Error: Another run is writing")

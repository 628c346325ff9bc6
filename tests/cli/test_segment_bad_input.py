"""What can be wrong with what a user gives: one line that names it, exit code 1, nothing under the final name."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import torch
from affine import Affine

from sitsinfer import api, models, weights
from sitsinfer.engine import Options
from sitsinfer.errors import OutputError
from tests.cli.conftest import BANDS, CARD, DATES, HYPERPARAMETERS, Outcome, enlarge, refusal, spoil_pixels, write_date
from tests.conftest import CORNER, write_raster

Segment = Callable[..., Outcome]

FIRST = f"S2_{DATES[0]:%Y%m%d}.tif"


@pytest.fixture
def refuse(segment: Segment, tmp_path: Path) -> Callable[..., str]:
    """Call segment, see that it fails as it should, and return the one line that says why."""
    return refusal(segment, tmp_path)


def rewrite(path: Path, change: Callable[[Any], Any], **profile: Any) -> None:
    """Change the values of a raster, (C, H, W)."""
    with rasterio.open(path) as file:
        values = file.read()
    write_raster(path, change(values), BANDS, **profile)


# --- the series


def test_a_folder_that_is_not_there(refuse: Callable[..., str], tmp_path: Path) -> None:
    assert "nowhere does not exist" in refuse(ts=tmp_path / "nowhere")


def test_an_empty_folder(refuse: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "No acquisition found in" in refuse(ts=tmp_path / "empty")


def test_no_dates_in_names(refuse: Callable[..., str], series: Path) -> None:
    for number, path in enumerate(sorted(series.iterdir())):
        path.rename(series / f"image_{'abcdef'[number]}.tif")
    line = refuse(ts=series)
    assert "No date in the names or metadata of 6 files" in line
    assert "S2_20220413.tif" in line


def test_a_file_of_garbage(refuse: Callable[..., str], series: Path) -> None:
    (series / FIRST).write_bytes(bytes(range(256)) * 20)
    assert FIRST in refuse(ts=series)


def test_a_file_that_ends_before_its_directory(refuse: Callable[..., str], series: Path) -> None:
    content = (series / FIRST).read_bytes()
    (series / FIRST).write_bytes(content[: len(content) * 2 // 3])
    assert f"Cannot open {series / FIRST}" in refuse(ts=series)


def test_a_file_that_ends_after_its_directory(refuse: Callable[..., str], series: Path, year: Path) -> None:
    rasterio.shutil.copy(year / FIRST, series / FIRST, driver="COG")
    content = (series / FIRST).read_bytes()
    (series / FIRST).write_bytes(content[: len(content) * 2 // 3])
    assert f"{FIRST} is truncated" in refuse(ts=series)


def test_pixels_that_cannot_be_read_fail_their_tiles_alone(
    segment: Segment, series: Path, year: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sitsinfer.engine.RETRY_DELAYS", ())
    spoil_pixels(series / FIRST)
    outcome = segment(ts=series)
    assert outcome.code == 3
    assert outcome.err[-1].startswith("Error: 1 of 1 tiles failed")
    assert FIRST in outcome.err[-1]
    assert not (tmp_path / "map.tif").exists()
    shutil.copy2(year / FIRST, series / FIRST)
    assert segment(ts=series).code == 0


def test_a_date_of_another_crs_is_warped_and_said(segment: Segment, refuse: Callable[..., str], series: Path) -> None:
    rewrite(
        series / FIRST, lambda values: values, crs="EPSG:32632", transform=Affine(10, 0, 140_000, 0, -10, 5_200_000)
    )
    line = refuse("--strict", ts=series)
    assert "EPSG:32632" in line
    with rasterio.open(series / f"S2_{DATES[1]:%Y%m%d}.tif") as file:
        left, bottom, right, top = file.bounds
    outcome = segment("--bounds", left, bottom, right, top, ts=series)
    assert outcome.code == 0
    (note,) = outcome.err
    assert "1 of 6 acquisitions are resampled from EPSG:32632 to EPSG:32631" in note


def test_a_missing_band(refuse: Callable[..., str], series: Path) -> None:
    with rasterio.open(series / FIRST) as file:
        values = file.read()
    write_raster(series / FIRST, values[:3], BANDS[:3])
    assert f"Band 'B08' is missing from 1 of 6 acquisitions: {FIRST}" in refuse(ts=series)


def test_two_sensors(refuse: Callable[..., str], series: Path) -> None:
    write_date(series, date(2022, 5, 5), name="LC08_L2SP_200030_{:%Y%m%d}_02_T1.tif")
    line = refuse(ts=series)
    assert "two sensors" in line
    assert "sentinel-2" in line
    assert "landsat-8" in line


def test_nothing_but_nodata(refuse: Callable[..., str], series: Path) -> None:
    for path in series.iterdir():
        rewrite(path, np.zeros_like)
    assert "Nothing that goes in was observed" in refuse(ts=series)


def test_numbers_that_are_none_are_nodata(segment: Segment, series: Path, tmp_path: Path) -> None:
    holes = (slice(3, 9), slice(40, 52))

    def spoil(values: Any) -> Any:
        values = values / np.float32(10_000)
        values[:, values[0] == 0] = np.nan
        values[:, *holes] = np.inf
        values[0, 11, 50] = -np.inf
        values[2, 30, 5:9] = np.nan
        return values

    for path in series.iterdir():
        rewrite(path, spoil, nodata=None)
    assert segment(ts=series, confidence=tmp_path / "c.tif").code == 0
    with rasterio.open(tmp_path / "map.tif") as file:
        values = file.read(1)
    assert (values[holes] == 255).all()
    assert (values[11, 50], values[30, 5]) != (255, 255)
    assert (values == 255).mean() < 0.1


def test_nothing_but_numbers_that_are_none(refuse: Callable[..., str], series: Path) -> None:
    for path in series.iterdir():
        rewrite(path, lambda values: np.full(values.shape, np.nan, np.float32), nodata=None)
    assert "Nothing that goes in was observed" in refuse(ts=series)


def test_no_acquisition_in_the_dates_asked_for(refuse: Callable[..., str]) -> None:
    assert "No acquisition from 2023-01-01" in refuse(start="2023-01-01")
    assert "The start, 2022-07-01, lies after the end, 2022-06-01" in refuse(start="2022-07-01", end="2022-06-01")


# --- the area


@pytest.mark.parametrize(
    ("bounds", "told"),
    [
        ((0, 0, 100, 100), "lies outside the data"),
        ((CORNER[0] + 100, CORNER[1], CORNER[0], CORNER[1] - 100), "enclose nothing"),
        (("nan", 0, 1, 1), "enclose nothing"),
        (("-inf", "-inf", "inf", "inf"), "enclose nothing"),
    ],
)
def test_an_area_that_is_none(refuse: Callable[..., str], bounds: tuple[Any, ...], told: str) -> None:
    assert told in refuse("--bounds", *bounds)


def test_a_crs_of_no_bounds(refuse: Callable[..., str]) -> None:
    assert "A CRS of bounds is given, EPSG:4326, but no bounds" in refuse(bounds_crs="EPSG:4326")


def test_an_area_in_a_crs_that_is_none(refuse: Callable[..., str]) -> None:
    assert "'EPSG:12' is not a CRS" in refuse("--bounds", 1, 2, 3, 4, "--bounds-crs", "EPSG:12")


@pytest.mark.parametrize("content", [None, "", "no vectors here", '{"type": "FeatureCollection", "features": []}'])
def test_an_area_of_interest_that_is_none(refuse: Callable[..., str], tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "field.geojson").write_text(content)
    assert "field.geojson" in refuse(aoi=tmp_path / "field.geojson")


def test_an_area_given_twice(refuse: Callable[..., str], tmp_path: Path) -> None:
    assert "Choose one" in refuse("--bounds", 1, 2, 3, 4, aoi=tmp_path / "field.geojson")


# --- the model


def test_a_model_that_is_not_there(refuse: Callable[..., str], tmp_path: Path) -> None:
    assert "There is no model" in refuse(model=tmp_path / "nowhere")


def test_a_folder_without_a_model(refuse: Callable[..., str], year: Path) -> None:
    assert "model.json is missing" in refuse(model=year)


def test_another_number_of_classes(refuse: Callable[..., str], model: Path) -> None:
    card = json.loads((model / "model.json").read_text())
    (model / "model.json").write_text(json.dumps({**card, "classes": card["classes"][:2]}))
    assert "lists 2 classes but the weights have 3" in refuse(model=model)


def test_weights_of_another_architecture(refuse: Callable[..., str], model: Path) -> None:
    wider = {**HYPERPARAMETERS, "encoder_widths": [8, 8, 8], "decoder_widths": [8, 8, 8]}
    weights.save(model, CARD, [models.build("utae", wider).state_dict()])
    line = refuse(model=model)
    assert "has shape" in line
    assert "hyper-parameters" in line
    weights.save(model, CARD, [{"linear.weight": torch.zeros(2, 2)}])
    assert "it lacks 'in_conv" in refuse(model=model)


def test_weights_that_are_not_those_of_the_card(refuse: Callable[..., str], model: Path) -> None:
    content = bytearray((model / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (model / "model.safetensors").write_bytes(content)
    assert "SHA-256" in refuse(model=model)


class Bomb:
    """An object whose pickle makes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.path,)


def test_code_in_a_checkpoint_is_not_run(command: Callable[..., Outcome], tmp_path: Path) -> None:
    options = {key: value for key, value in HYPERPARAMETERS.items() if key != "input_dim"}
    conf = {"model": "utae", **options, "out_conv": [4, 20], "num_classes": 20, "ref_date": "2018-09-01"}
    release = tmp_path / "release"
    (release / "Fold_1").mkdir(parents=True)
    (release / "conf.json").write_text(json.dumps(conf))
    (release / "norm.json").write_text(json.dumps({f"Fold_{k}": {"mean": [1] * 10, "std": [1] * 10} for k in range(6)}))
    torch.save({"state_dict": Bomb(tmp_path / "exploded")}, release / "Fold_1" / "model.pth.tar")
    outcome = command(
        "models", "import", "utae", release, "--fold", "1", "--norm", release / "norm.json", "--out", tmp_path / "out"
    )
    assert outcome.code == 1
    (line,) = outcome.err
    assert "holds more than tensors and is not loaded" in line
    assert not (tmp_path / "exploded").exists()
    assert not (tmp_path / "out").exists()


def test_code_in_weights_is_not_run(refuse: Callable[..., str], model: Path, tmp_path: Path) -> None:
    import hashlib

    path = model / "model.safetensors"
    torch.save({"state_dict": Bomb(tmp_path / "exploded")}, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    (model / "model.json").write_text(replace(CARD, digest=digest).to_json())
    assert "is not a whole safetensors file" in refuse(model=model)
    assert not (tmp_path / "exploded").exists()


# --- the outputs


def test_an_output_folder_that_is_not_there(refuse: Callable[..., str], tmp_path: Path) -> None:
    for option in ("out", "probabilities", "quicklook"):
        line = refuse(**{option: tmp_path / "nowhere" / "file.tif"})
        assert "nowhere of file.tif does not exist" in line


def test_an_output_folder_that_is_a_file(refuse: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "file of map.tif does not exist" in refuse(out=tmp_path / "file" / "map.tif")


def test_an_output_folder_that_is_read_only(refuse: Callable[..., str], disk: Callable[[str], Path]) -> None:
    folder = disk("1m")
    subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
    line = refuse(out=folder / "map.tif")
    assert "Read-only" in line
    assert not list(folder.iterdir())


def test_an_ending_that_names_no_product(refuse: Callable[..., str], tmp_path: Path) -> None:
    assert "names no product" in refuse(out=tmp_path / "map.xyz")


def test_two_outputs_of_one_name(refuse: Callable[..., str], tmp_path: Path) -> None:
    assert "two outputs at once" in refuse(confidence=tmp_path / "map.tif")
    assert "two outputs at once" in refuse(quicklook=tmp_path / "." / "map.json")


@pytest.mark.parametrize("name", ["map.tif", "map.json", "map.png", "c.tif"])
def test_a_file_that_another_program_made_is_kept(refuse: Callable[..., str], tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("precious")
    line = refuse(quicklook=tmp_path / "map.png", confidence=tmp_path / "c.tif")
    assert f"{name} already exists, and is damaged, or sitsinfer did not make it. Set overwrite" in line
    assert (tmp_path / name).read_text() == "precious"


def test_a_file_that_another_program_made_is_replaced_on_demand(segment: Segment, tmp_path: Path) -> None:
    for name in ("map.tif", "map.json", "map.png"):
        (tmp_path / name).write_text("worthless")
    assert segment("--overwrite", quicklook=tmp_path / "map.png").code == 0
    assert json.loads((tmp_path / "map.json").read_text())["type"] == "Feature"


def test_the_map_of_another_run_is_kept(segment: Segment, refuse: Callable[..., str], tmp_path: Path) -> None:
    segment(quicklook=tmp_path / "map.png")
    content = (tmp_path / "map.tif").read_bytes()
    for option, value, part in [
        ("margin", 3, "margin"),
        ("end", "2022-05-01", "dates"),
        ("precision", "bf16", "device"),
    ]:
        assert f"made by another run: it differs in {part}" in refuse(**{option: value})
    assert "map.png already exists, made by another run" in refuse(
        out=tmp_path / "other.tif", quicklook=tmp_path / "map.png", margin=3
    )
    assert (tmp_path / "map.tif").read_bytes() == content


# --- the disk


def test_a_disk_that_is_full_while_tiles_are_written(
    segment: Segment, refuse: Callable[..., str], disk: Callable[[str], Path]
) -> None:
    folder = disk("64k")
    line = refuse(out=folder / "map.tif", tile_size=12)
    assert "No space left on the disk" in line
    assert "same command" in line
    assert not (folder / "map.tif").exists()
    enlarge(folder)
    assert segment(out=folder / "map.tif", tile_size=12).code == 0


def test_a_disk_that_is_full_when_the_map_is_written(
    segment: Segment, disk: Callable[[str], Path], year: Path, tiny_model: Path
) -> None:
    folder = disk("16m")

    def fill(done: int, total: int) -> None:
        """Once the last tile is stored, leave no room for the map."""
        if done == total:
            free = shutil.disk_usage(folder).free
            (folder / "ballast").write_bytes(bytes(free - 8192))

    with pytest.raises(OutputError, match="the disk is full|No space left") as raised:
        api.segment(year, folder / "map.tif", model=str(tiny_model), device="cpu", options=Options(progress=fill))
    assert "\n" not in str(raised.value)
    assert {path.name for path in folder.iterdir()} == {"ballast", "map.tif.partial"}
    (folder / "ballast").unlink()
    assert segment(out=folder / "map.tif").code == 0
    assert not (folder / "map.tif.partial").exists()


# --- the other options


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("memory", "100MiB", "Set memory higher"),
        ("memory", "plenty", "is not an amount of memory"),
        ("tile_size", 0, "tile size of 0 pixels"),
        ("tile_size", -4, "tile size of -4 pixels"),
        ("margin", 8, "margin of 8 pixels leaves nothing of a patch of 16"),
        ("margin", -1, "margin of -1 pixels"),
        ("device", "cuda:99", "no device 'cuda:99'"),
        ("device", "abacus", "no device 'abacus'"),
        ("precision", "fp8", "no precision 'fp8'"),
    ],
)
def test_an_option_out_of_range(refuse: Callable[..., str], option: str, value: Any, told: str) -> None:
    assert told in refuse(**{option: value})

"""What can be wrong with what a user gives to fuse: one line that names it, and nothing under the final name."""

import json
import shutil
import subprocess
from collections.abc import Callable
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
from tests.cli.conftest import Outcome, enlarge, refusal, spoil_pixels
from tests.conftest import write_raster
from tests.pairs import LR_BANDS, write_pair
from tests.weights.published import TINY_TAMRF

Fuse = Callable[..., Outcome]
Refuse = Callable[..., str]

FIRST = "S2_20220104.tif"


@pytest.fixture
def refuse(fuse: Fuse, tmp_path: Path) -> Refuse:
    """Call fuse, see that it fails as it should, and return the one line that says why."""
    return refusal(fuse, tmp_path)


def moved(source: Path, target: Path, *, east: float = 0, crs: str = "EPSG:32631") -> Path:
    """Write a series again at another place, or in another CRS as if it were of that."""
    for path in source.glob("*.tif"):
        with rasterio.open(path) as file:
            at = Affine.translation(east, 0) @ file.transform
            write_raster(target / path.name, file.read(), file.descriptions, transform=at, crs=crs, nodata=file.nodata)
    return target


# --- the series


def test_no_series(refuse: Refuse) -> None:
    assert "No series is given. Set ts" in refuse(hr=None, lr=None)


def test_series_given_twice(refuse: Refuse, pair: Path) -> None:
    assert "Both ts and hr or lr are given" in refuse(ts=pair)


def test_a_folder_that_holds_neither_sensor(refuse: Refuse, pair: Path) -> None:
    assert "no folder sentinel2 and none landsat" in refuse(ts=pair, hr=None, lr=None)


@pytest.mark.parametrize("sensor", ["hr", "lr"])
def test_a_folder_that_is_not_there(refuse: Refuse, tmp_path: Path, sensor: str) -> None:
    assert "nowhere does not exist" in refuse(**{sensor: tmp_path / "nowhere"})


@pytest.mark.parametrize("sensor", ["hr", "lr"])
def test_a_sensor_without_an_image(refuse: Refuse, tmp_path: Path, sensor: str) -> None:
    (tmp_path / "empty").mkdir()
    assert f"No acquisition found in {tmp_path / 'empty'}" in refuse(**{sensor: tmp_path / "empty"})


def test_a_site_that_is_not_there(refuse: Refuse, tmp_path: Path) -> None:
    assert "nothere does not exist" in refuse(ts=tmp_path / "nothere", hr=None, lr=None)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("acquisition_date,valid,bands,mask\n", "is separated by commas, not by tabs"),
        ("acquisition_date\tvalid\tbands\tmask\ngarbage\n", "has 1 column in line 2, and 4 in its first"),
        ("", "is empty"),
    ],
)
def test_a_damaged_index(
    refuse: Refuse, command: Callable[..., Any], spoilt: Path, tmp_path: Path, content: str, found: str
) -> None:
    (spoilt / "l8" / "index.csv").write_text(content)
    assert f"l8/index.csv {found}. Expected columns separated by tabs" in refuse(lr=spoilt / "l8")
    for name in (("inspect", spoilt / "l8"), ("segment", "--ts", spoilt / "l8", "--out", tmp_path / "map.tif")):
        outcome = command(*name)
        assert outcome.code == 1
        assert f"l8/index.csv {found}." in outcome.err[-1]


def test_sensors_that_are_swapped(refuse: Refuse, pair: Path) -> None:
    assert "The sensors are swapped" in refuse(hr=pair / "l8", lr=pair / "s2")


def test_sensors_that_do_not_overlap(refuse: Refuse, pair: Path, tmp_path: Path) -> None:
    line = refuse(lr=moved(pair / "l8", tmp_path / "l8", east=300))
    assert "do not overlap" in line
    assert "covers 600000 5199760 600300 5200000" in line
    assert "covers 600300 5199760 600600 5200000" in line


def test_a_grid_that_is_not_utm(refuse: Refuse, pair: Path, tmp_path: Path) -> None:
    hr, lr = (moved(pair / name, tmp_path / name, crs="EPSG:3035") for name in ("s2", "l8"))
    assert "is in EPSG:3035. Expected a UTM zone" in refuse(hr=hr, lr=lr)


@pytest.mark.parametrize("name", ["s2/S2_20220104.tif", "l8/L8_20220703.tif", "s2_mask/S2_20220104_mask.tif"])
def test_a_file_that_ends_early(refuse: Refuse, spoilt: Path, pair: Path, name: str) -> None:
    path = spoilt / name
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    assert path.name in refuse(hr=spoilt / "s2", lr=spoilt / "l8")
    rasterio.shutil.copy(pair / name, path, driver="COG")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    assert f"{path.name} is truncated" in refuse(hr=spoilt / "s2", lr=spoilt / "l8")


def test_pixels_that_cannot_be_read_fail_their_tiles_alone(
    fuse: Fuse, spoilt: Path, pair: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sitsinfer.engine.RETRY_DELAYS", ())
    spoil_pixels(spoilt / "s2" / FIRST)
    options = {"hr": spoilt / "s2", "lr": spoilt / "l8", "strategy": "L3A", "bands": "B04"}
    outcome = fuse(**options)
    assert outcome.code == 3
    assert outcome.err[-1].startswith("Error: 1 of 1 tiles failed")
    assert FIRST in outcome.err[-1]
    assert not (tmp_path / "out").exists()
    shutil.copy2(pair / "s2" / FIRST, spoilt / "s2" / FIRST)
    assert fuse(**options).code == 0


def test_a_note_is_an_error_on_demand(fuse: Fuse, refuse: Refuse, tmp_path: Path) -> None:
    hr, lr = write_pair(tmp_path / "pair", (24, 30), lr_bands=(*LR_BANDS[1:-1], "B10"))
    line = refuse("--strict", hr=hr, lr=lr)
    assert "Landsat has no B01" in line
    outcome = fuse(hr=hr, lr=lr)
    assert outcome.code == 0
    assert outcome.err == [
        "Landsat has no B01: algorithms cannot read it.",
        "Landsat's B10 is taken for its temperature, LST.",
    ]


def test_nothing_but_clouds(refuse: Refuse, spoilt: Path) -> None:
    for path in (*(spoilt / "s2_mask").iterdir(), *(spoilt / "l8_mask").iterdir()):
        with rasterio.open(path, "r+") as file:
            file.write(np.ones((1, *file.shape), np.uint8))
    assert "Nothing that goes in was observed" in refuse(hr=spoilt / "s2", lr=spoilt / "l8")


# --- dates


@pytest.mark.parametrize(
    "strategy", ["ALL2CONJHR", "CONJLRuHR2HR", "CONJLR2HR", "LRuHRNOCONJ2HR", "HRNOCONJ2HR"], ids=str
)
def test_no_date_that_both_sensors_share(refuse: Refuse, tmp_path: Path, strategy: str) -> None:
    hr, lr = write_pair(tmp_path / "pair", (24, 30), lr_dates=(date(2022, 1, 21), date(2022, 3, 3)))
    line = refuse(hr=hr, lr=lr, strategy=strategy)
    assert f"Strategy {strategy} needs dates that both sensors share, and there are none" in line
    assert "2 of Landsat, 5 of Sentinel-2" in line


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"strategy": "CUSTOM", "dates": "2022-05-05,2023-05-05"}, "is asked for 2023-05-05, outside the series"),
        ({"strategy": "CUSTOM", "dates": "2022-05-05", "end": "2022-04-30"}, "is asked for 2022-05-05, outside"),
        ({"strategy": "CUSTOM"}, "CUSTOM predicts the dates that it is given, and there are none. Set dates"),
        ({"strategy": "ALL", "dates": "2022-05-05"}, "strategy ALL chooses its own. Leave the dates out"),
        ({"strategy": "GAPS", "every": "5d"}, "Leave every out, or choose L3A or L3A_10D"),
        ({"strategy": "EVERYTHING"}, "There is no strategy 'EVERYTHING'. Choose one of ALL, RANDOM"),
        ({"explain": "EVERYTHING"}, "There is no strategy 'EVERYTHING'. Choose one of ALL, RANDOM"),
        ({"strategy": "RANDOM", "mask_rate": 1}, "RANDOM leaves nothing to read"),
        ({"strategy": "FORECAST", "forecast_start": 2}, "FORECAST leaves nothing to read"),
        ({"strategy": "CONTEXT", "context_start": 310}, "CONTEXT finds no date within its period"),
        ({"strategy": "L3A", "start": "2022-01-04", "end": "2022-01-06"}, "L3A leaves nothing to predict"),
        ({"strategy": "NOHR", "lr": None}, "NOHR needs Landsat"),
        ({"strategy": "GAPS", "gap_size": 0}, "gap_size is 0. Choose 1 or more"),
        ({"year": 2021}, "from 2021-01-01 to 2021-12-31: the series runs from 2022-01-04 to 2022-10-31"),
        ({"start": "2022-06-01", "end": "2022-05-01"}, "The start, 2022-06-01, lies after the end, 2022-05-01"),
        ({"start": "2022-06-01", "end": "2022-05-01", "explain": "L3A"}, "The start, 2022-06-01, lies after the end"),
        ({"bands": ""}, "naive predicts no band '' of these series. Choose of B01"),
        ({"strategy": "L3A", "bands": "LST"}, "predicts dates of Sentinel-2, and the bands to come out are Landsat's"),
        ({"strategy": "L3A", "algorithm": "dms", "bands": None}, "Nothing comes out: strategy L3A"),
        ({"strategy": "L3A", "hr": None, "bands": None}, "Nothing comes out: strategy L3A"),
    ],
)  # fmt: skip
def test_dates_that_leave_nothing_to_do(refuse: Refuse, options: dict[str, Any], told: str) -> None:
    assert told in refuse(**options)


@pytest.mark.parametrize("strategy", ["L3A", "CUSTOM"])
def test_metrics_where_no_date_was_observed(refuse: Refuse, strategy: str) -> None:
    dates = "2022-05-05" if strategy == "CUSTOM" else None
    line = refuse("--metrics", strategy=strategy, dates=dates)  # told before anything is made
    assert f"No date that {strategy} predicts was observed" in line
    assert "such as GAPS" in line


# --- algorithms, bands and models


@pytest.mark.parametrize(
    ("algorithm", "told"),
    [
        ("tamrf", "'sitsinfer models import tamrf' and give it as the model, or choose the algorithm naive"),
        ("dstfn", "publish model_100.pth"),
        ("dsen2", "simonreise/dsen2"),
        ("deepharmo", "DeepHarmo cannot run here"),
        ("utilise", "U-TILISE cannot run here"),
    ],
)  # fmt: skip
def test_an_algorithm_without_weights(refuse: Refuse, algorithm: str, told: str) -> None:
    line = refuse(algorithm=algorithm)
    assert told in line
    assert "naive" in line


def test_tamrf_is_what_is_meant_without_an_algorithm(refuse: Refuse) -> None:
    assert "No weights of TAMRF" in refuse(algorithm=None)


def test_a_band_that_is_not_predicted(refuse: Refuse, tiny_tamrf: Path) -> None:
    assert "naive predicts no band 'B99' of these series. Choose of B01, B02, B03" in refuse(bands="B04,B99")
    assert "stair predicts no band 'B08' of these series. Choose of B02, B03" in refuse(
        bands="B04,B08", algorithm="stair"
    )
    assert "predicts no band 'B99'" in refuse(algorithm="tamrf", model=tiny_tamrf, bands="B99")


def test_a_band_that_an_algorithm_needs(refuse: Refuse, fuse: Fuse, tiny_tamrf: Path, tmp_path: Path) -> None:
    hr, lr = write_pair(tmp_path / "pair", (24, 30), lr_bands=LR_BANDS[1:], hr_bands=("B03", "B04", "B08"))
    line = refuse(hr=None, lr=lr, algorithm="tamrf", model=tiny_tamrf, bands="LST")
    assert "The lr series lacks B01, which tamrf reads" in line
    assert "such as naive" in line
    assert "needs Sentinel-2's B02, B03, B04, B08, and B02 is missing" in refuse(
        hr=hr, lr=lr, algorithm="dms", bands=None
    )
    assert fuse(hr=hr, lr=lr, algorithm="stair", bands="B04").code == 0


@pytest.mark.parametrize("algorithm", ["stair", "sen2like"])
def test_an_algorithm_of_two_sensors_for_one(refuse: Refuse, algorithm: str) -> None:
    assert "No band that both sensors see" in refuse(algorithm=algorithm, lr=None, bands=None)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"margin": 18}, "Algorithm naive knows how far it sees: a margin is for tamrf"),
        ({"model": "anything"}, "Algorithm naive takes no model"),
        ({"device": "cuda"}, "Algorithm naive computes on the CPU"),
        ({"precision": "bf16"}, "Algorithm naive computes on the CPU, in one precision"),
        ({"subtile": 10}, "A sub-tile of 10 pixels does not hold whole coarse pixels. Choose a multiple of 3"),
        ({"subtile": 0}, "A sub-tile of 0 pixels"),
        ({"subtile": -3}, "A sub-tile of -3 pixels"),
        ({"tile_size": 0}, "tile size of 0 pixels"),
        ({"memory": "plenty"}, "is not an amount of memory"),
        ({"memory": "100MiB"}, "Set memory higher"),
    ],
)
def test_an_option_that_does_not_fit(refuse: Refuse, options: dict[str, Any], told: str) -> None:
    assert told in refuse(**options)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"margin": 4}, "A margin of 4 pixels does not hold whole coarse pixels. Choose a multiple of 3"),
        ({"margin": -3}, "A margin of -3 pixels"),
        ({"subtile": 7}, "A sub-tile of 7 pixels"),
        ({"device": "abacus"}, "no device 'abacus'"),
        ({"precision": "fp8"}, "no precision 'fp8'"),
        ({"algorithm": "dsen2"}, "is a 'tamrf', not a 'dsen2'"),
        ({"algorithm": "dstfn"}, "is a 'tamrf', not a 'dstfn'"),
    ],
)
def test_an_option_that_does_not_fit_tamrf(
    refuse: Refuse, tiny_tamrf: Path, options: dict[str, Any], told: str
) -> None:
    assert told in refuse(**{"algorithm": "tamrf", "model": tiny_tamrf, "bands": None, **options})


def test_a_model_of_another_task(refuse: Refuse, tiny_model: Path) -> None:
    line = refuse(algorithm="tamrf", model=tiny_model)
    assert str(tiny_model) in line
    assert "segment" in line
    assert "fuse" in line


def test_a_model_that_is_none(refuse: Refuse, pair: Path, tmp_path: Path) -> None:
    assert "There is no model" in refuse(algorithm="tamrf", model=tmp_path / "nowhere")
    assert "model.json is missing" in refuse(algorithm="tamrf", model=pair)


def test_weights_of_another_configuration(refuse: Refuse, tiny_tamrf: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_tamrf, tmp_path / "model"))
    card, _ = weights.load_fusion_card(str(folder))
    wider = models.build("tamrf", {**TINY_TAMRF, "growth_channels": 3}).state_dict()
    weights.save(folder, card, [wider])
    line = refuse(algorithm="tamrf", model=folder)
    assert "has shape" in line
    assert "hyper-parameters" in line
    weights.save(folder, card, [{"linear.weight": torch.zeros(2, 2)}])
    assert "it lacks" in refuse(algorithm="tamrf", model=folder)


def test_weights_that_are_not_those_of_the_card(refuse: Refuse, tiny_tamrf: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_tamrf, tmp_path / "model"))
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "model.safetensors").write_bytes(content)
    assert "SHA-256" in refuse(algorithm="tamrf", model=folder)


# --- the area


def test_an_area_that_is_none(refuse: Refuse) -> None:
    assert "A CRS of bounds is given, EPSG:4326, but no bounds" in refuse(bounds_crs="EPSG:4326")
    assert "lies outside the data" in refuse("--bounds", 0, 0, 100, 100)
    assert "enclose nothing" in refuse("--bounds", 600_100, 5_199_900, 600_000, 5_199_800)


# --- the outputs


@pytest.mark.parametrize("name", ["out.tif", "out.png", "out.h5"])
def test_an_ending_that_names_no_product(refuse: Refuse, tmp_path: Path, name: str) -> None:
    line = refuse(out=tmp_path / name)
    assert "names no product of several dates" in line
    assert ".nc or .zarr" in line


@pytest.mark.parametrize("name", ["out", "out.nc", "out.zarr"])
def test_an_output_folder_that_is_not_there(refuse: Refuse, tmp_path: Path, name: str) -> None:
    assert f"nowhere of {name} does not exist" in refuse(out=tmp_path / "nowhere" / name)


def test_an_animation_that_is_no_page(refuse: Refuse, tmp_path: Path) -> None:
    assert "a.tif ends in '.tif', but an animation is an HTML page" in refuse(animation=tmp_path / "a.tif")


def test_an_animation_in_a_folder_that_is_not_there(refuse: Refuse, tmp_path: Path) -> None:
    assert "nowhere of page.html does not exist" in refuse(animation=tmp_path / "nowhere" / "page.html")
    assert "of page.html does not exist" in refuse(
        out=tmp_path / "cube.nc", animation=tmp_path / "cube.nc" / "page.html"
    )


def test_the_folder_of_a_series_is_no_output(refuse: Refuse, spoilt: Path) -> None:
    before = sorted(spoilt.rglob("*"))
    for name in ("s2", "l8"):
        line = refuse(hr=spoilt / "s2", lr=spoilt / "l8", out=spoilt / name)
        assert f"{name} is the folder of a series" in line
    assert sorted(spoilt.rglob("*")) == before


def test_two_outputs_of_one_name(refuse: Refuse, tmp_path: Path) -> None:
    assert "two outputs at once" in refuse(out=tmp_path / "cube.nc", animation=tmp_path / "cube.nc.json")


def test_a_file_where_a_folder_is_to_be(refuse: Refuse, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("precious")
    assert "out is a file. Choose a folder" in refuse("--overwrite")
    assert (tmp_path / "out").read_text() == "precious"


def test_files_that_another_program_made_are_kept(refuse: Refuse, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    options = {"strategy": "GAPS", "animation": tmp_path / "page.html"}
    for path in (
        *(tmp_path / "out" / name for name in ("GAPS_20220703_sentinel2.tif", "GAPS.json", "GAPS.metrics.csv")),
        tmp_path / "page.html",
    ):
        path.write_text("precious")
        line = refuse("--metrics", **options)
        assert f"{path.name} already exists, and is damaged, or sitsinfer did not make it. Set overwrite" in line
        assert path.read_text() == "precious"
        path.unlink()
    (tmp_path / "cube.zarr").mkdir()
    (tmp_path / "cube.zarr" / "precious").touch()
    line = refuse("--overwrite", out=tmp_path / "cube.zarr")
    assert "cube.zarr is a folder that is damaged, or sitsinfer did not make it. Choose another" in line
    assert (tmp_path / "cube.zarr" / "precious").exists()


@pytest.mark.parametrize("name", ["out", "cube.nc"])
def test_an_output_that_ends_early_is_not_taken_for_finished(
    fuse: Fuse, refuse: Refuse, tmp_path: Path, name: str
) -> None:
    options = {"strategy": "L3A", "bands": "B04", "out": tmp_path / name}
    assert fuse(**options).code == 0
    path = next(tmp_path.glob("out/*.tif"), tmp_path / name)
    content = path.read_bytes()
    for share in (0.01, 0.5, 0.99):
        path.write_bytes(content[: int(share * len(content))])
        assert f"{path.name} already exists, and is damaged, or sitsinfer did not" in refuse(**options)
    assert fuse("--overwrite", **options).code == 0
    assert path.read_bytes() == content


def test_files_that_another_program_made_are_replaced_on_demand(fuse: Fuse, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    for name in ("GAPS_20220703_sentinel2.tif", "GAPS.json", "GAPS.metrics.csv"):
        (tmp_path / "out" / name).write_text("worthless")
    (tmp_path / "out" / "notes.txt").write_text("precious")
    assert fuse("--overwrite", "--metrics", strategy="GAPS").code == 0
    assert json.loads((tmp_path / "out" / "GAPS.json").read_text())["type"] == "Feature"
    assert (tmp_path / "out" / "notes.txt").read_text() == "precious"


def test_the_outputs_of_another_run_are_kept(fuse: Fuse, refuse: Refuse, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert fuse(strategy="GAPS", animation=page).code == 0
    content = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    for options, part in [
        ({"gap_size": 40}, "strategy"),
        ({"bands": "B04"}, "bands"),
        ({"algorithm": "stair", "bands": "B04,B8A"}, "algorithm"),
    ]:
        line = refuse(**{"strategy": "GAPS", **options})
        assert "already exists, made by another run: it differs in" in line
        assert part in line.partition("differs in")[2]
    assert "it differs in residual compensation" in refuse("--residual-compensation", strategy="GAPS")
    line = refuse(strategy="GAPS", out=tmp_path / "other", animation=page, gap_size=40)
    assert "page.html already exists, made by another run" in line
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == content


# --- misuse


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"out": None}, "--out"),
        ({"year": 2022, "start": "2022-02-01"}, "Give a year, or start and end"),
        ({"year": 0}, "--year"),
        ({"start": "yesterday"}, "--start"),
        ({"strategy": "CUSTOM", "dates": "2022-05-32"}, "2022-05-32"),
        ({"every": "0d"}, "--every"),
        ({"every": "a week"}, "--every"),
        ({"mask_rate": 1.2}, "--mask-rate"),
        ({"algorithm": "magic"}, "--algorithm"),
        ({"sensor": "sar"}, "--sensor"),
        ({"workers": 0}, "--workers"),
    ],
)
def test_misuse_exits_with_2(fuse: Fuse, tmp_path: Path, options: dict[str, Any], told: str) -> None:
    outcome = fuse(**options)
    assert (outcome.code, outcome.out) == (2, [])
    assert told in "\n".join(outcome.err)
    assert not list(tmp_path.iterdir())


# --- the disk


def test_an_output_folder_that_is_read_only(refuse: Refuse, disk: Callable[[str], Path]) -> None:
    folder = disk("1m")
    subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
    for name in ("out", "cube.nc", "cube.zarr"):
        assert "Read-only" in refuse(out=folder / name)
    assert not list(folder.iterdir())


def test_a_disk_that_is_full_while_tiles_are_written(fuse: Fuse, refuse: Refuse, disk: Callable[[str], Path]) -> None:
    folder = disk("64k")
    line = refuse(out=folder / "out", strategy="L3A", tile_size=12)
    assert "No space left on the disk" in line
    assert "same command" in line
    assert not (folder / "out").exists()
    enlarge(folder)
    assert fuse(out=folder / "out", strategy="L3A", tile_size=12).code == 0


@pytest.mark.parametrize("name", ["out", "cube.nc", "cube.zarr"])
def test_a_disk_that_is_full_when_dates_are_written(
    fuse: Fuse, disk: Callable[[str], Path], pair: Path, name: str
) -> None:
    folder = disk("16m")

    def fill(done: int, total: int) -> None:
        """Once the last tile is stored, leave room for some of the dates."""
        if done == total:
            free = shutil.disk_usage(folder).free
            (folder / "ballast").write_bytes(bytes(free - 20_000))

    given = {"hr": pair / "s2", "lr": pair / "l8", "strategy": "L3A", "algorithm": "naive", "bands": ["B04", "B8A"]}
    with pytest.raises(OutputError, match="the disk is full|No space left") as raised:
        api.fuse(None, folder / name, **given, options=Options(progress=fill))
    assert "\n" not in str(raised.value)
    for path in folder.glob("out/*.tif"):  # what there is, is whole
        with rasterio.open(path) as file:
            assert file.read().any()
    assert {path.name for path in folder.iterdir()} - {"out"} == {"ballast", f"{name}.partial"}
    (folder / "ballast").unlink()
    assert fuse(out=folder / name, strategy="L3A", bands="B04,B8A").code == 0
    assert fuse(out=folder / "again", strategy="L3A", bands="B04,B8A").code == 0
    for path in folder.glob("out/*.tif"):
        assert path.read_bytes() == (folder / "again" / path.name).read_bytes()
    assert not list(folder.glob("*.partial"))

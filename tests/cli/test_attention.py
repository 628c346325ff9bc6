"""``segment --attention`` and ``clouds``, as users call them."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
import xarray as xr

from sitsinfer import models, weights
from sitsinfer.grid import whole
from sitsinfer.products import dated
from tests.cli.conftest import CARD, CLASSES, DATES, SHAPE, Outcome, stats
from tests.conftest import write_raster

Command = Callable[..., Outcome]
HEADS = 4


def stored(path: Path, name: str = "attention") -> np.ndarray:
    """What is stored of a layer, (dates, bands, height, width)."""
    found = dated.find(path, name)
    return found.read(whole(found.grid))


def observed(folder: Path) -> np.ndarray:
    """Where each date of a series has data, (dates, height, width)."""
    planes = []
    for path in sorted(folder.glob("*.tif")):
        with rasterio.open(path) as file:
            planes.append((file.read() != 0).any(axis=0))
    return np.stack(planes)


@pytest.fixture(scope="module")
def pixel_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with a pixel L-TAE of fixed weights. Not to be written to."""
    options = {"in_channels": 4, "n_head": HEADS, "d_k": 4, "mlp3": [16, 12], "mlp4": [12, 8], "d_model": 16}
    options |= {"n_classes": len(CLASSES), "T": 365}
    folder = tmp_path_factory.mktemp("models") / "pixels"
    torch.manual_seed(1)
    state = models.build("pixel_ltae", options).state_dict()
    card = replace(CARD, name="pixels", architecture="pixel_ltae", hyperparameters=options, margin=0, blend=0)
    weights.save(folder, card, [state])
    return folder


def test_attention_is_a_cube_beside_the_map(segment: Command, year: Path, tmp_path: Path) -> None:
    outcome = segment(attention=tmp_path / "att.zarr")
    assert (outcome.code, outcome.out[0]) == (0, f"Wrote {tmp_path / 'map.tif'}.")
    with xr.open_dataset(tmp_path / "att.zarr", engine="zarr") as found:
        assert found.attention.dims == ("date", "head", "y", "x")
        assert found.attention.shape == (len(DATES), HEADS, *SHAPE)
        assert found.attention.encoding["chunks"] == (1, HEADS, *SHAPE)
        shares = found.attention.values
    seen = observed(year)
    for head in range(HEADS):
        np.testing.assert_array_equal(np.isfinite(shares[:, head]), seen)
    everywhere = seen.all(axis=0)
    np.testing.assert_allclose(shares[:, :, everywhere].sum(axis=0), 1, atol=0.02)
    assert shares[:, :, everywhere].std() > 0.01
    item = json.loads((tmp_path / "map.json").read_text())
    assert set(item["assets"]) == {"classes", "attention"}
    assert [band["name"] for band in item["assets"]["attention"]["bands"]] == ["head1", "head2", "head3", "head4"]


def test_a_folder_has_a_geotiff_a_date(segment: Command, tmp_path: Path) -> None:
    segment(attention=tmp_path / "att.nc", out=tmp_path / "other.tif")
    assert segment(attention=tmp_path / "att").code == 0
    names = [path.name for path in sorted((tmp_path / "att").glob("*.tif"))]
    assert names == [f"map_{day:%Y%m%d}_attention.tif" for day in DATES]
    np.testing.assert_array_equal(stored(tmp_path / "att"), stored(tmp_path / "att.nc"))
    with rasterio.open(tmp_path / "att" / names[2]) as file:
        assert file.descriptions == ("head1", "head2", "head3", "head4")
        assert file.scales[0] == pytest.approx(1 / 250)
    item = json.loads((tmp_path / "map.json").read_text())
    assert "attention_20220108" in item["assets"]


def test_without_attention_maps_are_what_they_were(segment: Command, tmp_path: Path) -> None:
    segment(out=tmp_path / "plain.tif")
    segment(attention=tmp_path / "att.nc")
    with rasterio.open(tmp_path / "plain.tif") as plain, rasterio.open(tmp_path / "map.tif") as other:
        np.testing.assert_array_equal(plain.read(), other.read())


@pytest.mark.parametrize("kind", ["utae", "pixels"])
def test_attention_is_the_same_for_any_tiles(kind: str, segment: Command, pixel_model: Path, tmp_path: Path) -> None:
    chosen = {} if kind == "utae" else {"model": pixel_model}
    segment(out=tmp_path / "a.tif", attention=tmp_path / "a.nc", **chosen)
    segment(out=tmp_path / "b.tif", attention=tmp_path / "b.nc", tile_size=23, **chosen)
    assert (tmp_path / "a.nc").read_bytes() == (tmp_path / "b.nc").read_bytes()
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()


@pytest.mark.slow
def test_attention_is_the_same_for_any_workers(segment: Command, pixel_model: Path, tmp_path: Path) -> None:
    for name, workers in (("a.tif", None), ("b.tif", 2)):
        attention = (tmp_path / name).with_suffix(".nc")
        assert (
            segment(out=tmp_path / name, attention=attention, model=pixel_model, tile_size=23, workers=workers).code
            == 0
        )
    assert (tmp_path / "a.nc").read_bytes() == (tmp_path / "b.nc").read_bytes()


def test_what_is_there_is_not_made_again_and_what_is_missing_is(segment: Command, tmp_path: Path) -> None:
    segment(attention=tmp_path / "att")
    before = stats(tmp_path)
    assert segment(attention=tmp_path / "att").out == [f"{tmp_path / 'map.tif'} is up to date."]
    assert stats(tmp_path) == before
    shutil.rmtree(tmp_path / "att")
    assert segment(attention=tmp_path / "att").out[0].startswith("Wrote")
    assert len(list((tmp_path / "att").glob("*.tif"))) == len(DATES)


def test_a_pixel_is_classified_by_its_own_dates_alone(
    segment: Command, pixel_model: Path, series: Path, tmp_path: Path
) -> None:
    segment(out=tmp_path / "a.tif", ts=series, model=pixel_model, probabilities=tmp_path / "pa.tif")
    path = series / f"S2_{DATES[2]:%Y%m%d}.tif"
    with rasterio.open(path) as file:
        values = file.read()
    values[:, 5:, 5:] = 9000  # elsewhere
    values[:, 30:, 30:] = 0
    write_raster(path, values, CARD.bands)
    segment(out=tmp_path / "b.tif", ts=series, model=pixel_model, probabilities=tmp_path / "pb.tif")
    with rasterio.open(tmp_path / "pa.tif") as a, rasterio.open(tmp_path / "pb.tif") as b:
        first, second = a.read().astype(int), b.read().astype(int)
    assert np.abs(first[:, :5] - second[:, :5]).max() <= 1
    assert np.abs(first[:, 5:, 5:] - second[:, 5:, 5:]).max() > 1


def test_a_model_without_attention_is_refused(segment: Command, model: Path, tmp_path: Path) -> None:
    card = json.loads((model / "model.json").read_text())
    (model / "model.json").write_text(json.dumps({**card, "architecture": "convlstm"}))
    outcome = segment(model=model, attention=tmp_path / "att.nc")
    assert outcome.code == 1
    assert "is a convlstm, which tells no attention over dates. Choose a model of utae, pixel_ltae." in outcome.err[-1]
    assert not (tmp_path / "map.tif").exists()


@pytest.mark.parametrize(
    ("attention", "words"),
    [("att.tif", "names no product of several dates"), ("map.json", "no product of several"), (".", "")],
)
def test_attention_needs_a_place_of_its_own(segment: Command, year: Path, tmp_path: Path, attention, words) -> None:
    outcome = segment(attention=year if attention == "." else tmp_path / attention)
    assert outcome.code == 1
    assert words in outcome.err[-1]
    assert not (tmp_path / "map.tif").exists()


@pytest.fixture
def clouds(command: Command, year: Path, tiny_model: Path, tmp_path: Path) -> Command:
    """Call clouds on the year with the tiny model, to ``tmp_path / "clouds.nc"``, unless told otherwise."""

    def call(*arguments: object, **options: object) -> Outcome:
        given = {"ts": year, "out": tmp_path / "clouds.nc", "model": tiny_model, "device": "cpu", **options}
        spelled = [(f"--{name.replace('_', '-')}", value) for name, value in given.items() if value is not None]
        return command("clouds", *(word for pair in spelled for word in pair), *arguments)

    return call


def test_clouds_are_scores_and_a_mask(clouds: Command, year: Path, tmp_path: Path) -> None:
    assert clouds().out == [f"Wrote {tmp_path / 'clouds.nc'}."]
    with xr.open_dataset(tmp_path / "clouds.nc", engine="h5netcdf") as found:
        scores = found.cloud_score
        assert scores.dims == ("date", "y", "x")
        assert (float(scores.min()) >= 0, float(scores.max()) <= 1) == (True, True)
        seen = observed(year)
        np.testing.assert_array_equal(np.isfinite(scores.values), seen & (seen.sum(axis=0) > 1))
    assert clouds(out=tmp_path / "folder", threshold=0.6).code == 0
    names = {path.name for path in (tmp_path / "folder").glob("*.tif")}
    assert names == {f"clouds_{day:%Y%m%d}_cloud_{what}.tif" for day in DATES for what in ("score", "mask")}
    with rasterio.open(tmp_path / "folder" / f"clouds_{DATES[2]:%Y%m%d}_cloud_mask.tif") as mask:
        assert mask.tags(1)["CLASS_1"] == "cloud"
    np.testing.assert_array_equal(
        stored(tmp_path / "folder", "cloud_score"), stored(tmp_path / "clouds.nc", "cloud_score")
    )
    assert json.loads((tmp_path / "clouds.nc.json").read_text())["properties"]["sitsinfer:model"] == "tiny"


@pytest.fixture
def from_attention(command: Command, tmp_path: Path) -> Command:
    """Call clouds on attention, to ``tmp_path / "again.nc"``, unless told otherwise."""

    def call(attention: Path, *arguments: object, **options: object) -> Outcome:
        given = {"from_attention": attention, "out": tmp_path / "again.nc", **options}
        spelled = [(f"--{name.replace('_', '-')}", value) for name, value in given.items()]
        return command("clouds", *(word for pair in spelled for word in pair), *arguments)

    return call


@pytest.fixture
def masked(series: Path, tmp_path: Path) -> Path:
    """The year with masks of clouds, which hide the left of each date."""
    for day in DATES:
        mask = np.zeros((1, *SHAPE), np.uint8)
        mask[:, :, : 20 + day.month] = 1
        write_raster(series / f"S2_{day:%Y%m%d}_CLM.tif", mask, nodata=None)
    return series


def test_clouds_from_attention_are_those_of_the_model_but_for_rounding(
    clouds: Command, from_attention: Command, segment: Command, year: Path, tmp_path: Path
) -> None:
    clouds(threshold=0.55)
    expected = {name: stored(tmp_path / "clouds.nc", name) for name in ("cloud_score", "cloud_mask")}
    segment(attention=tmp_path / "att.zarr")
    for number, given in enumerate(({}, {"ts": year, "tile_size": 128})):
        out = tmp_path / f"again{number}.nc"
        outcome = from_attention(tmp_path / "att.zarr", out=out, threshold=0.55, **given)
        assert (outcome.code, outcome.err) == (0, [])
        scores, mask = (stored(out, name) for name in expected)
        known = scores != 255
        np.testing.assert_array_equal(known, expected["cloud_score"] != 255)
        assert np.corrcoef(scores[known], expected["cloud_score"][known])[0, 1] > 0.99
        assert (mask == expected["cloud_mask"]).mean() > 0.95
    assert from_attention(tmp_path / "att.zarr", out=out, threshold=0.55).out == [f"{out} is up to date."]


@pytest.mark.parametrize("name", ["att.nc", "att.zarr", "att"])
def test_attention_that_masks_took_from_is_told(
    segment: Command, from_attention: Command, masked: Path, tmp_path: Path, name: str
) -> None:
    assert segment(ts=masked, attention=tmp_path / name).code == 0
    assert dated.read_tags(next(iter((tmp_path / name).glob("*.tif")), tmp_path / name))["MASKS"] == "applied"
    outcome = from_attention(tmp_path / name, "--strict")
    words = f"{tmp_path / name} was written with the masks of its series: the pixels that they hide get no score."
    assert (outcome.code, outcome.err[-1].removeprefix("Error: ")[: len(words)]) == (1, words)
    outcome = from_attention(tmp_path / name)
    assert outcome.code == 0
    assert words in outcome.err[0]


def test_without_masks_all_that_has_data_has_attention(
    segment: Command, from_attention: Command, masked: Path, year: Path, tmp_path: Path
) -> None:
    segment(attention=tmp_path / "plain.nc", out=tmp_path / "plain.tif")
    assert segment("--no-masks", ts=masked, attention=tmp_path / "att.nc").code == 0
    np.testing.assert_array_equal(stored(tmp_path / "att.nc"), stored(tmp_path / "plain.nc"))
    assert json.loads((tmp_path / "map.json").read_text())["properties"]["sitsinfer:masks"] is False
    assert "differs in masks" in segment(ts=masked, attention=tmp_path / "att.nc").err[-1].replace("inputs, ", "")
    assert from_attention(tmp_path / "att.nc", "--strict").err == []
    segment(ts=masked, attention=tmp_path / "less.nc", out=tmp_path / "less.tif")
    assert (stored(tmp_path / "less.nc")[:, :, :, :21] == 255).all()


def test_what_cannot_be_scored_is_told_on_one_line(
    clouds: Command, segment: Command, year: Path, tmp_path: Path
) -> None:
    def refused(**options: object) -> str:
        outcome = clouds(**options)
        assert (outcome.code, outcome.out) == (1, [])
        return outcome.err[-1]

    assert "nothing to score" in refused(ts=None)
    attention = tmp_path / "att.nc"
    assert "There is no" in refused(from_attention=attention, model=None, device=None)
    segment(attention=attention)
    given = {"from_attention": attention, "model": None, "device": None}
    for unused in ({"model": "pixels"}, {"start": "2022-01-09"}, {"device": "cpu"}, {"precision": "bf16"}):
        (name,) = unused
        assert f"{name} plays no part" in refused(**given | unused)
    assert "batch_size plays no part" in refused(**given, batch_size=4)
    assert "is the attention that is to be read" in refused(**given | {"out": attention})
    other = tmp_path / "other"
    other.mkdir()
    for path in sorted(year.glob("*.tif"))[1:]:
        shutil.copy(path, other / path.name)
    assert "attention of 2022-01-08, which" in refused(**given | {"ts": other})
    assert "is the series itself" in refused(out=other, ts=other)
    (tmp_path / "clouds.nc.json").write_text("{}")
    assert "already exists" in refused()

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pystac
import pytest
import rasterio
import shapely
import torch
from rio_cogeo.cogeo import cog_validate

from sitsinfer import api, weights
from sitsinfer.engine import Options
from sitsinfer.weights import folder as model_folders
from tests.cli.conftest import DATES, NEVER, SHAPE, Outcome, stats, write_date
from tests.conftest import write_raster
from tests.parcel_files import Feature, features, pixels, pixels_within
from tests.parcel_model import CARD, CLASSES
from tests.weights.published import write_paps

Panoptic = Callable[..., Outcome]

MARGIN = CARD.margin
FILES = ("parcels.gpkg", "instances.tif", "classes.tif")


@pytest.fixture(scope="module")
def whole(year: Path, parcel_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with parcels and rasters of the year, made in one tile at one go. Not to be written to."""
    folder = tmp_path_factory.mktemp("whole")
    parcels, instances, classes = (folder / name for name in FILES)
    options = Options(tile_size=1000)
    summary = api.panoptic(
        year, parcels, model=str(parcel_model), raster=instances, classes=classes, device="cpu", options=options
    )
    assert summary.tiles == 1
    return folder


@pytest.fixture
def finished(whole: Path, tmp_path: Path) -> Path:
    """A copy of a finished run, to be gone on with; ``rasters`` name the rasters."""
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    return tmp_path


def rasters(folder: Path) -> dict[str, Path]:
    """The options that ask for rasters in a folder."""
    return {"raster": folder / "instances.tif", "classes": folder / "classes.tif"}


def sides(feature: Feature) -> tuple[float, float]:
    """Width and height of a parcel in pixels."""
    left, bottom, right, top = shapely.from_wkb(feature.wkb).bounds
    return (right - left) / 10, (top - bottom) / 10


# --- what a user gets


def test_parcels_say_what_a_user_needs(panoptic: Panoptic, whole: Path, tmp_path: Path) -> None:
    outcome = panoptic(**rasters(tmp_path))
    found = features(tmp_path / "parcels.gpkg")
    assert outcome == Outcome(0, [f"Wrote {tmp_path / 'parcels.gpkg'}."], [f"{len(found)} parcels."])
    assert found == features(whole / "parcels.gpkg")
    assert {path.name for path in tmp_path.iterdir()} == {*FILES, "parcels.json", "classes.tif.aux.xml"}
    import geopandas

    frame = geopandas.read_file(tmp_path / "parcels.gpkg", layer="parcels")
    assert frame.crs == "EPSG:32631"
    assert list(frame.columns) == [
        *("id", "identifier", "class", "class_name", "confidence", "area_ha", "center_x", "center_y", "geometry")
    ]
    names = {entry.code: entry.name for entry in CLASSES}
    assert set(zip(frame["class"], frame["class_name"], strict=True)) == {(code, names[code]) for code in (3, 7, 20)}
    assert frame.geometry.is_valid.all()
    assert frame.geometry.geom_type.eq("Polygon").all()
    assert frame.confidence.between(CARD.hyperparameters["min_confidence"], 1).all()


def test_the_parcels_of_these_tests_are_of_all_sorts(whole: Path) -> None:
    found = features(whole / "parcels.gpkg")
    widths = np.array([max(sides(feature)) for feature in found])
    assert len(found) > 20
    assert len({round(feature.confidence, 3) for feature in found}) > 10
    assert (widths <= MARGIN).any()
    assert ((widths > MARGIN) & (widths <= 2 * MARGIN)).any()
    assert (widths > 2 * MARGIN).any()
    assert any(shapely.from_wkb(feature.wkb).interiors for feature in found)
    codes = pixels(whole / "classes.tif")
    assert 0.02 < (codes == 0).mean() < 0.5
    assert (codes[NEVER] == 255).any()
    assert (codes[NEVER] != 255).any()  # parcels reach over what was never observed


def test_rasters_and_polygons_agree(whole: Path) -> None:
    found = features(whole / "parcels.gpkg")
    with rasterio.open(whole / "instances.tif") as file:
        instances, transform = file.read(1), file.transform
        assert (file.dtypes, file.nodata, file.crs.to_string(), file.shape) == (("uint32",), 0, "EPSG:32631", SHAPE)
    classes = pixels(whole / "classes.tif")
    assert [feature.id for feature in found] == list(range(1, len(found) + 1))
    assert set(np.unique(instances)) == {0, *range(1, len(found) + 1)}
    for feature in found:
        mask = pixels_within(feature, transform, instances.shape)
        np.testing.assert_array_equal(mask, instances == feature.id)
        assert feature.area_ha == pytest.approx(mask.sum() / 100)
        assert shapely.from_wkb(feature.wkb).area == pytest.approx(mask.sum() * 100)
        assert (classes[mask] == feature.code).all()
    observed = np.zeros(SHAPE, bool)
    for day in DATES:  # a date saw all but its corner and what was never seen
        seen = np.ones(SHAPE, bool)
        seen[: day.day, : day.month * 3] = False
        seen[NEVER] = False
        observed |= seen
    np.testing.assert_array_equal(classes == 255, ~observed & (instances == 0))
    np.testing.assert_array_equal(classes == 0, observed & (instances == 0))


def test_ids_follow_the_centres_and_identifiers_tell_them(whole: Path) -> None:
    found = features(whole / "parcels.gpkg")
    with rasterio.open(whole / "instances.tif") as file:
        places = [~file.transform @ (feature.center_x, feature.center_y) for feature in found]
    assert all(abs(row % 1 - 0.5) < 1e-6 and abs(col % 1 - 0.5) < 1e-6 for col, row in places)  # amid a pixel
    assert sorted((row, col) for col, row in places) == [(row, col) for col, row in places]
    assert len({feature.identifier for feature in found}) == len(found)
    pixel = {f"r{round(-f.center_y / 10 - 0.5)}c{round(f.center_x / 10 - 0.5)}" for f in found}
    assert {feature.identifier for feature in found} == pixel


def test_products_are_valid_and_described(whole: Path) -> None:
    for name in ("instances.tif", "classes.tif"):
        assert cog_validate(whole / name, strict=True) == (True, [], [])
    with rasterio.open(whole / "classes.tif") as file:
        assert (file.dtypes, file.nodata) == (("uint8",), 255)
        assert file.colormap(1)[7] == (60, 200, 60, 255)
        tags = {key: value for key, value in file.tags(1).items() if key.startswith("CLASS_")}
    assert {key: value for key, value in tags.items() if key.count("_") == 1} == {
        f"CLASS_{entry.code}": entry.name for entry in CLASSES if entry.code != 21
    }
    item = pystac.Item.from_file(str(whole / "parcels.json"))
    assert set(item.assets) == {"parcels", "instances", "classes"}
    assert all(Path(str(asset.get_absolute_href())).exists() for asset in item.assets.values())
    assert item.properties["sitsinfer:dates"] == [str(day) for day in DATES]
    assert item.properties["sitsinfer:model"] == "tiny parcels"
    assert item.properties["sitsinfer:min_remain"] == 0.5
    assert {"settle", "paint", "outline", "wall"} <= item.properties["sitsinfer:seconds"].keys()


# --- invariance


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"tile_size": 24}, "parcels.gpkg"),
        ({"tile_size": 17}, "parcels.parquet"),
        ({"tile_size": 40}, "parcels.fgb"),
    ],
    ids=str,
)
def test_neither_tiles_nor_formats_change_a_parcel(
    panoptic: Panoptic, whole: Path, tmp_path: Path, options: dict[str, int], name: str
) -> None:
    assert panoptic(out=tmp_path / name, **rasters(tmp_path), **options).code == 0
    assert features(tmp_path / name) == features(whole / "parcels.gpkg")
    for raster in ("instances.tif", "classes.tif"):
        assert (tmp_path / raster).read_bytes() == (whole / raster).read_bytes()
    if name == "parcels.gpkg":
        assert (tmp_path / name).read_bytes() == (whole / name).read_bytes()


def test_neither_do_workers(panoptic: Panoptic, whole: Path, tmp_path: Path) -> None:
    assert panoptic(**rasters(tmp_path), workers=3, tile_size=40).code == 0
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (whole / name).read_bytes()


def test_no_tile_border_misses_all_parcels(whole: Path) -> None:
    instances = pixels(whole / "instances.tif")
    for one, other in ((instances[:, :-1], instances[:, 1:]), (instances.T[:, :-1], instances.T[:, 1:])):
        assert ((one == other) & (one > 0)).any(axis=0).all()


def test_an_area_has_the_parcels_of_the_whole(panoptic: Panoptic, whole: Path, tmp_path: Path) -> None:
    with rasterio.open(whole / "instances.tif") as file:
        left, top = file.transform @ (9, 7)
        _, bottom, right, _ = file.bounds
    outcome = panoptic("--bounds", left, bottom, right, top, tile_size=19)
    assert outcome.code == 0, outcome.err
    inside = shapely.box(left + 10 * 2 * MARGIN, bottom, right, top - 10 * 2 * MARGIN)
    inner, outer = (
        {
            f.identifier: (f.code, f.confidence, f.area_ha, f.wkb)
            for f in found
            if inside.covers(shapely.from_wkb(f.wkb))
        }
        for found in (features(tmp_path / "parcels.gpkg"), features(whole / "parcels.gpkg"))
    )
    assert len(outer) > 4
    assert inner == outer


# --- options


def test_void_parcels_take_their_pixels_and_are_left_out(panoptic: Panoptic, whole: Path, tmp_path: Path) -> None:
    assert panoptic("--void", 7, "--void", 20, **rasters(tmp_path)).code == 0
    kept = features(tmp_path / "parcels.gpkg")
    expected = [feature for feature in features(whole / "parcels.gpkg") if feature.code == 3]
    assert [feature[1:] for feature in kept] == [feature[1:] for feature in expected]
    assert [feature.id for feature in kept] == list(range(1, len(kept) + 1))
    before, after = pixels(whole / "classes.tif"), pixels(tmp_path / "classes.tif")
    np.testing.assert_array_equal(after == 3, before == 3)
    assert set(np.unique(after)) == {0, 3, 255}
    numbers = pixels(whole / "instances.tif")
    for feature, old in zip(kept, expected, strict=True):
        np.testing.assert_array_equal(pixels(tmp_path / "instances.tif") == feature.id, numbers == old.id)
    assert pixels(tmp_path / "instances.tif").max() == len(kept)


def test_small_parcels_are_left_out(panoptic: Panoptic, whole: Path, tmp_path: Path) -> None:
    everything = features(whole / "parcels.gpkg")
    limit = sorted(feature.area_ha for feature in everything)[len(everything) // 2]
    assert panoptic(min_area=limit, **rasters(tmp_path)).code == 0
    kept = features(tmp_path / "parcels.gpkg")
    expected = [feature for feature in everything if feature.area_ha >= limit]
    assert 0 < len(expected) < len(everything)
    assert [feature[1:] for feature in kept] == [feature[1:] for feature in expected]
    assert np.unique(pixels(tmp_path / "instances.tif")).tolist() == list(range(len(kept) + 1))


def test_simplified_outlines_stay_near_and_areas_as_they_were(panoptic: Panoptic, whole: Path, tmp_path: Path) -> None:
    assert panoptic(simplify=15, raster=tmp_path / "instances.tif").code == 0
    exact, simple = features(whole / "parcels.gpkg"), features(tmp_path / "parcels.gpkg")
    assert [feature[:-1] for feature in simple] == [feature[:-1] for feature in exact]
    shapes = [
        (shapely.from_wkb(one.wkb), shapely.from_wkb(other.wkb)) for one, other in zip(exact, simple, strict=True)
    ]
    assert all(after.is_valid and after.area > 0 for _, after in shapes)
    assert max(before.exterior.hausdorff_distance(after.exterior) for before, after in shapes) <= 15
    points = [shapely.get_num_coordinates(geometries) for geometries in zip(*shapes, strict=True)]
    assert points[1].sum() < 0.8 * points[0].sum()
    np.testing.assert_array_equal(pixels(tmp_path / "instances.tif"), pixels(whole / "instances.tif"))


def test_thresholds_do_what_they_say(panoptic: Panoptic, whole: Path, tmp_path: Path) -> None:
    everything = features(whole / "parcels.gpkg")
    limit = sorted(feature.confidence for feature in everything)[len(everything) // 2]
    counts = {}
    for name, value in (("min_confidence", limit), ("min_remain", 1.0), ("mask_threshold", 0.8)):
        assert panoptic(out=tmp_path / f"{name}.gpkg", **{name: value}).code == 0
        counts[name] = features(tmp_path / f"{name}.gpkg")
    assert 0 < len(counts["min_confidence"]) < len(everything)
    assert min(feature.confidence for feature in counts["min_confidence"]) >= limit
    assert 0 < len(counts["min_remain"]) < len(everything)  # kept is only what nothing covers
    assert sum(f.area_ha for f in counts["mask_threshold"]) < sum(f.area_ha for f in everything)


@pytest.mark.parametrize("name", ["parcels.gpkg", "parcels.parquet", "parcels.fgb"])
def test_no_parcel_at_all_is_no_error(panoptic: Panoptic, tmp_path: Path, name: str) -> None:
    options = {**rasters(tmp_path), "out": tmp_path / name, "min_confidence": 1}
    assert panoptic(**options) == Outcome(0, [f"Wrote {tmp_path / name}."], ["0 parcels."])
    import geopandas

    path = tmp_path / name
    frame = geopandas.read_parquet(path) if path.suffix == ".parquet" else geopandas.read_file(path, layer="parcels")
    assert len(frame) == 0
    assert frame.crs == "EPSG:32631"
    assert {"id", "class", "area_ha"} <= set(frame.columns)
    assert (pixels(tmp_path / "instances.tif") == 0).all()
    classes = pixels(tmp_path / "classes.tif")
    assert (classes[NEVER] == 255).all()
    assert set(np.unique(classes)) == {0, 255}
    assert pystac.Item.from_file(str(tmp_path / "parcels.json")).assets.keys() == {"parcels", "instances", "classes"}
    assert panoptic(**options).out == [f"{tmp_path / name} is up to date."]


# --- nothing to do


def test_finished_parcels_are_left_alone(panoptic: Panoptic, finished: Path) -> None:
    before = stats(finished)
    assert panoptic(**rasters(finished)) == Outcome(0, [f"{finished / 'parcels.gpkg'} is up to date."], [])
    assert panoptic() == Outcome(0, [f"{finished / 'parcels.gpkg'} is up to date."], [])
    assert stats(finished) == before


def test_seeing_that_there_is_nothing_to_do_loads_neither_torch_nor_the_scheduler(
    finished: Path, year: Path, parcel_model: Path
) -> None:
    before = stats(finished)
    arguments = ["sitsinfer", "panoptic", "--ts", year, "--out", finished / "parcels.gpkg", "--model", parcel_model]
    arguments += [word for name, path in rasters(finished).items() for word in (f"--{name}", path)]
    script = (
        "import sys\n"
        f"sys.argv = {[str(word) for word in [*arguments, '--device', 'cpu']]}\n"
        "from sitsinfer.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as ended:\n"
        "    loaded = {'torch', 'distributed', 'zarr', 'matplotlib', 'xarray'} & sys.modules.keys()\n"
        "    print(ended.code, sorted(loaded))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"{finished / 'parcels.gpkg'} is up to date.", "0 []"]
    assert stats(finished) == before


def test_a_new_acquisition_makes_new_parcels(
    panoptic: Panoptic, finished: Path, year: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    series = Path(shutil.copytree(year, tmp_path_factory.mktemp("more") / "s2"))
    old = features(finished / "parcels.gpkg")
    assert panoptic(ts=series, **rasters(finished)).out[0].endswith("is up to date.")
    write_date(series, date(2022, 9, 5))
    outcome = panoptic(ts=series, **rasters(finished))
    new = features(finished / "parcels.gpkg")
    assert outcome.err == [
        f"{finished / 'parcels.gpkg'} is out of date: inputs changed. Making it anew.",
        f"{len(new)} parcels.",
    ]
    assert outcome.out == [f"Wrote {finished / 'parcels.gpkg'}."]
    assert new != old
    assert pixels(finished / "instances.tif").max() == len(new)
    assert len(pystac.Item.from_file(str(finished / "parcels.json")).properties["sitsinfer:dates"]) == 7


def test_what_was_asked_for_differently_is_kept_until_it_is_overwritten(panoptic: Panoptic, finished: Path) -> None:
    before = stats(finished)
    for option, value, part in [
        ("min_confidence", 0.6, "min confidence"),
        ("min_remain", 0.4, "min remain"),
        ("void", 3, "void"),
        ("min_area", 0.1, "min area"),
        ("simplify", 5, "simplify"),
        ("margin", 5, "margin"),
    ]:
        outcome = panoptic(**{option: value})
        assert (outcome.code, outcome.out) == (1, [])
        assert outcome.err == [
            f"Error: {finished / 'parcels.gpkg'} already exists, made by another run: it differs in {part}. "
            "Set overwrite to replace it, or choose another output."
        ]
        assert stats(finished) == before
    assert panoptic("--overwrite", min_confidence=0.6, **rasters(finished)).code == 0
    found = features(finished / "parcels.gpkg")
    assert min(feature.confidence for feature in found) >= 0.6
    assert pixels(finished / "instances.tif").max() == len(found)


def test_a_lost_raster_is_made_again(panoptic: Panoptic, finished: Path, whole: Path) -> None:
    (finished / "instances.tif").unlink()
    assert panoptic(**rasters(finished)).out[0].startswith("Wrote")
    for name in FILES:
        assert (finished / name).read_bytes() == (whole / name).read_bytes()


def test_a_lost_item_is_written_again_without_a_run(panoptic: Panoptic, finished: Path) -> None:
    (finished / "parcels.json").unlink()
    before = stats(finished)
    assert panoptic(**rasters(finished)).out[0].endswith("is up to date.")
    after = stats(finished)
    assert after.pop(finished / "parcels.json")
    del before[finished], after[finished]
    assert after == before


# --- what is said


def test_a_log_of_json_counts_parcels(panoptic: Panoptic, whole: Path, tmp_path: Path) -> None:
    outcome = panoptic("--log-json", tile_size=40)
    events = {entry["event"]: entry for entry in map(json.loads, outcome.err)}
    assert events["parcels"]["count"] == len(features(whole / "parcels.gpkg"))
    assert events["parcels"]["seconds"].keys() == {"settle", "paint", "outline"}
    assert list(events)[-1] == "done"


def test_without_a_model_the_demonstrator_is_used_and_said(
    panoptic: Panoptic, finished: Path, parcel_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(parcel_model, finished / "embedded" / weights.DEFAULT_PANOPTIC_MODEL)
    monkeypatch.setattr(model_folders, "_embedded", lambda: finished / "embedded")
    outcome = panoptic(model=None)
    assert outcome.code == 0
    (line,) = outcome.err
    assert weights.DEFAULT_PANOPTIC_MODEL in line
    assert "demonstrator" in line
    assert panoptic("--quiet", model=None) == Outcome(0, [], [])


# --- published weights


def test_a_published_checkpoint_finds_parcels(
    command: Callable[..., Outcome], panoptic: Panoptic, tmp_path: Path
) -> None:
    release, bands = write_paps(tmp_path / "release", {1: 0.2}), 10
    checkpoint = release / "Fold_1" / "model.pth.tar"
    content = torch.load(checkpoint, weights_only=True)
    content["state_dict"]["size_mlp.6.bias"] += 9
    content["state_dict"]["saliency_conv.conv.4.bias"] += 3
    torch.save(content, checkpoint)
    statistics = {f"Fold_{fold}": {"mean": [1000.0] * bands, "std": [500.0] * bands} for fold in range(1, 6)}
    (release / "norm.json").write_text(json.dumps(statistics))
    model = tmp_path / "imported"
    imported = command("models", "import", "paps", release, "--norm", release / "norm.json", "--out", model)
    assert (imported.code, imported.err) == (0, [])
    values = np.random.default_rng(1).integers(1, 4000, (bands, 33, 41)).astype(np.uint16)
    card, _ = weights.load_card(str(model), "panoptic")
    for day in (date(2018, 10, 3), date(2019, 5, 20)):
        write_raster(tmp_path / "ten" / f"S2_{day:%Y%m%d}.tif", values, card.bands)
    outcome = panoptic(ts=tmp_path / "ten", model=model, **rasters(tmp_path))
    found = features(tmp_path / "parcels.gpkg")
    assert (outcome.code, outcome.err) == (0, [f"{len(found)} parcels."])
    assert len(found) > 3
    assert {feature.code for feature in found} <= {entry.code for entry in card.predicted}
    assert pixels(tmp_path / "instances.tif").max() == len(found)

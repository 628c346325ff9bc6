"""A scene of 105 square kilometres by the embedded model: minutes of computing."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sitsinfer import api
from sitsinfer.engine import Options
from sitsinfer.simulate import Scene, write_scene
from tests.cli.test_segment_resume import DEADLY
from tests.parcel_files import Feature, features, pixels

pytestmark = pytest.mark.slow

SIZE, DATES = 1024, 12


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scene that the model never saw. Not to be written to."""
    folder = tmp_path_factory.mktemp("scene") / "scene"
    write_scene(folder, Scene(height=SIZE, width=SIZE, dates=DATES, seed=4001, year=2020))
    return folder


@pytest.fixture(scope="module")
def one_tile(scene: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what comes out of one tile. Not to be written to."""
    folder = tmp_path_factory.mktemp("one")
    run(scene, folder, Options(tile_size=SIZE))
    return folder


def run(scene: Path, folder: Path, options: Options) -> list[Feature]:
    """Find the parcels of a scene."""
    files = {"raster": folder / "instances.tif", "classes": folder / "classes.tif"}
    api.panoptic(scene / "sentinel2", folder / "parcels.gpkg", **files, device="cpu", options=options)
    return features(folder / "parcels.gpkg")


def assert_same(folder: Path, expected: Path) -> None:
    """See that all that came out is the same, to the last bit."""
    assert features(folder / "parcels.gpkg") == features(expected / "parcels.gpkg")
    for name in ("instances.tif", "classes.tif"):
        np.testing.assert_array_equal(pixels(folder / name), pixels(expected / name))


def quality(folder: Path, scene: Path) -> float:
    truth = scene / "truth"
    rasters = (folder / "instances.tif", folder / "classes.tif", truth / "parcels.tif", truth / "classes.tif")
    return api.evaluate_panoptic(*rasters).panoptic.mean_pq


@pytest.mark.parametrize("tile_size", [256, 384])
def test_tiles_find_what_one_tile_finds(scene: Path, one_tile: Path, tmp_path: Path, tile_size: int) -> None:
    assert len(run(scene, tmp_path, Options(tile_size=tile_size))) > 1000
    assert_same(tmp_path, one_tile)
    assert quality(tmp_path, scene) == quality(one_tile, scene) > 0.4


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_find_what_one_thread_finds(scene: Path, one_tile: Path, tmp_path: Path, workers: int) -> None:
    run(scene, tmp_path, Options(tile_size=256, workers=workers))
    assert_same(tmp_path, one_tile)


def test_a_killed_run_is_finished_to_the_same_parcels(scene: Path, one_tile: Path, tmp_path: Path) -> None:
    files = {"ts": scene / "sentinel2", "out": tmp_path / "parcels.gpkg", "tile-size": 256, "device": "cpu"}
    files |= {"raster": tmp_path / "instances.tif", "classes": tmp_path / "classes.tif"}
    words = ["panoptic", *(word for name, value in files.items() for word in (f"--{name}", str(value)))]
    deadly = [sys.executable, "-c", DEADLY, "sitsinfer.store", "Store.mark", "7", *words]
    assert subprocess.run(deadly, capture_output=True, check=False).returncode == -signal.SIGKILL
    assert len(list((tmp_path / "parcels.gpkg.partial" / "tiles").glob("*.json"))) == 6
    run(scene, tmp_path, Options())
    assert_same(tmp_path, one_tile)

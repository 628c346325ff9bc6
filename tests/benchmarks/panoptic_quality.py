"""How well the embedded model finds parcels: SQ, RQ and PQ in percent, on simulated scenes it never saw. No bound."""

import json
import statistics
import sys
from pathlib import Path

from tests.benchmarks import data
from tests.benchmarks.measure import run_module, table

SCENES = {3001: (2021, 0.25), 3002: (2023, 0.35), 3003: (2019, 0.2)}
"""Year and cloud cover by seed."""
SIZE, DATES = 1024, 32


def main(options: list[str]) -> bool:
    """Find and compare the parcels of each scene."""
    found = {seed: _scores(seed) for seed in SCENES}
    columns = ("mean_sq", "mean_rq", "mean_pq")
    rows = [(f"scene {seed}", *(100 * scores[name] for name in columns)) for seed, scores in found.items()]
    mean = (100 * statistics.mean(scores[name] for scores in found.values()) for name in columns)
    table(("%", "SQ", "RQ", "PQ"), [*rows, ("mean", *mean)])
    return True


def _scores(seed: int) -> dict[str, float]:
    year, cloud_cover = SCENES[seed]
    scene = data.scratch() / f"parcels_{seed}"
    numbers = ("--size", str(SIZE), "--dates", str(DATES), "--seed", str(seed), "--year", str(year))
    clouds = ("--cloud-cover", str(cloud_cover), "--quiet")
    run_module("tests.benchmarks.trivial", "simulate", str(scene), *numbers, *clouds, threads=1)
    ids, classes = scene / "instances.tif", scene / "classes.tif"
    files = ("--out", str(scene / "parcels.gpkg"), "--raster", str(ids), "--classes", str(classes))
    run_module("tests.benchmarks.trivial", "panoptic", "--ts", str(scene / "sentinel2"), *files, "--quiet")
    return _compare(ids, classes, scene / "truth")


def _compare(ids: Path, classes: Path, truth: Path) -> dict[str, float]:
    rasters = (ids, classes, truth / "parcels.tif", truth / "classes.tif")
    printed = run_module("tests.benchmarks.trivial", "evaluate", "panoptic", *map(str, rasters), "--json").output
    scores: dict[str, float] = json.loads(printed)
    return scores


if __name__ == "__main__":
    sys.exit(0 if main(sys.argv[1:]) else 1)

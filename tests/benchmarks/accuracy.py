"""How well methods without a network fill a year: L3A on simulated scenes, against cloud-free truth at 10 m.

RMSE of each band over 24 days, or those of which an algorithm has something to say, without 30 pixels along the border;
mean of three scenes. Truth is sharp in the bands of 20 m as well, so that what is not made sharper counts as wrong. No
bound: trained networks are to do better.
"""

import csv
import math
import statistics
import sys
from collections.abc import Iterable
from pathlib import Path

from tests.benchmarks import data
from tests.benchmarks.measure import run_module, table

SEEDS = (3001, 3002, 3003)
SIZE, DATES, LANDSAT = 240, 36, 24
ALGORITHMS = ("naive", "stair", "sen2like")


def main(options: list[str]) -> bool:
    """Fuse and compare each scene by each algorithm."""
    found = {algorithm: [_errors(_scene(seed), algorithm) for seed in SEEDS] for algorithm in ALGORITHMS}
    bands = [band for band in data.BANDS if any(band in errors for errors in found["stair"])]
    rows = [
        (algorithm, *(statistics.mean(errors[band] for errors in scenes) for band in bands))
        for algorithm, scenes in found.items()
    ]
    table(("RMSE, reflectance", *bands), rows)
    return True


def _scene(seed: int) -> Path:
    folder = data.scratch() / f"truth_{seed}"
    if not folder.exists():
        numbers = ("--size", str(SIZE), "--dates", str(DATES), "--landsat", str(LANDSAT), "--seed", str(seed))
        run_module(
            "tests.benchmarks.trivial", "simulate", str(folder), *numbers, "--truth", "l3a", "--quiet", threads=1
        )
    return folder


def _errors(scene: Path, algorithm: str) -> dict[str, float]:
    """RMSE of each band over all dates of a scene."""
    out, scores = scene / algorithm, scene / f"{algorithm}.csv"
    arguments = ("--ts", str(scene), "--out", str(out), "--strategy", "L3A", "--algorithm", algorithm, "--quiet")
    run_module("tests.benchmarks.trivial", "fuse", *arguments)
    truth = str(scene / "truth" / "sentinel2")
    run_module("tests.benchmarks.trivial", "evaluate", "fusion", str(out), truth, "--truth", "--csv", str(scores))
    with scores.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    columns = [name for name in rows[0] if name.startswith("rmse_") and any(row[name] for row in rows)]
    return {name.removeprefix("rmse_"): _overall(float(row[name]) for row in rows if row[name]) for name in columns}


def _overall(values: Iterable[float]) -> float:
    """RMSE over dates; those of which nothing is told are left out."""
    return statistics.mean(value**2 for value in values if not math.isnan(value)) ** 0.5


if __name__ == "__main__":
    sys.exit(0 if main(sys.argv[1:]) else 1)

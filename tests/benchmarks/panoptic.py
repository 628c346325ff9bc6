"""Whether ``sitsinfer panoptic`` needs memory for a strip or for the area, and what settling and outlining take.

With the embedded model at T=10, C=10, on one scene laid side by side, so that there are as many parcels everywhere.
"""

import json
import sys

from tests.benchmarks import data
from tests.benchmarks.measure import Usage, run_module, table, verdict

DATES = 10
SMALL, LARGE = 1024, 4096  # pixels
GROWTH = 1.10
SHARE = 0.15
MERGING = ("settle", "outline")


def main(options: list[str]) -> bool:
    """Run each size once, with all outputs."""
    sizes = (SMALL, LARGE)
    runs = [_panoptic(size) for size in sizes]
    table(
        ("", "parcels", "peak MiB", "wall s", "settle s", "outline s", "paint s"),
        [
            (f"{size}²", count, use.peak, use.wall, seconds["settle"], seconds["outline"], seconds["paint"])
            for size, (use, count, seconds) in zip(sizes, runs, strict=True)
        ],
    )
    (small, *_), (large, _, seconds) = runs
    met = [
        verdict(f"memory at {LARGE}² over that at {SMALL}²", large.peak / small.peak, GROWTH),
        verdict(f"settling and outlining over all, {LARGE}²", sum(seconds[s] for s in MERGING) / large.wall, SHARE),
    ]
    return all(met)


def _panoptic(size: int) -> tuple[Usage, int, dict[str, float]]:
    """What a run takes, how many parcels it finds, and what its stages take."""
    folder = data.scratch()
    out = folder / f"parcels_{size}.gpkg"
    files = ("--out", str(out), "--raster", str(folder / "instances.tif"), "--classes", str(folder / "classes.tif"))
    series = str(data.series(size, DATES))
    use = run_module("tests.benchmarks.trivial", "panoptic", "--ts", series, *files, "--overwrite", "--quiet")
    item = json.loads(out.with_suffix(".json").read_text())
    return use, item["assets"]["parcels"]["table:row_count"], item["properties"]["sitsinfer:seconds"]


if __name__ == "__main__":
    sys.exit(0 if main(sys.argv[1:]) else 1)

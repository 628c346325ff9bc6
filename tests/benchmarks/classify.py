"""``sitsinfer classify`` on 100,000 parcels over 4096²: whether each pixel is read once, and memory does not grow.

With the embedded model at T=10, C=10, on one scene laid side by side. Parcels are quadrilaterals of some 13 pixels, a
third of which lie across borders of tiles of 256 pixels or of their neighbours' corners: all are jittered.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from tests.benchmarks import data
from tests.benchmarks.measure import Usage, run_module, table, verdict

DATES = 10
SMALL, LARGE = 2048, 4096  # pixels
PARCELS_ALONG = 316  # of the larger area: 316 x 317 parcels
GROWTH = 1.10
TOLERANCE = 1e-6


def main(options: list[str]) -> bool:
    """Run each size once, and the larger one with other tiles and workers as well."""
    spreads: dict[str, tuple[int, tuple[str, ...]]] = {
        f"{SMALL}²": (SMALL, ()),
        f"{LARGE}²": (LARGE, ()),
        f"{LARGE}², tiles of 300": (LARGE, ("--tile-size", "300")),
        f"{LARGE}², 2 workers": (LARGE, ("--workers", "2")),
    }
    runs = [_classify(size, spread, index) for index, (size, spread) in enumerate(spreads.values())]
    table(
        ("", "parcels", "reads a pixel", "peak MiB", "wall s", "CPU s", "CPU ms a parcel"),
        [
            (name, count, reads or "-", use.peak, use.wall, use.cpu, 1000 * use.cpu / count)
            for name, (use, count, reads, _) in zip(spreads, runs, strict=True)
        ],
    )
    (small, *_), (large, _, reads, path), *others = runs
    met = [
        verdict("times that a pixel is read, at most", reads, 1),
        verdict(f"memory at {LARGE}² over that at {SMALL}²", large.peak / small.peak, GROWTH),
    ]
    for *_, other in others:
        classes, difference = _differences(path, other)
        met += [
            verdict(f"classes of {other.name} that differ", classes, 0),
            verdict(f"probabilities of {other.name}, difference", difference, TOLERANCE),
        ]
    return all(met)


def _classify(size: int, spread: Sequence[str], index: int) -> tuple[Usage, int, int, Path]:
    """What a run takes, its parcels, how often a pixel is read at most (0: not counted), and where the output is."""
    series, parcels = data.series(size, DATES), data.scratch() / f"fields_{size}.gpkg"
    if not parcels.exists():
        run_module(
            "tests.benchmarks.classify", "parcels", str(series), str(parcels), str(PARCELS_ALONG * size // LARGE)
        )
    out = data.scratch() / f"classified_{index}.parquet"
    counted = "--workers" not in spread
    run = ("tests.benchmarks.classify", "count") if counted else ("tests.benchmarks.trivial",)
    arguments = ("classify", "--ts", str(series), "--parcels", str(parcels), "--out", str(out), "--quiet", *spread)
    use = run_module(*run, *arguments)
    item = json.loads(out.with_suffix(".json").read_text())
    reads = int(use.output.split()[-1]) if counted else 0
    return use, item["assets"]["parcels"]["table:row_count"], reads, out


def _differences(one: Path, other: Path) -> tuple[int, float]:
    """Parcels whose classes differ, and the largest difference of a probability."""
    import numpy as np
    import pyarrow.parquet as pq

    tables = [pq.read_table(path) for path in (one, other)]
    codes, others = (table["class_code"].to_pandas() for table in tables)
    numbers = [name for name in tables[0].column_names if name.startswith(("p_", "confidence"))]
    largest = [
        np.nanmax(np.abs(tables[0][name].to_numpy() - tables[1][name].to_numpy()), initial=0) for name in numbers
    ]
    return int((codes.fillna(-1) != others.fillna(-1)).sum()), float(max(largest))


def write_parcels(series: Path, out: Path, along: int) -> None:
    """Cover a series with quadrilaterals, their common corners moved at random."""
    import numpy as np
    import pyogrio
    import shapely
    from geopandas import GeoDataFrame

    from sitsinfer.series import open_series

    grid = open_series(series).grid
    rng = np.random.default_rng(data.SEED)
    rows, cols = along + 1, along
    y, x = np.meshgrid(np.linspace(0, 1, rows + 1), np.linspace(0, 1, cols + 1), indexing="ij")
    corners = np.stack([x, y], axis=-1) + rng.uniform(-0.2, 0.2, (rows + 1, cols + 1, 2)) / along
    corners = corners.clip(0, 1) * [grid.shape[1], grid.shape[0]]
    points = np.stack(grid.affine * (corners[..., 0], corners[..., 1]), axis=-1)
    rings = np.stack([points[:-1, :-1], points[:-1, 1:], points[1:, 1:], points[1:, :-1]], axis=2).reshape(-1, 4, 2)
    shapes = np.asarray(shapely.polygons(rings))
    table = GeoDataFrame({"id": np.arange(len(shapes))}, geometry=shapes, crs=str(grid.crs))
    pyogrio.write_dataframe(table, out)


def count_reads(arguments: list[str]) -> None:
    """Run a command and print how often a pixel was read at most."""
    import numpy as np

    from sitsinfer.cli import main as run
    from sitsinfer.series import read_stack

    counts: dict[tuple[int, ...], Any] = {}

    def counted(series: Any, window: Any, grid: Any, **options: Any) -> Any:
        reads = counts.setdefault(tuple(grid.shape), np.zeros(grid.shape, np.uint8))
        reads[window.row : window.stop_row, window.col : window.stop_col] += 1
        return read_stack(series, window, grid, **options)

    with mock.patch("sitsinfer.tasks.classify.read_stack", counted), mock.patch("sys.argv", ["sitsinfer", *arguments]):
        try:
            run()
        finally:  # which is left by SystemExit
            print(max(int(reads.max()) for reads in counts.values()))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["parcels", series, out, along]:
            write_parcels(Path(series), Path(out), int(along))
        case ["count", *arguments]:
            count_reads(arguments)
        case options:
            sys.exit(0 if main(options) else 1)

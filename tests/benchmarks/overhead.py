"""What the engine costs: ``sitsinfer segment`` with a model that costs nothing, start-up and all, at T=12, C=10, 2048².

Beside it a bare streaming loop does the least there is to do: read windows, compute the same, write a GeoTIFF.
"""

import sys
from pathlib import Path

from tests.benchmarks import data
from tests.benchmarks.measure import run_module, table, verdict

SIZE, DATES, CLASSES = 2048, 12, 6
STEP = 512
BOUND = 3.0  # CPU seconds a megapixel


def main(options: list[str]) -> bool:
    """Measure both, in turn."""
    series = data.series(SIZE, DATES)
    model = data.model("trivial", {"classes": CLASSES}, CLASSES)
    out = data.scratch() / "overhead.tif"
    ours, bare = [], []
    for _ in range(2):
        ours.append(
            run_module(
                "tests.benchmarks.trivial",
                *("segment", "--ts", str(series), "--out", str(out), "--model", str(model), "--overwrite", "--quiet"),
            )
        )
        bare.append(run_module("tests.benchmarks.overhead", "loop", str(series), str(out.with_name("bare.tif"))))
    megapixels = SIZE**2 / 1e6
    rows = [
        (name, min(use.cpu for use in uses) / megapixels, max(use.cpu for use in uses) / megapixels,
         min(use.wall for use in uses), max(use.peak for use in uses))
        for name, uses in (("sitsinfer segment", ours), ("bare loop", bare))
    ]  # fmt: skip
    table(("", "CPU-s/Mpx", "worst", "wall s", "peak MiB"), rows)
    return verdict("CPU seconds a megapixel", rows[0][1], BOUND)


def bare_loop(folder: Path, out: Path) -> None:
    """Read windows of every date, take the class of the highest band of the first, write."""
    import numpy as np
    import rasterio
    from rasterio.windows import Window

    files = [rasterio.open(path) for path in sorted(folder.glob("*.tif"))]
    profile = {**files[0].profile, "count": 1, "dtype": "uint8", "nodata": 255}
    with rasterio.open(out, "w", **profile) as written:
        for row in range(0, SIZE, STEP):
            for col in range(0, SIZE, STEP):
                window = Window(col, row, STEP, STEP)
                values = np.stack([file.read(window=window) for file in files])
                x = (values.astype(np.float32) * 1e-4 - 0.2) / 0.1
                written.write(x[0, :CLASSES].argmax(axis=0).astype(np.uint8), 1, window=window)


if __name__ == "__main__":
    if sys.argv[1:2] == ["loop"]:
        bare_loop(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        sys.exit(0 if main(sys.argv[1:]) else 1)

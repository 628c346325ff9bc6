"""What benchmarks run on: simulated series of any size, and models with fresh weights.

Both are made in processes of their own, so that the one that measures stays small.
"""

import json
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.benchmarks.measure import run_module

SCRATCH = "SITSINFER_BENCH_SCRATCH"
"""Environment variable that names the folder which the benchmarks of one run share."""

BLOCK = 512
SEED = 5
BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")

UTAE_PUBLISHED: dict[str, object] = {
    "input_dim": 10,
    "encoder_widths": [64, 64, 64, 128],
    "decoder_widths": [32, 32, 64, 128],
    "out_conv": [32, 20],
    "n_head": 16,
    "d_model": 256,
    "d_k": 4,
}
"""The published configuration; what is not listed has its default."""


def scratch() -> Path:
    """A folder for this run's files."""
    return Path(os.environ.setdefault(SCRATCH, "") or _own_scratch())


def _own_scratch() -> str:
    os.environ[SCRATCH] = tempfile.mkdtemp(prefix="sitsinfer-bench-")
    return os.environ[SCRATCH]


def series(size: int, dates: int) -> Path:
    """A series of ``size`` by ``size`` pixels with its masks, made at the first call: one block, laid side by side."""
    folder = scratch() / f"series_{size}_{dates}"
    if not folder.exists():
        run_module("tests.benchmarks.data", "series", str(folder), str(size), str(dates), threads=1)
    return folder / "sentinel2"


def model(architecture: str, hyperparameters: Mapping[str, object], classes: int) -> Path:
    """A model folder with fresh weights."""
    folder = scratch() / f"model_{architecture}_{classes}"
    if not folder.exists():
        options = json.dumps(dict(hyperparameters))
        run_module("tests.benchmarks.data", "model", str(folder), architecture, options, str(classes))
    return folder


def write_series(folder: Path, size: int, dates: int) -> None:
    """Simulate a block and write it out as a larger scene, file by file."""
    from sitsinfer.simulate import Scene, write_scene

    block = folder.with_name(f"{folder.name}_block")
    write_scene(block, Scene(height=BLOCK, width=BLOCK, dates=dates, seed=SEED))
    for part in ("sentinel2", "sentinel2_mask"):
        (folder / part).mkdir(parents=True)
        for path in sorted((block / part).glob("*.tif")):
            _repeat(path, folder / part / path.name, size)


def _repeat(path: Path, out: Path, size: int) -> None:
    import rasterio
    from rasterio.windows import Window

    with rasterio.open(path) as block:
        values = block.read()
        with rasterio.open(out, "w", **{**block.profile, "height": size, "width": size}) as file:
            file.update_tags(**block.tags())
            file.descriptions = block.descriptions
            for row in range(0, size, BLOCK):
                for col in range(0, size, BLOCK):
                    height, width = min(BLOCK, size - row), min(BLOCK, size - col)
                    file.write(values[:, :height, :width], window=Window(col, row, width, height))


def write_model(folder: Path, architecture: str, hyperparameters: dict[str, object], classes: int) -> None:
    """Write a model folder that fits the series."""
    import datetime

    import torch

    from sitsinfer import models
    from sitsinfer.layers import ClassInfo
    from sitsinfer.weights import Card, Member, save
    from tests.benchmarks import trivial

    trivial.register()
    torch.manual_seed(0)
    card = Card(
        name=architecture,
        title="Benchmark",
        description="Fresh weights, to measure with.",
        architecture=architecture,
        hyperparameters=hyperparameters,
        task="segment",
        sensor="sentinel-2",
        bands=BANDS,
        scale=1e-4,
        offset=0.0,
        positions="day-of-year",
        reference_date=datetime.date(2022, 1, 1),
        patch=128,
        margin=16,
        blend=8,
        fill="reflect",
        members=(Member("", (0.2,) * len(BANDS), (0.1,) * len(BANDS)),),
        classes=tuple(ClassInfo(code, f"class {code}", (12 * code, 90, 200)) for code in range(classes)),
        ignore=(),
        licence="",
        citation="",
        source="",
        digest="",
    )
    save(folder, card, [models.build(architecture, hyperparameters).state_dict()])


if __name__ == "__main__":
    kind, path, *arguments = sys.argv[1:]
    if kind == "series":
        write_series(Path(path), *map(int, arguments))
    else:
        write_model(Path(path), arguments[0], json.loads(arguments[1]), int(arguments[2]))

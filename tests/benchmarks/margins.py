"""What margin and blending buy: accuracy and jumps across patch borders against cost, on a scene the model never saw.

For each margin the patches of its lattice are computed once, and blended over widths from 0 to the most there is room
for. A jump is the mean absolute difference of the scores of two neighbouring pixels: across the border of two cores,
and beside it, a few pixels away, where the scene alone makes scores differ.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np
import rasterio
from numpy.typing import NDArray

from sitsinfer.grid import Grid, Lattice, Window, whole
from sitsinfer.metrics.segmentation import SegmentationScores, confusion_matrix
from sitsinfer.patches import cut_patch
from sitsinfer.predict import Predictor, get_predictor
from sitsinfer.series import Stack, open_series, read_stack
from sitsinfer.simulate import UNLABELLED, Scene, write_scene
from sitsinfer.weights import DEFAULT_MODEL, load_card
from tests.benchmarks import data
from tests.benchmarks.measure import table, verdict

MARGINS = (0, 4, 8, 16, 32)
BESIDE = range(4, 13)  # pixels from a border
BOUND = 1.1
SIZE, DATES, SEED = 256, 30, 990_001

Scores = dict[Window, NDArray[np.float32]]


@dataclass(frozen=True)
class Point:
    """One point of the curve.

    Attributes:
        margin: Pixels of context on each side of a patch.
        blend: Pixels on each side of a border over which scores fade.
        patches: Patches a megapixel.
        miou: Mean over the classes that occur.
        accuracy: Share of pixels that are right.
        across: Mean jump of the scores across borders of cores.
        beside: The same, beside them.
    """

    margin: int
    blend: int
    patches: float
    miou: float
    accuracy: float
    across: float
    beside: float

    @property
    def ratio(self) -> float:
        """How much scores jump across borders, over how much they do beside them."""
        return self.across / self.beside


def main(options: list[str]) -> bool:
    """Print the curve, and hold the model's own margin against the bound."""
    arguments = _arguments(options)
    card, folder = load_card(arguments.model)
    predictor = get_predictor(card, folder, arguments.device)
    ground = Ground.of(arguments.scene or _simulated(), card.bands, arguments.size)
    curve = list(_curve(predictor, ground))
    fields = ("margin", "blend", "patches", "miou", "accuracy", "across", "beside", "ratio")
    header = ("margin", "blend", "patches/Mpx", "mIoU", "OA", "jump across", "beside", "ratio")
    table(header, [[getattr(point, field) for field in fields] for point in curve])
    if arguments.json:
        points = [{**asdict(point), "ratio": point.ratio} for point in curve]
        arguments.json.write_text(json.dumps({"model": card.name, "digest": card.digest, "curve": points}, indent=1))
    own = next(point for point in curve if (point.margin, point.blend) == (card.margin, card.blend))
    return verdict(f"jumps with margin {card.margin} and blend {card.blend} of {card.name}", own.ratio, BOUND)


def _arguments(options: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks margins")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="name or folder")
    parser.add_argument("--scene", type=Path, help="a simulated scene [default: one is made]")
    parser.add_argument("--size", type=int, default=SIZE, help="pixels from the middle of the scene, each way")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path, help="where to write the curve")
    return parser.parse_args(options)


@dataclass(frozen=True)
class Ground:
    """What patches are cut from, and what they are held against.

    Attributes:
        grid: The grid of the series.
        stack: All of it.
        core: The part that is scored, in pixels of the grid.
        truth: Classes of the core.
    """

    grid: Grid
    stack: Stack
    core: Window
    truth: NDArray[np.uint8]

    @classmethod
    def of(cls, scene: Path, bands: tuple[str, ...], size: int) -> Self:
        """Read a simulated scene, to be scored in its middle."""
        series = open_series(scene / "sentinel2").select(bands=bands)
        extent = whole(series.grid)
        height, width = min(size, extent.height), min(size, extent.width)
        core = Window((extent.height - height) // 2, (extent.width - width) // 2, height, width)
        with rasterio.open(scene / "truth" / "classes.tif") as file:
            truth = file.read(1)[core.slices_in(extent)]
        return cls(series.grid, read_stack(series, extent, series.grid), core, truth)


def _simulated() -> Path:
    """A scene with room around the part that is scored."""
    folder = data.scratch() / "margins"
    if not folder.exists():
        write_scene(folder, Scene(height=2 * SIZE, width=2 * SIZE, dates=DATES, seed=SEED))
    return folder


def _curve(predictor: Predictor, ground: Ground) -> Iterator[Point]:
    card = predictor.card
    room = (card.patch - 2 * BESIDE.stop) // 2  # so that what lies beside a border does not lie at the next
    for margin in sorted({*(margin for margin in MARGINS if margin <= room), card.margin}):
        widest = min(margin, (card.patch - 2 * margin) // 2)
        blends = {0, widest // 2, widest} | ({card.blend} if margin == card.margin else set())
        lattices = [Lattice.on(ground.grid, card.patch, margin, blend) for blend in sorted(blends)]
        scores = _score(predictor, ground, lattices[-1])
        yield from (_point(predictor, lattice, ground, scores) for lattice in lattices)


def _score(predictor: Predictor, ground: Ground, lattice: Lattice) -> Scores:
    """Scores of every patch that has a say in the core and sees a valid pixel."""
    card, extent = predictor.card, whole(ground.grid)
    positions = card.encode_dates(ground.stack.dates)
    cut = {
        window: patch
        for window in lattice.patches(ground.core)
        if (patch := cut_patch(ground.stack, extent, window, extent, card.fill, positions)) is not None
    }
    return dict(zip(cut, predictor.scores(cut.values()), strict=True))


def _point(predictor: Predictor, lattice: Lattice, ground: Ground, scores: Scores) -> Point:
    blended = _blend(lattice, ground.core, scores)
    codes = np.array([entry.code for entry in predictor.classes], np.uint8)
    miou, accuracy = _agreement(codes[blended.argmax(axis=0)], ground.truth)
    across, beside = _jumps(blended, lattice, ground.core)
    return Point(lattice.margin, lattice.blend, 1e6 / lattice.stride**2, miou, accuracy, across, beside)


def _blend(lattice: Lattice, core: Window, scores: Scores) -> NDArray[np.float32]:
    """Scores of the core, (K, height, width)."""
    weights = lattice.weights()
    blended = np.zeros((len(next(iter(scores.values()))), *core.shape), np.float32)
    for window in lattice.patches(core):
        shared = window.intersection(core)
        inner = shared.slices_in(window)
        if window in scores:
            blended[:, *shared.slices_in(core)] += scores[window][:, *inner] * weights[inner]
    return blended


def _agreement(found: NDArray[np.uint8], truth: NDArray[np.uint8]) -> tuple[float, float]:
    """Mean IoU and overall accuracy, as ``sitsinfer evaluate segmentation`` gives them."""
    labelled = truth != UNLABELLED
    scores = SegmentationScores(confusion_matrix(truth[labelled], found[labelled], 256))
    return scores.mean_iou, scores.overall_accuracy


def _jumps(blended: NDArray[np.float32], lattice: Lattice, core: Window) -> tuple[float, float]:
    """Mean jumps across the borders of patches' cores, and beside them, over rows and columns."""
    across, beside = [], []
    for axis, start, origin in ((1, core.row, lattice.row), (2, core.col, lattice.col)):
        steps = np.abs(np.diff(blended, axis=axis)).mean(axis=tuple({0, 1, 2} - {axis}))  # one a pair of lines
        # A core begins at a multiple of the stride, plus the margin; its border lies before that line.
        distance = (np.arange(len(steps)) + 1 + start + origin - lattice.margin) % lattice.stride
        distance = np.minimum(distance, lattice.stride - distance)
        across.append(steps[distance == 0])
        beside.append(steps[np.isin(distance, BESIDE)])
    return float(np.concatenate(across).mean()), float(np.concatenate(beside).mean())


if __name__ == "__main__":
    sys.exit(0 if main(sys.argv[1:]) else 1)

"""Semantic segmentation: the class of every pixel, by patches of one lattice."""

import datetime
import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sitsinfer.area import Area
from sitsinfer.errors import WeightsError
from sitsinfer.grid import Grid, Lattice, Window, offset_in, whole
from sitsinfer.layers import Layer
from sitsinfer.patches import Patch, cut_patch, source_window
from sitsinfer.series import Series, Stack, read_stack
from sitsinfer.tasks import TileResult, describe, digest
from sitsinfer.weights import Card

NODATA = 255
"""Code of a pixel that was never observed, in all layers of this task."""

FULL = 250
"""Stored value of a probability of 1: steps of 0.004 that still leave room for nodata."""

LARGEST_TILE = 640
"""Pixels. Larger tiles share fewer patches, by up to an eighth; smaller ones lose less in a crash, keep many workers
busy, and are many on any area, so that memory does not depend on it."""

FEATURES = 128
"""Numbers that an architecture keeps for a pixel and date at most; U-TAE as published keeps 96."""


@dataclass(frozen=True)
class Segment:
    """Map the class of every pixel of a series.

    Scores of the lattice's patches are blended, then decided: the class is the one of the highest score (the first of
    the legend where scores are equal), probabilities are the softmax of the scores.

    Attributes:
        series: What to read; narrowed to the bands of the weights, in their order, and to the dates asked for.
        card: What the weights need and know.
        weights: The model folder.
        area: What to limit the map to.
        start: First date to use; ``None``: the series' first.
        end: Last date to use; ``None``: the series' last.
        margin: Pixels on each side of a patch that are context, over which scores fade too as far as the core is wide
            enough; ``None``: as the card says.
        reference_date: What days are counted from; ``None``: as the card says.
        probabilities: Whether to put out a band of probabilities for each class.
        confidence: Whether to put out the probability of the class decided for.
        device: The device to compute on, or ``auto``.
        precision: ``auto``, ``fp32``, ``bf16`` or ``fp16``.
        batch_size: Patches at a time; ``None``: what the device holds.
        grid: The output grid: the area's pixels of the series' own.
        lattice: Where patches lie on it.
        extent: The pixels of the grid, and around it, that the data cover.
    """

    series: Series
    card: Card
    weights: Path
    area: Area = field(default_factory=Area)
    start: datetime.date | None = None
    end: datetime.date | None = None
    margin: int | None = None
    reference_date: datetime.date | None = None
    probabilities: bool = False
    confidence: bool = False
    device: str = "auto"
    precision: str = "auto"
    batch_size: int | None = None
    grid: Grid = field(init=False)
    lattice: Lattice = field(init=False)
    extent: Window = field(init=False)

    def __post_init__(self) -> None:
        """Choose bands, dates and pixels, and lay the lattice.

        Raises:
            SeriesError: If a band is missing, or there are no such dates.
            GridError: If the area lies outside the data, or the margin leaves nothing of a patch.
            WeightsError: If a class has the code that stands for nodata.
        """
        chosen = self.series.select(bands=self.card.bands, start=self.start, end=self.end)
        object.__setattr__(self, "series", chosen)
        object.__setattr__(self, "grid", self.area.crop(chosen.grid))
        if any(entry.code == NODATA for entry in self.card.classes):
            raise WeightsError(
                f"Weights {self.card.name} use class code {NODATA}, which is nodata. Use codes 0 to 254."
            )
        margin, blend = self.card.margin, self.card.blend
        if self.margin is not None:
            margin, blend = self.margin, min(self.margin, (self.card.patch - 2 * self.margin) // 2)
        object.__setattr__(self, "lattice", Lattice.on(self.grid, self.card.patch, margin, blend))
        origin = offset_in(self.grid, self.series.grid)
        object.__setattr__(self, "extent", whole(self.series.grid).shift(*origin))

    @property
    def layers(self) -> tuple[Layer, ...]:
        """``classes``, and if asked for ``probabilities`` and ``confidence``."""
        layers = [Layer("classes", "uint8", NODATA, ("class",), classes=self.card.predicted)]
        if self.probabilities:
            names = tuple(entry.name for entry in self.card.predicted)
            layers.append(Layer("probabilities", "uint8", NODATA, names, scales=(1 / FULL,) * len(names)))
        if self.confidence:
            layers.append(Layer("confidence", "uint8", NODATA, ("confidence",), scales=(1 / FULL,)))
        return tuple(layers)

    @property
    def tile_shift(self) -> tuple[int, int]:
        """Where tiles begin so that they share the fewest patches."""
        return self.lattice.tile_shift()

    @property
    def tile_step(self) -> int:
        """The stride of the lattice."""
        return self.lattice.stride

    @property
    def largest_tile(self) -> int:
        """:data:`LARGEST_TILE`."""
        return LARGEST_TILE

    def fingerprint(self) -> dict[str, str]:
        """What decides the pixels: the series as it is, and what is asked of it."""
        parts: dict[str, Any] = {
            "inputs": [self.series.inputs(), describe(self.grid)],
            "dates": [str(self.start), str(self.end)],
            "model": [self.card.name, self.card.digest, json.loads(self.card.to_json())],
            "reference date": str(self.reference_date or self.card.reference_date),
            "margin": [self.lattice.margin, self.lattice.blend],
            "area": [self.area.bounds, self.area.crs, self.area.aoi and describe(self.grid)],
            "device": [self.device, self.precision],
            "layers": [layer.name for layer in self.layers],
        }
        return {part: digest(value) for part, value in parts.items()}

    def tile_bytes(self, size: int) -> int:
        """A tile's stack, and its blended scores with one copy."""
        side = size + 2 * self.card.patch
        dates, bands = len(self.series.acquisitions), len(self.series.bands)
        stack = side * side * dates * (bands * np.dtype(self.series.dtype).itemsize + 1)
        return stack + 2 * size * size * len(self.card.classes) * np.dtype(np.float32).itemsize

    def model_bytes(self) -> int:
        """What a forward pass holds, from above: every date's feature maps."""
        pixels = (self.batch_size or 1) * len(self.series.acquisitions) * self.card.patch**2
        return pixels * FEATURES * np.dtype(np.float32).itemsize

    def prepared(self) -> Self:
        """Itself: every tile is read for its own sake."""
        return self

    def read(self, core: Window) -> Stack:
        """Read what the patches of a core see of the data."""
        return read_stack(self.series, self._window(core), self.grid)

    def compute(self, inputs: Stack, core: Window, threads: int) -> TileResult:
        """Score the patches of a core, blend, decide."""
        rows, cols = core.slices_in(self._window(core))
        observed: NDArray[np.bool_] = np.any(inputs.valid[:, rows, cols], axis=0)
        if not observed.any():
            return TileResult()
        scores = self._blend(inputs, core, threads)
        return TileResult(self._decide(scores, observed), int(observed.sum()))

    def _window(self, core: Window) -> Window:
        sources = [source_window(patch, self.extent, self.card.fill) for patch in self.lattice.patches(core)]
        return functools.reduce(Window.union, sources)

    def _blend(self, stack: Stack, core: Window, threads: int) -> NDArray[np.float32]:
        """Scores of a core, (K, height, width): the weighted sum over its patches, in the lattice's order."""
        from sitsinfer.predict import get_predictor

        predictor = get_predictor(self.card, self.weights, self.device, self.precision, self.batch_size, threads)
        patches: list[Window] = []
        weights = self.lattice.weights()
        blended = np.zeros((len(self.card.predicted), *core.shape), np.float32)
        scores = predictor.scores(self._cut(stack, core, patches))
        for index, values in enumerate(scores):
            shared = patches[index].intersection(core)
            inner = shared.slices_in(patches[index])
            blended[:, *shared.slices_in(core)] += values[:, *inner] * weights[inner]
        return blended

    def _cut(self, stack: Stack, core: Window, cut: list[Window]) -> Iterator[Patch]:
        """Yield the patches of a core that see a valid pixel, and note in ``cut`` where each lies."""
        positions = self.card.encode_dates(stack.dates, self.reference_date)
        for window in self.lattice.patches(core):
            patch = cut_patch(stack, self._window(core), window, self.extent, self.card.fill, positions)
            if patch is not None:
                cut.append(window)
                yield patch

    def _decide(self, scores: NDArray[np.float32], observed: NDArray[np.bool_]) -> dict[str, NDArray[np.uint8]]:
        """Turn scores into the layers asked for; ``scores`` is used up."""
        codes = np.array([entry.code for entry in self.card.predicted], np.uint8)
        layers = {"classes": codes[scores.argmax(axis=0)][np.newaxis]}
        if self.probabilities or self.confidence:
            probabilities = _softmax(scores)
            if self.probabilities:
                layers["probabilities"] = _scaled(probabilities)
            if self.confidence:
                layers["confidence"] = _scaled(probabilities.max(axis=0, keepdims=True))
        for values in layers.values():
            values[:, ~observed] = NODATA
        return layers


def _softmax(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities over the first axis, in place."""
    scores -= scores.max(axis=0)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=0)
    return scores


def _scaled(probabilities: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.rint(probabilities * FULL).astype(np.uint8)

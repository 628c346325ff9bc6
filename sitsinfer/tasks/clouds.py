"""Scores of clouds for every date, from what the attention of a model ignores."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sitsinfer.area import Area
from sitsinfer.attention import FULL, LEAST, NODATA, STEP, cloud_scores
from sitsinfer.errors import MetricError, OutputError, ReadError
from sitsinfer.grid import Grid, Window, offset_in
from sitsinfer.layers import ClassInfo, Layer
from sitsinfer.products.dated import DatedFiles
from sitsinfer.series import Stack
from sitsinfer.tasks import TileResult, describe, digest
from sitsinfer.tasks.attention import LARGEST_TILE, AttentionBlend, attention_bytes, attention_layer, heads_of
from sitsinfer.tasks.patchwork import PatchTask

SCORES, MASK = "cloud_score", "cloud_mask"
"""Names of the layers, and of their one band."""

CLASSES = (ClassInfo(0, "clear", (96, 160, 96)), ClassInfo(1, "cloud", (240, 240, 240)))
"""What the mask holds."""

WORKING_BYTES = 40
"""Memory for each pixel and date while scores are computed, all heads together."""


def cloud_layers(dates: Sequence[datetime.date], threshold: float | None) -> tuple[Layer, ...]:
    """The layers that come out: ``cloud_score``, from 0 to 1, and with a threshold ``cloud_mask``."""
    days, dims = tuple(dates), ("date", "band")
    scores = Layer(SCORES, "uint8", NODATA, (SCORES,), (STEP,), ("1",), days, dims)
    mask = Layer(MASK, "uint8", NODATA, (MASK,), (), ("1",), days, dims, CLASSES)
    return (scores,) if threshold is None else (scores, mask)


def check_threshold(threshold: float | None) -> None:
    """See that a threshold is one.

    Raises:
        MetricError: If it is not.
    """
    if threshold is not None and not 0 <= threshold <= 1:
        raise MetricError(f"A threshold of {threshold:g} parts no scores. Choose one from 0 to 1.")


def decide(scores: NDArray[np.float32], threshold: float | None) -> TileResult:
    """Turn scores into the layers of a tile.

    Args:
        scores: Scores of clouds, (T, height, width); NaN where there is none.
        threshold: The least score of what is cloud in a mask; ``None``: there is no mask.
    """
    known = ~np.isnan(scores)
    if not known.any():
        return TileResult()
    stored = np.full(scores.shape, NODATA, np.uint8)
    stored[known] = np.rint(scores[known] * FULL)
    layers = {SCORES: stored}
    if threshold is not None:  # of what is published, so that anybody gets the same from it
        layers[MASK] = np.where(known, stored >= round(threshold * FULL, 6), NODATA).astype(np.uint8)
    return TileResult(layers, int(known.any(axis=0).sum()))


@dataclass(frozen=True)
class Clouds(PatchTask):
    """Score the dates of a series by the attention of a model, computed for this.

    Masks of the series play no part: it is their pixels that are to be told.

    Attributes:
        threshold: The least score of what is cloud in a mask; ``None``: no mask comes out.
    """

    threshold: float | None = None

    def __post_init__(self) -> None:
        """Check the threshold and the model, and see to what all tasks need.

        Raises:
            MetricError: If the threshold is none.
            WeightsError: If the model has no attention to tell.
        """
        check_threshold(self.threshold)
        heads_of(self.card)
        super().__post_init__()
        object.__setattr__(self, "series", self.series.without_masks())

    @property
    def layers(self) -> tuple[Layer, ...]:
        """``cloud_score``, and with a threshold ``cloud_mask``."""
        return cloud_layers(self.series.dates, self.threshold)

    @property
    def largest_tile(self) -> int:
        """:data:`~sitsinfer.tasks.attention.LARGEST_TILE`."""
        return LARGEST_TILE

    def _decisive(self) -> dict[str, Any]:
        return {**super()._decisive(), "threshold": self.threshold}

    def tile_bytes(self, size: int) -> int:
        """A tile's stack, its attention, and what scores are computed in."""
        dates = len(self.series.dates)
        attention = attention_bytes(attention_layer(self.card, self.series.dates), size)
        return self.stack_bytes(size) + attention + dates * size * size * WORKING_BYTES

    def compute(self, inputs: Stack, core: Window, threads: int) -> TileResult:
        """Look at the patches of a core, blend their attention, and score it."""
        rows, cols = core.slices_in(self.window(core))
        valid = inputs.valid[:, rows, cols]
        if not valid.any():
            return TileResult()
        blend, weights = AttentionBlend(attention_layer(self.card, self.series.dates), core), self.lattice.weights()
        for patch, found in self.look(inputs, core, self.predictor(threads, attends=True).look_at):
            assert found.attention is not None, "it was asked for"
            blend.add(patch, found.attention, self.dates_seen(inputs, core, patch), weights)
        return decide(cloud_scores(blend.blended, valid, LEAST), self.threshold)


@dataclass(frozen=True)
class AttendedClouds:
    """Score the dates of attention that was published before.

    It was rounded then: scores are not quite those of :class:`Clouds`.

    Attributes:
        attention: What to read.
        made_by: What tells the attention from any other: the fingerprints of its files.
        area: What to limit the output to.
        threshold: The least score of what is cloud in a mask; ``None``: no mask comes out.
        grid: The output grid: the area's pixels of the attention's.
    """

    attention: DatedFiles
    made_by: tuple[str, ...]
    area: Area = field(default_factory=Area)
    threshold: float | None = None
    grid: Grid = field(init=False)

    tile_shift = (0, 0)
    tile_step = 128
    largest_tile = LARGEST_TILE * 2
    device = "cpu"

    def __post_init__(self) -> None:
        """Check the threshold, and choose pixels.

        Raises:
            MetricError: If the threshold is none.
            GridError: If the area lies outside the attention.
        """
        check_threshold(self.threshold)
        object.__setattr__(self, "grid", self.area.crop(self.attention.grid))

    @property
    def layers(self) -> tuple[Layer, ...]:
        """``cloud_score``, and with a threshold ``cloud_mask``."""
        return cloud_layers(self.attention.layer.dates, self.threshold)

    def fingerprint(self) -> dict[str, str]:
        """What decides the pixels: the attention, and what is asked of it."""
        parts: dict[str, Any] = {
            "inputs": [list(map(str, self.attention.layer.dates)), *sorted(set(self.made_by))],
            "threshold": self.threshold,
            "area": describe(self.grid),
        }
        return {part: digest(value) for part, value in parts.items()}

    def tile_bytes(self, size: int) -> int:
        """Attention as it is stored, and what scores are computed in."""
        return size * size * (self.attention.layer.depth + len(self.attention.dates) * WORKING_BYTES)

    def model_bytes(self, threads: int) -> int:
        """There is no model."""
        return 0

    def prepared(self) -> Self:
        """Itself."""
        return self

    def read(self, core: Window) -> NDArray[np.uint8]:
        """Read the attention of a core, (T, N, height, width)."""
        try:
            return self.attention.read(core.shift(*offset_in(self.attention.grid, self.grid)))
        except OutputError as error:
            raise ReadError(str(error)) from error

    def compute(self, inputs: NDArray[np.uint8], core: Window, threads: int) -> TileResult:
        """Score a core; half a step may have been rounded away."""
        return decide(cloud_scores(inputs, inputs[:, 0] != NODATA, 0.5), self.threshold)

"""Semantic segmentation: the class of every pixel, by patches of one lattice."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sitsinfer.grid import Window
from sitsinfer.layers import Layer
from sitsinfer.series import Stack
from sitsinfer.tasks import TileResult
from sitsinfer.tasks.attention import LARGEST_TILE as ATTENTION_TILE
from sitsinfer.tasks.attention import LAYER, AttentionBlend, attention_bytes, attention_layer
from sitsinfer.tasks.patchwork import LARGEST_TILE, NODATA, PatchTask

FULL = 250
"""Stored value of a probability of 1: steps of 0.004 that still leave room for nodata."""


@dataclass(frozen=True)
class Segment(PatchTask):
    """Map the class of every pixel of a series.

    Scores of the lattice's patches are blended, then decided: the class is the one of the highest score (the first of
    the legend where scores are equal), probabilities are the softmax of the scores.

    Attributes:
        probabilities: Whether to put out a band of probabilities for each class.
        confidence: Whether to put out the probability of the class decided for.
        attention: Whether to put out what each head of the model's attention gives each date.
        masks: Whether the masks of the series hide pixels; without, all that has data is taken for seen.
    """

    probabilities: bool = False
    confidence: bool = False
    attention: bool = False
    masks: bool = True

    def __post_init__(self) -> None:
        """Leave masks out if so asked, and see to what all tasks need."""
        super().__post_init__()
        if not self.masks:
            object.__setattr__(self, "series", self.series.without_masks())

    @property
    def layers(self) -> tuple[Layer, ...]:
        """``classes``, and if asked for ``probabilities``, ``confidence`` and ``attention``.

        Raises:
            WeightsError: If the model has no attention to tell.
        """
        layers = [Layer("classes", "uint8", NODATA, ("class",), classes=self.card.predicted)]
        if self.probabilities:
            names = tuple(entry.name for entry in self.card.predicted)
            layers.append(Layer("probabilities", "uint8", NODATA, names, scales=(1 / FULL,) * len(names)))
        if self.confidence:
            layers.append(Layer("confidence", "uint8", NODATA, ("confidence",), scales=(1 / FULL,)))
        if self.attention:
            layers.append(self._attention_layer)
        return tuple(layers)

    @property
    def _attention_layer(self) -> Layer:
        return attention_layer(self.card, self.series.dates)

    @property
    def largest_tile(self) -> int:
        """:data:`~sitsinfer.tasks.patchwork.LARGEST_TILE`, or with attention less."""
        return ATTENTION_TILE if self.attention else LARGEST_TILE

    def _decisive(self) -> dict[str, Any]:
        decisive = {**super()._decisive(), "layers": [layer.name for layer in self.layers]}
        return decisive if self.masks else {**decisive, "masks": False}  # maps that are there keep their fingerprint

    def tile_bytes(self, size: int) -> int:
        """A tile's stack, its blended scores with one copy, and its attention."""
        scores = 2 * size * size * len(self.card.classes) * np.dtype(np.float32).itemsize
        attention = attention_bytes(self._attention_layer, size) if self.attention else 0
        return self.stack_bytes(size) + scores + attention

    def compute(self, inputs: Stack, core: Window, threads: int) -> TileResult:
        """Score the patches of a core, blend, decide."""
        rows, cols = core.slices_in(self.window(core))
        valid = inputs.valid[:, rows, cols]
        observed: NDArray[np.bool_] = np.any(valid, axis=0)
        if not observed.any():
            return TileResult()
        attention = AttentionBlend(self._attention_layer, core) if self.attention else None
        layers = self._decide(self._blend(inputs, core, threads, attention), observed)
        if attention is not None:
            layers[LAYER] = attention.steps(valid).reshape(-1, *core.shape)
        return TileResult(layers, int(observed.sum()))

    def _blend(
        self, stack: Stack, core: Window, threads: int, attention: AttentionBlend | None = None
    ) -> NDArray[np.float32]:
        """Scores of a core, (K, height, width): the weighted sum over its patches, in the lattice's order.

        Attention is added to ``attention``, where that is wanted.
        """
        weights = self.lattice.weights()
        blended = np.zeros((len(self.card.predicted), *core.shape), np.float32)
        predictor = self.predictor(threads, attends=attention is not None)
        for patch, found in self.look(stack, core, predictor.look_at):
            shared = patch.intersection(core)
            inner = shared.slices_in(patch)
            blended[:, *shared.slices_in(core)] += found.scores[:, *inner] * weights[inner]
            if attention is not None and found.attention is not None:
                attention.add(patch, found.attention, self.dates_seen(stack, core, patch), weights)
        return blended

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

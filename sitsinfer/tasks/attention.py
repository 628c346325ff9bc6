"""Attention over dates as a layer of a map: what it is called, and how a core's is put together from its patches."""

import datetime
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sitsinfer.attention import NODATA, STEP, resampled, to_steps
from sitsinfer.errors import WeightsError
from sitsinfer.grid import Window
from sitsinfer.layers import Layer
from sitsinfer.models import ARCHITECTURES, attention_heads
from sitsinfer.weights import Card

LAYER = "attention"
"""Name of the layer."""

MASKS_TAG, APPLIED, NOT_APPLIED = "MASKS", "applied", "none"
"""Tag of published attention that says whether masks hid pixels, which have none then; and its values."""

LARGEST_TILE = 256
"""Pixels. A pixel has a number for every head and date, many times what is read of it."""


def heads_of(card: Card) -> int:
    """How many heads the attention of a model has; all its networks together, whose heads have nothing in common.

    Raises:
        WeightsError: If it has none to tell.
    """
    heads = attention_heads(card.architecture, card.hyperparameters)
    if heads is None:
        known = ", ".join(name for name, entry in ARCHITECTURES.items() if entry.heads)
        raise WeightsError(
            f"Model '{card.name}' is a {card.architecture}, which tells no attention over dates. "
            f"Choose a model of {known}."
        )
    return heads * len(card.members)


def attention_layer(card: Card, dates: Sequence[datetime.date]) -> Layer:
    """The layer of a model's attention: a band a head, the share of each date in steps of 0.004."""
    names = tuple(f"head{number}" for number in range(1, heads_of(card) + 1))
    return Layer(LAYER, "uint8", NODATA, names, (STEP,) * len(names), dates=tuple(dates), dims=("date", "head"))


def attention_bytes(layer: Layer, size: int) -> int:
    """Memory of a tile's attention: blended, as it is stored, and as it is written."""
    return size * size * layer.depth * (np.dtype(np.float32).itemsize + 2 * np.dtype(np.uint8).itemsize)


class AttentionBlend:
    """Attention of a core, added up from its patches as scores are.

    A date that a patch leaves out has no attention there; no pixel of the patch was observed on it.

    Attributes:
        blended: What has been added up, (T, N, height, width).
    """

    def __init__(self, layer: Layer, core: Window) -> None:
        """Begin with none."""
        self._core = core
        self.blended: NDArray[np.float32] = np.zeros((len(layer.dates), len(layer.bands), *core.shape), np.float32)

    def add(
        self, patch: Window, attention: NDArray[np.float32], seen: NDArray[np.bool_], weights: NDArray[np.float32]
    ) -> None:
        """Add what a patch says.

        Args:
            patch: Where it lies.
            attention: Of the dates that it sees, (T', N, h, h), at any resolution.
            seen: Which of the dates these are, (T,).
            weights: Of each of its pixels, (P, P).
        """
        shared = patch.intersection(self._core)
        inner, outer = shared.slices_in(patch), shared.slices_in(self._core)
        for date, maps in zip(np.flatnonzero(seen), attention, strict=True):
            self.blended[date, :, *outer] += resampled(maps, patch.height, *inner) * weights[inner]

    def steps(self, valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """Attention as it is stored, (T, N, height, width), nodata where ``valid`` (T, height, width) is False."""
        return to_steps(self.blended, valid)

"""Rasters of parcels, read from the layer of labels that they were painted in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sitsinfer.grid import Grid, Window
from sitsinfer.layers import Layer
from sitsinfer.products import LayerSource


@dataclass(frozen=True, eq=False)
class Labelled:
    """A layer whose values are told by labels.

    Attributes:
        layer: What the values are.
        labels: The layer of labels, of one band.
        values: The value of each label, in the layer's dtype; of 0, where there is no parcel.
        observed: A layer of one band that is 0 where nothing was observed, and nothing therefore known; ``None``: all
            is known.
    """

    layer: Layer
    labels: LayerSource
    values: NDArray[Any]
    observed: LayerSource | None = None

    @property
    def grid(self) -> Grid:
        """That of the labels."""
        return self.labels.grid

    def read(self, window: Window) -> NDArray[Any]:
        """Read a window, (1, height, width)."""
        labels = self.labels.read(window)
        values: NDArray[Any] = self.values[labels]
        if self.observed is not None:
            # A parcel reaches over what a cloud always hid; there alone nothing is known.
            unknown = (self.observed.read(window) == 0) & (labels == 0)
            values[unknown] = np.asarray(self.layer.nodata, values.dtype)
        return values

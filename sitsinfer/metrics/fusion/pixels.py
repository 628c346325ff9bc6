"""One date of one sensor, read by windows: what is predicted, and what it is compared with."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sitsinfer.fusion.observe import View
from sitsinfer.fusion.types import MISSING
from sitsinfer.grid import Grid, Window
from sitsinfer.products import LayerSource
from sitsinfer.series.pair import THERMAL

Read = tuple[NDArray[np.float32], NDArray[np.bool_]]
"""Reflectance, and temperature in kelvin, (C, H, W); and where they are to be compared, (H, W).

What is not to be compared may be NaN, or whatever a sensor saw there.
"""


class Pixels(Protocol):
    """One date of one sensor."""

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of its bands."""

    @property
    def grid(self) -> Grid:
        """Where its pixels lie."""

    def read(self, window: Window) -> Read:
        """Read a window that lies within the grid."""


@dataclass(frozen=True)
class LayerPixels:
    """A date of a run's store, or of a published file.

    Attributes:
        source: A layer of one date.
        valid: Where it has values, where its nodata does not say.
    """

    source: LayerSource
    valid: Callable[[Window], NDArray[np.bool_]] | None = None

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of its bands."""
        return self.source.layer.bands

    @property
    def grid(self) -> Grid:
        """Where its pixels lie."""
        return self.source.grid

    def read(self, window: Window) -> Read:
        """Read a window; NaN where the layer has no data.

        Raises:
            OutputError: If a file cannot be read.
        """
        stored, layer = self.source.read(window), self.source.layer
        values = stored.astype(np.float32)
        values *= np.array(layer.band_scales, np.float32)[:, None, None]
        values[stored == layer.nodata] = np.nan
        if self.valid is not None:
            values[:, ~self.valid(window)] = np.nan
        return values, np.asarray(np.isfinite(values).any(axis=0))


@dataclass(frozen=True)
class ViewPixels:
    """A date of a series as fusion sees it, clouds and all.

    Attributes:
        view: The series, best narrowed to that date: all that it holds is read.
        date: Which.
    """

    view: View
    date: datetime.date

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of its bands."""
        return self.view.series.bands

    @property
    def grid(self) -> Grid:
        """Where its pixels lie."""
        return self.view.grid

    def read(self, window: Window) -> Read:
        """Read a window; NaN where a band has no data.

        Raises:
            ReadError: If a file cannot be read.
        """
        seen = self.view.read(window).observations(window, {self.date}, self.date)
        values = seen.values[0]
        values[values == MISSING] = np.nan
        if THERMAL in self.bands:
            values[self.bands.index(THERMAL)] *= 1000  # algorithms see kelvin / 1000
        return values, seen.clear[0]

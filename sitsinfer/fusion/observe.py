"""What algorithms see of two series: windows of digital numbers, turned to observations of some dates."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sitsinfer.fusion.types import MISSING, PIXELS, Observations
from sitsinfer.grid import Grid, Window
from sitsinfer.series import Series, Stack, read_stack
from sitsinfer.series.pair import THERMAL, Pair, covered


def sensor_window(window: Window, sensor: str, margin: int = 0) -> Window:
    """A window of fine pixels, aligned to coarse ones, as pixels of a sensor with a margin around it."""
    scale = PIXELS[sensor]
    row, col, height, width = (int(value / scale) for value in (window.row, window.col, window.height, window.width))
    return Window(row, col, height, width).expand(margin)


@dataclass(frozen=True)
class View:
    """One sensor's series on the grid that fusion reads it on, narrowed to some bands and dates.

    Attributes:
        series: What is read.
        grid: Where, from the first pixel of the image.
        extent: Pixels of the grid that the sensor's footprint covers.
        beyond: What is seen where that ends.
    """

    series: Series
    grid: Grid
    extent: Window
    beyond: Literal["zero", "repeat"] = "zero"

    @classmethod
    def of(
        cls,
        pair: Pair,
        sensor: str,
        bands: Sequence[str],
        dates: Collection[datetime.date],
        beyond: Literal["zero", "repeat"],
    ) -> View | None:
        """The view of a sensor; ``None`` if the pair lacks it, or has none of the dates.

        Raises:
            SeriesError: If an acquisition lacks one of the bands.
        """
        series: Series | None = getattr(pair, sensor)
        kept = () if series is None else tuple(a for a in series.acquisitions if a.date in dates)
        if series is None or not kept:
            return None
        grid = sensor_grid(pair, sensor)
        chosen = replace(series, acquisitions=kept).select(bands=bands)
        return cls(chosen, grid, covered(grid, series.grid), beyond)

    def read(self, window: Window) -> Look:
        """Read a window of the grid.

        Raises:
            ReadError: If a file cannot be read.
        """
        return Look(self, window, read_stack(self.series, window, self.grid))


def sensor_grid(pair: Pair, sensor: str) -> Grid:
    """The grid that fusion reads a sensor on."""
    if sensor == "hr":
        return pair.fine
    if sensor == "lr":
        return pair.coarse
    height, width = (int(n / PIXELS[sensor]) for n in pair.fine.shape)
    return pair.fine.zoom_to((height, width))


@dataclass(frozen=True)
class Look:
    """A window of a view, read.

    Attributes:
        view: Of what.
        window: Pixels of its grid.
        stack: The digital numbers.
    """

    view: View
    window: Window
    stack: Stack

    def clear(self, window: Window, dates: Collection[datetime.date]) -> NDArray[np.bool_]:
        """Where anything clear was seen on these dates, (H, W)."""
        rows, cols = window.slices_in(self.window)
        chosen = [day in dates for day in self.stack.dates]
        return np.asarray(self.stack.valid[chosen, rows, cols].any(axis=0))

    def observations(self, window: Window, dates: Collection[datetime.date], origin: datetime.date) -> Observations:
        """What an algorithm sees of some dates.

        Args:
            window: Pixels of the grid, within what was read.
            dates: Which dates; those that are not there are not missed.
            origin: Day 0.
        """
        chosen = [t for t, day in enumerate(self.stack.dates) if day in dates]
        inside = window.intersection(self.view.extent)
        rows, cols = inside.slices_in(self.window)
        numbers = self.stack.values[chosen, :, rows, cols]
        values, clear = self._physical(numbers, chosen), self.stack.valid[chosen, rows, cols]
        if inside != window:
            values, clear = self._extended(values, inside, window), self._extended(clear, inside, window)
        days = np.array([(self.stack.dates[t] - origin).days for t in chosen], np.int64)
        return Observations(values, clear, days, self.view.series.bands)

    def _physical(self, numbers: NDArray[np.generic], chosen: list[int]) -> NDArray[np.float32]:
        """Digital numbers of some dates as reflectance, and as kelvin / 1000, (T, C, H, W)."""
        values = numbers.astype(np.float32)
        missing = ~np.isfinite(values) if numbers.dtype.kind == "f" else values == np.float32(self.stack.nodata)
        scale = np.repeat(self.stack.scale[chosen, None], values.shape[1], axis=1)
        offset = np.repeat(self.stack.offset[chosen, None], values.shape[1], axis=1)
        if THERMAL in self.view.series.bands:
            band = self.view.series.bands.index(THERMAL)
            scale[:, band], offset[:, band] = self._thermal(chosen).T / 1000
        values *= scale[:, :, None, None]
        values += offset[:, :, None, None]
        values[missing] = MISSING
        return values

    def _thermal(self, chosen: list[int]) -> NDArray[np.float64]:
        """Scale and offset to kelvin of some dates, (T, 2)."""
        scalings = [self.view.series.acquisitions[t].thermal for t in chosen]
        assert None not in scalings, "an acquisition with a band of temperature has its scaling"
        return np.array(scalings, np.float64).reshape(-1, 2)

    def _extended(self, values: NDArray[Any], inside: Window, window: Window) -> NDArray[Any]:
        """Pixels beyond the footprint as the view says: 0 and not clear, or the last ones repeated."""
        shape = (*values.shape[:-2], *window.shape)
        if inside.is_empty or self.view.beyond == "zero":
            wide = np.zeros(shape, values.dtype)
            rows, cols = inside.slices_in(window)
            wide[..., rows, cols] = values
            return wide
        before = inside.row - window.row, inside.col - window.col
        after = window.stop_row - inside.stop_row, window.stop_col - inside.stop_col
        sides = [(0, 0)] * (values.ndim - 2) + list(zip(before, after, strict=True))
        return np.pad(values, sides, mode="edge")


@dataclass(frozen=True)
class SliceImage:
    """The whole ground over one slice of time, as :class:`~sitsinfer.fusion.types.Image` has it.

    Attributes:
        pair: The series.
        inputs: Dates that go in, by sensor.
        origin: Day 0 of the slice.
    """

    pair: Pair
    inputs: dict[str, frozenset[datetime.date]]
    origin: datetime.date

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in fine pixels."""
        height, width = self.pair.fine.shape
        return height, width

    def read(self, sensor: str, bands: tuple[str, ...], core: Window, margin: int = 0) -> Observations:
        """Read all dates that go in over a core; see the protocol."""
        view = View.of(self.pair, sensor, bands, self.inputs.get(sensor, frozenset()), "repeat")
        window = sensor_window(core, sensor, margin)
        if view is None:
            return no_observations(bands, window)
        return view.read(window).observations(window, self.inputs[sensor], self.origin)


def no_observations(bands: tuple[str, ...], window: Window) -> Observations:
    """Observations of a sensor that takes part with no date."""
    empty = np.zeros((0, len(bands), *window.shape), np.float32)
    return Observations(empty, np.zeros((0, *window.shape), np.bool_), np.zeros(0, np.int64), bands)

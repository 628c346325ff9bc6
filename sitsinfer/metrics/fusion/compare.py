"""Predicted and observed dates side by side, patch by patch."""

from __future__ import annotations

import datetime
import itertools
import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sitsinfer.errors import MetricError
from sitsinfer.fusion.psf import Psf
from sitsinfer.fusion.resample import BICUBIC_REACH, bicubic
from sitsinfer.fusion.types import RATIO
from sitsinfer.grid import Grid, Window, whole
from sitsinfer.metrics.fusion.frequency import restoration
from sitsinfer.metrics.fusion.pixels import Pixels, Read
from sitsinfer.metrics.fusion.scores import Context, DateScores, Sums, spectral_angles, squared_errors
from sitsinfer.series.pair import THERMAL

PATCH = 990
"""Fine pixels along the side of a patch, at most: of one spectrum, and of what is read at a time."""

MARGIN = 30
"""Fine pixels along the border of an image that do not count unless asked for, as published."""

_SNUG = 0.05  # fine pixels that edges may lie apart


@dataclass(frozen=True)
class Comparison:
    """A prediction and the observation of the same date.

    Attributes:
        name: How tables call it.
        sensor: Whose point spread functions blur the prediction: ``hr``, ``lr``, or ``None`` to compare it as it is. So
            is an ``lr`` that is known on fine pixels, which no Landsat has seen.
        date: The day; ``None`` if it is not known.
        prediction: On fine pixels.
        observation: On the same pixels, or on pixels of three by three of them.
        inputs: Dates that the prediction was made from, by sensor; empty if they are not known.
        only: Bands to compare; ``None``: all that both have.
    """

    name: str
    sensor: str | None
    date: datetime.date | None
    prediction: Pixels
    observation: Pixels
    inputs: Mapping[str, Collection[datetime.date]] = field(default_factory=dict)
    only: Collection[str] | None = None

    @property
    def bands(self) -> tuple[str, ...]:
        """Bands to compare, in the prediction's order.

        Raises:
            MetricError: If there is none.
        """
        ours, theirs = self.prediction.bands, self.observation.bands
        shared = tuple(band for band in ours if band in theirs and (self.only is None or band in self.only))
        if not shared:
            asked = "" if self.only is None else f", of which {', '.join(self.only)} are asked for"
            raise MetricError(
                f"{self.name} has bands {', '.join(ours)} and its reference {', '.join(theirs)}{asked}. "
                f"Compare images that share bands."
            )
        return shared


def compare(
    comparisons: Iterable[Comparison], margin: int | None = None, patch: int = PATCH, *, truth: bool = False
) -> Iterator[DateScores]:
    """Score predicted dates, one after the other.

    Args:
        comparisons: What to compare.
        margin: Fine pixels along the border of what is compared that do not count; ``None``: ``MARGIN``, or a quarter
            of the shorter side where that is less.
        patch: Fine pixels along the side of a patch at most, of which frequency restoration is a mean; no other score
            depends on it.
        truth: Whether the other side is true on fine pixels, so that predictions are compared with it as they are;
            otherwise as their sensor would have seen them.

    Yields:
        Scores of each.

    Raises:
        MetricError: If the two sides share no band or no pixel, lie on pixels that do not fit each other, or the margin
            leaves nothing.
        ReadError: If a file cannot be read.
    """
    for comparison in comparisons:
        pair = _Pair.of(comparison, truth)
        taken = pair.border(margin)
        sums = Sums.none(len(pair.bands))
        for cell in _cells(pair.area.expand(-taken), patch // pair.ratio):
            sums += pair.sums(cell)
        context = None
        if comparison.date is not None and comparison.inputs:
            context = Context.of(comparison.date, comparison.sensor, comparison.inputs)
        yield DateScores(
            comparison.name, comparison.sensor, comparison.date, pair.bands, sums, taken * pair.ratio, context
        )


def margin_of(comparison: Comparison, margin: int | None = None) -> int:
    """Fine pixels along the border that :func:`compare` would leave out.

    Raises:
        MetricError: If nothing would be left, or the two sides do not fit each other.
    """
    pair = _Pair.of(comparison)
    return pair.border(margin) * pair.ratio


def border(margin: int | None, shape: tuple[int, int], ratio: int = 1) -> int:
    """How many pixels along the border of an image a margin takes.

    Args:
        margin: Fine pixels; ``None``: ``MARGIN``, or a quarter of the shorter side where that is less, in whole pixels
            of Landsat for both sensors.
        shape: Of the image.
        ratio: Fine pixels along the side of one of its pixels, which count whole or not at all.

    Raises:
        MetricError: If nothing is left.
    """
    if margin is None:
        margin = min(MARGIN, min(shape) * ratio // (4 * RATIO) * RATIO)
    taken, most = -(-margin // ratio), (min(shape) - 1) // 2
    if taken > most:
        raise MetricError(
            f"A margin of {margin} pixels leaves nothing of {shape[0] * ratio} x {shape[1] * ratio}. "
            f"Choose {most * ratio} or less."
        )
    return taken


@dataclass(frozen=True)
class _Pair:
    """A prediction and an observation laid over each other.

    Attributes:
        bands: What both have, in the prediction's order.
        prediction: Read in fine pixels.
        observation: Read in its own pixels.
        ratio: Fine pixels along the side of one of the observation.
        corner: Row and column of the observation's first pixel among the fine ones.
        psf: How the prediction is blurred.
    """

    bands: tuple[str, ...]
    prediction: Pixels
    observation: Pixels
    ratio: int
    corner: tuple[int, int]
    psf: Psf | None

    @classmethod
    def of(cls, comparison: Comparison, truth: bool = False) -> Self:
        prediction, observation = comparison.prediction, comparison.observation
        fine, other = prediction.grid, observation.grid
        placed = placement(fine, other)
        if placed is None:
            raise MetricError(
                f"{comparison.name} lies on pixels of {fine.affine.a:g} in {fine.crs}, its reference on pixels of "
                f"{other.affine.a:g} in {other.crs}. Expected the same pixels, or whole blocks of {RATIO} x {RATIO}."
            )
        ratio, corner = placed
        if truth and ratio > 1:
            raise MetricError(
                f"The reference of {comparison.name} lies on pixels of {other.affine.a:g}, and is no truth on pixels "
                f"of {fine.affine.a:g}. Leave out truth, and compare with it as an observation."
            )
        sees = not truth and comparison.sensor is not None and not (comparison.sensor == "lr" and ratio == 1)
        psf = Psf.of(str(comparison.sensor), comparison.bands, abs(float(fine.affine.a))) if sees else None
        pair = cls(comparison.bands, prediction, observation, ratio, corner, psf)
        if pair.area.is_empty:
            raise MetricError(f"{comparison.name} and its reference share no pixel. Compare images of one area.")
        return pair

    @property
    def area(self) -> Window:
        """Pixels of the observation that are predicted from edge to edge."""
        (row, col), (height, width) = self.corner, self.prediction.grid.shape
        top, left = -(row // self.ratio), -(col // self.ratio)
        bottom, right = (height - row) // self.ratio, (width - col) // self.ratio
        return Window(top, left, bottom - top, right - left).intersection(whole(self.observation.grid))

    def border(self, margin: int | None) -> int:
        """Pixels of the observation along the border of the area that a margin takes; see :func:`border`."""
        return border(margin, self.area.shape, self.ratio)

    def sums(self, cell: Window) -> Sums:
        """Compare a patch, of so many pixels of the observation."""
        halo = 0 if self.psf is None else -(-self.psf.reach // self.ratio)
        outer = cell.expand(halo + BICUBIC_REACH).intersection(self.area)
        rows, cols = cell.slices_in(outer)
        observed, clear = self._read(self.observation, outer)
        clear = clear[rows, cols]
        if not clear.any():
            return Sums.none(len(self.bands), clear.size)
        predicted, _ = self._read(self.prediction, self._fine(outer))
        fine = self._fine(cell).slices_in(self._fine(outer))
        seen, alike = self._as_seen(predicted)[:, rows, cols], self._alike(observed)[:, rows, cols]
        sharp = bicubic(observed, self.ratio) if self.ratio > 1 else observed
        restored = restoration(predicted[:, *fine], sharp[:, *fine])
        angles = self._angles(seen, alike, clear)
        return Sums(
            *squared_errors(seen, observed[:, rows, cols], clear),
            angle=float(angles.sum()),
            angles=angles.size,
            restored=np.nan_to_num(restored, nan=0.0),
            patches=np.isfinite(restored).astype(np.int64),
            clear=int(clear.sum()),
            pixels=clear.size,
        )

    def _read(self, pixels: Pixels, window: Window) -> Read:
        values, clear = pixels.read(window)
        return values[[pixels.bands.index(band) for band in self.bands]], clear

    def _fine(self, window: Window) -> Window:
        """A window of the observation in fine pixels."""
        return Window(*(n * self.ratio for n in (window.row, window.col, *window.shape))).shift(*self.corner)

    def _as_seen(self, predicted: NDArray[np.float32]) -> NDArray[np.float32]:
        """A prediction as the sensor would have seen it, on the observation's pixels."""
        if self.psf is not None:
            return self.psf.downsample(predicted, Fraction(1, self.ratio))
        return predicted if self.ratio == 1 else bicubic(predicted, Fraction(1, self.ratio))

    def _alike(self, observed: NDArray[np.float32]) -> NDArray[np.float32]:
        """An observation that all bands resolve alike: what angles are measured to."""
        return observed if self.psf is None or self.ratio > 1 else self.psf.blur(observed)

    def _angles(
        self, predicted: NDArray[np.float32], observed: NDArray[np.float32], clear: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        reflective = [index for index, band in enumerate(self.bands) if band != THERMAL]
        if len(reflective) < 2:
            return np.zeros(0)
        return spectral_angles(predicted[reflective], observed[reflective], clear)


def placement(fine: Grid, other: Grid) -> tuple[int, tuple[int, int]] | None:
    """How pixels lie on those of a finer grid, or of an equal one.

    Returns:
        Fine pixels along the side of one, and where the first one begins, row and column in fine pixels. ``None`` if
        they are neither the same nor blocks of three by three.
    """
    to_fine: Any = ~fine.affine @ other.affine
    ratio, position = round(to_fine.a), np.array([to_fine.f, to_fine.c])
    drift = np.abs(np.array([to_fine.a - ratio, to_fine.b, to_fine.d, to_fine.e - ratio])).max() * max(other.shape)
    off = np.abs(position - position.round()).max()
    if fine.crs != other.crs or ratio not in (1, RATIO) or max(drift, off) > _SNUG:
        return None
    row, col = (int(n) for n in position.round())
    return ratio, (row, col)


def _cells(area: Window, most: int) -> Iterator[Window]:
    """Cut an area into patches of about equal size, none longer than ``most``."""
    rows = np.linspace(0, area.height, math.ceil(area.height / most) + 1).round().astype(int).tolist()
    cols = np.linspace(0, area.width, math.ceil(area.width / most) + 1).round().astype(int).tolist()
    for top, bottom in itertools.pairwise(rows):
        for left, right in itertools.pairwise(cols):
            yield Window(area.row + top, area.col + left, bottom - top, right - left)

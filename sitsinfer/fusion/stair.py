"""STAIR: the coarse sensor's picture of a day, corrected by how far the fine one differed on days that both saw.

After Luo, Guan and Peng, "STAIR: a generic and fully-automated method to fuse multiple sources of optical satellite
data to generate a high-resolution, daily and cloud-/gap-free surface reflectance product", Remote Sensing of
Environment 214, 2018.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from sitsinfer.fusion.gapfill import BYTES_PER_PIXEL, Bracket, Gapfill
from sitsinfer.fusion.resample import BICUBIC_REACH, bicubic, middle
from sitsinfer.fusion.spectral import PairedBands
from sitsinfer.fusion.types import MISSING, RATIO, Image, Observations, Plane, Reads
from sitsinfer.grid import Window

_LARGEST_CORE = 330


@dataclass(frozen=True)
class Stair(PairedBands):
    """Interpolate in time what the fine sensor sees other than the coarse one, and add it to the coarse one.

    Attributes:
        as_published: Whether to do no better than the published comparison, which does not look at the coarse sensor's
            masks and so predicts clouds, and has nothing to say where the two sensors never looked on the same day.
    """

    as_published: bool = False

    name = "stair"
    strategy = "ALL2CONJHR"
    largest_core = _LARGEST_CORE
    device = "cpu"

    @property
    def reads(self) -> Mapping[str, Reads]:
        """Pairs of bands; of the coarse sensor as far around as bicubic sees."""
        return {"hr": Reads(self.hr, 0, "repeat"), "lr": Reads(self.lr, BICUBIC_REACH, "repeat")}

    def fingerprint(self) -> object:
        """Its bands, and whether it does as published."""
        return asdict(self)

    def working_bytes(self, core: int, dates: Mapping[str, int], queries: int) -> int:
        """One day at a time, a few copies of it, and where each coarse band saw anything on each date."""
        side = core + 2 * RATIO * BICUBIC_REACH
        return (2 * BYTES_PER_PIXEL + (6 * 4 + dates.get("lr", 0)) * len(self.hr)) * side**2

    def prepared(self, image: Image) -> Self:
        """Itself."""
        return self

    def predict(
        self,
        inputs: Mapping[str, Observations],
        queries: Mapping[str, NDArray[np.int64]],
        core: Window,
        threads: int,
    ) -> Iterator[Plane]:
        """Predict days of the fine sensor; see the protocol and :func:`predict_day`."""
        fine, coarse = inputs.get("hr"), inputs.get("lr")
        if fine is None or coarse is None or not len(fine.days):
            return
        if not self.as_published:
            coarse = replace(coarse, values=np.where(coarse.clear[:, None], coarse.values, np.float32(MISSING)))
        conjunctions, both = Conjunctions.of(fine, coarse), (Gapfill.of(fine), Gapfill.of(coarse))
        for index, day in enumerate(queries.get("hr", ())):
            values = predict_day(*both, conjunctions, int(day))
            if not self.as_published and (values is None or np.isnan(values).any()):
                stand_in = predict_alone(*both, int(day))
                values = stand_in if values is None else np.where(np.isnan(values), stand_in, values)
            if values is not None:
                yield Plane("hr", index, values)


@dataclass(frozen=True)
class Conjunctions:
    """The days on which both sensors look.

    Attributes:
        days: Ascending, (N,).
        dates: Index of each among the coarse sensor's dates, (N,).
        seen: Whether the coarse sensor has data all around a fine pixel, be it cloudy: (N, H, W), or (N, C, H, W) if it
            has them in some bands alone.
    """

    days: NDArray[np.int64]
    dates: NDArray[np.intp]
    seen: NDArray[np.bool_]

    @classmethod
    def of(cls, fine: Observations, coarse: Observations) -> Self:
        """Find them; the coarse observations reach equally far beyond the fine ones on all sides."""
        days, _, dates = np.intersect1d(fine.days, coarse.days, return_indices=True)
        missing = np.empty((len(days), *coarse.values.shape[1:]), np.bool_)
        for target, date in zip(missing, dates, strict=True):
            np.equal(coarse.values[date], MISSING, out=target)
        if np.array_equal(missing.all(axis=1), missing.any(axis=1)):
            missing = missing[:, 0]
        shape = fine.clear.shape[-2:]
        seen = np.ones((*missing.shape[:-2], *shape), np.bool_)
        for target, gone in zip(seen, missing, strict=True):
            if gone.any():
                stencil = np.where(gone, np.float32(np.nan), np.float32(0))
                target[...] = ~np.isnan(middle(bicubic(stencil, RATIO), shape))
        return cls(days, dates, seen)

    def without(self, day: int) -> Conjunctions:
        """All but one."""
        kept = self.days != day
        return self if kept.all() else Conjunctions(self.days[kept], self.dates[kept], self.seen[kept])


def predict_day(fine: Gapfill, coarse: Gapfill, conjunctions: Conjunctions, day: int) -> NDArray[np.float32] | None:
    """Predict one day of the fine sensor.

    As published: at each conjunction the fine series is filled linearly in time, and the coarse observation, resampled
    bicubically, is taken away; the difference is interpolated linearly to the day, and added to the coarse observation
    of it. The coarse sensor's masks are not looked at. An observation of the fine sensor on the day itself is left out.

    Beyond what was published, for any other day: where the coarse sensor has no data that day, its series is
    filled linearly in time, and then its masks count. A conjunction without coarse data counts where there are some.

    Args:
        fine: Of (T, C, H, W).
        coarse: The same bands on coarse pixels, as many of them beyond the fine ones on all sides; T may be 0.
        conjunctions: Of the two.
        day: Any.

    Returns:
        (C, H, W), NaN where the fine sensor never saw anything clear on another day or the coarse one never saw
        anything; ``None`` if there is no conjunction on another day.
    """
    others = conjunctions.without(day)
    if not len(others.days):
        return None
    shape = fine.observed.clear.shape[-2:]
    around = Bracket.of(others.seen, others.days, day)
    predicted = _upsampled(_coarse_on(coarse, day), shape)
    for index, weight in _weights(around):
        seen_then = _upsampled(coarse.observed.values[others.dates[index]], shape)
        difference = fine.on(int(others.days[index]), left_out=day) - seen_then
        predicted += weight * difference
    return predicted


def predict_alone(fine: Gapfill, coarse: Gapfill, day: int) -> NDArray[np.float32]:
    """Predict one day of the fine sensor where no conjunction helps.

    The difference is taken on the fine sensor's own clear dates around the day, with the coarse series filled linearly
    in time: what the fine one saw then, changed by as much as the coarse one has changed since. Arguments are those of
    :func:`predict_day`.

    Returns:
        (C, H, W), NaN where one of the two never saw anything clear.
    """
    observed = fine.observed
    shape = observed.clear.shape[-2:]
    around = fine.around(day, left_out=day)
    predicted = _upsampled(_coarse_on(coarse, day), shape) + around.at(observed.values)
    for index, weight in _weights(around):
        predicted -= weight * _upsampled(_coarse_on(coarse, int(observed.days[index])), shape)
    return predicted


def _upsampled(values: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Coarse pixels on fine ones, as many of them as there are of the fine sensor."""
    return middle(bicubic(values, RATIO), shape).copy()


def _weights(around: Bracket) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """The dates that a bracket takes, and the weight of each, of its shape; NaN where it knows of none."""
    for index in np.union1d(around.before, around.after):
        weight = np.where(around.before == index, 1 - around.share, np.float32(0))
        weight += np.where(around.after == index, around.share, np.float32(0))
        yield int(index), weight


def _coarse_on(coarse: Gapfill, day: int) -> NDArray[np.float32]:
    """What the coarse sensor saw on a day, clouds and all; filled in time where it has no data."""
    date = np.flatnonzero(coarse.observed.days == day)
    if not len(date):
        return coarse.on(day)
    observed: NDArray[np.float32] = coarse.observed.values[date[0]]
    missing = observed == MISSING
    if missing.any():
        return np.where(missing, coarse.on(day), observed)
    return observed

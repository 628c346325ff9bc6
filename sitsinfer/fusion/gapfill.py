"""Linear interpolation in time, pixel by pixel, between the clear dates around a day."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sitsinfer.fusion.types import MISSING, Observations

BYTES_PER_PIXEL = 48
"""What one interpolation takes for a pixel, beside its result."""


@dataclass(frozen=True)
class Bracket:
    """The last clear date before a day, and the first on or after it, of each pixel or of each of its bands.

    Attributes:
        before: Index of the date, (H, W) or (C, H, W); the same as ``after`` where there is none.
        after: Likewise.
        share: Weight of ``after``, 0 to 1; that of ``before`` is the rest. Likewise; NaN where no date is clear.
    """

    before: NDArray[np.int16]
    after: NDArray[np.int16]
    share: NDArray[np.float32]

    @classmethod
    def of(cls, clear: NDArray[np.bool_], days: NDArray[np.int64], day: int, left_out: int | None = None) -> Self:
        """Look from a day outwards, until everything has found a clear date on both sides.

        Args:
            clear: Dates that count, (T, ...), of whatever the bracket is to be of.
            days: Ascending, (T,).
            day: Where to interpolate.
            left_out: A day whose date does not count; ``None``: all do.
        """
        split = int(np.searchsorted(days, day))
        kept = days != left_out
        before = _first_clear(clear, (t for t in range(split - 1, -1, -1) if kept[t]))
        after = _first_clear(clear, (t for t in range(split, len(days)) if kept[t]))
        none_before, none_after = before < 0, after < 0
        before[none_before] = after[none_before]
        after[none_after] = before[none_after]
        never = none_before & none_after
        before[never] = after[never] = 0
        return cls(before, after, _share(before, after, never, days, day))

    def at(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Interpolate.

        Args:
            values: (T, C, H, W); best contiguous, for it is copied if not.

        Returns:
            (C, H, W); NaN where no date is clear.
        """
        _, bands, height, width = values.shape
        found = np.full((bands, height, width), np.nan, np.float32)
        if not len(values):
            return found
        flat = np.ascontiguousarray(values).reshape(-1)
        plane = height * width
        pixel = np.arange(plane).reshape(height, width)
        before, after, share = (np.broadcast_to(part, found.shape) for part in (self.before, self.after, self.share))
        for band, target in enumerate(found):
            if band == 0 or self.share.ndim == found.ndim:
                first, second = (dates[band].astype(np.intp) * (bands * plane) + pixel for dates in (before, after))
                rest = 1 - share[band]
            of_band = flat[band * plane :]
            np.multiply(rest, of_band.take(first), out=target)
            target += share[band] * of_band.take(second)
        return found


@dataclass(frozen=True, eq=False)
class Gapfill:
    """Observations of one sensor, to be filled in time.

    A date is clear for whole pixels, yet single bands may lack a value then. These are never looked at: the dates on
    which such a band was observed count for it.

    Attributes:
        observed: What was observed.
        gaps: Values that are missing on a date on which their pixel is clear, (C, H, W); ``None`` if there is none.
        seen: Dates on which these N values were observed and clear, (T, N).
    """

    observed: Observations
    gaps: NDArray[np.bool_] | None
    seen: NDArray[np.bool_]

    @classmethod
    def of(cls, observed: Observations) -> Self:
        """Look for gaps."""
        dates = list(zip(observed.values, observed.clear, strict=True))
        gaps = np.zeros(observed.values.shape[1:], np.bool_)
        for values, clear in dates:
            gaps |= clear & (values == MISSING)
        seen = np.zeros((len(dates), np.count_nonzero(gaps)), np.bool_)
        if not seen.shape[1]:
            return cls(observed, None, seen)
        for target, (values, clear) in zip(seen, dates, strict=True):
            target[...] = (clear & (values != MISSING))[gaps]
        return cls(observed, gaps, seen)

    def on(self, day: int, left_out: int | None = None) -> NDArray[np.float32]:
        """Fill a day: a straight line between the clear dates around it, the nearest beyond the ends.

        A day with a clear date is that date. Values that are not clear are never looked at.

        Args:
            day: Which to fill, not necessarily among those observed.
            left_out: A day whose date does not count; ``None``: all do.

        Returns:
            (C, H, W); NaN where no date is clear.
        """
        return self.around(day, left_out).at(self.observed.values)

    def around(self, day: int, left_out: int | None = None) -> Bracket:
        """The dates around a day, of each band by itself if there are gaps; arguments as of :meth:`on`."""
        days = self.observed.days
        of_pixels = Bracket.of(self.observed.clear, days, day, left_out)
        if self.gaps is None:
            return of_pixels
        of_gaps = Bracket.of(self.seen, days, day, left_out)
        return Bracket(
            _patched(of_pixels.before, self.gaps, of_gaps.before),
            _patched(of_pixels.after, self.gaps, of_gaps.after),
            _patched(of_pixels.share, self.gaps, of_gaps.share),
        )


def _patched(of_pixels: NDArray[Any], gaps: NDArray[np.bool_], of_gaps: NDArray[Any]) -> NDArray[Any]:
    """What holds for pixels, (H, W), for each of their bands, (C, H, W), with other values in gaps."""
    patched = np.broadcast_to(of_pixels, gaps.shape).copy()
    patched[gaps] = of_gaps
    return patched


def _first_clear(clear: NDArray[np.bool_], order: Iterable[int]) -> NDArray[np.int16]:
    """The first date of an order that is clear, of everything; -1 where none is."""
    found = np.full(clear.shape[1:], -1, np.int16)
    missing = np.ones(clear.shape[1:], np.bool_)
    for t in order:
        np.putmask(found, clear[t] & missing, t)
        missing &= ~clear[t]
        if not missing.any():
            break
    return found


def _share(
    before: NDArray[np.int16], after: NDArray[np.int16], never: NDArray[np.bool_], days: NDArray[np.int64], day: int
) -> NDArray[np.float32]:
    """Weight of the later date: how far a day is on the way to it."""
    if not len(days):
        return np.full(never.shape, np.nan, np.float32)
    start, span = days[before], days[after] - days[before]
    share = np.zeros(never.shape, np.float32)
    np.divide(day - start, span, out=share, where=span > 0, casting="same_kind")
    share[never] = np.nan
    return share

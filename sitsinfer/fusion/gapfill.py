"""Linear interpolation in time, pixel by pixel, between the clear dates around a day."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

BYTES_PER_PIXEL = 48
"""What one interpolation takes for a pixel, beside its result."""


@dataclass(frozen=True)
class Bracket:
    """The last clear date before a day, and the first on or after it, of each pixel.

    Attributes:
        before: Index of the date, (H, W); the same as ``after`` where there is none.
        after: Likewise.
        share: Weight of ``after``, 0 to 1; that of ``before`` is the rest, (H, W). NaN where no date is clear.
    """

    before: NDArray[np.int16]
    after: NDArray[np.int16]
    share: NDArray[np.float32]

    @classmethod
    def of(cls, clear: NDArray[np.bool_], days: NDArray[np.int64], day: int, left_out: int | None = None) -> Self:
        """Look from a day outwards, until every pixel has found a clear date on both sides.

        Args:
            clear: Dates that count, (T, H, W).
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
        if not len(values):
            return np.full((bands, height, width), np.nan, np.float32)
        flat = np.ascontiguousarray(values).reshape(-1)
        plane = height * width
        pixel = np.arange(plane).reshape(height, width)
        first, second = (dates.astype(np.intp) * (bands * plane) + pixel for dates in (self.before, self.after))
        rest = 1 - self.share
        found = np.empty((bands, height, width), np.float32)
        for band in found:
            np.multiply(rest, flat.take(first), out=band)
            band += self.share * flat.take(second)
            first += plane
            second += plane
        return found


def interpolate(
    values: NDArray[np.float32],
    clear: NDArray[np.bool_],
    days: NDArray[np.int64],
    day: int,
    left_out: int | None = None,
) -> NDArray[np.float32]:
    """Fill a day of a series: a straight line between the clear dates around it, the nearest beyond the ends.

    A day with a clear date is that date. Values that are not clear are never looked at.

    Args:
        values: (T, C, H, W); T may be 0.
        clear: (T, H, W).
        days: Ascending, (T,).
        day: Which to fill, not necessarily among ``days``.
        left_out: A day whose date does not count; ``None``: all do.

    Returns:
        (C, H, W); NaN where no date is clear.
    """
    return Bracket.of(clear, days, day, left_out).at(values)


def _first_clear(clear: NDArray[np.bool_], order: Iterable[int]) -> NDArray[np.int16]:
    """The first date of an order that is clear, of each pixel; -1 where none is."""
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

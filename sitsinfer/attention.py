"""What attention over dates says, pixel by pixel: how it is stored, resampled, and turned into scores of clouds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FULL = 250
"""Stored value of full scale, which is 1: of a date that gets all attention, or of a score."""
STEP = 1 / FULL
"""Attention, or score, that a stored value of 1 stands for."""
NODATA = 255
"""Stored value where a pixel was not observed on a date."""
NEAREST = 2
"""Observed dates on either side that a date is compared with."""
LEAST = 1e-4
"""Attention that says no more than none does: in a year of images each every fourth day, a hundredth of what they would
get if all were regarded equally."""


def to_steps(attention: NDArray[np.float32], observed: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Attention as it is stored.

    The scale is the same for any number of dates, as trained heads give much to a few of them: nothing is ever cut,
    and what gets less than half a step is stored as 0.

    Args:
        attention: Attention of every date of the series, which adds up to 1 at most, (T, N, h, w).
        observed: Where something was observed, (T, h, w).

    Returns:
        Multiples of :data:`STEP`, (T, N, h, w), and :data:`NODATA` where a pixel was not observed.
    """
    steps = np.empty(attention.shape, np.uint8)
    for stored, maps, seen in zip(steps, attention, observed, strict=True):  # one date at a time, for memory
        stored[...] = np.rint(maps * np.float32(FULL))
        stored[:, ~seen] = NODATA
    return steps


def resampled(maps: NDArray[np.float32], size: int, rows: slice, cols: slice) -> NDArray[np.float32]:
    """Part of square maps at a higher resolution, bilinearly between the centres of their pixels.

    Values at a pixel are the same to the last bit whatever part is asked for.

    Args:
        maps: The maps, (..., h, h).
        size: Height and width of what they are resampled to, in pixels.
        rows: Which rows of that.
        cols: Which columns.

    Returns:
        Values, (..., height, width).
    """
    if maps.shape[-1] == size:
        return maps[..., rows, cols]
    low, high, share = _between(maps.shape[-2], size, rows)
    maps = maps[..., low, :] * (1 - share[:, np.newaxis]) + maps[..., high, :] * share[:, np.newaxis]
    low, high, share = _between(maps.shape[-1], size, cols)
    return maps[..., low] * (1 - share) + maps[..., high] * share


def _between(few: int, many: int, part: slice) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """Which two of ``few`` pixels each of ``many`` lies between, and how near to the second, 0 to 1."""
    places = np.clip((np.arange(many)[part] + 0.5) * (few / many) - 0.5, 0, few - 1)
    low = np.floor(places).astype(np.intp)
    return low, np.minimum(low + 1, few - 1), (places - low).astype(np.float32)


def cloud_scores(
    attention: NDArray[np.float32] | NDArray[np.uint8], observed: NDArray[np.bool_], least: float
) -> NDArray[np.float32]:
    """Score how much less a date is attended to than its neighbours in time, as dates with clouds are.

    The score is the mean over heads of ``n / (a + n)``, where ``a`` is the attention of the date and ``n`` the mean
    attention of the nearest dates on which the pixel was observed too, up to two before and up to two after. To both is
    added what says no more than nothing does: where none of them gets any attention, the score is 0.5. It is 0.5 as
    well where a date gets what its neighbours get, and goes to 1 where it is ignored.

    Args:
        attention: Attention in any unit, as scores are ratios, (T, N, h, w), in the order of time.
        observed: Where something was observed, (T, h, w); what attention holds elsewhere does not matter.
        least: Attention that says no more than none does, in that unit: :data:`LEAST`, or half a step of what was
            stored, as much as rounding may have taken away.

    Returns:
        Scores from 0 to 1, (T, h, w); NaN where a pixel was not observed, or on no other date.
    """
    count = _sum_of_nearest(observed.astype(np.float32), observed)
    total = np.zeros(observed.shape, np.float32)
    for head in attention.swapaxes(0, 1):  # one at a time: memory, and sums in one order whatever the window is
        own = head.astype(np.float32)
        near = _sum_of_nearest(own, observed) / np.maximum(count, 1)
        total += (near + np.float32(least)) / (own + near + np.float32(2 * least))
    total /= np.float32(attention.shape[1])
    total[~observed | (count == 0)] = np.nan
    return total


def _sum_of_nearest(values: NDArray[np.float32], observed: NDArray[np.bool_]) -> NDArray[np.float32]:
    """At each date, add up the nearest observed values before and after it, (T, h, w)."""
    return _sum_before(values, observed) + _sum_before(values[::-1], observed[::-1])[::-1]


def _sum_before(values: NDArray[np.float32], observed: NDArray[np.bool_]) -> NDArray[np.float32]:
    """At each date, add up the last observed values before it, (T, h, w)."""
    sums = np.empty_like(values)
    last = [np.zeros(values.shape[1:], np.float32) for _ in range(NEAREST)]
    for date, here in enumerate(observed):
        sums[date] = sum(last)
        last = [np.where(here, newer, older) for newer, older in zip([values[date], *last], last, strict=False)]
    return sums

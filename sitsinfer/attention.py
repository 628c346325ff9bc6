"""What attention over dates says, pixel by pixel: how it is stored, resampled, and turned into scores of clouds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FULL = 250
"""Stored value of full scale; of a score, that of 1."""
NODATA = 255
"""Stored value where a pixel was not observed on a date."""
MEAN_TIMES = 16
"""Full scale, as a multiple of what each of equally regarded dates gets; at most an attention of 1."""
NEAREST = 2
"""Observed dates on either side that a date is compared with."""


def step(dates: int) -> float:
    """Attention that a stored value of 1 stands for, in a series of so many dates.

    Attention adds up to 1 over dates: the more there are, the less each gets. Full scale is ``min(1, 16 / T)``, cut
    into 250 steps, so that an equal share is stored as 16 or more. What exceeds full scale is stored as that.
    """
    return min(1.0, MEAN_TIMES / dates) / FULL


def to_steps(attention: NDArray[np.float32], observed: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Attention as it is stored.

    Args:
        attention: Attention of every date of the series, (T, N, h, w).
        observed: Where something was observed, (T, h, w).

    Returns:
        Multiples of :func:`step`, (T, N, h, w), and :data:`NODATA` where a pixel was not observed.
    """
    unit = np.float32(step(len(attention)))
    steps = np.empty(attention.shape, np.uint8)
    for stored, maps, seen in zip(steps, attention, observed, strict=True):  # one date at a time, for memory
        stored[...] = np.minimum(np.rint(maps / unit), FULL)
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


def cloud_scores(steps: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Score how much less a date is attended to than its neighbours in time, as dates with clouds are.

    The score is the mean over heads of ``n / (a + n)``, where ``a`` is the attention of the date and ``n`` the mean
    attention of the nearest dates on which the pixel was observed too, up to two before and up to two after. Half a
    step is added to both, as much as rounding may have taken away: where none of them gets any attention, the score
    is 0.5. It is 0.5 as well where a date gets what its neighbours get, and goes to 1 where it is ignored.

    Args:
        steps: Attention as it is stored, (T, N, h, w), in the order of time.

    Returns:
        Scores from 0 to 1, (T, h, w); NaN where a pixel was not observed, or on no other date.
    """
    observed = steps[:, 0] != NODATA
    count = _sum_of_nearest(np.ones_like(steps[:, 0]), observed)
    total = np.zeros(observed.shape, np.float32)
    for head in steps.swapaxes(0, 1):  # one at a time: memory, and sums in one order whatever the window is
        near = _sum_of_nearest(head, observed) / np.maximum(count, 1).astype(np.float32)
        total += (near + np.float32(0.5)) / (head + near + np.float32(1))
    total /= np.float32(steps.shape[1])
    total[~observed | (count == 0)] = np.nan
    return total


def _sum_of_nearest(values: NDArray[np.uint8], observed: NDArray[np.bool_]) -> NDArray[np.uint16]:
    """At each date, add up the nearest observed values before and after it, (T, h, w)."""
    return _sum_before(values, observed) + _sum_before(values[::-1], observed[::-1])[::-1]


def _sum_before(values: NDArray[np.uint8], observed: NDArray[np.bool_]) -> NDArray[np.uint16]:
    """At each date, add up the last observed values before it, (T, h, w)."""
    sums = np.empty(values.shape, np.uint16)
    last = [np.zeros(values.shape[1:], np.uint16) for _ in range(NEAREST)]
    for date, here in enumerate(observed):
        sums[date] = sum(last)
        last = [np.where(here, newer, older) for newer, older in zip([values[date], *last], last, strict=False)]
    return sums

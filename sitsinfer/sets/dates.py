"""Series of pixels on the days that a model was trained on."""

import numpy as np
from numpy.typing import NDArray

CHUNK = 2**17
"""Values that are interpolated at a time."""


def on_days(
    values: NDArray[np.generic], valid: NDArray[np.bool_], days: NDArray[np.int64], wanted: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Interpolate the series of each pixel linearly between its clear observations.

    Before the first clear observation of a pixel, and after its last one, the nearest holds, as in the data that the
    pixel-set encoder was published with. A pixel does not depend on the others of the call.

    Args:
        values: Observations, (N, T, C), in any numeric type; what is not valid has no say.
        valid: True where a pixel was observed, (N, T).
        days: Days of the observations since any reference date, (T,), ascending.
        wanted: Days to interpolate to, since the same date, (D,), in any order.

    Returns:
        (N, D, C). A pixel without a clear observation has 0 on all days.
    """
    count, _, bands = values.shape
    result = np.zeros((count, len(wanted), bands), np.float32)
    if not len(days):
        return result
    step = max(1, CHUNK // max(1, len(wanted) * bands))
    for first in range(0, count, step):
        some = slice(first, first + step)
        result[some] = _on_days(values[some], valid[some], days, wanted)
    return result


def _on_days(
    values: NDArray[np.generic], valid: NDArray[np.bool_], days: NDArray[np.int64], wanted: NDArray[np.int64]
) -> NDArray[np.float32]:
    """The same for pixels that fit into memory a few times."""
    before, after = _neighbours(valid, np.searchsorted(days, wanted, side="right"))
    seen = (before >= 0) | (after < len(days))
    before, after = np.where(before < 0, after, before), np.where(after >= len(days), before, after)
    before, after = np.where(seen, before, 0), np.where(seen, after, 0)
    span = days[after] - days[before]
    share = ((wanted - days[before]) / np.where(span > 0, span, 1) * (span > 0)).astype(np.float32)[..., np.newaxis]
    pixels = np.arange(len(values))[:, np.newaxis]
    earlier, later = values[pixels, before].astype(np.float32), values[pixels, after].astype(np.float32)
    return np.where(seen[..., np.newaxis], earlier + (later - earlier) * share, np.float32(0))


def _neighbours(valid: NDArray[np.bool_], places: NDArray[np.intp]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of the last clear date before each place among the dates, and of the first from there on, (N, D) each.

    They are -1 and T where there is none.
    """
    count, dates = valid.shape
    indices = np.arange(dates)
    before = np.full((count, dates + 1), -1)
    before[:, 1:] = np.maximum.accumulate(np.where(valid, indices, -1), axis=1)
    after = np.full((count, dates + 1), dates)
    after[:, :-1] = np.minimum.accumulate(np.where(valid, indices, dates)[:, ::-1], axis=1)[:, ::-1]
    return before[:, places], after[:, places]

"""Series of pixels on the days that a model was trained on."""

import numpy as np
from numpy.typing import NDArray


def on_days(
    values: NDArray[np.float32], valid: NDArray[np.bool_], days: NDArray[np.int64], wanted: NDArray[np.int64]
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
    raise NotImplementedError

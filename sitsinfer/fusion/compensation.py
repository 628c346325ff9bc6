"""Residual compensation: a prediction at 10 m that, seen as Landsat sees, agrees with what Landsat saw that day."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sitsinfer.fusion.psf import OPTICS, Psf
from sitsinfer.fusion.resample import bicubic, nearest
from sitsinfer.fusion.types import RATIO, fill_missing

MARGIN = Psf.of("lr", tuple(OPTICS["lr"])).reach
"""Fine pixels around a core that its compensation depends on: whole coarse pixels, more than bicubic sees of them."""


def residual(
    prediction: NDArray[np.float32], observed: NDArray[np.float32], bands: tuple[str, ...]
) -> NDArray[np.float32]:
    """What a prediction lacks of an observation of the same day.

    Args:
        prediction: Of coarse bands on the fine grid, (C, H, W).
        observed: The coarse sensor's own pixels on the same ground, (C, H / 3, W / 3).
        bands: Names of the bands, (C,).

    Returns:
        The observation, resampled bicubically, less the prediction blurred as the coarse sensor would, (C, H, W).
        Borders are repeated, and mirrored: right at the border of the image, and :data:`MARGIN` pixels within
        any other. NaN where a coarse pixel that bicubic looks at is :data:`MISSING`.
    """
    return bicubic(fill_missing(observed, np.nan), RATIO) - Psf.of("lr", bands).blur(prediction)


def compensate(
    prediction: NDArray[np.float32],
    observed: NDArray[np.float32],
    clear: NDArray[np.bool_],
    bands: tuple[str, ...],
) -> NDArray[np.float32]:
    """Add what a prediction lacks of an observation of the same day, where that is clear.

    Arguments as in :func:`residual`, and where to trust the observation.

    Args:
        prediction: (C, H, W).
        observed: (C, H / 3, W / 3).
        clear: Where the observation may be trusted, (H / 3, W / 3).
        bands: (C,).

    Returns:
        (C, H, W); the prediction as it was where the observation is not clear, and in a band that is missing there or
        next to it.
    """
    lacking = residual(prediction, observed, bands)
    usable = nearest(clear, RATIO) & ~np.isnan(lacking)
    return np.where(usable, prediction + lacking, prediction)

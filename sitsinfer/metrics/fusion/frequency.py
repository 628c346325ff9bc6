"""How much of the fine detail of an observation a prediction restores, frequency by frequency."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft


def restoration(predicted: NDArray[np.float32], observed: NDArray[np.float32]) -> NDArray[np.float64]:
    """Frequency restoration as published with TAMRF: what detail a prediction has more than the observation, in dB.

    Spectra are taken of the whole image, clouds included, after zeros are put around it, and averaged over rings. Both
    are relative to their own lowest ring, so that neither a scale nor an offset matters.

    Args:
        predicted: (C, H, W).
        observed: Likewise.

    Returns:
        The mean over all rings but the lowest and the highest, (C,): below 0 where the prediction is too smooth. NaN
        where a plane holds NaN, is 0 all over, or is below 8 pixels.
    """
    size = 2 * max(predicted.shape[-2:])
    with np.errstate(divide="ignore", invalid="ignore"):
        gains = [
            _decibels(ours, size) - _decibels(theirs, size) for ours, theirs in zip(predicted, observed, strict=True)
        ]
    means = [gain[1:-1].mean() if gain.size > 2 else np.nan for gain in gains]
    return np.where(np.isfinite(means), means, np.nan)


def _decibels(plane: NDArray[np.float32], size: int) -> NDArray[np.float64]:
    """Magnitudes relative to the lowest ring."""
    profile = radial_profile(plane, size)
    return np.asarray(10 * np.log10(profile / profile[:1]))


def radial_profile(plane: NDArray[np.float32], size: int) -> NDArray[np.float64]:
    """Mean magnitude of a spectrum over rings.

    Of the rings between one frequency and the next every other one counts, as published: from the second to the third,
    from the fourth to the fifth.

    Args:
        plane: (H, W).
        size: Points of the transform on each axis; a smaller plane is filled up with zeros, a larger one cut.

    Returns:
        (size // 4 - 1,).
    """
    # float64: differences of logarithms of small magnitudes
    magnitude = np.abs(fft.rfft2(plane.astype(np.float64), s=(size, size)))
    twice = np.full(magnitude.shape[1], 2.0)  # columns that stand for their mirror images too
    twice[0] = 1
    rings = _rings(size)
    total = np.bincount(rings.ravel(), (magnitude * twice).ravel())
    points = np.bincount(rings.ravel(), np.broadcast_to(twice, rings.shape).ravel())
    return np.asarray((total / points)[1:-1])


@lru_cache(maxsize=4)
def _rings(size: int) -> NDArray[np.int16]:
    """Which ring a point of half a spectrum is in, (size, size // 2 + 1).

    0: in none, or below the lowest, which holds no point; the last: beyond the highest.
    """
    step = np.float32(2 / size)  # in float32, as published: it decides points that lie on the edge of a ring
    edges = step * np.arange(size // 4 * 2, dtype=np.float32)
    index = np.arange(size)
    rows = step * np.minimum(index, size - index).astype(np.float32)
    cols = step * np.arange(size // 2 + 1, dtype=np.float32)
    distance = np.sqrt(rows[:, None] ** 2 + cols**2)
    before = np.searchsorted(edges, distance, "left")
    on_edge = before != np.searchsorted(edges, distance, "right")
    ring = np.where((before % 2 == 1) & ~on_edge, before // 2, 0)
    ring[before == edges.size] = edges.size // 2
    return ring.astype(np.int16)

"""Random numbers that belong to places: hashes of integer keys, and smooth noise over the ground.

Whoever asks about a place gets the same answer, whatever was asked before. That is what lets a scene of any size be
made window by window.
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)

# Standard deviation of white noise after a two-dimensional cubic B-spline: the integral of the squared spline, 151/315.
_SPLINE_SD = 151 / 315


def _mix(h: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scramble 64 bits (the finaliser of splitmix64)."""
    h = (h ^ (h >> np.uint64(30))) * _MIX_1
    h = (h ^ (h >> np.uint64(27))) * _MIX_2
    return h ^ (h >> np.uint64(31))


def hashed(seed: int, salt: str, *keys: ArrayLike) -> NDArray[np.uint64]:
    """Hash integer keys to 64 bits.

    Args:
        seed: The scene's seed.
        salt: What the number is for, so that two uses of one key are independent.
        keys: Integers or integer arrays that broadcast against each other.

    Returns:
        One hash for each element of the broadcast keys; never a scalar.
    """
    h = _mix(np.array([seed], dtype=np.uint64) * _GOLDEN + np.uint64(zlib.crc32(salt.encode())))
    for key in keys:
        h = _mix((h + np.atleast_1d(np.asarray(key, dtype=np.int64)).view(np.uint64)) * _GOLDEN)
    return h


def uniform(seed: int, salt: str, *keys: ArrayLike) -> NDArray[np.float64]:
    """Hash integer keys to numbers in the open interval (0, 1)."""
    return ((hashed(seed, salt, *keys) >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def normal(seed: int, salt: str, *keys: ArrayLike) -> NDArray[np.float64]:
    """Hash integer keys to standard normal numbers."""
    return np.asarray(ndtri(uniform(seed, salt, *keys)), dtype=np.float64)


def generator(seed: int, salt: str, *keys: int) -> np.random.Generator:
    """Make a random stream for one block of pixels, where a hash of each pixel would cost too much."""
    return np.random.Generator(np.random.SFC64(int(hashed(seed, salt, *keys)[0])))


def _spline_weights(position: NDArray[np.float64], first: int, count: int) -> NDArray[np.float64]:
    """Weigh ``count`` lattice nodes from ``first`` on for each position by the cubic B-spline: (positions, nodes)."""
    distance = np.abs(position[:, None] - np.arange(first, first + count))
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = np.clip(2 - distance, 0, None) ** 3 / 6
    return np.where(distance < 1, near, far)


def smooth_noise(
    seed: int, salt: str, x: NDArray[np.float64], y: NDArray[np.float64], period: float
) -> NDArray[np.float64]:
    """Evaluate smooth noise on the grid that two axes span.

    Args:
        seed: The scene's seed.
        salt: Names the field.
        x: Positions of the columns, metres.
        y: Positions of the rows, metres.
        period: Distance between independent values, metres.

    Returns:
        Noise of mean 0 and standard deviation 1 over the whole plane, (rows, columns).
    """
    u, v = x / period, y / period
    j, i = int(np.floor(u.min())) - 1, int(np.floor(v.min())) - 1
    columns, rows = int(np.floor(u.max())) + 3 - j, int(np.floor(v.max())) + 3 - i
    nodes = normal(seed, salt, np.arange(i, i + rows)[:, None], np.arange(j, j + columns)[None, :])
    return _spline_weights(v, i, rows) @ nodes @ _spline_weights(u, j, columns).T / _SPLINE_SD


def fractal_noise(
    seed: int,
    salt: str,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    period: float,
    octaves: int,
    gain: float = 0.5,
) -> NDArray[np.float64]:
    """Add octaves of smooth noise, each of half the period and ``gain`` times the amplitude of the one before.

    Returns:
        Noise of mean 0 and standard deviation 1 over the whole plane, (rows, columns).
    """
    amplitudes = gain ** np.arange(octaves)
    total = sum(a * smooth_noise(seed, f"{salt}/{n}", x, y, period / 2**n) for n, a in enumerate(amplitudes))
    return np.asarray(total / np.sqrt((amplitudes**2).sum()))

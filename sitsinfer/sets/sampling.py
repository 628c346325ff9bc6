"""Which pixels of a parcel a model sees, where it has more than the model takes."""

import hashlib

import numpy as np
from numpy.typing import NDArray

CHUNK = 2**20
"""Pixels that are drawn for at a time."""
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""2^64 over the golden ratio, by which SplitMix64 steps."""


def sample(identifier: str, count: int, most: int) -> NDArray[np.int64]:
    """Choose pixels of a parcel without replacement, each as likely as any other.

    Every pixel draws a number, and those with the smallest are chosen. The choice depends on nothing but the arguments:
    neither on tiles nor on the version of any library.

    Args:
        identifier: Of the parcel.
        count: How many pixels it has.
        most: How many to choose at most.

    Returns:
        Places in the list of its pixels, ascending, (min(count, most),).
    """
    if count <= most:
        return np.arange(count)
    seed = np.frombuffer(hashlib.blake2b(identifier.encode(), digest_size=8).digest(), "<u8")
    chosen, drawn = np.zeros(0, np.int64), np.zeros(0, np.uint64)
    for first in range(0, count, CHUNK):
        places = np.arange(first, min(first + CHUNK, count))
        chosen, drawn = np.concatenate([chosen, places]), np.concatenate([drawn, _draw(seed, places)])
        smallest = np.argsort(drawn, kind="stable")[:most]
        chosen, drawn = chosen[smallest], drawn[smallest]
    return np.sort(chosen)


def _draw(seed: NDArray[np.uint64], places: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Numbers of the generator SplitMix64 (Steele, Lea and Flood, 2014), which can be drawn in any order.

    No two of a seed are the same.
    """
    numbers: NDArray[np.uint64] = seed + (places.astype(np.uint64) + np.uint64(1)) * GOLDEN
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))

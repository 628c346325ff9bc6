"""Which pixels of a parcel a model sees, where it has more than the model takes."""

import hashlib
import itertools

import numpy as np
from numpy.typing import NDArray

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""2^64 over the golden ratio, by which SplitMix64 steps."""


def sample(identifier: str, count: int, most: int) -> NDArray[np.int64]:
    """Choose pixels of a parcel without replacement, each as likely as any other.

    Pixels are drawn by the numbers of a generator that starts from the identifier; one that comes again is passed over.
    The choice depends on nothing but the arguments: neither on tiles nor on the version of any library.

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
    chosen, step = np.zeros(0, np.uint64), 2 * most
    for first in itertools.count(0, step):
        drawn = np.concatenate([chosen, _numbers(seed, first, step) % np.uint64(count)])
        chosen = drawn[_first_occurrences(drawn)[:most]]
        if len(chosen) == most:
            break
    return np.sort(chosen).astype(np.int64)


def _first_occurrences(values: NDArray[np.uint64]) -> NDArray[np.intp]:
    """Where each value occurs first, ascending."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    first = np.ones(len(values), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return np.sort(order[first])


def _numbers(seed: NDArray[np.uint64], first: int, count: int) -> NDArray[np.uint64]:
    """Numbers of the generator SplitMix64 (Steele, Lea and Flood, 2014), from the one with index ``first`` on."""
    numbers: NDArray[np.uint64] = seed + np.arange(first + 1, first + 1 + count, dtype=np.uint64) * GOLDEN
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))

"""Pixel sets as tiles read them: of parcels that lie whole in a tile, and pieces of those that cross tiles."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sitsinfer.archive import pack_arrays, unpack_arrays


@dataclass(frozen=True, eq=False)
class PixelSets:
    """What was read of some parcels, each once, one parcel's pixels after the other's.

    Attributes:
        parcels: Numbers of their features in the layer, (P,), int64, ascending.
        drawn: Of the pixels sampled of each, how many were read, (P,), int32; clear ones or not.
        counts: How many of those were ever clear, (P,), int32: the pixels that follow.
        dates: Acquisitions on which one of its pixels was clear, (P, ceil(T / 8)), uint8: a bit each, the first in the
            highest.
        ranks: Place of each pixel among those sampled of its parcel, (N,), int16, ascending in each.
        values: Reflectance on the days that a model takes, (N, D, C), float32.
    """

    parcels: NDArray[np.int64]
    drawn: NDArray[np.int32]
    counts: NDArray[np.int32]
    dates: NDArray[np.uint8]
    ranks: NDArray[np.int16]
    values: NDArray[np.float32]

    def __len__(self) -> int:
        """How many parcels there are."""
        return len(self.parcels)

    @property
    def date_counts(self) -> NDArray[np.int32]:
        """On how many dates each was seen, (P,)."""
        counts: NDArray[np.int32] = np.bitwise_count(self.dates).sum(axis=1, dtype=np.int32)
        return counts

    def select(self, kept: NDArray[np.bool_]) -> Self:
        """Some of the parcels.

        Args:
            kept: Which, (P,).
        """
        pixels = np.repeat(kept, self.counts)
        return type(self)(
            self.parcels[kept],
            self.drawn[kept],
            self.counts[kept],
            self.dates[kept],
            self.ranks[pixels],
            self.values[pixels],
        )

    def each(self) -> Iterator[Self]:
        """Yield the parcels one by one, as copies, which do not keep the others in memory."""
        ends = np.cumsum(self.counts)
        for index, (start, stop) in enumerate(zip(ends - self.counts, ends, strict=True)):
            one, pixels = slice(index, index + 1), slice(int(start), int(stop))
            yield type(self)(
                self.parcels[one].copy(),
                self.drawn[one].copy(),
                self.counts[one].copy(),
                self.dates[one].copy(),
                self.ranks[pixels].copy(),
                self.values[pixels].copy(),
            )


def join(pieces: Sequence[PixelSets]) -> PixelSets:
    """Put pieces together; those of one parcel become one, its pixels by their ranks.

    Args:
        pieces: At least one.
    """
    numbers = np.concatenate([piece.parcels for piece in pieces])
    parcels, places = np.unique(numbers, return_inverse=True)
    drawn, counts = np.zeros((2, len(parcels)), np.int32)
    np.add.at(drawn, places, np.concatenate([piece.drawn for piece in pieces]))
    each = np.concatenate([piece.counts for piece in pieces])
    np.add.at(counts, places, each)
    bits = np.concatenate([piece.dates for piece in pieces])
    dates = np.zeros((len(parcels), bits.shape[1]), np.uint8)
    np.bitwise_or.at(dates, places, bits)
    ranks = np.concatenate([piece.ranks for piece in pieces])
    order = np.lexsort((ranks, np.repeat(places, each)))
    values = np.concatenate([piece.values for piece in pieces])
    return PixelSets(parcels, drawn, counts, dates, ranks[order], values[order])


class Waiting:
    """Parcels of which pieces are still missing. Each is let go as soon as it is whole."""

    def __init__(self) -> None:
        """Begin without a piece."""
        self._pieces: defaultdict[int, list[PixelSets]] = defaultdict(list)
        self._drawn: defaultdict[int, int] = defaultdict(int)

    def __len__(self) -> int:
        """How many parcels wait."""
        return len(self._pieces)

    def add(self, pieces: PixelSets, samples: NDArray[np.int64]) -> Iterator[PixelSets]:
        """Take in pieces, and yield each parcel that is whole by that.

        Args:
            pieces: Of parcels that cross tiles.
            samples: How many pixels were sampled of each in all, (P,).
        """
        for piece, wanted in zip(pieces.each(), samples.tolist(), strict=True):
            (number,) = piece.parcels.tolist()
            self._pieces[number].append(piece)
            self._drawn[number] += int(piece.drawn[0])
            if self._drawn[number] == wanted:
                del self._drawn[number]
                yield join(self._pieces.pop(number))


@dataclass(frozen=True, eq=False)
class Classified:
    """What became of some parcels.

    Attributes:
        parcels: Numbers of their features in the layer, (P,), int64.
        probabilities: Of each class that is predicted, (P, K), float32.
        pixels: How many pixels told, (P,), int32; at least one.
        dates: On how many acquisitions one of them was clear, (P,), int32.
    """

    parcels: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    pixels: NDArray[np.int32]
    dates: NDArray[np.int32]

    def __len__(self) -> int:
        """How many parcels there are."""
        return len(self.parcels)

    @classmethod
    def together(cls, parts: Sequence[Self]) -> Self:
        """Parcels of several parts, at least one, in their order."""
        return cls(
            np.concatenate([part.parcels for part in parts]),
            np.concatenate([part.probabilities for part in parts]),
            np.concatenate([part.pixels for part in parts]),
            np.concatenate([part.dates for part in parts]),
        )


_CLASSIFIED = ("parcels", "probabilities", "pixels", "dates")
_PIECES = ("parcels", "drawn", "counts", "dates", "ranks", "values")


def pack(classified: Classified, pieces: PixelSets) -> bytes:
    """What a tile found, as bytes."""
    arrays: dict[str, NDArray[Any]] = {f"classified_{name}": getattr(classified, name) for name in _CLASSIFIED}
    return pack_arrays(**arrays, **{f"pieces_{name}": getattr(pieces, name) for name in _PIECES})


def unpack(content: bytes) -> tuple[Classified, PixelSets]:
    """Read what :func:`pack` wrote.

    Raises:
        StoreError: If it is damaged.
    """
    names = [*(f"classified_{name}" for name in _CLASSIFIED), *(f"pieces_{name}" for name in _PIECES)]
    arrays = unpack_arrays(content, names)
    return Classified(*arrays[: len(_CLASSIFIED)]), PixelSets(*arrays[len(_CLASSIFIED) :])

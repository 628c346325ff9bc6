"""What an index of parcels answers."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

from sitsinfer.grid import Window


@dataclass(frozen=True, eq=False)
class Samples:
    """Sampled pixels, (N,) each, ordered by parcel, then by rank.

    Attributes:
        parcels: Which parcel each belongs to: the number of its feature in the layer, from 0, int64.
        ranks: Place among the sampled pixels of that parcel, from 0, row by row, int16.
        rows: Row in the grid, int32.
        cols: Column in the grid, int32.
    """

    parcels: NDArray[np.int64]
    ranks: NDArray[np.int16]
    rows: NDArray[np.int32]
    cols: NDArray[np.int32]

    @classmethod
    def join(cls, parts: Sequence["Samples"]) -> Self:
        """Put parts together, and in order."""
        columns = [[getattr(part, field.name) for part in parts] for field in fields(cls)]
        dtypes = (np.int64, np.int16, np.int32, np.int32)
        parcels, ranks, rows, cols = (
            np.concatenate([np.zeros(0, dtype), *column]) for column, dtype in zip(columns, dtypes, strict=True)
        )
        order = np.lexsort((ranks, parcels))
        return cls(parcels[order], ranks[order], rows[order], cols[order])

    def __len__(self) -> int:
        """How many pixels there are; one that two parcels sampled counts twice."""
        return len(self.parcels)

    def select(self, some: NDArray[np.bool_] | NDArray[np.intp] | slice) -> Self:
        """Some of them."""
        return type(self)(self.parcels[some], self.ranks[some], self.rows[some], self.cols[some])

    @property
    def window(self) -> Window:
        """The smallest window that holds them all; of height and width 0 if there is none."""
        if not len(self):
            return Window(0, 0, 0, 0)
        row, col = int(self.rows.min()), int(self.cols.min())
        return Window(row, col, int(self.rows.max()) + 1 - row, int(self.cols.max()) + 1 - col)


@dataclass(frozen=True, eq=False)
class Facts:
    """What is known of some parcels before any image is read, (P,) each.

    Attributes:
        pixels: How many pixels of the grid have their centre in each, int64; 0 for a parcel that cannot be classified.
        samples: How many of them were sampled, int64.
        features: The four geometric features as :func:`sitsinfer.sets.footprint.features` orders them, (P, 4), float64;
            NaN for a parcel without pixels.
    """

    pixels: NDArray[np.int64]
    samples: NDArray[np.int64]
    features: NDArray[np.float64]


@dataclass(frozen=True)
class Trouble:
    """Something about parcels that a user should know.

    Attributes:
        what: What is the matter, to follow "12 parcels: ", such as ``outside the data, not classified``.
        count: How many parcels it concerns.
        first: Identifiers of the first few.
    """

    what: str
    count: int
    first: tuple[str, ...]

    def __str__(self) -> str:
        """One line."""
        some = "parcel" if self.count == 1 else "parcels"
        rest = f" and {self.count - len(self.first)} more" if self.count > len(self.first) else ""
        return f"{self.count} {some}: {self.what} ({', '.join(self.first)}{rest})"

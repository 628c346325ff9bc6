"""The sampled pixels of a parcel layer, on disk, to be asked for by place."""

from collections.abc import Callable
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sitsinfer.grid import Grid, Window
from sitsinfer.series.parcels import ParcelLayer
from sitsinfer.sets.types import Facts, Samples, Trouble

MOST = 32_767
"""Pixels that can be sampled of a parcel."""


class ParcelIndex:
    """The pixels of every parcel of a layer, in one SQLite file.

    It is never changed once it is built, so that any number of threads and processes may ask it at a time. It holds its
    path and no connection: it can be pickled.

    Attributes:
        path: The file.
        count: Features of the layer; parcels are numbered from 0 to ``count`` - 1, in its order.
        pixels: The most pixels sampled of a parcel.
    """

    path: Path
    count: int
    pixels: int

    def __init__(self, path: Path) -> None:
        """Open an index.

        Raises:
            StoreError: If there is none, or it is damaged.
        """
        raise NotImplementedError

    @classmethod
    def build(
        cls,
        path: Path,
        layer: ParcelLayer,
        grid: Grid,
        pixels: int,
        progress: Callable[[int], None] | None = None,
    ) -> Self:
        """Read a layer once, find and sample the pixels of its parcels, and write the index.

        Only a batch of parcels is in memory at a time. The file appears whole or not at all; one that is there is
        replaced.

        Args:
            path: The file to write.
            layer: The parcels, in any CRS.
            grid: The grid of the series; a parcel has no pixels beyond it.
            pixels: Sample at most so many pixels of a parcel, 1 to :data:`MOST`.
            progress: Called now and then with the number of features done so far.

        Raises:
            ReadError: If the layer cannot be read to its end.
            SeriesError: If ``pixels`` is out of range.
            OutputError: If the index cannot be written.
        """
        raise NotImplementedError

    def within(self, core: Window) -> Samples:
        """Find every sampled pixel inside a window; only the blocks of the index that meet it are read.

        Raises:
            StoreError: If the index is gone or damaged.
        """
        raise NotImplementedError

    def facts(self, parcels: ArrayLike) -> Facts:
        """What is known of some parcels, in the order in which they are given.

        Args:
            parcels: Numbers of features, (P,), each 0 to ``count`` - 1.

        Raises:
            StoreError: If the index is gone or damaged.
        """
        raise NotImplementedError

    def geometry_statistics(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and standard deviation (n - 1) of the geometric features, (4,) each, over all parcels with pixels.

        The deviation is 1 where there are not two different values, so that one can divide by it.
        """
        raise NotImplementedError

    def troubles(self) -> tuple[Trouble, ...]:
        """What a user should know about the parcels: those that cannot be classified, and those that were mended."""
        raise NotImplementedError

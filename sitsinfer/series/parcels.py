"""Layers of parcels: vector files of any format that GDAL reads, and GeoParquet, as streams of features."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from odc.geo.crs import CRS

BATCH = 4096
"""Features that are read at a time, unless said otherwise."""


@dataclass(frozen=True, eq=False)
class ParcelBatch:
    """Features of a layer that follow each other.

    Attributes:
        first: Number of the first in the layer, from 0.
        identifiers: Of the type of the layer's ``id_type``, (N,); null where a feature has none.
        geometries: As the file has them, as WKB, (N,), binary; null where a feature has none.
    """

    first: int
    identifiers: pa.Array
    geometries: pa.Array

    def __len__(self) -> int:
        """How many features it holds."""
        return len(self.identifiers)

    def names(self) -> list[str]:
        """Identifiers as text, by which pixels are sampled: numbers as in decimals, whole ones without a point; null
        is the empty text."""
        raise NotImplementedError


@dataclass(frozen=True)
class ParcelLayer:
    """One layer of a vector file, as its header tells; no feature is read.

    Attributes:
        path: The file.
        name: Of the layer; ``None`` in a GeoParquet file, which has but one.
        crs: Of its geometries, whose coordinates are x, y in any case.
        count: How many features it has.
        id_column: The column with identifiers; ``None``: features are known by their number in the file (FID).
        id_type: Type of the identifiers, int64 where there is no column.
    """

    path: Path
    name: str | None
    crs: CRS
    count: int
    id_column: str | None
    id_type: pa.DataType

    def batches(self, size: int = BATCH) -> Iterator[ParcelBatch]:
        """Read all features in the order of the file, none left out, ``size`` at a time.

        Raises:
            ReadError: If a feature cannot be read, or there are not ``count`` of them.
        """
        raise NotImplementedError

    def shapes(self, batch: ParcelBatch) -> NDArray[np.object_]:
        """Geometries of a batch as shapely geometries in the CRS of the layer, curves as polylines, (N,).

        ``None`` where there is none, or where what the file holds is no geometry. Nothing else is mended: they may be
        empty, invalid, of any type, and have heights.
        """
        raise NotImplementedError

    def inputs(self) -> list[tuple[str, int, int]]:
        """Every file that is read: name, size in bytes, time of its last change in nanoseconds.

        Raises:
            SeriesError: If it is gone since the layer was opened.
        """
        raise NotImplementedError


def open_parcels(path: Path, id_column: str | None = None, layer: str | None = None) -> ParcelLayer:
    """Read the header of a layer of parcels.

    Args:
        path: A vector file of any format that GDAL reads, or GeoParquet.
        id_column: The column with identifiers of parcels, of any type.
        layer: The layer, where the file has several with geometries.

    Raises:
        ReadError: If it cannot be read as a vector file.
        SeriesError: If it has no CRS, no geometries, no such column or layer, or several layers and none is chosen.
    """
    raise NotImplementedError

"""Parcels that were found, as polygons with attributes."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import shapely
from shapely import Polygon

from sitsinfer.grid import Grid
from sitsinfer.layers import ClassInfo
from sitsinfer.products import GEOMETRY
from sitsinfer.products.table import Header
from sitsinfer.products.vector import write_features

BATCH = 4096
"""Parcels that are in memory at once."""
CLASS = "class"
"""The attribute with class codes."""
SCHEMA = pa.schema(
    [
        ("id", pa.int64()),
        ("identifier", pa.string()),
        (CLASS, pa.int16()),
        ("class_name", pa.string()),
        ("confidence", pa.float32()),
        ("area_ha", pa.float64()),
        ("center_x", pa.float64()),
        ("center_y", pa.float64()),
        (GEOMETRY, pa.binary()),
    ]
)
"""Attributes, and the polygon as WKB."""


@dataclass(frozen=True)
class Parcel:
    """One parcel as it is published.

    Attributes:
        id: Its value in the instance raster, from 1.
        identifier: What it is called whatever tile it was found in.
        code: Its class.
        class_name: The name of its class.
        confidence: 0 to 1.
        area_ha: Its area in hectares, from its pixels.
        center_x: Where the network saw its centre, in units of the CRS.
        center_y: Likewise.
        polygon: Its outline in the CRS.
    """

    id: int
    identifier: str
    code: int
    class_name: str
    confidence: float
    area_ha: float
    center_x: float
    center_y: float
    polygon: Polygon


def write_parcels(
    parcels: Iterable[Parcel], path: Path, grid: Grid, classes: tuple[ClassInfo, ...], tags: Mapping[str, str]
) -> None:
    """Publish parcels as polygons, in the order in which they come, with a style for QGIS.

    Only a batch of them is in memory at a time. The same parcels and tags give the same bytes, with the same versions
    of the libraries. No parcel at all is not an error: the file has its attributes and CRS then.

    Args:
        parcels: The parcels; polygons as :func:`~sitsinfer.products.trace.trace` orders their vertices.
        path: The file to write or to replace.
        grid: The grid that they were found on; its CRS is that of the polygons.
        classes: The legend, for the style.
        tags: What to note in the file about its making.

    Raises:
        OutputError: If the ending is not known, or the file cannot be written whole; then ``path`` is as it was.
    """
    assert grid.crs is not None, "every grid of ours has a CRS"
    write_features(_batches(parcels), Header(SCHEMA, grid.crs, tags), path, classes, CLASS)


def _batches(parcels: Iterable[Parcel]) -> Iterator[pa.RecordBatch]:
    """Put parcels together as record batches."""
    remaining = iter(parcels)
    while batch := list(itertools.islice(remaining, BATCH)):
        yield _batch(batch)


def _batch(parcels: list[Parcel]) -> pa.RecordBatch:
    """One record batch, with little-endian WKB."""
    columns = [
        [parcel.id for parcel in parcels],
        [parcel.identifier for parcel in parcels],
        [parcel.code for parcel in parcels],
        [parcel.class_name for parcel in parcels],
        [parcel.confidence for parcel in parcels],
        [parcel.area_ha for parcel in parcels],
        [parcel.center_x for parcel in parcels],
        [parcel.center_y for parcel in parcels],
        shapely.to_wkb([parcel.polygon for parcel in parcels], byte_order=1, flavor="iso"),
    ]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)

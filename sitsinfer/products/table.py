"""What vector files have in common, whatever their format: a table with a geometry in each row."""

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
from odc.geo.crs import CRS

from sitsinfer.products import GEOMETRY

POLYGON = "Polygon"
"""The type of geometries that are all polygons."""


@dataclass(frozen=True)
class Header:
    """What a file says of all its rows, to be written.

    Attributes:
        schema: Of the rows; the geometry is the column ``geometry``, as WKB, null where a row has none.
        crs: Of the geometries.
        notes: What to note in the file.
        traced: Whether all geometries are polygons that we traced, with exteriors counter-clockwise and holes
            clockwise; else they are of any type, as somebody else drew them, and rows keep their order.
    """

    schema: pa.Schema
    crs: CRS
    notes: Mapping[str, str]
    traced: bool = True


@dataclass(frozen=True)
class Contents:
    """What a file holds, as far as it tells without its rows being read.

    Attributes:
        count: Its rows.
        columns: From the name of a column to its type, in Arrow's words; of the geometry, its type of geometry.
        notes: What is noted in it.
    """

    count: int
    columns: Mapping[str, str]
    notes: Mapping[str, str]

    @property
    def geometry_type(self) -> str:
        """The type of its geometries, such as ``Polygon``."""
        return self.columns[GEOMETRY]

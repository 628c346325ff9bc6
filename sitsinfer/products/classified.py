"""Parcels of somebody's layer with the classes that were found for them: the table that ``classify`` writes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from odc.geo.crs import CRS

from sitsinfer.errors import OutputError
from sitsinfer.layers import ClassInfo
from sitsinfer.products import GEOMETRY
from sitsinfer.products.geoparquet import COVERING
from sitsinfer.products.table import Header
from sitsinfer.products.vector import write_features

CLASS = "class_code"
"""The attribute with class codes."""
PROBABILITY = "p_"
"""What attributes with the probability of a class begin with."""


@dataclass(frozen=True, eq=False)
class ClassifiedParcels:
    """Features of a layer that follow each other, and what became of them.

    Attributes:
        identifiers: As the layer has them, (N,).
        geometries: As the layer has them, as WKB, (N,), binary; null where there is none.
        probabilities: Of each class of the legend, (N, K), float32; of no meaning where ``pixels`` is 0.
        pixels: How many pixels told, (N,), int32; 0 for a parcel that could not be classified.
        dates: On how many acquisitions one of them was clear, (N,), int32.
    """

    identifiers: pa.Array
    geometries: pa.Array
    probabilities: NDArray[np.float32]
    pixels: NDArray[np.int32]
    dates: NDArray[np.int32]


def schema_of(identifier: pa.Field, classes: tuple[ClassInfo, ...]) -> pa.Schema:
    """The columns that are written.

    Args:
        identifier: Name and type of the identifiers.
        classes: The legend, in the order of the probabilities.

    Raises:
        OutputError: If the identifiers have the name of another column.
    """
    schema = pa.schema(
        [
            identifier,
            (CLASS, pa.int16()),
            ("class_name", pa.string()),
            ("confidence", pa.float32()),
            *((name, pa.float32()) for name in probability_columns(classes)),
            ("pixels", pa.int32()),
            ("dates", pa.int32()),
            (GEOMETRY, pa.binary()),
        ]
    )
    taken = [name.casefold() for name in (*schema.names[1:], COVERING)]
    if identifier.name.casefold() in taken:
        raise OutputError(
            f"The identifiers are in column '{identifier.name}', but a column of that name is to be written. Rename "
            f"it in the layer, or choose another column."
        )
    return schema


def probability_columns(classes: Iterable[ClassInfo]) -> list[str]:
    """Names of the columns with probabilities: ``p_`` and the class, in plain letters; with its code if that is taken.

    Databases and GIS agree on nothing but small letters, digits and underscores.
    """
    names: list[str] = []
    for entry in classes:
        letters = unicodedata.normalize("NFKD", entry.name).encode("ascii", "ignore").decode().lower()
        name = PROBABILITY + (re.sub(r"[^a-z0-9]+", "_", letters).strip("_") or str(entry.code))
        while name in names:
            name = f"{name}_{entry.code}"
        names.append(name)
    return names


def write_classified(
    parts: Iterable[ClassifiedParcels],
    path: Path,
    crs: CRS,
    identifier: pa.Field,
    classes: tuple[ClassInfo, ...],
    tags: Mapping[str, str],
) -> None:
    """Publish classified parcels, a row each, in the order in which they come, with a style for QGIS.

    The class is that of the highest probability (the first of the legend where they are equal), and the confidence is
    that probability. A parcel without pixels has no class, no confidence and no probabilities.

    Args:
        parts: The parcels. Only one part is in memory at a time.
        path: The file to write or to replace.
        crs: Of the geometries.
        identifier: Name and type of the identifiers.
        classes: The legend, in the order of the probabilities.
        tags: What to note in the file about its making.

    Raises:
        OutputError: If the ending is not known, the identifiers have the name of another column, or the file cannot be
            written whole; then ``path`` is as it was.
    """
    schema = schema_of(identifier, classes)
    header = Header(schema, crs, tags, traced=False)
    write_features(_batches(parts, schema, classes), header, path, classes, CLASS)


def _batches(
    parts: Iterable[ClassifiedParcels], schema: pa.Schema, classes: tuple[ClassInfo, ...]
) -> Iterator[pa.RecordBatch]:
    codes = np.array([entry.code for entry in classes], np.int16)
    names = np.array([entry.name for entry in classes], object)
    for part in parts:
        unknown = part.pixels == 0
        best = part.probabilities.argmax(axis=1)
        columns = [codes[best], names[best], part.probabilities.max(axis=1), *part.probabilities.T]
        told = [pa.array(column, mask=unknown) for column in columns]
        arrays = [part.identifiers, *told, pa.array(part.pixels), pa.array(part.dates), part.geometries]
        yield pa.RecordBatch.from_arrays(
            [array.cast(column.type) for array, column in zip(arrays, schema, strict=True)], schema=schema
        )

"""GeoParquet 1.1.0, written by Arrow: see https://geoparquet.org/releases/v1.1.0/."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from numpy.typing import NDArray

from sitsinfer.products import GEOMETRY
from sitsinfer.products.table import POLYGON, Contents, Header

VERSION = "1.1.0"
COVERING, GEO = "bbox", "geo"
"""The column with the bounds of geometries, and the key of the metadata that explains both columns."""
SIDES = ("xmin", "ymin", "xmax", "ymax")
"""Of the bounds of a geometry, as shapely orders them."""
TYPES = (
    *("Point", "LineString", "LinearRing", "Polygon", "MultiPoint", "MultiLineString", "MultiPolygon"),
    "GeometryCollection",
)
"""Types of geometry, as shapely numbers them."""


def write_geoparquet(batches: Iterable[pa.RecordBatch], header: Header, path: Path) -> None:
    """Write geometries and their attributes, a row group a batch.

    Args:
        batches: The features. Their geometries are without curves, rings closed.
        header: What holds for all of them.
        path: The file to make.

    Raises:
        OSError: If it cannot be written.
    """
    found = _Found()
    schema = _covered(header.schema)
    with pq.ParquetWriter(path, schema, compression="zstd", store_schema=False) as file:
        for batch in batches:
            geometries = _decoded(batch[GEOMETRY])
            boxes = shapely.bounds(geometries)
            found.add(geometries, boxes)
            file.write_batch(pa.RecordBatch.from_arrays([*batch.columns, _covering(boxes)], schema=schema))
        file.add_key_value_metadata({**header.notes, GEO: json.dumps(_explained(header, found))})


def _decoded(geometries: pa.Array) -> NDArray[np.object_]:
    with np.errstate(invalid="ignore"):  # coordinates that are no numbers
        decoded: NDArray[np.object_] = shapely.from_wkb(geometries.to_numpy(zero_copy_only=False))
    return decoded


class _Found:
    """Types and bounds of the geometries that were written."""

    def __init__(self) -> None:
        self.types: set[str] = set()
        self.bounds = np.array([np.inf, np.inf, -np.inf, -np.inf])

    def add(self, geometries: NDArray[np.object_], boxes: NDArray[np.float64]) -> None:
        """Take in geometries (N,) and their bounds (N, 4), NaN where there is none."""
        self.bounds[:2] = np.fmin(self.bounds[:2], np.fmin.reduce(boxes[:, :2], initial=np.inf))
        self.bounds[2:] = np.fmax(self.bounds[2:], np.fmax.reduce(boxes[:, 2:], initial=-np.inf))
        kinds = np.stack([shapely.get_type_id(geometries), shapely.has_z(geometries)], axis=1)
        for kind, has_height in np.unique(kinds[kinds[:, 0] >= 0], axis=0):
            self.types.add(TYPES[kind] + (" Z" if has_height else ""))


def _covered(schema: pa.Schema) -> pa.Schema:
    """The columns of a file: those of its features, and the bounds of geometries."""
    return schema.append(pa.field(COVERING, pa.struct([(side, pa.float64()) for side in SIDES])))


def _covering(boxes: NDArray[np.float64]) -> pa.StructArray:
    """The bounds of geometries, by which readers find out what they need not read; null where there is none."""
    sides = [pa.array(side) for side in boxes.T.copy()]
    return pa.StructArray.from_arrays(sides, names=list(SIDES), mask=pa.array(np.isnan(boxes[:, 0])))


def _explained(header: Header, found: _Found) -> dict[str, Any]:
    """The metadata of the file, as the specification has it; bounds are infinite where there is no geometry."""
    flat = not any(kind.endswith(" Z") for kind in found.types)  # else bounds would have heights as well
    return {
        "version": VERSION,
        "primary_column": GEOMETRY,
        "columns": {
            GEOMETRY: {
                "encoding": "WKB",
                "geometry_types": [POLYGON] if header.traced else sorted(found.types),
                "crs": header.crs.proj.to_json_dict(),
                **({"orientation": "counterclockwise"} if header.traced else {}),
                **({"bbox": found.bounds.tolist()} if flat and np.isfinite(found.bounds).all() else {}),
                "covering": {COVERING: {side: [COVERING, side] for side in SIDES}},
            }
        },
    }


def read_geoparquet(path: Path) -> Contents:
    """Read what a file holds.

    Raises:
        OSError: If it is no GeoParquet, or ends early.
    """
    try:
        file = pq.read_metadata(path)
    except pa.ArrowException as error:
        raise OSError(str(error)) from error
    notes = {key.decode(): value.decode() for key, value in (file.metadata or {}).items()}
    explained = notes.pop(GEO, None)
    if explained is None:
        raise OSError("it has no geometry")
    columns = {field.name: str(field.type) for field in file.schema.to_arrow_schema()}
    return Contents(file.num_rows, {**columns, GEOMETRY: _geometry_type(json.loads(explained))}, notes)


def _geometry_type(explained: dict[str, Any]) -> str:
    """The type of all geometries of a file, by its metadata."""
    types = explained["columns"][explained["primary_column"]]["geometry_types"]
    return str(types[0]) if len(types) == 1 else "Geometry"

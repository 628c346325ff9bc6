"""GeoParquet 1.1.0, written by Arrow: see https://geoparquet.org/releases/v1.1.0/."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from numpy.typing import NDArray
from odc.geo.crs import CRS

from sitsinfer.products import GEOMETRY

VERSION = "1.1.0"
COVERING, GEO = "bbox", "geo"
"""The column with the bounds of polygons, and the key of the metadata that explains both columns."""
SIDES = ("xmin", "ymin", "xmax", "ymax")
"""Of the bounds of a polygon, as shapely orders them."""


def write_geoparquet(
    batches: Iterable[pa.RecordBatch], schema: pa.Schema, path: Path, crs: CRS, metadata: Mapping[str, str]
) -> None:
    """Write polygons and their attributes, a row group a batch.

    Args:
        batches: The features. Exteriors of polygons run counter-clockwise, holes clockwise.
        schema: Of each batch; the geometry is the column ``geometry``, as WKB.
        path: The file to make.
        crs: Of the polygons.
        metadata: What to note in the file, beside what GeoParquet asks for.

    Raises:
        OSError: If it cannot be written.
    """
    bounds = np.array([np.inf, np.inf, -np.inf, -np.inf])
    schema = covered(schema)
    with pq.ParquetWriter(path, schema, compression="zstd", store_schema=False) as file:
        for batch in batches:
            boxes = shapely.bounds(shapely.from_wkb(batch[GEOMETRY].to_numpy(zero_copy_only=False)))
            bounds[:2] = np.minimum(bounds[:2], boxes[:, :2].min(axis=0))
            bounds[2:] = np.maximum(bounds[2:], boxes[:, 2:].max(axis=0))
            file.write_batch(_covered(batch, boxes, schema))
        file.add_key_value_metadata({**metadata, GEO: json.dumps(_explained(crs, bounds))})


def covered(schema: pa.Schema) -> pa.Schema:
    """The columns of a file: those of its features, and the bounds of polygons."""
    return schema.append(pa.field(COVERING, pa.struct([(side, pa.float64()) for side in SIDES])))


def _covered(batch: pa.RecordBatch, boxes: NDArray[np.float64], schema: pa.Schema) -> pa.RecordBatch:
    """Add the bounds of polygons (N, 4), by which readers find out what they need not read."""
    covering = pa.StructArray.from_arrays([pa.array(side) for side in boxes.T.copy()], names=list(SIDES))
    return pa.RecordBatch.from_arrays([*batch.columns, covering], schema=schema)


def _explained(crs: CRS, bounds: NDArray[np.float64]) -> dict[str, Any]:
    """The metadata of the file, as the specification has it; bounds are infinite where there is no polygon."""
    return {
        "version": VERSION,
        "primary_column": GEOMETRY,
        "columns": {
            GEOMETRY: {
                "encoding": "WKB",
                "geometry_types": ["Polygon"],
                "crs": crs.proj.to_json_dict(),
                "orientation": "counterclockwise",
                **({"bbox": bounds.tolist()} if np.isfinite(bounds).all() else {}),
                "covering": {COVERING: {side: [COVERING, side] for side in SIDES}},
            }
        },
    }


def read_geoparquet(path: Path) -> tuple[int, dict[str, str]]:
    """Read how many features a file has, and what is noted in it.

    Raises:
        OSError: If it is no GeoParquet, or ends early.
    """
    try:
        file = pq.read_metadata(path)
    except pa.ArrowException as error:
        raise OSError(str(error)) from error
    notes = {key.decode(): value.decode() for key, value in (file.metadata or {}).items()}
    if notes.pop(GEO, None) is None:
        raise OSError("it has no geometry")
    return file.num_rows, notes

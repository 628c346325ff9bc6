"""Attributes of the features of a vector layer, ours or anybody's, and how large these are on the ground."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError

from sitsinfer.errors import OutputError

FID = "fid"
"""What the number of a feature is called, in a layer that has no such attribute."""
BATCH = 65_536
"""Features whose geometries are in memory at once."""
EQUAL_AREA = 6933
"""The EPSG code of a projection of the whole Earth that keeps areas."""
SQUARE_METRES = 10_000
"""In a hectare."""


class Attributes(Protocol):
    """A vector layer, of which nothing but headers has been read."""

    @property
    def path(self) -> Path:
        """The file, for messages."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the attributes, without that of the geometry."""

    def read(self, columns: Sequence[str]) -> list[list[Any]]:
        """Read attributes, one list each with a value or None for every feature, in the order of the file.

        Raises:
            OutputError: If the file cannot be read.
        """

    def hectares(self) -> NDArray[np.float64]:
        """Measure the features, (N,); 0 for those without an area.

        Raises:
            OutputError: If the file cannot be read, or does not say where its features lie.
        """


def open_attributes(path: Path) -> Attributes:
    """Open a vector layer: the only one of its file that has geometries, or a table without.

    Args:
        path: A GeoParquet file, or any that GDAL reads.

    Raises:
        OutputError: If it cannot be read, or has several layers.
    """
    with _named(path):
        if path.suffix.lower() == ".parquet":
            return _open_parquet(path)
        return _open_ogr(path)


@dataclass(frozen=True)
class _Ogr:
    """A layer that GDAL reads; the numbers of its features are an attribute too."""

    path: Path
    layer: str
    columns: tuple[str, ...]
    crs: str | None

    def read(self, columns: Sequence[str]) -> list[list[Any]]:
        with _named(self.path):
            meta, table = pyogrio.raw.read_arrow(
                self.path, layer=self.layer, columns=list(columns), read_geometry=False, return_fids=True
            )
        if FID not in table.column_names:
            table = table.rename_columns({meta["fid_column"] or "OGC_FID": FID})
        return [table[name].to_pylist() for name in columns]

    def hectares(self) -> NDArray[np.float64]:
        measure = _Measure(self.path, self.crs)
        with (
            _named(self.path),
            pyogrio.raw.open_arrow(self.path, layer=self.layer, columns=[], batch_size=BATCH, use_pyarrow=True) as (
                meta,
                batches,
            ),
        ):
            name = meta["geometry_name"] or "wkb_geometry"
            return np.concatenate([np.zeros(0), *(measure(batch[name]) for batch in batches)])


def _open_ogr(path: Path) -> _Ogr:
    layers = pyogrio.list_layers(path)
    drawn = [str(name) for name, kind in layers if kind is not None]
    if len(drawn) > 1:
        raise OutputError(f"{path} has {len(drawn)} layers: {', '.join(drawn)}. Expected a file with one.")
    layer = drawn[0] if drawn else str(layers[0][0])
    info = pyogrio.read_info(path, layer=layer)
    fields = tuple(map(str, info["fields"]))
    return _Ogr(path, layer, fields if FID in fields else (*fields, FID), info["crs"])


@dataclass(frozen=True)
class _Parquet:
    """A file of Arrow's, with or without geometries."""

    path: Path
    columns: tuple[str, ...]
    geometry: str | None
    crs: str | None

    def read(self, columns: Sequence[str]) -> list[list[Any]]:
        with _named(self.path):
            table = pq.read_table(self.path, columns=list(dict.fromkeys(columns)))
        return [table[name].to_pylist() for name in columns]

    def hectares(self) -> NDArray[np.float64]:
        measure = _Measure(self.path, self.crs)
        with _named(self.path), pq.ParquetFile(self.path) as file:
            batches = file.iter_batches(BATCH, columns=[self.geometry])
            return np.concatenate([np.zeros(0), *(measure(batch[self.geometry]) for batch in batches)])


def _open_parquet(path: Path) -> _Parquet:
    """Read the header of a file, and what GeoParquet says in it; the CRS is that of GPS if it says none."""
    schema = pq.read_schema(path)
    explained = json.loads((schema.metadata or {}).get(b"geo", b"{}"))
    geometry = explained.get("primary_column")
    columns = tuple(
        field.name for field in schema if field.name != geometry and not pa.types.is_nested(field.type)
    )
    crs = explained["columns"][geometry].get("crs", "OGC:CRS84") if geometry else None
    return _Parquet(path, columns, geometry, json.dumps(crs) if isinstance(crs, dict) else crs)


class _Measure:
    """Measures geometries, as WKB, in hectares."""

    def __init__(self, path: Path, crs: str | None) -> None:
        if crs is None:
            raise OutputError(f"{path} has no CRS. Expected polygons with one, to measure them; assign it first.")
        try:
            self._project = Transformer.from_crs(CRS(crs), CRS(EQUAL_AREA), always_xy=True)
        except CRSError as error:
            raise OutputError(f"{path} has a CRS that is not known: {crs}. Assign another.") from error

    def __call__(self, column: pa.Array) -> NDArray[np.float64]:
        polygons = shapely.force_2d(shapely.from_wkb(column.to_numpy(zero_copy_only=False)))
        projected = shapely.transform(polygons, self._project.transform, interleaved=False)
        return np.nan_to_num(shapely.area(projected), posinf=0) / SQUARE_METRES


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Say which file a library speaks of."""
    try:
        yield
    except OutputError:
        raise
    except (OSError, RuntimeError, ValueError, KeyError, pa.ArrowException, shapely.errors.ShapelyError) as error:
        words = " ".join(str(error).split()).rstrip(".")
        raise OutputError(f"Cannot read {path}: {words}. Expected a vector layer, such as a GeoPackage.") from error

"""Attributes of the features of a vector file, ours or anybody's."""

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
from numpy.typing import NDArray

from sitsinfer.errors import OutputError

FID = "fid"
"""What the number of a feature is called, in a file that has no such attribute."""
Values = NDArray[np.object_]
"""Of one attribute: text and numbers, a whole number as int whatever holds it, and None where there is none, (N,)."""


class Attributes(Protocol):
    """The attributes of a file, of which nothing but headers has been read."""

    @property
    def path(self) -> Path:
        """The file, for messages."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Their names, in order; the last may be ``fid``, the number of a feature."""

    def read(self, columns: Sequence[str]) -> list[Values]:
        """Read some of them, each of all features in the order of the file.

        Raises:
            OutputError: If the file cannot be read.
        """


def open_attributes(path: Path) -> Attributes:
    """Open a vector file, or a table without geometries.

    Args:
        path: GeoParquet, or any file that GDAL reads; if it has several layers, one of them has geometries.

    Raises:
        OutputError: If it cannot be read, or has several layers with geometries.
    """
    if not path.exists():
        raise OutputError(f"There is no {path}. Expected a vector file or a table.")
    with _named(path):
        return _open_parquet(path) if path.suffix.lower() == ".parquet" else _open_ogr(path)


@dataclass(frozen=True)
class _Ogr:
    """A layer that GDAL reads."""

    path: Path
    columns: tuple[str, ...]
    layer: str

    def read(self, columns: Sequence[str]) -> list[Values]:
        import pyogrio

        with _named(self.path):  # without Arrow, whose streams of FlatGeobuf stumble over features without a geometry
            found, numbers, _, values = pyogrio.raw.read(
                self.path, layer=self.layer, columns=list(columns), read_geometry=False, return_fids=True
            )
        known = {FID: numbers, **dict(zip(found["fields"], values, strict=True))}
        return [_plain(known[name].tolist()) for name in columns]


def _open_ogr(path: Path) -> _Ogr:
    import pyogrio  # takes GeoPandas along, which rasters do without

    layers = pyogrio.list_layers(path)
    drawn = [name for name, kind in layers if kind is not None]
    if len(drawn) > 1:
        raise OutputError(f"{path} has {len(drawn)} layers: {', '.join(drawn)}. Expected a file with one.")
    layer = str(drawn[0] if drawn else layers[0][0])
    return _Ogr(path, _with_fid(pyogrio.read_info(path, layer=layer)["fields"]), layer)


@dataclass(frozen=True)
class _Parquet:
    """A file that Arrow reads; GDAL does so in few of its builds."""

    path: Path
    columns: tuple[str, ...]

    def read(self, columns: Sequence[str]) -> list[Values]:
        with _named(self.path), pq.ParquetFile(self.path) as file:
            table = file.read([name for name in columns if name in file.schema_arrow.names])
        numbers = range(table.num_rows)
        return [_plain(table[name].to_pylist() if name in table.column_names else numbers) for name in columns]


def _open_parquet(path: Path) -> _Parquet:
    schema = pq.read_schema(path)
    geometry = json.loads((schema.metadata or {}).get(b"geo", b"{}")).get("primary_column")
    attributes = [field for field in schema if field.name != geometry and not pa.types.is_nested(field.type)]
    return _Parquet(path, _with_fid([field.name for field in attributes]))


def _with_fid(names: Sequence[str]) -> tuple[str, ...]:
    """Names of attributes, with that of the number of a feature."""
    plain = tuple(map(str, names))
    return plain if FID in plain else (*plain, FID)


def _plain(values: Sequence[Any]) -> Values:
    """Values as they mean the same whatever format held them: with nulls, integers come as floats from some."""
    found = np.empty(len(values), object)
    for row, value in enumerate(values):
        if isinstance(value, float):
            found[row] = None if value != value else int(value) if value.is_integer() else value
        else:
            found[row] = None if value == "" else value  # a table of text has no other way to say so
    return found


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Say which file a library speaks of."""
    try:
        yield
    except OutputError:
        raise
    except (OSError, RuntimeError, ValueError, pa.ArrowException) as error:
        words = " ".join(str(error).split(";")[0].split()).rstrip(".")  # what follows is advice for programmers
        raise OutputError(f"Cannot read {path}: {words}. Expected a vector file or a table.") from error

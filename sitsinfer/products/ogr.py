"""GeoPackage and FlatGeobuf, written by GDAL from a stream of Arrow record batches."""

import sqlite3
import struct
import warnings
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from sitsinfer.products import GEOMETRY
from sitsinfer.products.table import POLYGON, Contents, Header

GEOPACKAGE, FLATGEOBUF = "GPKG", "FlatGeobuf"
"""GDAL's names of its drivers."""
LAYER = "parcels"
"""The one layer of a file."""
ANY = "Unknown"
"""GDAL's name of a layer's type of geometry that holds any."""
KEYS = ("fid", "row")
"""What a GeoPackage may call the numbers of its rows: the first that is no column of the features."""
JOURNALS = ("-wal", "-shm", "-journal")
"""What SQLite adds to a database's name for the changes that it has yet to make, here or in another program."""
EPOCH = "1970-01-01T00:00:00.000Z"
"""When a GeoPackage says it was made, so that the same parcels give the same bytes."""
STYLES = """
CREATE TABLE layer_styles (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, f_table_catalog TEXT(256), f_table_schema TEXT(256),
    f_table_name TEXT(256), f_geometry_column TEXT(256), styleName TEXT(30), styleQML TEXT, styleSLD TEXT,
    useAsDefault BOOLEAN, description TEXT, owner TEXT(30), ui TEXT(30), update_time DATETIME
)
"""
"""The table where QGIS keeps styles."""


def write_geopackage(batches: Iterable[pa.RecordBatch], header: Header, path: Path) -> None:
    """Write a GeoPackage; arguments and errors as those of :func:`write_flatgeobuf`."""
    taken = [name.casefold() for name in header.schema.names]
    key = next(name for name in KEYS if name not in taken)
    _write(GEOPACKAGE, batches, header, path, GEOMETRY_NAME=GEOMETRY, FID=key)
    with _edited(path) as file:
        file.execute("UPDATE gpkg_contents SET last_change = ?", (EPOCH,))
        file.execute("UPDATE gpkg_metadata_reference SET timestamp = ?", (EPOCH,))


def write_flatgeobuf(batches: Iterable[pa.RecordBatch], header: Header, path: Path) -> None:
    """Write a FlatGeobuf.

    GDAL sorts traced polygons along a Hilbert curve, for the index; other features keep their order, without one.
    Geometries of any type are two-dimensional, and empty ones are null: a FlatGeobuf has no place for more.

    Args:
        batches: The features.
        header: What holds for all of them.
        path: The file to make.

    Raises:
        OSError: If it cannot be written. Whatever making the batches raises goes through as it is.
    """
    _write(FLATGEOBUF, batches, header, path, SPATIAL_INDEX="YES" if header.traced else "NO")


def _write(driver: str, batches: Iterable[pa.RecordBatch], header: Header, path: Path, **options: str) -> None:
    """Hand batches to GDAL, one at a time, with creation options of its layer."""
    import pyogrio  # takes GeoPandas along, which rasters do without

    failures: list[BaseException] = []
    try:
        pyogrio.write_arrow(
            pa.RecordBatchReader.from_batches(header.schema, _watched(batches, failures)),
            path,
            layer=LAYER,
            driver=driver,
            geometry_name=GEOMETRY,
            geometry_type=POLYGON if header.traced else ANY,
            crs=header.crs.to_wkt(),
            layer_metadata=dict(header.notes),
            layer_options=options,
        )
    except (RuntimeError, ValueError) as error:
        if failures:
            raise failures[0] from None
        raise OSError(str(error)) from error


def _watched(batches: Iterable[pa.RecordBatch], failures: list[BaseException]) -> Iterator[pa.RecordBatch]:
    """Pass batches on, and note what goes wrong in making them: GDAL would tell only that something did."""
    try:
        yield from batches
    except BaseException as error:
        failures.append(error)
        raise


def column_type(kind: pa.DataType) -> pa.DataType:
    """The type of column by which GDAL keeps values of a type: text, for what it has no type of, or rounds."""
    rounded = pa.types.is_uint64(kind) or pa.types.is_decimal(kind)
    return pa.string() if rounded or pa.types.is_null(kind) else kind


def embed_style(path: Path, style: str) -> None:
    """Make a style the default of the layer in a GeoPackage.

    Args:
        path: A file that :func:`write_geopackage` made.
        style: As QML.

    Raises:
        OSError: If it cannot be changed.
    """
    with _edited(path) as file:
        file.execute(STYLES)
        file.execute(
            "INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, f_geometry_column, styleName,"
            " styleQML, styleSLD, useAsDefault, description, owner, update_time)"
            " VALUES ('', '', ?, ?, 'classes', ?, '', 1, '', '', ?)",
            (LAYER, GEOMETRY, style, EPOCH),
        )
        file.execute(
            "INSERT INTO gpkg_contents (table_name, data_type, identifier, last_change, srs_id)"
            " VALUES ('layer_styles', 'attributes', 'layer_styles', ?, 0)",
            (EPOCH,),
        )


@contextmanager
def _edited(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a GeoPackage as the SQLite database that it is; changes are kept together or not at all."""
    try:
        with closing(sqlite3.connect(path)) as file, file:
            yield file
    except sqlite3.Error as error:
        raise OSError(str(error)) from error


def read_ogr(path: Path) -> Contents:
    """Read what a file of ours holds.

    Raises:
        OSError: If it is another file, or ends early.
    """
    import pyogrio

    try:
        info: dict[str, Any] = pyogrio.read_info(path, layer=LAYER, force_feature_count=True)
        count = int(info["features"])
        if info["driver"] == GEOPACKAGE:
            _check_pages(path)
        elif count:  # the last feature is the last thing in a FlatGeobuf
            with warnings.catch_warnings():  # of a geometry that is odd
                warnings.simplefilter("ignore", RuntimeWarning)
                pyogrio.raw.read(path, layer=LAYER, columns=[], fids=[count - 1])
    except (RuntimeError, ValueError, IndexError) as error:
        raise OSError(str(error)) from error
    columns = {name: _arrow_type(kind) for name, kind in zip(info["fields"], info["dtypes"], strict=True)}
    return Contents(count, {**columns, GEOMETRY: info["geometry_type"]}, dict(info["layer_metadata"] or {}))


def _arrow_type(kind: str) -> str:
    """What Arrow calls a NumPy type."""
    return str(pa.string() if kind == "object" else pa.from_numpy_dtype(np.dtype(kind)))


def _check_pages(path: Path) -> None:
    """Compare the size of an SQLite database with what its header tells, which SQLite does to the page only.

    Raises:
        OSError: If it is smaller.
    """
    with path.open("rb") as file:
        page_size, pages = struct.unpack(">16xH10xI", file.read(32))
    if path.stat().st_size < page_size * pages:
        raise OSError("it ends early")

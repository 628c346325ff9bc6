"""Parcels as polygons with attributes: GeoPackage, GeoParquet or FlatGeobuf, by the ending of the file's name."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import shapely
from odc.geo.crs import CRS
from shapely import Polygon

from sitsinfer.errors import OutputError
from sitsinfer.grid import Grid
from sitsinfer.layers import ClassInfo
from sitsinfer.products import GEOMETRY
from sitsinfer.products.geoparquet import covered, read_geoparquet, write_geoparquet
from sitsinfer.products.ogr import JOURNALS, embed_style, read_ogr, write_flatgeobuf, write_geopackage
from sitsinfer.products.style import style, write_style
from sitsinfer.products.whole import whole_file

BATCH = 4096
"""Parcels that are in memory at once."""
CLASSES_TAG = "CLASSES"
"""What the legend is noted as, beside the tags."""
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


@dataclass(frozen=True)
class ParcelFile:
    """What a file of parcels says of itself.

    Attributes:
        count: How many parcels it holds.
        classes: The legend.
        tags: What its writer was given.
    """

    count: int
    classes: tuple[ClassInfo, ...]
    tags: Mapping[str, str]


@dataclass(frozen=True)
class ParcelFormat:
    """How one kind of file is made and read.

    Attributes:
        media_type: What a STAC item calls it.
        write: Takes batches, their schema, the file to make, the CRS and what to note.
        read: Gives the number of features and what is noted, or raises :class:`OSError`.
        embed_style: Puts a style, as QML, into the file; None where it goes beside it.
        companions: Endings that names of files have which readers apply to it, such as journals of a database.
        columns: Of a file, as a STAC item lists them.
    """

    media_type: str
    write: Callable[[Iterable[pa.RecordBatch], pa.Schema, Path, CRS, Mapping[str, str]], None]
    read: Callable[[Path], tuple[int, dict[str, str]]]
    embed_style: Callable[[Path, str], None] | None = None
    companions: tuple[str, ...] = ()
    columns: pa.Schema = SCHEMA


FORMATS: Mapping[str, ParcelFormat] = {
    ".gpkg": ParcelFormat("application/geopackage+sqlite3", write_geopackage, read_ogr, embed_style, JOURNALS),
    ".parquet": ParcelFormat(
        "application/vnd.apache.parquet", write_geoparquet, read_geoparquet, columns=covered(SCHEMA)
    ),
    ".fgb": ParcelFormat("application/vnd.flatgeobuf", write_flatgeobuf, read_ogr),
}
"""By the ending of a file's name; a new format is one module and one entry."""


def is_parcels(path: Path) -> bool:
    """Whether a name is that of a file of parcels."""
    return path.suffix.lower() in FORMATS


def format_of(path: Path) -> ParcelFormat:
    """Choose a format by the ending of a file's name.

    Raises:
        OutputError: If no format has this ending.
    """
    try:
        return FORMATS[path.suffix.lower()]
    except KeyError:
        *first, last = FORMATS
        raise OutputError(
            f"{path} ends in '{path.suffix}', which names no format of parcels. Expected {', '.join(first)} or {last}."
        ) from None


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
    form = format_of(path)
    notes = {**tags, CLASSES_TAG: json.dumps([asdict(entry) for entry in classes], ensure_ascii=False)}
    qml = style(CLASS, classes)
    counter = itertools.count()
    counted = (parcel for parcel, _ in zip(parcels, counter, strict=False))  # ends before another number is taken
    # A journal of an old GeoPackage, open in QGIS or left by a crash, would be replayed over the new one.
    companions = [path.with_name(path.name + ending) for ending in form.companions]
    with whole_file(path, companions) as draft:
        form.write(_batches(counted), SCHEMA, draft, grid.crs, notes)
        if form.embed_style:
            form.embed_style(draft, qml)
        _check(form, draft, next(counter), notes)
        if not form.embed_style:
            write_style(path, qml)


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


def _check(form: ParcelFormat, path: Path, count: int, notes: Mapping[str, str]) -> None:
    """Read a finished file again; a library may not have noticed a full disk.

    Raises:
        OSError: If it holds another number of parcels, or other notes.
    """
    found, read = form.read(path)
    if found != count:
        raise OSError(f"{found} parcels are in the file, but {count} were written")
    if read != notes:
        raise OSError("what is noted in the file reads back differently")


def read_parcel_file(path: Path) -> ParcelFile:
    """Read what a file of parcels says of itself.

    Raises:
        OutputError: If it is not one that :func:`write_parcels` wrote, or is not whole.
    """
    try:
        count, notes = format_of(path).read(path)
        classes = tuple(ClassInfo.from_dict(entry) for entry in json.loads(notes.pop(CLASSES_TAG)))
    except OutputError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        words = " ".join(str(error).split()).rstrip(".")
        raise OutputError(f"Cannot read {path}: {words}. Expected parcels as sitsinfer writes them.") from error
    return ParcelFile(count, classes, notes)


def read_parcel_tags(path: Path) -> dict[str, str]:
    """Read the tags that a writer was given; none if there is no such file, it is another's, or ends early."""
    try:
        return dict(read_parcel_file(path).tags)
    except OutputError:
        return {}

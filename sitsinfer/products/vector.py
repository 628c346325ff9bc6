"""Vector files by the ending of a name: GeoPackage, GeoParquet or FlatGeobuf, with a legend and what was noted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pyarrow as pa

from sitsinfer.errors import OutputError
from sitsinfer.layers import ClassInfo
from sitsinfer.products.geoparquet import read_geoparquet, write_geoparquet
from sitsinfer.products.ogr import (
    JOURNALS,
    column_type,
    embed_style,
    read_ogr,
    write_flatgeobuf,
    write_geopackage,
)
from sitsinfer.products.style import style, write_style
from sitsinfer.products.table import Contents, Header
from sitsinfer.products.whole import whole_file

CLASSES_TAG = "CLASSES"
"""What the legend is noted as, beside the tags."""


@dataclass(frozen=True)
class VectorFile:
    """What a vector file says of itself.

    Attributes:
        count: How many features it holds.
        columns: From the name of a column to its type; of the geometry, its type of geometry.
        classes: The legend.
        tags: What its writer was given.
    """

    count: int
    columns: Mapping[str, str]
    classes: tuple[ClassInfo, ...]
    tags: Mapping[str, str]


@dataclass(frozen=True)
class VectorFormat:
    """How one kind of file is made and read.

    Attributes:
        media_type: What a STAC item calls it.
        write: Takes batches, what holds for all of them, and the file to make.
        read: Gives what a file holds, or raises :class:`OSError`.
        embed_style: Puts a style, as QML, into the file; None where it goes beside it.
        companions: Endings that names of files have which readers apply to it, such as journals of a database.
        column_type: The type to write values of a type as, so that they read back as they are.
        plain: Whether geometries must be without curves, rings closed; else they are written as they come.
    """

    media_type: str
    write: Callable[[Iterable[pa.RecordBatch], Header, Path], None]
    read: Callable[[Path], Contents]
    embed_style: Callable[[Path, str], None] | None = None
    companions: tuple[str, ...] = ()
    column_type: Callable[[pa.DataType], pa.DataType] = lambda kind: kind
    plain: bool = False


FORMATS: Mapping[str, VectorFormat] = {
    ".gpkg": VectorFormat(
        "application/geopackage+sqlite3", write_geopackage, read_ogr, embed_style, JOURNALS, column_type
    ),
    ".parquet": VectorFormat("application/vnd.apache.parquet", write_geoparquet, read_geoparquet, plain=True),
    ".fgb": VectorFormat("application/vnd.flatgeobuf", write_flatgeobuf, read_ogr, column_type=column_type),
}
"""By the ending of a file's name; a new format is one module and one entry."""


def is_vector(path: Path) -> bool:
    """Whether a name is that of a vector file."""
    return path.suffix.lower() in FORMATS


def format_of(path: Path) -> VectorFormat:
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


def write_features(
    batches: Iterable[pa.RecordBatch],
    header: Header,
    path: Path,
    classes: tuple[ClassInfo, ...],
    class_column: str,
) -> None:
    """Publish features, with a style for QGIS.

    Only a batch of them is in memory at a time. The same features and notes give the same bytes, with the same versions
    of the libraries. No feature at all is not an error: the file has its attributes and CRS then.

    Args:
        batches: The features.
        header: What holds for all of them.
        path: The file to write or to replace.
        classes: The legend, noted and for the style.
        class_column: The attribute with class codes.

    Raises:
        OutputError: If the ending is not known, or the file cannot be written whole; then ``path`` is as it was.
    """
    form = format_of(path)
    legend = json.dumps([asdict(entry) for entry in classes], ensure_ascii=False)
    header = replace(header, notes={**header.notes, CLASSES_TAG: legend})
    qml, count = style(class_column, classes), 0

    def counted() -> Iterator[pa.RecordBatch]:
        nonlocal count
        for batch in batches:
            count += len(batch)
            yield batch

    # A journal of an old GeoPackage, open in QGIS or left by a crash, would be replayed over the new one.
    companions = [path.with_name(path.name + ending) for ending in form.companions]
    with whole_file(path, companions) as draft:
        form.write(counted(), header, draft)
        if form.embed_style:
            form.embed_style(draft, qml)
        _check(form, draft, count, header.notes)
        if not form.embed_style:
            write_style(path, qml)


def _check(form: VectorFormat, path: Path, count: int, notes: Mapping[str, str]) -> None:
    """Read a finished file again; a library may not have noticed a full disk.

    Raises:
        OSError: If it holds another number of features, or other notes.
    """
    found = form.read(path)
    if found.count != count:
        raise OSError(f"{found.count} parcels are in the file, but {count} were written")
    if found.notes != notes:
        raise OSError("what is noted in the file reads back differently")


def read_vector_file(path: Path) -> VectorFile:
    """Read what a vector file says of itself.

    Raises:
        OutputError: If it is not one that :func:`write_features` wrote, or is not whole.
    """
    try:
        found = format_of(path).read(path)
        tags = dict(found.notes)
        classes = tuple(ClassInfo.from_dict(entry) for entry in json.loads(tags.pop(CLASSES_TAG)))
    except OutputError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        words = " ".join(str(error).split()).rstrip(".")
        raise OutputError(f"Cannot read {path}: {words}. Expected parcels as sitsinfer writes them.") from error
    return VectorFile(found.count, found.columns, classes, tags)


def read_vector_tags(path: Path) -> dict[str, str]:
    """Read the tags that a writer was given; none if there is no such file, it is another's, or ends early."""
    try:
        return dict(read_vector_file(path).tags)
    except OutputError:
        return {}

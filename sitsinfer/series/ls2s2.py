"""One sensor of LS2S2: a folder per date, and ``index.csv``, tab-separated, which says what is valid and where it lies.

The layout of the data that TAMRF was published with (Michel and Inglada, 2025). Sentinel-2 has ten bands of 10 m,
Landsat seven of 30 m and the surface temperature; its panchromatic band, ``index_pan.csv``, is a series of its own.
"""

import csv
import io
import os
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from sitsinfer.errors import SeriesError
from sitsinfer.series import names, rasters
from sitsinfer.series.assemble import Found, Scan, assemble
from sitsinfer.series.types import LeftOut, RasterSource, Series, listing

INDEX, PAN_INDEX = "index.csv", "index_pan.csv"

_COLUMNS = ("acquisition_date", "valid", "bands", "mask")
_TRUTH = {"true": True, "1": True, "false": False, "0": False}
_OTHER_MARKS = {",": "commas", ";": "semicolons", "|": "bars", " ": "spaces"}
_NODATA = -10000.0
_LANDSAT = next(sensor for sensor in names.SENSORS if sensor.name == "landsat-8")
_SENSORS = {
    "sentinel2": next(sensor for sensor in names.SENSORS if sensor.name == "sentinel-2"),
    "landsat": replace(_LANDSAT, orders={8: (*_LANDSAT.orders[7], "LST"), 1: ("B08",)}),
}


def matches(path: Path) -> bool:
    """Whether a path is a folder with an index. It decides whatever it holds: a damaged one is not to be passed by."""
    return path.is_dir() and os.path.lexists(path / INDEX)


def scan(path: Path) -> Scan:
    """Read the index, and the headers of what it names.

    Raises:
        SeriesError: If the index cannot be used, names nothing valid, or a file cannot be opened.
    """
    found = _scan(path, INDEX)
    if not found.found:
        told = f", but {len(found.left_out)} dates without their files" if found.left_out else ""
        raise SeriesError(
            f"{path / INDEX} names no acquisition that is valid{told}. Expected rows with 'valid' True and their files."
        )
    return found


def open_pan(path: Path) -> Series | None:
    """The panchromatic series beside a Landsat series; ``None`` if there is none, or nothing valid in it.

    Args:
        path: The folder of the Landsat series, of this layout or another.

    Raises:
        SeriesError: As :func:`scan`.
    """
    if not (path / PAN_INDEX).is_file():
        return None
    found = _scan(path, PAN_INDEX)
    return assemble(path, found) if found.found else None


@dataclass(frozen=True)
class _Row:
    """A valid acquisition: its date, the file of its bands, and that of its mask if it has one."""

    day: date
    bands: Path
    mask: Path | None


def _scan(folder: Path, index: str) -> Scan:
    rows, left_out = [], []
    for row in _rows(folder, index):
        missing = [file for file in (row.bands, row.mask) if file and not file.is_file()]
        if missing:
            reason = f"{index} names {', '.join(file.name for file in missing)}, which is not there"
            left_out.append(LeftOut(row.bands, reason))
        else:
            rows.append(row)
    headers = rasters.read_headers([file for row in rows for file in (row.bands, row.mask) if file])
    found = [item for row in rows for item in _found(folder, row, headers)]
    return Scan(found, left_out, _notes(rows))


def _notes(rows: Sequence[_Row]) -> list[str]:
    unmasked = [row.bands.name for row in rows if row.mask is None]
    return [f"{len(unmasked)} of {len(rows)} acquisitions have no mask: {listing(unmasked)}."] if unmasked else []


# --- the index


def _rows(folder: Path, index: str) -> Iterator[_Row]:
    """The valid rows of an index, which may have a column twice.

    Raises:
        SeriesError: If it is damaged, or an index of something else.
    """
    path = folder / index
    header, *lines = _lines(path)
    _check_header(path, header.fields)
    for line in lines:
        if len(line.fields) != len(header.fields):
            found = f"{len(line.fields)} column{'s' * (len(line.fields) != 1)} in line {line.number}"
            raise _unusable(path, f"has {found}, and {len(header.fields)} in its first")
        row = {name: text.strip() for name, text in zip(header.fields, line.fields, strict=True)}
        is_valid = _TRUTH.get(row["valid"].lower())
        if is_valid is None:
            found = f"has {reprlib.repr(row['valid'])} as 'valid' in line {line.number}"
            raise _unusable(path, f"{found}, not True or False")
        if is_valid:
            yield _row(folder, index, line.number, row)


@dataclass(frozen=True)
class _Line:
    """A line of an index, counted from 1, and what tabs part it into."""

    number: int
    fields: Sequence[str]


def _lines(index: Path) -> list[_Line]:
    """The lines of an index that are not blank; there is at least one.

    Raises:
        SeriesError: If there is none, or they cannot be read.
    """
    try:
        text = index.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise SeriesError(f"Cannot read {index}: {error.strerror}. Mend it or replace it.") from error
    except UnicodeDecodeError as error:
        number = error.object.count(b"\n", 0, error.start) + 1
        raise _unusable(index, f"is no text: line {number} holds the byte {error.object[error.start]:#04x}") from error
    reader = csv.reader(io.StringIO(text, newline=""), delimiter="\t", strict=True)
    try:
        lines = [_Line(reader.line_num, fields) for fields in reader if len(fields) > 1 or "".join(fields).strip()]
    except csv.Error as error:
        raise _unusable(index, f"cannot be read at line {reader.line_num}: {error}") from error
    if not lines:
        raise _unusable(index, "is empty")
    return lines


def _check_header(index: Path, header: Sequence[str]) -> None:
    """See that an index has the columns that the layout has.

    Raises:
        SeriesError: If it has not.
    """
    missing = [column for column in _COLUMNS if column not in header]
    if not missing:
        return
    for mark, name in _OTHER_MARKS.items():
        if len(header) == 1 and not set(_COLUMNS).isdisjoint(header[0].split(mark)):
            raise _unusable(index, f"is separated by {name}, not by tabs")
    found = listing([reprlib.repr(column) for column in header], 9)
    raise _unusable(index, f"has no column {', '.join(missing)}; its first line holds {found}")


def _unusable(index: Path, found: str) -> SeriesError:
    """The error for an index that is damaged, or of something else."""
    return SeriesError(
        f"{index} {found}. Expected columns separated by tabs, among them {', '.join(_COLUMNS)}, and a line for each "
        f"acquisition. Mend it or, if it is an index of something else, rename it."
    )


def _row(folder: Path, index: str, number: int, row: Mapping[str, str]) -> _Row:
    day, bands, mask = (row[column] for column in ("acquisition_date", "bands", "mask"))
    if not bands:
        told = f"{folder / index} has a valid row of {day or 'no date'} without bands, line {number}"
        raise SeriesError(f"{told}. Name their file.")
    try:
        return _Row(date.fromisoformat(day), _inside(folder, bands), _inside(folder, mask) if mask else None)
    except ValueError as error:
        told = f"{folder / index} has the date {reprlib.repr(day)} in line {number}"
        raise SeriesError(f"{told}. Expected one such as 2022-04-13.") from error


def _inside(folder: Path, text: str) -> Path:
    """A file of the series: an absolute path is that of the machine where the index was written."""
    path = Path(text)
    return folder.joinpath(*path.parts[-2:]) if path.is_absolute() else folder / path


# --- what its files are


def _found(folder: Path, row: _Row, headers: Mapping[Path, rasters.Header]) -> Iterator[Found]:
    """The image of a row, and its mask."""
    name, header = row.bands.relative_to(folder).as_posix(), headers[row.bands]
    sensor = names.sensor_in_tags(header.tags) or _SENSORS.get(row.bands.name.split("_")[0])
    order = _SENSORS["landsat"] if sensor and sensor.name == _LANDSAT.name else sensor
    bands = rasters.band_names(row.bands, header, order)
    nodata = _NODATA if header.nodata is None else header.nodata
    source = RasterSource(row.bands, bands, tuple(range(1, header.count + 1)), header.grid, header.dtype, nodata)
    scale, offset = names.scaling_in_tags(header.tags)
    scalings = names.scalings_in_header(bands, header.scales, header.offsets)
    yield Found(
        source, row.day, name, name, sensor, scale=scale, offset=offset, zero_is_invalid=True, scalings=scalings
    )
    if row.mask:
        grid, dtype = headers[row.mask].grid, headers[row.mask].dtype
        mask = RasterSource(row.mask, ("mask",), (1,), grid, dtype, None)  # its 0 is clear, not nodata
        yield Found(mask, row.day, row.mask.relative_to(folder).as_posix(), name, kind="mask")

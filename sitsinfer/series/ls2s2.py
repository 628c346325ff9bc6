"""One sensor of LS2S2: a folder per date, and ``index.csv``, tab-separated, which says what is valid and where it lies.

The layout of the data that TAMRF was published with (Michel and Inglada, 2025). Sentinel-2 has ten bands of 10 m,
Landsat seven of 30 m and the surface temperature; its panchromatic band, ``index_pan.csv``, is a series of its own.
"""

import csv
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
_NODATA = -10000.0
_LANDSAT = next(sensor for sensor in names.SENSORS if sensor.name == "landsat-8")
_SENSORS = {
    "sentinel2": next(sensor for sensor in names.SENSORS if sensor.name == "sentinel-2"),
    "landsat": replace(_LANDSAT, orders={8: (*_LANDSAT.orders[7], "LST"), 1: ("B08",)}),
}


def matches(path: Path) -> bool:
    """Whether a path is a folder with an index of the columns that the layout has."""
    return path.is_dir() and (path / INDEX).is_file() and set(_COLUMNS) <= set(_read_header(path / INDEX))


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


def _read_header(index: Path) -> Sequence[str]:
    with index.open(newline="", encoding="utf-8", errors="replace") as stream:
        return next(csv.reader(stream, delimiter="\t"), [])


def _rows(folder: Path, index: str) -> Iterator[_Row]:
    """The valid rows of an index, which may have a column twice."""
    with (folder / index).open(newline="", encoding="utf-8", errors="replace") as stream:
        reader = csv.DictReader(stream, delimiter="\t")
        missing = [column for column in _COLUMNS if column not in (reader.fieldnames or ())]
        if missing:
            raise SeriesError(
                f"{folder / index} has no column {listing(missing)}. Expected {', '.join(_COLUMNS)}, separated by tabs."
            )
        for row in reader:
            if (row["valid"] or "").strip().lower() in ("true", "1"):
                yield _row(folder, index, row)


def _row(folder: Path, index: str, row: Mapping[str, str | None]) -> _Row:
    day, bands, mask = ((row[column] or "").strip() for column in ("acquisition_date", "bands", "mask"))
    if not bands:
        raise SeriesError(f"{folder / index} has a valid row of {day or 'no date'} without bands. Name their file.")
    try:
        return _Row(date.fromisoformat(day), _inside(folder, bands), _inside(folder, mask) if mask else None)
    except ValueError as error:
        raise SeriesError(f"{folder / index} has the date '{day}'. Expected one such as 2022-04-13.") from error


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

"""Folders of rasters: a multi-band file per date, or a file per band and date; masks beside them."""

import os
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from sitsinfer.errors import ReadError, SeriesError
from sitsinfer.grid import Grid, Window
from sitsinfer.series import names
from sitsinfer.series.assemble import Found, Scan
from sitsinfer.series.tiff import least_size
from sitsinfer.series.types import LeftOut, RasterSource, Source, listing

SUFFIXES = (".tif", ".tiff", ".jp2", ".img", ".vrt")
SIDECARS = (".aux.xml", ".ovr", ".msk", ".tfw", ".prj", ".idx", ".qml")

GDAL_OPTIONS = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",  # looking for sidecars costs more than reading a header
    "GDAL_CACHEMAX": 128,  # MB; a tile is read once, so blocks need not be kept for long
    "GDAL_NUM_THREADS": 1,  # acquisitions are read in threads already
}

_DATE_FOLDER = re.compile(r"\d{1,4}")  # folders of years, months and days


def matches(path: Path) -> bool:
    """Whether a path is a folder."""
    return path.is_dir()


def scan(path: Path) -> Scan:
    """Read the headers of all rasters in a folder and of the masks beside it.

    Raises:
        SeriesError: If there is no raster with a date, or one cannot be used.
    """
    candidates, left_out = _files(path)
    images = [candidate for candidate in candidates if candidate.kind is None]
    if not images:
        raise SeriesError(_nothing_found(path, left_out))
    masks = [candidate for candidate in candidates if candidate.kind] + _sibling_masks(path)
    headers = read_headers([candidate.path for candidate in (*images, *masks)])
    named_bands = any(names.band_in_name(image.path.stem) for image in images)
    found: list[Found] = []
    for candidate in (*images, *masks):
        header = headers[candidate.path]
        day = names.date_in_tags(header.tags) or candidate.day or names.written_date(header.tags)
        if day is None:
            left_out.append(LeftOut(candidate.path, "no date in its metadata or name"))
        elif candidate.kind:
            found.append(_mask(candidate, header, day))
        elif named_bands and header.count == 1 and not _has_band(candidate.path, header):
            left_out.append(LeftOut(candidate.path, "no band in its metadata or name"))
        else:
            found += _image(candidate, header, day)
    if not any(item.kind is None for item in found):
        raise SeriesError(_nothing_found(path, left_out))
    return Scan(found, left_out, _date_notes(candidates, headers))


# --- which files


@dataclass(frozen=True)
class _Candidate:
    """A file that may be part of the series, judged by its name."""

    path: Path
    root: Path
    day: date | None
    kind: names.MaskKind | None

    @property
    def name(self) -> str:
        return self.path.relative_to(self.root).as_posix()


def _files(root: Path) -> tuple[list[_Candidate], list[LeftOut]]:
    """Rasters in a folder and its folders of dates, bands and masks; and what is left out."""
    candidates: list[_Candidate] = []
    left_out: list[LeftOut] = []
    for path in _walk(root, left_out):
        reason = _why_not(path)
        if reason is None:
            inside = path.relative_to(root)
            kind = names.mask_kind(path.stem) or names.mask_kind("/".join(inside.parts[:-1]))
            candidates.append(_Candidate(path, root, names.date_in_path(inside), kind))
        elif reason:
            left_out.append(LeftOut(path, reason))
    return candidates, left_out


def _walk(folder: Path, left_out: list[LeftOut]) -> Iterator[Path]:
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        path = Path(entry.path)
        if entry.name.startswith("."):
            continue
        if not entry.is_dir():
            yield path
        elif _is_part(entry.name):
            yield from _walk(path, left_out)
        else:
            left_out.append(LeftOut(path, "a folder that is named by no date, band or mask"))


def _is_part(folder: str) -> bool:
    dated = _DATE_FOLDER.fullmatch(folder) or names.first_date(folder)
    return bool(dated or names.band_in_name(folder) or names.mask_kind(folder))


def _why_not(path: Path) -> str | None:
    """Why a file is left out; empty for a sidecar, which goes without saying; None for one that is looked into."""
    name = path.name.lower()
    if name.endswith(SIDECARS):
        return ""
    if not name.endswith(SUFFIXES):
        return "not a raster"
    return "a quicklook" if names.is_quicklook(path.stem) else None


def _nothing_found(path: Path, left_out: Sequence[LeftOut]) -> str:
    """What was found instead of acquisitions, and what to do."""
    expected = "Expected GeoTIFF or NetCDF files named with their date, such as 'S2_20220413.tif'."
    undated = [out.path.name for out in left_out if out.reason.startswith("no date")]
    folders = [out.path.name for out in left_out if out.path.is_dir()]
    if undated:
        return f"No date in the names or metadata of {len(undated)} files in {path}: {listing(undated, 3)}. {expected}"
    if folders:
        return f"No acquisition found in {path}, but folders: {listing(folders)}. Choose one of them."
    return f"No acquisition found in {path}. {expected}"


def _sibling_masks(root: Path) -> list[_Candidate]:
    """Rasters in the folders beside a series whose names say that they hold its masks."""
    root = root.resolve()
    folders = [entry.name for entry in os.scandir(root.parent) if entry.is_dir() and not entry.name.startswith(".")]
    found = []
    for name in sorted(folders):
        kind = names.mask_kind(name)
        owners = [folder for folder in folders if name.startswith(f"{folder}_")]
        if kind and owners and max(owners, key=len) == root.name:
            inside = _files(root.parent / name)[0]
            found += [replace(file, kind=names.mask_kind(file.path.stem) or kind) for file in inside]
    return found


# --- headers


@dataclass(frozen=True)
class Header:
    """What a raster says of itself."""

    grid: Grid
    count: int
    dtype: str
    nodata: float | None
    descriptions: tuple[str | None, ...]
    tags: Mapping[str, str]
    scales: tuple[float, ...]
    offsets: tuple[float, ...]


def read_headers(paths: Sequence[Path], threads: int = 4) -> dict[Path, Header]:
    """Read headers, several at a time.

    Raises:
        SeriesError: If a file cannot be opened, ends too early, or has no CRS.
    """
    with warnings.catch_warnings(), ThreadPoolExecutor(threads) as pool:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # said in our own words
        return dict(zip(paths, pool.map(_header, paths), strict=True))


def _header(path: Path) -> Header:
    try:
        with rasterio.Env(**GDAL_OPTIONS), rasterio.open(path) as dataset:
            if dataset.crs is None or dataset.transform.is_identity:
                raise SeriesError(f"{path} has no CRS or no geotransform. Assign them (gdal_edit), or leave it out.")
            if dataset.driver == "GTiff":
                _check_whole(path)
            return Header(
                _grid(dataset.crs.to_wkt(), tuple(dataset.transform)[:6], dataset.shape),
                dataset.count,
                str(np.result_type(*dataset.dtypes)),
                dataset.nodata,
                dataset.descriptions,
                dataset.tags(),
                dataset.scales,
                dataset.offsets,
            )
    except RasterioError as error:
        raise SeriesError(f"Cannot open {path}: {_one_line(error)}. Replace the file, or leave it out.") from error


def _check_whole(path: Path) -> None:
    """Compare the size of a GeoTIFF with what its directory speaks of.

    Raises:
        SeriesError: If the file ends before.
    """
    size, expected = path.stat().st_size, least_size(path)
    if size < expected:
        raise SeriesError(
            f"{path} is truncated: {size} bytes, expected {expected} or more. Replace the file, or leave it out."
        )


@lru_cache(maxsize=1024)
def _grid(wkt: str, transform: tuple[float, ...], shape: tuple[int, int]) -> Grid:
    """A grid; files on the same one share it, so that a series stays small."""
    return GeoBox(shape, Affine(*transform), crs_of(wkt))


@lru_cache(maxsize=64)
def crs_of(text: str) -> CRS:
    """A CRS, by its EPSG code where it has one."""
    epsg = rasterio.crs.CRS.from_user_input(text).to_epsg()
    return CRS(f"EPSG:{epsg}" if epsg else text)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()).rstrip(".")


# --- from headers to what was found


def _has_band(path: Path, header: Header) -> bool:
    return bool(header.descriptions[0] or names.band_in_name(path.stem) or names.band_in_name(path.parent.name))


def _image(candidate: _Candidate, header: Header, day: date) -> list[Found]:
    """An image file; scene classes among its bands are a mask of their own."""
    sensor = names.sensor_in_tags(header.tags) or names.sensor_in(candidate.path.stem)
    bands = band_names(candidate.path, header, sensor)
    source = RasterSource(
        candidate.path, bands, tuple(range(1, header.count + 1)), header.grid, header.dtype, header.nodata
    )
    found = []
    for band in bands:
        kind = names.mask_kind(band)
        mask = source.only([band]) if kind and len(bands) > 1 else None
        if mask:
            found.append(Found(mask, day, candidate.name, _key(candidate), kind=kind))
    image = source.only([band for band in bands if not (len(bands) > 1 and names.mask_kind(band))])
    if image:
        stem = candidate.path.stem
        baseline = names.baseline(stem, header.tags)
        scale, offset = names.scaling_in_tags(header.tags)
        scalings = names.scalings_in_header(bands, header.scales, header.offsets)
        version = (baseline or 0.0, names.processing_time(stem, header.tags))
        pending = None if names.is_harmonised(stem, header.tags) else baseline
        told = Found(image, day, candidate.name, _key(candidate), sensor, None, scale, offset, pending, version)
        found.append(replace(told, scalings=scalings))
    return found


def _mask(candidate: _Candidate, header: Header, day: date) -> Found:
    source = RasterSource(candidate.path, ("mask",), (1,), header.grid, header.dtype, header.nodata)
    return Found(source, day, candidate.name, _key(candidate), kind=candidate.kind)


def band_names(path: Path, header: Header, sensor: names.Sensor | None) -> tuple[str, ...]:
    """Names of a file's bands: from descriptions, else from its name, else in the sensor's order, else numbers."""
    told = [names.band_name(text or "") for text in header.descriptions]
    counted = [f"band {number}" for number in range(1, header.count + 1)]
    spelled = [(text or "").lower().replace("_", " ") for text in header.descriptions]
    if all(told) and len(set(told)) == len(told) and (spelled != counted or header.count == 1):
        return tuple(told)
    if header.count == 1:
        in_name = names.band_in_name(path.stem) or names.band_in_name(path.parent.name)
        if in_name:
            return (in_name,)
    order = sensor.orders.get(header.count) if sensor else None
    return order or tuple(str(number) for number in range(1, header.count + 1))


def _key(candidate: _Candidate) -> str:
    """What the files of one image share: name and folder without band and resolution."""
    inside = candidate.path.relative_to(candidate.root)
    folders = [part for part in inside.parts[:-1] if not names.band_in_name(part)]
    return "/".join([*folders, names.without_band(inside.stem)])


def _date_notes(candidates: Iterable[_Candidate], headers: Mapping[Path, Header]) -> list[str]:
    """Say where metadata and names disagree on the date."""
    differing = [
        f"{candidate.path.name} ({told})"
        for candidate in candidates
        if candidate.day and (told := names.date_in_tags(headers[candidate.path].tags)) and told != candidate.day
    ]
    if not differing:
        return []
    return [f"{len(differing)} files are named by another date than their metadata tell: {listing(differing, 2)}."]


# --- reading


def read(source: Source, window: Window, out: NDArray[np.generic]) -> None:
    """Read a window that lies in a file.

    Args:
        source: What to read.
        window: Pixels of its own grid.
        out: Where to, (N, H, W), N the bands of ``source`` in order; converted to its data type.

    Raises:
        ReadError: If the file cannot be read there.
    """
    (row, col), (height, width) = (window.row, window.col), window.shape
    try:
        with rasterio.open(source.path) as dataset:
            dataset.read(source.indexes, window=((row, row + height), (col, col + width)), out=out)
    except RasterioError as error:
        cause = error.__cause__ or error
        raise ReadError(
            f"Cannot read {source.path} at row {row}, col {col} ({height} x {width} pixels): {_one_line(cause)}"
        ) from error

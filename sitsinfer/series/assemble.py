"""From what headers say, file by file, to one series: the same for every layout."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from sitsinfer.errors import SeriesError
from sitsinfer.grid import Grid, Window, is_aligned, offset_in, window_grid
from sitsinfer.series.names import (
    SENSORS,
    THERMAL,
    UNKNOWN,
    MaskKind,
    Sensor,
    is_measured,
    is_thermal,
    sensor_in,
    sensor_of_bands,
)
from sitsinfer.series.types import Acquisition, Image, LeftOut, Mask, Series, Source, listing

_Points = tuple[NDArray[np.float64], NDArray[np.float64]]
_Scaling = tuple[float, float]  # scale and offset

BASELINE_OFFSET = -0.1  # Sentinel-2 baseline 04.00 adds 1000 to every digital number
TENTH_KELVIN = 0.1  # what integers of temperature count, where nothing says otherwise


@dataclass(frozen=True)
class Found:
    """What one file, or one time step of a cube, says of itself.

    Attributes:
        source: Its bands.
        day: When the ground was seen.
        name: How messages call it.
        key: What it shares with the other files of one image.
        sensor: Its sensor, if it says so.
        kind: What a mask's values mean; None for an image.
        scale: From digital numbers to reflectance, or to kelvin where all bands are thermal, if it says so of them all.
        offset: See ``scale``.
        baseline: Processing baseline of Sentinel-2, if its numbers still hold the offset that came with it.
        version: Sorts products of one day, the one that counts last.
        zero_is_invalid: Of an image, whether a pixel with 0 in any band is not valid.
        scalings: Scale and offset of those bands that it gives them for one by one; they count before ``scale``.
    """

    source: Source
    day: date
    name: str
    key: str
    sensor: Sensor | None = None
    kind: MaskKind | None = None
    scale: float | None = None
    offset: float | None = None
    baseline: float | None = None
    version: tuple[float, str] = (0.0, "")
    zero_is_invalid: bool = False
    scalings: Mapping[str, _Scaling] = field(default_factory=dict)


@dataclass(frozen=True)
class Scan:
    """What a layout found under a path."""

    found: Sequence[Found]
    left_out: Sequence[LeftOut] = ()
    notes: Sequence[str] = ()


def assemble(root: Path, scan: Scan) -> Series:
    """Put files together to acquisitions, and acquisitions to a series. The order of files changes nothing.

    Raises:
        SeriesError: If there is no image, images of two sensors, or bands of one image that are scaled differently.
    """
    ordered = sorted(scan.found, key=lambda found: (found.day, found.name, str(found.source.path)))
    images = [found for found in ordered if found.kind is None]
    if not images:
        raise SeriesError(
            f"No acquisition found in {root}. "
            f"Expected GeoTIFF or NetCDF files named with their date, such as 'S2_20220413.tif'."
        )
    sensor = _one_sensor(root, images)
    masks = _masks_by_day([found for found in ordered if found.kind])
    by_day: dict[date, list[_Product]] = defaultdict(list)
    for files in _grouped(images):
        by_day[files[0].day].append(_product(files, sensor, masks.get(files[0].day, [])))
    left_out = list(scan.left_out)
    acquisitions = tuple(_acquisition(day, products, left_out) for day, products in sorted(by_day.items()))
    bands = _band_order(acquisitions, sensor)
    sources = [source for a in acquisitions for image in a.images for source in image.sources]
    grid = common_grid(sources)
    dtype = str(np.result_type(*{np.dtype(source.dtype) for source in sources}))
    notes = [*scan.notes, *_resampling_notes(acquisitions, grid), *_merge_notes(acquisitions)]
    notes += _missing_notes(acquisitions, bands)
    nodata = _common_nodata(sources, dtype)
    left = tuple(sorted(left_out, key=lambda out: out.path))
    return Series(root, sensor.name, bands, acquisitions, grid, dtype, nodata, left, tuple(notes))


# --- images and acquisitions


@dataclass(frozen=True)
class _Product:
    """An image with what decides how it is merged with others of its day."""

    image: Image
    scaling: _Scaling
    thermal: _Scaling | None
    version: tuple[float, str]


def _grouped(images: Sequence[Found]) -> list[list[Found]]:
    groups: dict[tuple[date, str], list[Found]] = defaultdict(list)
    for found in images:
        groups[found.day, found.key].append(found)
    return list(groups.values())


def _product(files: Sequence[Found], sensor: Sensor, masks: Sequence[Found]) -> _Product:
    """One image from its files; of a band that two files have, the finer counts."""
    taken: set[str] = set()
    sources = []
    finest = sorted(files, key=lambda found: (_pixel(found.source.grid), found.name))
    for found in finest:
        source = found.source.only([band for band in found.source.bands if band not in taken])
        if source:
            taken.update(source.bands)
            sources.append(source)
    first = files[0]
    scaling = _scaling(files, sensor)
    version = max(found.version for found in files)
    others = len({found.name for found in files}) - 1
    name = f"{first.name} and {others} more" if others else first.name
    image = Image(name, tuple(sources), _masks_of(first, masks), first.zero_is_invalid)
    return _Product(image, scaling, _thermal(finest, scaling, sensor), version)


def _masks_by_day(masks: Iterable[Found]) -> dict[date, list[Found]]:
    by_day: dict[date, list[Found]] = defaultdict(list)
    for mask in masks:
        by_day[mask.day].append(mask)
    return by_day


def _masks_of(image: Found, masks: Sequence[Found]) -> tuple[Mask, ...]:
    """The masks of an image's day. A mask wins over scene classes; of several, the one named most like the image."""
    kinds: tuple[MaskKind, ...] = ("mask", "scl")
    for kind in kinds:
        of_kind = [mask for mask in masks if mask.kind == kind]
        if of_kind:
            closest = max(of_kind, key=lambda mask: (_likeness(mask.name, image.name), mask.name))
            return (Mask(closest.source, kind),)
    return ()


def _likeness(name: str, other: str) -> int:
    """How many parts of a name are in another."""
    parts = [set(text.lower().replace(".", "_").split("_")) for text in (name, other)]
    return len(parts[0] & parts[1])


def _acquisition(day: date, products: Sequence[_Product], left_out: list[LeftOut]) -> Acquisition:
    """Merge the products of one day: the latest processing first. Those scaled otherwise cannot fill its holes."""
    best, *others = sorted(products, key=lambda product: (product.version, product.image.name), reverse=True)
    images, thermal = [best.image], best.thermal
    for other in others:
        if other.scaling == best.scaling and (thermal is None or other.thermal in (None, thermal)):
            images.append(other.image)
            thermal = thermal or other.thermal
        else:
            reason = f"scaled unlike {best.image.name}, a later product of {day}"
            left_out += [LeftOut(source.path, reason) for source in other.image.sources]
    return Acquisition(day, tuple(images), *best.scaling, thermal)


# --- scaling


def _scaling(files: Sequence[Found], sensor: Sensor) -> _Scaling:
    """Scale and offset to reflectance: what the metadata of an image say, else what the sensor's products have.

    Raises:
        SeriesError: If they say different things of its bands.
    """
    deciding = _deciding(files, sensor)
    told: dict[_Scaling, list[str]] = defaultdict(list)
    for found in files:
        for band, (scale, offset) in _told(found, deciding).items():
            told[_completed(found, scale, offset, sensor)].append(band)
    if len(told) > 1:
        each = "; ".join(f"{listing(bands)} x {scale:g} {offset:+g}" for (scale, offset), bands in told.items())
        others = len({found.source.path for found in files}) - 1
        raise SeriesError(
            f"{files[0].source.path}{f' and {others} more' if others else ''}: bands are scaled differently, {each}. "
            f"Expected one scale and offset to reflectance. Write all bands alike, or leave the acquisition out."
        )
    if told:
        return next(iter(told))
    first = next(found for found in files if not deciding.isdisjoint(found.source.bands))
    return _completed(first, None, None, sensor)


def _deciding(files: Sequence[Found], sensor: Sensor) -> Set[str]:
    """Bands whose scaling is that of an image.

    What its sensor measures, if any band is named so; else all bands of the first file that has more than temperature;
    else temperature.
    """
    bands = {band for found in files for band in found.source.bands}
    if measured := {band for band in bands if is_measured(band, sensor)}:
        return measured
    others = ({band for band in found.source.bands if not is_thermal(band, sensor)} for found in files)
    return next(filter(None, others), bands)


def _told(found: Found, bands: Set[str]) -> Mapping[str, tuple[float | None, float | None]]:
    """What a file says of the scaling of some bands: of single ones, else of all alike."""
    single = {band: scaling for band, scaling in found.scalings.items() if band in bands}
    if single or (found.scale is None and found.offset is None):
        return single
    return {band: (found.scale, found.offset) for band in found.source.bands if band in bands}


def _completed(found: Found, scale: float | None, offset: float | None, sensor: Sensor) -> _Scaling:
    """Scale and offset with what the sensor's products have for what is not said."""
    if np.dtype(found.source.dtype).kind == "f":
        return scale or 1.0, offset or 0.0
    if offset is None:
        offset = BASELINE_OFFSET if (found.baseline or 0) >= 4 and sensor.name == "sentinel-2" else 0.0
    return scale or sensor.scale, offset


def _thermal(files: Sequence[Found], scaling: _Scaling, sensor: Sensor) -> _Scaling | None:
    """Scale and offset to kelvin of the band of temperature, None if there is none.

    Where nothing is said, or only what holds for reflectance too, floats are kelvin and integers tenths of it.
    """
    thermal = [band for band in THERMAL if is_thermal(band, sensor)]
    carrier = next(((found, band) for band in thermal for found in files if band in found.source.bands), None)
    if carrier is None:
        return None
    found, band = carrier
    is_alone = all(is_thermal(other, sensor) for one in files for other in one.source.bands)
    of_all = (None, None) if found.scalings else (found.scale, found.offset)
    scale, offset = found.scalings.get(band, of_all)
    told = 1.0 if scale is None else scale, offset or 0.0
    if (scale, offset) != (None, None) and (is_alone or told != scaling):
        return told
    return (1.0 if np.dtype(found.source.dtype).kind == "f" else TENTH_KELVIN), 0.0


# --- sensor and bands


def _one_sensor(root: Path, images: Sequence[Found]) -> Sensor:
    """The sensor that the images agree on.

    Raises:
        SeriesError: If they are of two.
    """
    bands = sorted({band for found in images for band in found.source.bands})
    counts = Counter(sensor.name for found in images if (sensor := found.sensor or sensor_of_bands(found.source.bands)))
    if len(counts) > 1:
        told = " and ".join(f"{name} ({count} files)" for name, count in sorted(counts.items()))
        raise SeriesError(
            f"{root} holds two sensors: {told}. Expected one sensor in a series. Put each in a folder of its own."
        )
    name = next(iter(counts), None)
    known = next((sensor for sensor in SENSORS if sensor.name == name), None)
    return known or sensor_of_bands(bands) or sensor_in(root.resolve().name) or UNKNOWN


def _band_order(acquisitions: Sequence[Acquisition], sensor: Sensor) -> tuple[str, ...]:
    """All bands, in the sensor's order, then the others as they come in most files."""
    longest = max(sensor.orders.values(), key=len, default=())
    counts = Counter(tuple(b for s in a.images[0].sources for b in s.bands) for a in acquisitions)
    as_found = list(dict.fromkeys(band for bands, _ in counts.most_common() for band in bands))
    as_found += sorted({band for a in acquisitions for band in a.bands} - set(as_found))
    if not all(band in longest for band in as_found):
        return tuple(as_found)
    return tuple(sorted(as_found, key=longest.index))


# --- grid, data type, nodata


def common_grid(sources: Sequence[Source]) -> Grid:
    """Union of all footprints, in the most common CRS, at the finest resolution there and its most common phase."""
    grids = [source.grid for source in sources]
    crs = Counter(grid.crs for grid in grids).most_common(1)[0][0]
    at_home = [grid for grid in grids if grid.crs == crs]
    finest = min(_pixel(grid) for grid in at_home)
    fine = [grid for grid in at_home if _pixel(grid) == finest]
    base = _north_up(fine[_most_common([_phase(grid) for grid in fine])])
    return window_grid(base, _union(base, dict.fromkeys(grids)))


def _most_common(values: Sequence[object]) -> int:
    """Where the most common value is first."""
    return values.index(Counter(values).most_common(1)[0][0])


def _pixel(grid: Grid) -> tuple[float, float]:
    """Height and width of a pixel, rounded so that equal ones compare as equal."""
    affine = grid.affine
    height, width = float(np.hypot(affine.b, affine.e)), float(np.hypot(affine.a, affine.d))
    return float(f"{height:.9g}"), float(f"{width:.9g}")


def _phase(grid: Grid) -> tuple[float, float]:
    """Where the first pixel lies between whole pixels from the origin of the CRS, in pixels, from 0 to 1."""
    height, width = _pixel(grid)
    return round(grid.affine.f / height % 1.0, 3) % 1.0, round(grid.affine.c / width % 1.0, 3) % 1.0


def _north_up(grid: Grid) -> Grid:
    """A grid of the same corner and pixel size whose rows run south and whose columns run east."""
    affine = grid.affine
    if affine.b == affine.d == 0 and affine.a > 0 > affine.e:
        return grid
    height, width = _pixel(grid)
    box = grid.boundingbox
    shape = round(box.span_y / height), round(box.span_x / width)
    return GeoBox(shape, Affine(width, 0, box.left, 0, -height, box.top), grid.crs)


def _union(base: Grid, grids: Iterable[Grid]) -> Window:
    """The window of ``base`` that covers all grids."""
    windows = [_footprint(base, grid) for grid in grids]
    row, col = min(w.row for w in windows), min(w.col for w in windows)
    return Window(row, col, max(w.stop_row for w in windows) - row, max(w.stop_col for w in windows) - col)


def _footprint(base: Grid, grid: Grid) -> Window:
    if is_aligned(base, grid):
        return Window(*offset_in(base, grid), *grid.shape)
    cols, rows = _apply(~base.affine, *outline(grid, base))
    snug = 1e-3  # pixels: an edge that lies on a pixel's edge, but for rounding, does not take in the next pixel
    row, col = int(np.floor(rows.min() + snug)), int(np.floor(cols.min() + snug))
    return Window(row, col, int(np.ceil(rows.max() - snug)) - row, int(np.ceil(cols.max() - snug)) - col)


def outline(grid: Grid, base: Grid) -> _Points:
    """Points on the edge of a grid, x and y in the CRS of another."""
    along = np.linspace(0, 1, 33)
    none, full = np.zeros_like(along), np.ones_like(along)
    cols, rows = np.concatenate([along, along, none, full]), np.concatenate([none, full, along, along])
    x, y = _apply(grid.affine, cols * grid.shape.x, rows * grid.shape.y)
    if grid.crs != base.crs:
        assert grid.crs is not None
        assert base.crs is not None
        x, y = grid.crs.transformer_to_crs(base.crs)(x, y)
    return x, y


def _apply(affine: Affine, x: NDArray[np.float64], y: NDArray[np.float64]) -> _Points:
    return affine.a * x + affine.b * y + affine.c, affine.d * x + affine.e * y + affine.f


def _common_nodata(sources: Sequence[Source], dtype: str) -> float:
    """The most common nodata that fits the data type; where no file has one, 0, or the least of a signed type."""
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return float("nan")
    counts = Counter(s.nodata for s in sources if s.nodata is not None and _fits(s.nodata, kind))
    if counts:
        return counts.most_common(1)[0][0]
    return 0.0 if kind.kind == "u" else float(np.iinfo(kind).min)


def _fits(value: float, kind: np.dtype[Any]) -> bool:
    limits = np.iinfo(kind)
    return value == value and float(value).is_integer() and limits.min <= value <= limits.max


# --- notes


def _resampling_notes(acquisitions: Sequence[Acquisition], grid: Grid) -> list[str]:
    """One line for each kind of resampling: what from, what to, how many acquisitions."""
    kinds: dict[tuple[str, str], list[str]] = defaultdict(list)
    told: dict[Grid, tuple[str, str] | None] = {}
    for acquisition in acquisitions:
        for image in acquisition.images:
            for source in image.sources:
                if source.grid not in told:
                    told[source.grid] = _difference(source.grid, grid)
                kind = told[source.grid]
                if kind and (not kinds[kind] or kinds[kind][-1] != image.name):
                    kinds[kind].append(image.name)
    return [
        f"{len(names)} of {len(acquisitions)} acquisitions are resampled from {old} to {new}: {listing(names, 3)}."
        for (old, new), names in kinds.items()
    ]


def _difference(source: Grid, target: Grid) -> tuple[str, str] | None:
    """What is resampled to what, in words; None if nothing is."""
    if is_aligned(target, source):
        return None
    if source.crs != target.crs:
        return f"{source.crs}", f"{target.crs}"
    if _pixel(source) != _pixel(target):
        return f"pixels of {_pixel(source)[1]:g}", f"{_pixel(target)[1]:g}"
    if source.affine.b or source.affine.d or source.affine.e > 0 or source.affine.a < 0:
        return "a turned grid", "rows that run south"
    rows, cols = (round((s - t) % 1.0, 3) for s, t in zip(_phase(source), _phase(target), strict=True))
    return f"pixels that lie {rows:g} up and {cols:g} right of the others", "these"


def _merge_notes(acquisitions: Sequence[Acquisition]) -> list[str]:
    merged = [a for a in acquisitions if len(a.images) > 1]
    if not merged:
        return []
    days = listing([f"{a.date} ({' over '.join(image.name for image in a.images)})" for a in merged], 2)
    return [f"{len(merged)} of {len(acquisitions)} dates have several products, merged, the latest on top: {days}."]


def _missing_notes(acquisitions: Sequence[Acquisition], bands: Sequence[str]) -> list[str]:
    notes = []
    for band in bands:
        lacking = [a.name for a in acquisitions if band not in a.bands]
        if lacking:
            notes.append(
                f"Band {band!r} is missing from {len(lacking)} of {len(acquisitions)} acquisitions: {listing(lacking)}."
            )
    return notes

"""Two series of the same ground: Sentinel-2 on a grid of 10 m, Landsat on one of 30 m whose pixels hold 3 x 3 of those.

Where files lie otherwise, they are resampled as they are read, and a note says by how much. Which fine pixels make up a
coarse one is fixed by the CRS and by how the two series lie, whatever area they cover.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox

from sitsinfer.errors import SeriesError
from sitsinfer.grid import Bounds, Grid, Window, is_aligned, window_grid
from sitsinfer.series.assemble import common_grid, outline
from sitsinfer.series.layouts import open_series, refuse_doubts
from sitsinfer.series.ls2s2 import open_pan
from sitsinfer.series.names import THERMAL as THERMAL_NAMES
from sitsinfer.series.types import Acquisition, Image, Series, Source, listing

THERMAL = "LST"
"""Landsat's temperature, whatever its files call it; an acquisition's ``thermal`` leads to kelvin."""

BANDS: Mapping[str, tuple[str, ...]] = {
    "hr": ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12"),
    "lr": ("B01", "B02", "B03", "B04", "B05", "B06", "B07", THERMAL),
}
"""Bands of Sentinel-2, ``hr``, and of Landsat, ``lr``, that fusion knows."""

_CALLED = {"hr": "Sentinel-2", "lr": "Landsat", "pan": "Landsat's panchromatic band"}
_FOLDERS = {"hr": "sentinel2", "lr": "landsat"}
_SENSORS = {"hr": "sentinel-2", "lr": "landsat-8"}
_SCALE = 1e-4
_FINE, _COARSE, _PAN = 10.0, 30.0, 15.0  # metres
_RATIO = 3
_TOLERANCE = 1e-3  # fine pixels
_UTM = (*range(32601, 32661), *range(32701, 32761))


@dataclass(frozen=True)
class Pair:
    """Two series, and the grids that they are read on.

    Attributes:
        hr: Sentinel-2.
        lr: Landsat 8 and 9.
        pan: Landsat's panchromatic band.
        fine: The grid of 10 m, whose shape is a multiple of 3.
        coarse: The grid of 30 m: the same corner, a third of the shape.
        footprint: Pixels of ``fine`` whose centres both sensors cover, or the one that there is.
        notes: What a user should know, one line each: what is resampled, by how much, and which bands are missing.
    """

    hr: Series | None
    lr: Series | None
    pan: Series | None
    fine: Grid
    coarse: Grid
    footprint: Window
    notes: tuple[str, ...] = ()


def open_pair(ts: Path | None, hr: Path | None = None, lr: Path | None = None, *, strict: bool = False) -> Pair:
    """Find the acquisitions of two sensors, reading headers only.

    Args:
        ts: A folder with ``sentinel2`` or ``landsat`` in it, or both.
        hr: Sentinel-2, where ``ts`` is not given.
        lr: Landsat, likewise; one of the two may be left out.
        strict: Whether a file that is left out, or anything to note, is an error.

    Raises:
        SeriesError: If a series cannot be opened, is of another sensor than expected or in no UTM zone; if the two do
            not overlap; with ``strict``, if there is anything to note.
    """
    folders = _folders(ts, hr, lr)
    found = {sensor: open_series(path, strict=strict) for sensor, path in folders.items()}
    _check_sensors(found)
    pan = open_pan(found["lr"].root) if "lr" in found else None
    if pan is not None and strict:
        refuse_doubts(pan)
    notes = [note for sensor, series in found.items() for note in _band_notes(sensor, series)]
    pair = _paired({sensor: _fitted(sensor, series) for sensor, series in found.items()}, pan, notes)
    if strict and pair.notes:
        raise SeriesError(f"{' '.join(pair.notes)} Mend the series, or do not be strict.")
    return pair


def _folders(ts: Path | None, hr: Path | None, lr: Path | None) -> dict[str, Path]:
    """Where each sensor lies."""
    given = {sensor: path for sensor, path in (("hr", hr), ("lr", lr)) if path is not None}
    if ts is None:
        if not given:
            raise SeriesError("No series is given. Set ts, a folder with sentinel2 and landsat in it, or hr and lr.")
        return given
    if given:
        raise SeriesError("Both ts and hr or lr are given. Choose ts, a folder with both sensors in it, or hr and lr.")
    if not ts.exists():
        raise SeriesError(f"{ts} does not exist. Expected a folder with sentinel2 or landsat in it, or both.")
    inside = {sensor: ts / name for sensor, name in _FOLDERS.items() if (ts / name).is_dir()}
    if not inside:
        raise SeriesError(
            f"{ts} has no folder sentinel2 and none landsat. Choose a folder that has, or set hr and lr to two series."
        )
    return inside


# --- sensors and bands


def _check_sensors(found: Mapping[str, Series]) -> None:
    """Refuse series of other sensors than expected; one that does not say is taken at the user's word.

    Raises:
        SeriesError: If one is of another.
    """
    wrong = {s: one for s, one in found.items() if one.sensor not in (_SENSORS[s], "unknown")}
    if len(wrong) == 2 and {series.sensor for series in found.values()} == set(_SENSORS.values()):
        raise SeriesError(
            f"The sensors are swapped: {found['hr'].root}, given as hr, holds Landsat, and {found['lr'].root}, given "
            f"as lr, holds Sentinel-2. Swap the two."
        )
    for sensor, series in wrong.items():
        expected = "Landsat 8 or 9" if sensor == "lr" else "Sentinel-2"
        raise SeriesError(
            f"{series.root}, given as {sensor}, holds {series.sensor}. Expected {expected}. Choose another folder."
        )
    if len({series.root.resolve() for series in found.values()}) < len(found):
        raise SeriesError(f"{found['hr'].root} is given both as hr and as lr. Give Sentinel-2 as hr, Landsat as lr.")


def _fitted(sensor: str, series: Series) -> Series:
    """A series with the bands that fusion knows, by their names there, scaled as those of its sensor."""
    bands = {_own_name(sensor, band, series): band for band in BANDS[sensor]}
    kept = {old: new for old, new in bands.items() if old in series.bands}
    if not kept:
        raise SeriesError(
            f"{series.root} has bands {listing(series.bands, 14)}. Expected some of {', '.join(BANDS[sensor])}, the "
            f"bands of {_CALLED[sensor]}. Name them in the files."
        )
    unscaled = _is_unscaled(series)
    acquisitions = tuple(
        replace(acquisition, scale=_SCALE if unscaled else acquisition.scale, images=images)
        for acquisition in series.acquisitions
        if (images := tuple(_renamed(acquisition, kept)))
    )
    sources = [source for acquisition in acquisitions for image in acquisition.images for source in image.sources]
    return replace(series, bands=tuple(kept.values()), acquisitions=acquisitions, grid=common_grid(sources))


def _own_name(sensor: str, band: str, series: Series) -> str:
    """What a series calls a band."""
    if sensor == "lr" and band == THERMAL:
        return next((name for name in THERMAL_NAMES if name in series.bands), band)
    return band


def _renamed(acquisition: Acquisition, names: Mapping[str, str]) -> Iterator[Image]:
    """Images of an acquisition, with some of its bands by new names; none for an image that has none of them."""
    for image in acquisition.images:
        kept = image.only(tuple(names))
        if kept.sources:
            yield replace(kept, sources=tuple(_source_renamed(source, names) for source in kept.sources))


def _source_renamed(source: Source, names: Mapping[str, str]) -> Source:
    return replace(source, bands=tuple(names[band] for band in source.bands))


def _is_unscaled(series: Series) -> bool:
    """Whether numbers are integers of a sensor that nothing names, and so of a scale that nothing tells."""
    scales = {acquisition.scale for acquisition in series.acquisitions}
    return series.sensor == "unknown" and np.dtype(series.dtype).kind in "iu" and scales == {1.0}


def _band_notes(sensor: str, series: Series) -> Iterator[str]:
    """What a user should know of a sensor's bands."""
    called, thermal = _CALLED[sensor], _own_name(sensor, THERMAL, series)
    if _is_unscaled(series):
        yield f"{series.root} names no sensor: taken for {called}, and its numbers for reflectance / {_SCALE:g}."
    missing = [band for band in BANDS[sensor] if _own_name(sensor, band, series) not in series.bands]
    if missing:
        yield f"{called} has no {', '.join(missing)}: algorithms cannot read {'it' if len(missing) == 1 else 'them'}."
    if sensor == "lr" and thermal in series.bands and thermal != THERMAL:
        unused = "; B11 is not used" if "B11" in series.bands else ""
        yield f"Landsat's {thermal} is taken for its temperature, {THERMAL}{unused}."


# --- grids


def _paired(found: Mapping[str, Series], pan: Series | None, notes: Sequence[str]) -> Pair:
    """Lay two series on nested grids."""
    hr, lr = found.get("hr"), found.get("lr")
    base = _base(hr, lr)
    overlap = _overlap(base, found)
    ground = _whole_coarse(overlap, _coarse_corner(base, lr))
    fine = window_grid(base, ground)
    coarse = _enlarged(fine, _COARSE)
    targets = {"hr": (hr, fine), "lr": (lr, coarse), "pan": (pan, _enlarged(fine, _PAN))}
    told = [note for s, (series, grid) in targets.items() if series and (note := _resampling_note(s, series, grid))]
    return Pair(hr, lr, pan, fine, coarse, overlap.shift(-ground.row, -ground.col), (*notes, *told))


def _base(hr: Series | None, lr: Series | None) -> Grid:
    """A grid of 10 m that tells CRS and phase: that of Sentinel-2, or what goes best with Landsat's."""
    leading = hr or lr
    assert leading is not None, "there is a series"
    crs = leading.grid.crs
    if crs is None or crs.epsg not in _UTM:
        raise SeriesError(
            f"{leading.root} is in {crs}. Expected a UTM zone of WGS 84, EPSG:32601 to 32660 or 32701 to 32760. "
            f"Reproject the series first."
        )
    if hr is not None and _has_pixels(hr.grid, _FINE):
        return hr.grid
    x, y = _corner(lr) if hr is None else (0.0, 0.0)
    return GeoBox((1, 1), Affine(_FINE, 0, x, 0, -_FINE, y), crs)


def _corner(lr: Series | None) -> tuple[float, float]:
    """A corner of coarse pixels that Landsat's own share, if these are of 30 m; else the origin of the CRS."""
    if lr is None or not _has_pixels(lr.grid, _COARSE):
        return 0.0, 0.0
    return lr.grid.affine.c, lr.grid.affine.f


def _has_pixels(grid: Grid, size: float) -> bool:
    return bool(np.allclose((grid.affine.a, -grid.affine.e), size, rtol=1e-6))


def _coarse_corner(base: Grid, lr: Series | None) -> tuple[int, int]:
    """Row and column of ``base`` where coarse pixels begin: closest to where Landsat's own do."""
    shares_crs = lr is not None and lr.grid.crs == base.crs
    col, row = ~base.affine @ (_corner(lr) if shares_crs else (0.0, 0.0))
    return _closest(row), _closest(col)


def _closest(position: float) -> int:
    """The closest whole pixel; half a pixel, the common case, goes the same way wherever a series begins."""
    return math.floor(round(position, 3) + 0.5)


def _whole_coarse(window: Window, corner: tuple[int, int]) -> Window:
    """The smallest window that holds another and consists of whole coarse pixels, one of which begins at a corner."""
    row, col = window.row - (window.row - corner[0]) % _RATIO, window.col - (window.col - corner[1]) % _RATIO
    height, width = (-(-size // _RATIO) * _RATIO for size in (window.stop_row - row, window.stop_col - col))
    return Window(row, col, height, width)


def _enlarged(fine: Grid, size: float) -> Grid:
    """The grid of larger pixels over the same ground."""
    factor = size / _FINE
    height, width = (round(n / factor) for n in fine.shape)
    return GeoBox((height, width), fine.affine @ Affine.scale(factor), fine.crs)


def covered(grid: Grid, source: Grid) -> Window:
    """The pixels of a grid whose centres lie in the bounding box of another, of any CRS."""
    left, bottom, right, top = _bounds(source, grid)
    (first_col, first_row), (last_col, last_row) = (~grid.affine @ corner for corner in ((left, top), (right, bottom)))
    col, row, stop_col, stop_row = (
        math.ceil(edge - 0.5 - _TOLERANCE) for edge in (first_col, first_row, last_col, last_row)
    )
    return Window(row, col, stop_row - row, stop_col - col)


def _bounds(source: Grid, grid: Grid) -> Bounds:
    """The bounding box of a grid in the CRS of another."""
    x, y = outline(source, grid)
    return float(x.min()), float(y.min()), float(x.max()), float(y.max())


def _overlap(base: Grid, found: Mapping[str, Series]) -> Window:
    """Pixels of ``base`` that all series cover.

    Raises:
        SeriesError: If there is none.
    """
    windows = [covered(base, series.grid) for series in found.values()]
    overlap = windows[0].intersection(windows[-1])
    if overlap.is_empty:
        extents = {series.root: " ".join(f"{x:.0f}" for x in _bounds(series.grid, base)) for series in found.values()}
        told = " and ".join(f"{root} covers {extent}" for root, extent in extents.items())
        raise SeriesError(f"Sentinel-2 and Landsat do not overlap: {told}, in {base.crs}. Choose series of one place.")
    return overlap


def _resampling_note(sensor: str, series: Series, target: Grid) -> str | None:
    """What is resampled to what and by how much, in words; ``None`` if nothing is."""
    grid = series.grid
    if is_aligned(grid, target):
        return None
    size = target.affine.a
    if grid.crs != target.crs:
        return f"{_CALLED[sensor]} is resampled from {grid.crs} to {target.crs}, at {size:g} m."
    if not _has_pixels(grid, size):
        return f"{_CALLED[sensor]} is resampled from pixels of {grid.affine.a:.8g} m to pixels of {size:g} m."
    east, down = (_shift(offset) for offset in ~grid.affine @ (target.affine.c, target.affine.f))
    sides = [
        f"{abs(shift) * size:.3g} m {side[shift < 0]} ({abs(shift):.2g} pixels)"
        for shift, side in ((east, ("east", "west")), (down, ("south", "north")))
        if abs(shift) * size > _TOLERANCE
    ]
    return f"{_CALLED[sensor]} is resampled to pixels that lie {' and '.join(sides)} of its own."


def _shift(offset: float) -> float:
    """How far an offset in pixels is from the closest whole one."""
    return offset - _closest(offset)

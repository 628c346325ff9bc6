"""Layers of several dates: a folder with a GeoTIFF a date, a NetCDF file or a Zarr cube, by the name of the output.

Everything that depends on the kind is in this module: which files come out, how they are written, what they say of
their making, and how they are opened again.
"""

import datetime
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sitsinfer.errors import OutputError
from sitsinfer.grid import Grid, Window
from sitsinfer.layers import Layer
from sitsinfer.products import DATE_TAG, SENSOR_TAG, DatedSource, ViewableSource
from sitsinfer.products.cog import write_cog
from sitsinfer.products.cube import FORMATS, is_cube, open_cube, read_cube_tags, write_cube
from sitsinfer.products.raster import open_raster
from sitsinfer.products.raster import read_tags as read_raster_tags
from sitsinfer.products.whole import make_folder

log = logging.getLogger(__name__)

SENSORS: Mapping[str, str] = {"sentinel2": "sentinel-2", "landsat": "landsat-8"}
"""The sensor of a layer that is a series again, as series know it."""

_OTHER_FILES = re.compile(
    r"\.(tiff?|vrt|img|jp2|png|jpe?g|webp|gif|pdf|nc4|cdf|h5|he5|hdf[45]?|grib2?|grb|npy|npz|parquet|"
    r"csv|tsv|txt|(geo)?json|html?|xml|yaml|gpkg|shp|kml|xlsx|zip|tar|t?gz)",
    re.IGNORECASE,
)
"""Endings by which people know files; any other is taken for a part of a folder's name, such as ``l3a_v1.0``."""

_DATE_AND_LAYER = r"_(\d{8})_([A-Za-z]\w*)"
_DATED_NAME = re.compile(f".+{_DATE_AND_LAYER}")


def outputs_of(out: Path, prefix: str, layers: Sequence[Layer]) -> tuple[Path, ...]:
    """The files that come out: the cube itself, or ``<prefix>_<YYYYMMDD>_<layer>.tif`` in a folder, layer by layer.

    Raises:
        OutputError: If the name of the output is neither that of a cube nor of a folder.
    """
    if is_cube(out):
        return (out,)
    _check_folder(out)
    return tuple(out / f"{prefix}_{date:%Y%m%d}_{layer.name}.tif" for layer in layers for date in layer.dates)


def item_of(out: Path, prefix: str) -> Path:
    """Where the STAC item of an output lies: beside a cube, in a folder."""
    return out.with_name(f"{out.name}.json") if is_cube(out) else out / f"{prefix}.json"


def assets_of(files: Sequence[Path]) -> dict[str, Path]:
    """What a STAC item calls the files: ``cube``, or layer and date, ``sentinel2_20220115``."""
    if len(files) == 1 and is_cube(files[0]):
        return {"cube": files[0]}
    return {f"{entry.name}_{entry.date:%Y%m%d}": entry.path for entry in read_back(files)}


def _check_folder(out: Path) -> None:
    if out.is_dir():
        return
    if out.exists():
        raise OutputError(f"{out} is a file. Choose a folder for one GeoTIFF a date, or a name ending in {_endings()}.")
    if _OTHER_FILES.fullmatch(out.suffix):
        raise OutputError(
            f"{out} ends in '{out.suffix}', which names no product of several dates. Choose a folder for one "
            f"GeoTIFF a date, or a name ending in {_endings()}."
        )


def _endings() -> str:
    return " or ".join(FORMATS)


def write(out: Path, prefix: str, sources: Sequence[DatedSource], tags: Mapping[str, str]) -> None:
    """Publish layers of several dates; each file is whole or not there.

    Files in a folder that this run does not write stay as they are. Those that look like dates of an earlier run are
    told of.

    Args:
        out: A cube to write or to replace, or a folder, which is made if need be.
        prefix: What the names of files in a folder begin with.
        sources: The layers, each with its dates.
        tags: What to note in each file about its making.

    Raises:
        OutputError: If one cannot be written whole; in a folder, others may have been.
    """
    if is_cube(out):
        write_cube(sources, out, tags, SENSORS)
        return
    layers = [source.layer for source in sources]
    files = iter(outputs_of(out, prefix, layers))
    make_folder(out)
    for source in sources:
        sensor = {SENSOR_TAG: SENSORS[source.layer.name]} if source.layer.name in SENSORS else {}
        for date in source.layer.dates:
            write_cog(source.on(date), next(files), {**tags, **sensor, DATE_TAG: str(date)})
    _tell_leftovers(out, prefix, layers)


def _tell_leftovers(out: Path, prefix: str, layers: Sequence[Layer]) -> None:
    """Warn of files that a run of this name left on dates that are no longer asked for."""
    written = set(outputs_of(out, prefix, layers))
    ours = re.compile(re.escape(prefix) + _DATE_AND_LAYER)
    left = sorted(path.name for path in out.glob("*.tif") if ours.fullmatch(path.stem) and path not in written)
    if left:
        more = f" and {len(left) - 3} more" if len(left) > 3 else ""
        log.warning(
            "%s holds files of another run: %s%s. Remove them if they are no longer wanted.",
            out,
            ", ".join(left[:3]),
            more,
            extra={"event": "leftovers", "files": left},
        )


def read_tags(path: Path) -> dict[str, str]:
    """Read the tags of a published file or cube; none if there is no such file, or it is something else."""
    return read_cube_tags(path) if is_cube(path) else read_raster_tags(path)


@dataclass(frozen=True)
class Published:
    """One date of one layer, as it was published.

    Attributes:
        name: The layer, such as ``sentinel2`` or ``attention``.
        date: The date.
        path: The file or cube that holds it.
    """

    name: str
    date: datetime.date
    path: Path

    @contextmanager
    def open(self) -> Iterator[ViewableSource]:
        """Open it for as long as the context lasts, to be read by windows.

        Raises:
            OutputError: If it cannot be read.
        """
        if not is_cube(self.path):
            with open_raster(self.path) as raster:
                yield raster
            return
        with open_cube(self.path) as layers:
            yield next(layer for layer in layers if layer.layer.name == self.name).on(self.date)


def read_back(files: Sequence[Path]) -> tuple[Published, ...]:
    """Find what files hold that :func:`write` wrote, in their order; pixels are read when asked for.

    Args:
        files: What :func:`outputs_of` names.

    Raises:
        OutputError: If a cube cannot be read, or a file is not named as ours are.
    """
    return tuple(entry for path in files for entry in _entries(path))


@dataclass(frozen=True)
class DatedFiles:
    """A layer of several dates as it was published, to be read by windows; nothing is open meanwhile.

    Attributes:
        layer: What it holds, of all dates.
        grid: Where its pixels lie.
        dates: Each date with the file or cube that holds it, ascending.
    """

    layer: Layer
    grid: Grid
    dates: tuple[Published, ...]

    def read(self, window: Window) -> NDArray[Any]:
        """Read a window that lies within the grid: (dates, bands, height, width).

        Raises:
            OutputError: If it cannot be read.
        """
        bands = len(self.layer.bands)
        path = self.dates[0].path
        if is_cube(path):
            with open_cube(path) as layers:
                values = next(one for one in layers if one.layer.name == self.layer.name).read(window)
            return values.reshape(-1, bands, *window.shape)
        found = np.empty((len(self.dates), bands, *window.shape), self.layer.dtype)
        for values, one in zip(found, self.dates, strict=True):
            with one.open() as source:
                values[...] = source.read(window)
        return found


def find(out: Path, name: str) -> DatedFiles:
    """Find a layer that :func:`write` wrote, in a cube or a folder, whatever its files begin with.

    Args:
        out: The cube or folder.
        name: The layer.

    Raises:
        OutputError: If it is not there, cannot be read, or is there twice; if its dates are not alike.
    """
    paths = [out] if is_cube(out) else [path for path in out.glob("*.tif") if _DATED_NAME.fullmatch(path.stem)]
    if is_cube(out) and not out.exists():
        raise OutputError(f"There is no {out}. Give a cube or a folder that holds {name}.")
    dates = sorted((one for path in paths for one in _entries(path) if one.name == name), key=lambda one: one.date)
    if not dates:
        raise OutputError(f"{out} holds no {name}. Give a cube or a folder that does.")
    for one, other in pairwise(dates):
        if one.date == other.date:
            raise OutputError(f"{out} holds {name} of {one.date} twice, in {one.path.name} and {other.path.name}.")
    facts = {_facts_of(one) for one in (dates[:1] if is_cube(out) else dates)}
    if len(facts) > 1:
        raise OutputError(f"The dates of {name} in {out} differ in grid, bands or scale. Keep those of one run.")
    ((layer, grid),) = facts
    return DatedFiles(replace(layer, name=name, dates=tuple(one.date for one in dates)), grid, tuple(dates))


def _facts_of(one: Published) -> tuple[Layer, Grid]:
    """What a date holds and where, without its name."""
    with one.open() as source:
        return replace(source.layer, name=one.name), source.grid


def _entries(path: Path) -> Iterator[Published]:
    if is_cube(path):
        with open_cube(path) as layers:
            yield from [Published(one.layer.name, date, path) for one in layers for date in one.layer.dates]
        return
    yield Published(*_said_by(path), path)


def _said_by(path: Path) -> tuple[str, datetime.date]:
    """Layer and date that the name of a file says.

    Raises:
        OutputError: If it says none.
    """
    match = _DATED_NAME.fullmatch(path.stem)
    with suppress(ValueError):  # eight digits need not be a date
        if match is not None:
            return match[2], datetime.datetime.strptime(match[1], "%Y%m%d").date()
    raise OutputError(f"{path} does not say its date and layer. Expected a name such as L3A_20220115_sentinel2.tif.")

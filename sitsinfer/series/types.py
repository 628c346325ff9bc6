"""The values that travel: a series, its acquisitions and their sources, and a stack."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from sitsinfer.errors import SeriesError
from sitsinfer.grid import Grid
from sitsinfer.series.names import MaskKind


@dataclass(frozen=True)
class LeftOut:
    """A file or folder that is no part of the series, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Source:
    """Bands of one acquisition that lie together: in one file, or in one time step of a cube.

    Attributes:
        path: The file, or the folder of a Zarr cube.
        bands: Names of the bands read from it.
        indexes: Where these bands are in it, counted from 1, one for each of ``bands``.
        grid: Its own grid.
        dtype: Its own data type.
        nodata: What it holds where nothing was observed; None where it does not say.
    """

    path: Path
    bands: tuple[str, ...]
    indexes: tuple[int, ...]
    grid: Grid
    dtype: str
    nodata: float | None

    def only(self, bands: Sequence[str]) -> Self | None:
        """The same source with these of its bands, in this order; None if it has none of them."""
        kept = tuple(band for band in bands if band in self.bands)
        if not kept:
            return None
        at = dict(zip(self.bands, self.indexes, strict=True))
        return replace(self, bands=kept, indexes=tuple(at[band] for band in kept))


@dataclass(frozen=True)
class RasterSource(Source):
    """A file that GDAL reads."""


@dataclass(frozen=True)
class CubeSource(Source):
    """One time step of a NetCDF or Zarr cube.

    Attributes:
        variables: Variables that hold the bands, one for each of ``indexes``, or one that holds them all along a
            dimension of bands.
        step: Index along time.
    """

    variables: tuple[str, ...]
    step: int


@dataclass(frozen=True)
class Mask:
    """A mask beside an image."""

    source: Source
    kind: MaskKind


@dataclass(frozen=True)
class Image:
    """One product of an acquisition: its bands, each with its own grid, and the masks that go with them.

    Attributes:
        name: How messages call it.
        sources: Where its bands lie.
        masks: What says where nothing can be seen.
        zero_is_invalid: Whether a pixel with 0 in any band is not valid.
    """

    name: str
    sources: tuple[Source, ...]
    masks: tuple[Mask, ...] = ()
    zero_is_invalid: bool = False

    @property
    def bands(self) -> frozenset[str]:
        """Names of its bands."""
        return frozenset(band for source in self.sources for band in source.bands)

    def only(self, bands: Sequence[str]) -> Self:
        """The same image with these of its bands."""
        narrowed = (source.only(bands) for source in self.sources)
        return replace(self, sources=tuple(source for source in narrowed if source))


@dataclass(frozen=True)
class Acquisition:
    """One sensor's observation on one date.

    Attributes:
        date: The day, in UTC.
        images: What was found for that day, the one that counts first; holes in it are filled from the next.
        scale: Reflectance = digital number x ``scale`` + ``offset``.
        offset: See ``scale``.
        thermal: The same two numbers to kelvin, for the band of temperature; None where there is none.
    """

    date: date
    images: tuple[Image, ...]
    scale: float = 1.0
    offset: float = 0.0
    thermal: tuple[float, float] | None = None

    @property
    def name(self) -> str:
        """How messages call it."""
        return self.images[0].name

    @property
    def bands(self) -> frozenset[str]:
        """Names of the bands that any of its images has."""
        return frozenset().union(*(image.bands for image in self.images))


@dataclass(frozen=True)
class Series:
    """All acquisitions of one sensor over one area, as headers tell; no pixel is read.

    Attributes:
        root: The folder or file that was opened.
        sensor: Such as ``sentinel-2`` or ``landsat-8``, or ``unknown``.
        bands: Band names, which give C of a stack.
        acquisitions: Sorted by date, one a day, which give T.
        grid: Union of all footprints, in the most common CRS, at the finest resolution there and its common phase.
        dtype: Of the values of a stack.
        nodata: What the values of a stack hold where nothing was observed; NaN for floats.
        left_out: Files that are no part of it, and why.
        notes: What a user should know, one line each: what is resampled, merged, or lacks bands.
    """

    root: Path
    sensor: str
    bands: tuple[str, ...]
    acquisitions: tuple[Acquisition, ...]
    grid: Grid
    dtype: str
    nodata: float
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()

    @cached_property
    def dates(self) -> tuple[date, ...]:
        """Dates of the acquisitions, (T,)."""
        return tuple(acquisition.date for acquisition in self.acquisitions)

    def select(
        self, *, bands: Sequence[str] | None = None, start: date | None = None, end: date | None = None
    ) -> "Series":
        """Narrow a series to some bands, in the order given, and to dates from ``start`` to ``end``, both included.

        Raises:
            SeriesError: If an acquisition that is left lacks one of the bands, or no acquisition is left; if ``start``
                lies after ``end``.
        """
        check_span(start, end)
        kept = tuple(a for a in self.acquisitions if (not start or a.date >= start) and (not end or a.date <= end))
        if not kept:
            asked = f"from {start or 'the first'} to {end or 'the last'}"
            raise SeriesError(
                f"No acquisition {asked}: {self.root} has {len(self.acquisitions)} from {self.dates[0]} to "
                f"{self.dates[-1]}. Choose dates within."
            )
        if bands is None:
            return replace(self, acquisitions=kept)
        _check_bands(self, kept, bands)
        narrowed = tuple(replace(a, images=tuple(_narrow(a.images, bands))) for a in kept)
        return replace(self, acquisitions=narrowed, bands=tuple(bands))

    def without_masks(self) -> "Series":
        """The same series, with every pixel that has data taken for seen; clouds, shadows and all."""
        return replace(
            self,
            acquisitions=tuple(
                replace(a, images=tuple(replace(image, masks=()) for image in a.images)) for a in self.acquisitions
            ),
        )

    def days(self, reference: date) -> NDArray[np.int64]:
        """Days of the acquisitions since a reference date, (T,)."""
        return np.array([(day - reference).days for day in self.dates], np.int64)

    def inputs(self) -> list[tuple[str, int, int]]:
        """Every file that may be read: path from ``root``, size in bytes, time of its last change in nanoseconds.

        A Zarr cube is listed as its folder, with the size of all its files and the latest change of one.

        Raises:
            SeriesError: If a file is gone since the series was opened.
        """
        root = self.root.parent if self.root.is_file() else self.root
        return [_stamp(path, root) for path in sorted({source.path for source in self._sources()})]

    def files(self) -> set[Path]:
        """Every file or cube that may be read, as absolute paths."""
        return {source.path.resolve() for source in self._sources()}

    def _sources(self) -> Iterator[Source]:
        for image in (image for acquisition in self.acquisitions for image in acquisition.images):
            yield from image.sources
            yield from (mask.source for mask in image.masks)


def check_span(start: date | None, end: date | None) -> None:
    """See that the first date to use does not lie after the last one.

    Raises:
        SeriesError: If it does.
    """
    if start is not None and end is not None and start > end:
        raise SeriesError(f"The start, {start}, lies after the end, {end}. Swap them, or choose others.")


def _narrow(images: Iterable[Image], bands: Sequence[str]) -> Iterator[Image]:
    """Images with these bands alone; an image that has none of them has nothing to fill holes with."""
    for image in images:
        narrowed = image.only(bands)
        if narrowed.sources:
            yield narrowed


def _check_bands(series: Series, kept: Sequence[Acquisition], bands: Sequence[str]) -> None:
    """Name the first bands that are missing, and from where."""
    nowhere = [band for band in bands if not any(band in a.bands for a in kept)]
    if nowhere:
        some = "Band" if len(nowhere) == 1 else "Bands"
        raise SeriesError(
            f"{some} {listing([repr(b) for b in nowhere], 14)} {'is' if len(nowhere) == 1 else 'are'} missing from all "
            f"{len(kept)} acquisitions of {series.root}, which have {', '.join(series.bands)}. "
            f"Use weights trained on these, or choose other bands."
        )
    for band in bands:
        lacking = [a.name for a in kept if band not in a.bands]
        if lacking:
            raise SeriesError(
                f"Band {band!r} is missing from {len(lacking)} of {len(kept)} acquisitions: {listing(lacking)}. "
                f"Leave them out, or choose other bands."
            )


def listing(names: Sequence[str], most: int = 4) -> str:
    """Names in one line, abbreviated where they are many."""
    if len(names) <= most + 1:
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most} more"


def _stamp(path: Path, root: Path) -> tuple[str, int, int]:
    files = [path] if path.is_file() else [entry for entry in path.rglob("*") if entry.is_file()]
    try:
        stats = [file.stat() for file in files]
    except OSError as error:
        raise SeriesError(f"{path} is gone since the series was opened. Start again.") from error
    if not stats:
        raise SeriesError(f"{path} is gone since the series was opened. Start again.")
    name = Path(os.path.relpath(path, root)).as_posix()
    return name, sum(stat.st_size for stat in stats), max(stat.st_mtime_ns for stat in stats)


@dataclass(frozen=True)
class Stack:
    """One window of a series.

    Attributes:
        values: Digital numbers, (T, C, H, W), in the series' own data type; ``nodata`` where nothing was observed.
        valid: Where something was observed and no mask says otherwise, (T, H, W).
        dates: Dates of the acquisitions, (T,).
        scale: Reflectance = ``values`` x ``scale`` + ``offset``, (T,).
        offset: See ``scale``.
        nodata: NaN for floats.
    """

    values: NDArray[np.generic]
    valid: NDArray[np.bool_]
    dates: tuple[date, ...]
    scale: NDArray[np.float32]
    offset: NDArray[np.float32]
    nodata: float

"""Which layout a path has. A new one is a module here and a line in ``LAYOUTS``."""

from pathlib import Path
from typing import Protocol

from sitsinfer.errors import SeriesError
from sitsinfer.series import cube, ls2s2, rasters
from sitsinfer.series.assemble import Scan, assemble
from sitsinfer.series.types import Series, listing


class Layout(Protocol):
    """A way in which acquisitions lie on disk: a module with these two functions."""

    def matches(self, path: Path) -> bool:
        """Whether a path looks like this layout, by names alone: no file is opened."""

    def scan(self, path: Path) -> Scan:
        """What is there, by headers alone.

        Raises:
            SeriesError: If a file that is part of the series cannot be used.
        """


LAYOUTS: tuple[Layout, ...] = (ls2s2, cube, rasters)
"""The first that matches counts: what an index leaves out is not to be found by another."""


def open_series(path: Path, *, strict: bool = False) -> Series:
    """Find the acquisitions of a time series, reading headers only.

    Args:
        path: A folder of rasters, or a NetCDF or Zarr cube.
        strict: Whether a file that is left out, or anything to note, is an error.

    Raises:
        SeriesError: If the path does not exist or holds no series; if a file of the series is damaged; with
            ``strict``, if a file is left out or there is anything to note.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise SeriesError(f"{path} does not exist. Expected a folder of GeoTIFFs, or a NetCDF or Zarr cube.")
    layout = next((layout for layout in LAYOUTS if layout.matches(path)), None)
    if layout is None:
        raise SeriesError(f"{path} is no time series. Expected a folder of GeoTIFFs, or a NetCDF or Zarr cube.")
    series = assemble(path, layout.scan(path))
    if strict:
        refuse_doubts(series)
    return series


def refuse_doubts(series: Series) -> None:
    """Take all that is to be said about a series for an error.

    Raises:
        SeriesError: If a file is left out, or there is anything to note.
    """
    if series.left_out:
        told = listing([f"{out.path.name} ({out.reason})" for out in series.left_out], 3)
        raise SeriesError(
            f"{len(series.left_out)} files of {series.root} cannot be used: {told}. Remove them, or do not be strict."
        )
    if series.notes:
        raise SeriesError(f"{' '.join(series.notes)} Mend {series.root}, or do not be strict.")

"""NetCDF and Zarr cubes."""

from pathlib import Path

from sitsinfer.series.assemble import Scan


def matches(path: Path) -> bool:
    """Whether a path is a cube."""
    return False


def scan(path: Path) -> Scan:
    """Read."""
    raise NotImplementedError

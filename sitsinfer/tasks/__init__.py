"""Tasks: what to read for a tile, how to compute it, and which layers come out.

The engine knows a task by the protocol :class:`Task` alone.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, Self, TypeVar

from numpy.typing import NDArray

from sitsinfer.grid import Grid, Window
from sitsinfer.layers import Layer

Inputs = TypeVar("Inputs")


@dataclass(frozen=True)
class TileResult:
    """What a task makes of a tile.

    Attributes:
        layers: One array (bands, height, width) a layer, over the tile's core; none where nothing was observed.
        valid: Pixels of the core with at least one valid observation.
        found: What else the task keeps of the tile until it is published, in a form of its own; empty for nothing.
    """

    layers: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    valid: int = 0
    found: bytes = b""


class Task(Protocol[Inputs]):
    """One kind of map: plain, picklable, the same in every worker."""

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers that come out."""

    @property
    def grid(self) -> Grid:
        """The output grid."""

    @property
    def tile_shift(self) -> tuple[int, int]:
        """Rows and columns that tiles should begin before the grid."""

    @property
    def tile_step(self) -> int:
        """Tile sizes that are multiples of it waste least, in pixels."""

    @property
    def largest_tile(self) -> int:
        """Tiles are not to be larger, in pixels, whatever memory there is."""

    @property
    def device(self) -> str:
        """The device that tiles take turns on."""

    def fingerprint(self) -> dict[str, str]:
        """What decides the pixels, part by part; ``inputs`` is the part that new acquisitions change."""

    def tile_bytes(self, size: int) -> int:
        """Memory that one tile takes at most, from its reading to the end of its computation."""

    def model_bytes(self, threads: int) -> int:
        """Memory that the model takes at most while it computes, on a CPU in so many threads."""

    def prepared(self) -> Self:
        """The same, knowing what it must of the whole before the first tile; mostly itself.

        Raises:
            ReadError: If a file cannot be read.
        """

    def read(self, core: Window) -> Inputs:
        """Read what a tile's core needs; no device is used.

        Raises:
            ReadError: If a file cannot be read.
        """

    def compute(self, inputs: Inputs, core: Window, threads: int) -> TileResult:
        """Compute a tile's core on the device, with so many threads on a CPU."""


def describe(grid: Grid) -> list[Any]:
    """A grid as plain JSON, for a fingerprint."""
    return [str(grid.crs), list(grid.affine[:6]), list(grid.shape)]


def digest(value: Any) -> str:
    """A short digest of anything that JSON can hold."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]

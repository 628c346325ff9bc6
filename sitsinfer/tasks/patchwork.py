"""What tasks share that look at patches of one lattice: what is read, and how patches are cut out of it."""

import datetime
import functools
import json
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from sitsinfer.area import Area
from sitsinfer.errors import WeightsError
from sitsinfer.grid import Grid, Lattice, Window, offset_in, whole
from sitsinfer.patches import Patch, cut_patch, dates_seen, source_window
from sitsinfer.series import Series, Stack, read_stack
from sitsinfer.tasks import describe, digest
from sitsinfer.weights import Card

if TYPE_CHECKING:
    from sitsinfer.predict import Predictor

Found = TypeVar("Found")

NODATA = 255
"""Code of a pixel that was never observed, in layers of classes."""

LARGEST_TILE = 640
"""Pixels. Larger tiles share fewer patches, by up to an eighth; smaller ones lose less in a crash, keep many workers
busy, and are many on any area, so that memory does not depend on it."""

FEATURES = 128
"""Numbers that an architecture keeps for a pixel and date at most; U-TAE as published keeps 96."""


@dataclass(frozen=True)
class PatchTask:
    """A map of a series by patches of one lattice.

    Attributes:
        series: What to read; narrowed to the bands of the weights, in their order, and to the dates asked for.
        card: What the weights need and know.
        weights: The model folder.
        area: What to limit the map to.
        start: First date to use; ``None``: the series' first.
        end: Last date to use; ``None``: the series' last.
        margin: Pixels on each side of a patch that are context; ``None``: as the card says.
        reference_date: What days are counted from; ``None``: as the card says.
        device: The device to compute on, or ``auto``.
        precision: ``auto``, ``fp32``, ``bf16`` or ``fp16``.
        batch_size: Patches at a time; ``None``: what the device holds.
        grid: The output grid: the area's pixels of the series' own.
        lattice: Where patches lie on it.
        extent: The pixels of the grid, and around it, that the data cover.
    """

    series: Series
    card: Card
    weights: Path
    area: Area = field(default_factory=Area)
    start: datetime.date | None = None
    end: datetime.date | None = None
    margin: int | None = None
    reference_date: datetime.date | None = None
    device: str = "auto"
    precision: str = "auto"
    batch_size: int | None = None
    grid: Grid = field(init=False)
    lattice: Lattice = field(init=False)
    extent: Window = field(init=False)

    def __post_init__(self) -> None:
        """Choose bands, dates and pixels, and lay the lattice.

        Raises:
            SeriesError: If a band is missing, or there are no such dates.
            GridError: If the area lies outside the data, or the margin leaves nothing of a patch.
            WeightsError: If a class has the code that stands for nodata.
        """
        chosen = self.series.select(bands=self.card.bands, start=self.start, end=self.end)
        object.__setattr__(self, "series", chosen)
        object.__setattr__(self, "grid", self.area.crop(chosen.grid))
        if any(entry.code == NODATA for entry in self.card.classes):
            raise WeightsError(
                f"Weights {self.card.name} use class code {NODATA}, which is nodata. Use codes 0 to 254."
            )
        object.__setattr__(self, "lattice", Lattice.on(self.grid, self.card.patch, *self.context))
        origin = offset_in(self.grid, self.series.grid)
        object.__setattr__(self, "extent", whole(self.series.grid).shift(*origin))

    @property
    def context(self) -> tuple[int, int]:
        """Margin and blend of the lattice; scores fade over the margin as far as the core is wide enough."""
        if self.margin is None:
            return self.card.margin, self.card.blend
        return self.margin, min(self.margin, (self.card.patch - 2 * self.margin) // 2)

    @property
    def tile_shift(self) -> tuple[int, int]:
        """Where tiles begin so that they share the fewest patches."""
        return self.lattice.tile_shift()

    @property
    def tile_step(self) -> int:
        """The stride of the lattice."""
        return self.lattice.stride

    @property
    def largest_tile(self) -> int:
        """:data:`LARGEST_TILE`."""
        return LARGEST_TILE

    def fingerprint(self) -> dict[str, str]:
        """What decides the pixels: the series as it is, and what is asked of it."""
        return {part: digest(value) for part, value in self._decisive().items()}

    def _decisive(self) -> dict[str, Any]:
        """What decides the pixels, part by part, as plain JSON."""
        return {
            "inputs": [self.series.inputs(), describe(self.grid)],
            "dates": [str(self.start), str(self.end)],
            "model": [self.card.name, self.card.digest, json.loads(self.card.to_json())],
            "reference date": str(self.reference_date or self.card.reference_date),
            "margin": [self.lattice.margin, self.lattice.blend],
            "area": [self.area.bounds, self.area.crs, self.area.aoi and describe(self.grid)],
            "device": [self.device, self.precision],
        }

    def model_bytes(self, threads: int) -> int:
        """What a forward pass holds, from above: every date's feature maps. Threads share it."""
        pixels = (self.batch_size or 1) * len(self.series.acquisitions) * self.card.patch**2
        return pixels * FEATURES * np.dtype(np.float32).itemsize

    def stack_bytes(self, size: int) -> int:
        """What is read for a tile."""
        side = size + 2 * self.card.patch
        dates, bands = len(self.series.acquisitions), len(self.series.bands)
        return side * side * dates * (bands * np.dtype(self.series.dtype).itemsize + 1)

    def prepared(self) -> Self:
        """Itself: every tile is read for its own sake."""
        return self

    def patches(self, core: Window) -> list[Window]:
        """The patches that a core needs, in pixels of the grid."""
        return self.lattice.patches(core)

    def read(self, core: Window) -> Stack:
        """Read a core, and what its patches see of the data."""
        return read_stack(self.series, self.window(core), self.grid)

    def window(self, core: Window) -> Window:
        """What is read for a core."""
        sources = (source_window(patch, self.extent, self.card.fill) for patch in self.patches(core))
        return functools.reduce(Window.union, sources, core)

    def look(
        self, stack: Stack, core: Window, look_at: Callable[[Iterator[Patch]], Iterator[Found]]
    ) -> Iterator[tuple[Window, Found]]:
        """Look at the patches of a core that see a valid pixel.

        Args:
            stack: What was read for the core.
            core: The core.
            look_at: Takes patches as it needs them, and yields what it finds in each, in their order.

        Yields:
            Where each patch lies, and what is found in it.
        """
        seen: deque[Window] = deque()
        for found in look_at(self._cut(stack, core, seen)):
            yield seen.popleft(), found

    def dates_seen(self, stack: Stack, core: Window, patch: Window) -> NDArray[np.bool_]:
        """Which dates of what was read for a core one of its patches sees, (T,)."""
        return dates_seen(stack, self.window(core), patch, self.extent, self.card.fill)

    def predictor(self, threads: int, *, attends: bool = False) -> "Predictor":
        """The model that scores patches, ready on the device, with so many threads on a CPU."""
        from sitsinfer.predict import get_predictor

        options = self.device, self.precision, self.batch_size
        return get_predictor(self.card, self.weights, *options, threads, attends)

    def _cut(self, stack: Stack, core: Window, cut: deque[Window]) -> Iterator[Patch]:
        """Yield the patches of a core that see a valid pixel, and note in ``cut`` where each lies."""
        positions = self.card.encode_dates(stack.dates, self.reference_date)
        read = self.window(core)
        for window in self.patches(core):
            patch = cut_patch(stack, read, window, self.extent, self.card.fill, positions)
            if patch is not None:
                cut.append(window)
                yield patch

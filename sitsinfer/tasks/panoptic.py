"""Panoptic segmentation: the parcels that patches of one lattice find, to be settled between them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sitsinfer import memory
from sitsinfer.errors import ModelError, OutputError
from sitsinfer.grid import Window, whole
from sitsinfer.layers import Layer
from sitsinfer.parcels.types import Candidate, pack
from sitsinfer.series import Stack
from sitsinfer.tasks import TileResult
from sitsinfer.tasks.patchwork import PatchTask

SLACK = 2
"""Pixels beyond its core in which a patch may place a centre: two patches seldom see one at just the same pixel, and on
the border of their cores each could leave it to the other. What both find is one parcel when it is settled."""


LARGEST_TILE = 384
"""Pixels. Tiles share no patch, so that small ones cost little more than the margins that are read twice."""

THRESHOLDS = {"min_confidence": 0.2, "mask_threshold": 0.4, "min_remain": 0.5}
"""What is between 0 and 1, with its value where a card does not list it: that of the architecture."""


@dataclass(frozen=True)
class Panoptic(PatchTask):
    """Find the parcels of a series.

    A tile looks at the patches whose cores begin in it, so that each patch is computed once, and keeps the parcels
    whose centre lies in a patch's own core, or within :data:`SLACK` of it. Their masks reach over the margin into other
    cores, and other tiles: what becomes of overlaps is settled when all tiles are there, by
    :func:`sitsinfer.parcels.settle.settle`. The border of the area cuts parcels, and what lies beyond it has no say,
    so that near it they may be settled otherwise than in a larger area.

    Attributes:
        min_confidence: Least confidence of a centre, 0 to 1; as the card says unless given.
        mask_threshold: What the mask of a parcel must exceed at a pixel, 0 to 1; as the card says unless given.
        min_remain: Share of a parcel that must be left by more confident ones, 0 to 1; as the card says unless given.
        void: Codes of classes whose parcels are left out, once overlaps are settled.
        min_area: Hectares; smaller parcels are left out likewise.
        simplify: How far outlines may be moved, in units of the CRS; ``None``: they follow the pixels.
    """

    min_confidence: float | None = None
    mask_threshold: float | None = None
    min_remain: float | None = None
    void: tuple[int, ...] = ()
    min_area: float = 0.0
    simplify: float | None = None

    def __post_init__(self) -> None:
        """Check thresholds and classes, and see to what all tasks need.

        Raises:
            ModelError: If a threshold is out of range, or a class to be left out is none that is predicted.
            OutputError: If what else is to be left out, or simplified, is no such amount.
            SeriesError: If a band is missing, or there are no such dates.
            GridError: If the area lies outside the data, or the margin leaves nothing of a patch.
        """
        for name, default in THRESHOLDS.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, float(self.card.hyperparameters.get(name, default)))
            if not 0 <= getattr(self, name) <= 1:
                raise ModelError(f"{name} is {getattr(self, name)}. Expected 0 to 1.")
        if not 0 <= self.min_area < float("inf"):
            raise OutputError(f"min_area is {self.min_area}. Expected hectares, 0 or more.")
        if self.simplify is not None and not 0 < self.simplify < float("inf"):
            raise OutputError(f"simplify is {self.simplify}. Expected a distance in units of the CRS, more than 0.")
        known = [entry.code for entry in self.card.predicted]
        if strange := [code for code in self.void if code not in known]:
            raise ModelError(
                f"Class {strange[0]} cannot be void: weights {self.card.name} predict "
                f"{', '.join(map(str, known))}. Choose of these."
            )
        super().__post_init__()

    @property
    def context(self) -> tuple[int, int]:
        """The margin; nothing fades."""
        return self.card.margin if self.margin is None else self.margin, 0

    @property
    def layers(self) -> tuple[Layer, ...]:
        """``observed``, 1 where a date observed something, and ``labels``, painted when overlaps are settled."""
        return (
            Layer("observed", "uint8", 0, ("observed",)),
            Layer("labels", "uint32", 0, ("label",), identifiers=True),
        )

    @property
    def tile_shift(self) -> tuple[int, int]:
        """Where tiles begin so that they hold whole cores."""
        margin, stride = self.lattice.margin, self.lattice.stride
        return (self.lattice.row - margin) % stride, (self.lattice.col - margin) % stride

    @property
    def largest_tile(self) -> int:
        """:data:`LARGEST_TILE`."""
        return LARGEST_TILE

    def _decisive(self) -> dict[str, Any]:
        return {
            **super()._decisive(),
            **{name.replace("_", " "): getattr(self, name) for name in THRESHOLDS},
            "void": sorted(self.void),
            "min area": self.min_area,
            "simplify": self.simplify,
        }

    def tile_bytes(self, size: int) -> int:
        """A tile's stack; what is found in it is little beside that."""
        return self.stack_bytes(size)

    def model_bytes(self, threads: int) -> int:
        """What forward passes hold, one in each thread."""
        return threads * super().model_bytes(threads)

    def patches(self, core: Window) -> list[Window]:
        """The patches whose cores begin in a tile's core, or beyond the grid next to it.

        Parcels reach into the grid from as far as a margin beyond it, where there are data.
        """
        reach = whole(self.grid).expand(self.lattice.margin).intersection(self.extent)
        near = self.lattice.patches(core.expand(self.lattice.patch).intersection(reach))
        return [patch for patch in near if self._begins_in(core, patch)]

    def _begins_in(self, core: Window, patch: Window) -> bool:
        """Whether the first pixel of a patch's core, moved into the grid, lies in a tile's core."""
        height, width = self.grid.shape
        row = min(max(patch.row + self.lattice.margin, 0), height - 1)
        col = min(max(patch.col + self.lattice.margin, 0), width - 1)
        return core.row <= row < core.stop_row and core.col <= col < core.stop_col

    def frontier(self, core: Window) -> int:
        """The row above which nothing begins that is found in tiles below a tile's core.

        The patches of those begin a margin above their cores.
        """
        return core.stop_row - self.lattice.margin

    def prepared(self) -> Self:
        """Itself; what is found is settled in the memory that tiles give back."""
        memory.share_pools()
        return self

    def compute(self, inputs: Stack, core: Window, threads: int) -> TileResult:
        """Find the parcels of the patches that begin in a core."""
        memory.share_pools()  # in worker processes too
        rows, cols = core.slices_in(self.window(core))
        observed: NDArray[np.bool_] = np.any(inputs.valid[:, rows, cols], axis=0)
        candidates = list(self._find(inputs, core, threads))
        layers = {"observed": observed[np.newaxis].view(np.uint8)} if observed.any() else {}
        return TileResult(layers, int(observed.sum()), pack(candidates) if candidates else b"")

    def _find(self, stack: Stack, core: Window, threads: int) -> Iterator[Candidate]:
        from sitsinfer.detect import get_detector

        detector = get_detector(
            self.card,
            self.weights,
            self.device,
            self.precision,
            self.batch_size,
            threads,
            min_confidence=self.min_confidence,
            mask_threshold=self.mask_threshold,
            border=max(0, self.lattice.margin - SLACK),
        )
        for patch, sightings in self.look(stack, core, detector.detect):
            for sighting in sightings:
                row, col = sighting.row + patch.row, sighting.col + patch.col
                if not Window(row, col, 1, 1).intersection(self.extent).is_empty:  # else in data that are mirrored
                    box = sighting.box.shift(patch.row, patch.col)
                    yield Candidate(row, col, patch, box, sighting.code, sighting.confidence, sighting.mask)

"""Classification of parcels: pixel sets that tiles read, whole or in pieces."""

import datetime
import functools
import json
import logging
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sitsinfer import memory
from sitsinfer.errors import ModelError, SeriesError
from sitsinfer.grid import Grid, Window
from sitsinfer.layers import Layer
from sitsinfer.series import Series, Stack, read_stack
from sitsinfer.series.parcels import ParcelLayer
from sitsinfer.sets import ParcelIndex, Samples
from sitsinfer.sets.cut import batched, cut_sets
from sitsinfer.sets.gather import Classified, PixelSets, join, pack
from sitsinfer.sets.index import MOST
from sitsinfer.store import SCRATCH, make_scratch
from sitsinfer.tasks import TileResult, describe, digest
from sitsinfer.weights import ParcelCard

log = logging.getLogger(__name__)

LARGEST_TILE = 512
"""Pixels: few parcels of the usual size cross tiles as large as that."""

TILE_STEP = 64
"""Pixels."""

BATCH = 8192
"""Pixels whose series are interpolated and classified at once."""

INDEX = "parcels.sqlite"
"""What the index of the layer is called, in the store."""


@dataclass(frozen=True)
class Classify:
    """Classify the parcels of a layer by a series.

    Each tile reads the sampled pixels in it, and nothing where there are none, so that each pixel of the series is read
    once at most. It classifies the parcels whose sampled pixels all lie in it. Of the others it keeps what it read of
    them: they are classified when all tiles are there, by :mod:`sitsinfer.api.classification_run`.

    Attributes:
        series: What to read; narrowed to the bands of the weights, in their order, and to the dates that are used.
        card: What the weights need and know.
        weights: The model folder.
        layer: The parcels.
        store: Where the store of the run lies, in which the index of the layer is kept.
        pixels: How many pixels of a parcel are used at most; ``None``: as the card says.
        start: First date to use; ``None``: the series' first.
        end: Last date to use; ``None``: the series' last.
        reference_date: What days are counted from; ``None``: the anniversary of the card's own that fits the series.
        device: The device to compute on, or ``auto``.
        precision: ``auto``, ``fp32``, ``bf16`` or ``fp16``.
        strict: Whether it is an error that something about the layer is worth a note.
        origin: What days are counted from.
    """

    series: Series
    card: ParcelCard
    weights: Path
    layer: ParcelLayer
    store: Path
    pixels: int | None = None
    start: datetime.date | None = None
    end: datetime.date | None = None
    reference_date: datetime.date | None = None
    device: str = "auto"
    precision: str = "auto"
    strict: bool = False
    origin: datetime.date = field(init=False)

    def __post_init__(self) -> None:
        """Choose bands and dates.

        Raises:
            ModelError: If there is no such number of pixels.
            SeriesError: If a band is missing, or no date is near the days of the model.
        """
        if self.pixels is None:
            object.__setattr__(self, "pixels", self.card.pixels)
        assert self.pixels is not None
        if not 1 <= self.pixels <= MOST:
            raise ModelError(f"pixels is {self.pixels}. Expected 1 to {MOST}.")
        chosen = self.series.select(bands=self.card.bands, start=self.start, end=self.end)
        object.__setattr__(self, "origin", self.card.origin(chosen.dates, self.reference_date))
        object.__setattr__(self, "series", self._near(chosen))

    def _near(self, series: Series) -> Series:
        """The acquisitions that are near the days of the model.

        Raises:
            SeriesError: If there is none.
        """
        start, end = self.card.reach(self.origin)
        if not any(start <= day <= end for day in series.dates):
            first, last = self.span
            raise SeriesError(
                f"No acquisition of {series.root} is near the days of {self.card.name}, {first} to {last}: they are "
                f"from {series.dates[0]} to {series.dates[-1]}. Set the reference date to where their year begins."
            )
        return series.select(start=start, end=end)

    @property
    def span(self) -> tuple[datetime.date, datetime.date]:
        """The first and the last date that the model takes."""
        return self.card.span(self.origin)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """None: what comes out are parcels."""
        return ()

    @property
    def grid(self) -> Grid:
        """The grid of the series."""
        return self.series.grid

    @property
    def tile_shift(self) -> tuple[int, int]:
        """None: pixels are alike."""
        return 0, 0

    @property
    def tile_step(self) -> int:
        """:data:`TILE_STEP`."""
        return TILE_STEP

    @property
    def largest_tile(self) -> int:
        """:data:`LARGEST_TILE`."""
        return LARGEST_TILE

    def fingerprint(self) -> dict[str, str]:
        """What decides the classes: the series and the layer as they are, and what is asked of them."""
        parts: dict[str, Any] = {
            "inputs": [self.series.inputs(), describe(self.grid), self.layer.inputs],
            "dates": [str(self.start), str(self.end)],
            "model": [self.card.name, self.card.digest, json.loads(self.card.to_json())],
            "reference date": str(self.origin),
            "parcels": [self.layer.name, self.layer.id_column],
            "pixels": self.pixels,
            "device": [self.device, self.precision],
        }
        return {part: digest(value) for part, value in parts.items()}

    def tile_bytes(self, size: int) -> int:
        """A tile's stack, what is kept of squares of pixels that cross its border, thrice, and what is computed."""
        assert self.pixels is not None
        crossing = min(size, 4 * math.isqrt(self.pixels)) * size
        return size * size * self._stacked + 3 * crossing * self._interpolated

    def model_bytes(self, threads: int) -> int:
        """A batch in each thread: its numbers and their reflectance, and what is computed of it with two copies."""
        assert self.pixels is not None
        reflectance = len(self.series.acquisitions) * len(self.series.bands) * np.dtype(np.float32).itemsize
        return threads * (BATCH + self.pixels) * (2 * (self._stacked + reflectance) + 3 * self._interpolated)

    @property
    def _stacked(self) -> int:
        """Bytes of a pixel in a stack."""
        return len(self.series.acquisitions) * (len(self.series.bands) * np.dtype(self.series.dtype).itemsize + 1)

    @property
    def _interpolated(self) -> int:
        """Bytes of a pixel on the days of the model."""
        return len(self.card.days) * len(self.card.bands) * np.dtype(np.float32).itemsize

    @functools.cached_property
    def index(self) -> ParcelIndex:
        """Where the sampled pixels lie, once :meth:`prepared` has found them.

        Raises:
            StoreError: If it is gone or damaged.
        """
        return ParcelIndex(self.store / SCRATCH / INDEX)

    def prepared(self) -> Self:
        """Itself, once the index of the layer is there.

        Raises:
            ReadError: If the layer cannot be read.
            SeriesError: If it was changed since it was opened; if something about it is worth a note, and that is to be
                an error.
            OutputError: If the index cannot be written.
        """
        memory.share_pools()
        path = make_scratch(self.store) / INDEX
        if not path.exists():
            assert self.pixels is not None
            ParcelIndex.build(path, self.layer, self.grid, self.pixels)
        self._tell_troubles()
        used = f"{self.series.dates[0]} to {self.series.dates[-1]}"
        log.info("Days are counted from %s; acquisitions from %s are used.", self.origin, used, extra={"event": "days"})
        return self

    def _tell_troubles(self) -> None:
        """Log what is odd with the layer, on one line.

        Raises:
            SeriesError: If there is anything, and that is to be an error.
        """
        troubles = self.index.troubles()
        if not troubles:
            return
        told = f"{self.layer.path.name} has {'; '.join(map(str, troubles))}."
        if self.strict:
            raise SeriesError(f"{told} Mend the layer, or leave strict out.")
        counts = {trouble.what: trouble.count for trouble in troubles}
        log.warning("%s", told, extra={"event": "layer", "parcels": counts})

    def read(self, core: Window) -> tuple[Samples, Stack | None]:
        """Find the sampled pixels of a core, and read where they lie; no stack where there is none."""
        samples = self.index.within(core)
        return samples, read_stack(self.series, samples.window, self.grid) if len(samples) else None

    def compute(self, inputs: tuple[Samples, Stack | None], core: Window, threads: int) -> TileResult:
        """Classify the parcels that lie whole in a core, and keep what was read of others."""
        samples, stack = inputs
        if stack is None:
            return TileResult()
        memory.share_pools()  # in worker processes too
        look = functools.partial(self._look, stack=stack, read=samples.window)
        with ThreadPoolExecutor(threads) as pool:
            parts = list(pool.map(look, batched(samples, BATCH)))
        classified = Classified.together([one for one, _ in parts])
        pieces = join([other for _, other in parts])
        valid = int(classified.pixels.sum() + pieces.counts.sum())
        return TileResult({}, valid, pack(classified, pieces) if len(classified) or len(pieces) else b"")

    def _look(self, samples: Samples, stack: Stack, read: Window) -> tuple[Classified, PixelSets]:
        """Classify parcels that lie whole in what was read; give the pieces of others."""
        days, wanted = self.series.days(self.origin), np.array(self.card.days, np.int64)
        sets = cut_sets(samples, stack, read, days, wanted)
        whole = sets.drawn == self.index.facts(sets.parcels).samples
        return self.classified(sets.select(whole)), sets.select(~whole)

    def classified(self, sets: PixelSets) -> Classified:
        """Classify whole parcels; those that were never seen clear are left out."""
        from sitsinfer.classifier import Inputs, get_classifier

        sets = sets.select(sets.counts > 0)
        classifier = get_classifier(self.card, self.weights, self.device, self.precision)
        inputs = Inputs(sets.values, sets.counts, self._features(sets.parcels))
        return Classified(sets.parcels, classifier.classify(inputs), sets.counts, sets.date_counts)

    def _features(self, parcels: NDArray[np.int64]) -> NDArray[np.float32] | None:
        """Geometric features of parcels as the model takes them, (P, 4); None if it takes none."""
        if not self.card.takes_geometry:
            return None
        mean, std = self._geometry_statistics
        return ((self.index.facts(parcels).features - mean) / std).astype(np.float32)

    @functools.cached_property
    def _geometry_statistics(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and standard deviation of the geometric features: the card's, or those of the layer."""
        if self.card.geometry_mean:
            return np.array(self.card.geometry_mean), np.array(self.card.geometry_std)
        return self.index.geometry_statistics()

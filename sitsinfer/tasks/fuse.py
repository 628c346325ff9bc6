"""Fusion of two series: any day, at 10 m, from the days that were observed."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sitsinfer import memory
from sitsinfer.area import Area
from sitsinfer.errors import GridError, SeriesError
from sitsinfer.fusion.compensation import MARGIN, compensate
from sitsinfer.fusion.observe import Look, SliceImage, View, no_observations, sensor_window
from sitsinfer.fusion.slices import Slice
from sitsinfer.fusion.types import RATIO, Algorithm, Observations, Plane
from sitsinfer.grid import Grid, Window, offset_in, window_grid
from sitsinfer.layers import Layer
from sitsinfer.series import Series
from sitsinfer.series.pair import THERMAL, Pair
from sitsinfer.tasks import TileResult, describe, digest

NODATA = -10000
"""Where nothing was observed all through a slice, as LS2S2 has it."""

NUMBERS = 10_000
"""Digital numbers of a reflectance of 1, and of 1000 kelvin."""

LAYERS = {"hr": "sentinel2", "lr": "landsat"}
"""What the layer of a sensor is called."""

Looks = Mapping[str, Look]


@dataclass(frozen=True)
class Fuse:
    """Predict dates of two sensors on one grid of 10 m.

    Sub-tiles, whole coarse pixels each, lie on a lattice from the image's first pixel on. A core is predicted by those
    that reach into it, each whole and with the context that the algorithm asks for, so that tiles change nothing, not
    even the last bit. Sub-tiles change no more than that, unless the published tiling is asked for.

    Attributes:
        pair: What to read.
        algorithm: How to predict.
        slices: Which dates go in and come out, slice by slice.
        request: What the slices were made of: strategy and options, part by part, for the fingerprint.
        area: What to limit the output to.
        bands: Bands that come out, of whichever sensor has them; ``None``: all that the algorithm predicts.
        residual_compensation: Whether Landsat predictions of observed days are to agree with these at 30 m.
        subtile: Fine pixels along the side of a sub-tile; ``None``: as the algorithm computes best.
        published_tiling: Whether sub-tiles lie from the first pixel of the output on, and go beyond the image.
        device: The device to compute on.
        algorithms: That of each slice, once it is prepared; none before.
        grid: The output grid: the area's pixels of the ground that all sensors cover.
        origin: Row and column of the grid's first pixel in ``pair.fine``.
        views: What is read of each sensor.
    """

    pair: Pair
    algorithm: Algorithm
    slices: tuple[Slice, ...]
    request: Mapping[str, Any]
    area: Area = field(default_factory=Area)
    bands: tuple[str, ...] | None = None
    residual_compensation: bool = False
    subtile: int | None = None
    published_tiling: bool = False
    device: str = "cpu"
    algorithms: tuple[Algorithm, ...] = ()
    grid: Grid = field(init=False)
    origin: tuple[int, int] = field(init=False)
    views: Mapping[str, View] = field(init=False)

    def __post_init__(self) -> None:
        """Choose pixels, bands and dates.

        Raises:
            SeriesError: If a band is missing.
            GridError: If the area lies outside the data, or a sub-tile does not hold whole coarse pixels.
        """
        if self.subtile is not None and (self.subtile < 1 or self.subtile % RATIO):
            raise GridError(
                f"A sub-tile of {self.subtile} pixels does not hold whole coarse pixels. "
                f"Choose a multiple of {RATIO}, the ratio of the resolutions."
            )
        known = {band for bands in self.algorithm.writes.values() for band in bands}
        if strange := [band for band in self.bands or () if band not in known]:
            raise SeriesError(
                f"{self.algorithm.name} predicts no band '{strange[0]}' of these series. "
                f"Choose of {', '.join(sorted(known))}."
            )
        object.__setattr__(self, "grid", self.area.crop(window_grid(self.pair.fine, self.pair.footprint)))
        object.__setattr__(self, "origin", offset_in(self.pair.fine, self.grid))
        views = {
            sensor: View.of(self.pair, sensor, reads.bands, self._dates_read(sensor), reads.beyond)
            for sensor, reads in self.algorithm.reads.items()
        }
        object.__setattr__(self, "views", {sensor: view for sensor, view in views.items() if view is not None})

    def _dates_read(self, sensor: str) -> frozenset[datetime.date]:
        """Dates of a sensor that any slice needs."""
        dates = frozenset().union(*(piece.inputs(sensor) for piece in self.slices))
        if sensor == "lr" and self.residual_compensation:
            dates = dates.union(*(piece.targets("lr") for piece in self.slices))
        return dates

    @functools.cached_property
    def targets(self) -> Mapping[str, tuple[datetime.date, ...]]:
        """Dates that come out of each sensor, ascending; sensors without any are left out."""
        found = {
            sensor: tuple(sorted(frozenset().union(*(piece.targets(sensor) for piece in self.slices))))
            for sensor in self.writes
        }
        return {sensor: dates for sensor, dates in found.items() if dates}

    @functools.cached_property
    def writes(self) -> Mapping[str, tuple[str, ...]]:
        """Bands that come out of each sensor, in the algorithm's order; sensors without any are left out."""
        found = {
            sensor: tuple(band for band in bands if self.bands is None or band in self.bands)
            for sensor, bands in self.algorithm.writes.items()
        }
        return {sensor: bands for sensor, bands in found.items() if bands}

    def inputs_of(self, date: datetime.date) -> dict[str, frozenset[datetime.date]]:
        """Dates that a date is predicted from, by sensor."""
        return next(self._inputs(piece) for piece in reversed(self.slices) if piece.origin <= date)

    def observed(self, sensor: str, date: datetime.date) -> View | None:
        """What a sensor saw on a date, in the bands that come out; ``None`` if it did not look."""
        series: Series | None = getattr(self.pair, sensor)
        bands = [band for band in self.writes[sensor] if series is not None and band in series.bands]
        return View.of(self.pair, sensor, bands, [date], "zero") if bands else None

    @property
    def layers(self) -> tuple[Layer, ...]:
        """``sentinel2`` and ``landsat``, as far as they are asked for: reflectance, and kelvin."""
        layers = []
        for sensor, dates in self.targets.items():
            bands = self.writes[sensor]
            thermal = tuple(band == THERMAL for band in bands)
            scales = tuple(1000 / NUMBERS if warm else 1 / NUMBERS for warm in thermal)
            units = tuple("K" if warm else "" for warm in thermal)
            layers.append(Layer(LAYERS[sensor], "int16", NODATA, bands, scales, units, dates))
        return tuple(layers)

    @property
    def tile_shift(self) -> tuple[int, int]:
        """So that tiles hold whole sub-tiles."""
        rows, cols = (start - first for start, first in zip(self.origin, self._lattice, strict=True))
        return rows % self.tile_step, cols % self.tile_step

    @property
    def tile_step(self) -> int:
        """The side of a sub-tile: what an algorithm computes best, or so much less that the last ones are not slim."""
        if self.subtile or self.published_tiling:
            return self.subtile or self.algorithm.largest_core
        longest = max(self.pair.fine.shape)
        count = -(-longest // self.algorithm.largest_core)
        return -(-longest // (RATIO * count)) * RATIO

    @property
    def largest_tile(self) -> int:
        """One sub-tile: memory does not depend on the area, and reading is little beside predicting many dates."""
        return self.tile_step

    def fingerprint(self) -> dict[str, str]:
        """What decides the pixels and dates: the series as they are, and what is asked of them."""
        parts: dict[str, Any] = {
            "inputs": [
                [[view.series.inputs(), describe(view.grid), sensor] for sensor, view in self.views.items()],
                [self._described(piece) for piece in self.slices],
            ],
            **self.request,
            "algorithm": [self.algorithm.name, self.algorithm.fingerprint()],
            "bands": {sensor: list(self.writes[sensor]) for sensor in self.targets},
            "residual compensation": self.residual_compensation,
            "sub-tiles": [self.subtile, self.published_tiling],
            "area": [self.area.bounds, self.area.crs, self.area.aoi and describe(self.grid)],
        }
        return {part: digest(value) for part, value in parts.items()}

    def _described(self, piece: Slice) -> list[Any]:
        """The dates of a slice as plain JSON: acquisitions decide those that come out as well as those that go in."""
        going_in = {sensor: sorted(map(str, dates)) for sensor, dates in self._inputs(piece).items()}
        coming_out = {sensor: sorted(map(str, piece.targets(sensor))) for sensor in self.targets}
        return [str(piece.origin), going_in, coming_out]

    def tile_bytes(self, size: int) -> int:
        """Stacks of all sensors, and all that comes out, with one copy."""
        total = 2 * sum(layer.depth for layer in self.layers) * size * size * np.dtype(np.int16).itemsize
        seen = size + RATIO + 2 * self._reach
        for sensor, view in self.views.items():
            window = self._sensor_window(Window(0, 0, seen, seen), sensor)
            depth = len(view.series.bands) * np.dtype(view.series.dtype).itemsize + 1
            total += window.height * window.width * len(view.series.acquisitions) * depth
        return total

    def model_bytes(self, threads: int) -> int:
        """What the algorithm takes for one sub-tile, the observations that it is given, and what is put together."""
        whole = self.tile_step + 2 * (MARGIN if self.residual_compensation else 0)
        in_parts = self.residual_compensation and self.published_tiling
        core = self.tile_step if in_parts else whole
        most = 0
        for piece in self.slices:
            dates = {sensor: len(piece.inputs(sensor)) for sensor in self.views}
            queries = sum(len(piece.targets(sensor)) for sensor in self.writes)
            seen = 0
            if in_parts:
                planes = sum(len(piece.targets(sensor)) * len(self.algorithm.writes[sensor]) for sensor in self.writes)
                seen = planes * whole * whole * np.dtype(np.float32).itemsize
            for sensor, view in self.views.items():
                window = self._sensor_window(Window(0, 0, core, core), sensor)
                depth = len(view.series.bands) * np.dtype(np.float32).itemsize + 1
                seen += 2 * window.height * window.width * dates[sensor] * depth
            most = max(most, seen + self.algorithm.working_bytes(core, dates, queries))
        return most

    @property
    def _reach(self) -> int:
        """Pixels around a sub-tile that are predicted too: those that compensation sees, by whole sub-tiles or not."""
        if not self.residual_compensation:
            return 0
        return -(-MARGIN // self.tile_step) * self.tile_step if self.published_tiling else MARGIN

    def prepared(self) -> Self:
        """The same, with an algorithm for each slice that knows what it must of the whole image."""
        memory.settle()
        images = (SliceImage(self.pair, self._inputs(piece), piece.origin) for piece in self.slices)
        return replace(self, algorithms=tuple(self.algorithm.prepared(image) for image in images))

    def _inputs(self, piece: Slice) -> dict[str, frozenset[datetime.date]]:
        return {sensor: piece.inputs(sensor) for sensor in self.algorithm.reads}

    def read(self, core: Window) -> Looks:
        """Read what the sub-tiles of a core see."""
        parts = (part for cover in self._subtiles(core) for part in self._parts(cover))
        area = functools.reduce(Window.union, parts)
        return {sensor: view.read(self._sensor_window(area, sensor)) for sensor, view in self.views.items()}

    def compute(self, inputs: Looks, core: Window, threads: int) -> TileResult:
        """Predict the dates of a core, slice by slice."""
        memory.settle()  # in worker processes too
        layers = {layer.name: np.full((layer.depth, *core.shape), NODATA, np.int16) for layer in self.layers}
        valid = np.zeros(core.shape, np.bool_)
        for piece, algorithm in zip(self.slices, self.algorithms, strict=True):
            observed = self._observed(inputs, piece, core)
            if not observed.any():
                continue
            for cover in self._subtiles(core):
                self._predict(inputs, piece, algorithm, cover, core, layers, threads)
            for sensor in self.targets:
                for index in self._planes(sensor, piece.targets(sensor)):
                    layers[LAYERS[sensor]][index, ~observed] = NODATA
        for values in layers.values():
            valid |= (values != NODATA).any(axis=0)
        return TileResult(layers, int(valid.sum())) if valid.any() else TileResult()

    def _observed(self, inputs: Looks, piece: Slice, core: Window) -> NDArray[np.bool_]:
        """Pixels of a core that any sensor saw clear on a date that goes in."""
        inner = core.shift(*self.origin)
        cover = _aligned(inner)
        found = np.zeros(cover.shape, np.bool_)
        for sensor, look in inputs.items():
            seen = look.clear(sensor_window(cover, sensor), piece.inputs(sensor))
            found |= _enlarged(seen, cover.shape)
        rows, cols = inner.slices_in(cover)
        return found[rows, cols]

    def _predict(
        self,
        inputs: Looks,
        piece: Slice,
        algorithm: Algorithm,
        cover: Window,
        core: Window,
        layers: Mapping[str, NDArray[np.int16]],
        threads: int,
    ) -> None:
        """Predict a sub-tile, and write what lies in the core to the layers."""
        seen = self._seen(cover)
        dates = {sensor: sorted(piece.targets(sensor)) for sensor in self.targets if piece.targets(sensor)}
        queries = {
            sensor: np.array([(day - piece.origin).days for day in days], np.int64) for sensor, days in dates.items()
        }
        shared = cover.intersection(core.shift(*self.origin))
        inner, outer = shared.slices_in(seen), shared.shift(-self.origin[0], -self.origin[1]).slices_in(core)
        for plane in self._planes_of(inputs, piece, algorithm, cover, queries, threads):
            day, values = dates[plane.sensor][plane.index], plane.values
            if plane.sensor == "lr" and self.residual_compensation:
                values = self._compensated(inputs, values, seen, day)
            chosen = [self.algorithm.writes[plane.sensor].index(band) for band in self.writes[plane.sensor]]
            where = self._planes(plane.sensor, [day])
            layers[LAYERS[plane.sensor]][where[0] : where[-1] + 1, *outer] = _quantised(values[chosen][:, *inner])

    def _planes_of(
        self,
        inputs: Looks,
        piece: Slice,
        algorithm: Algorithm,
        cover: Window,
        queries: Mapping[str, NDArray[np.int64]],
        threads: int,
    ) -> Iterator[Plane]:
        """What is predicted for a sub-tile, over all that must be known of it; put together where that is in parts."""
        seen, parts = self._seen(cover), self._parts(cover)
        whole: dict[tuple[str, int], NDArray[np.float32]] = {}
        for part in parts:
            for plane in algorithm.predict(self._observations(inputs, piece, part), queries, part, threads):
                if len(parts) == 1:
                    yield plane
                    continue
                shared, key = part.intersection(seen), (plane.sensor, plane.index)
                values = whole.setdefault(key, np.full((len(plane.values), *seen.shape), np.nan, np.float32))
                values[:, *shared.slices_in(seen)] = plane.values[:, *shared.slices_in(part)]
        for (sensor, index), values in whole.items():
            yield Plane(sensor, index, values)

    def _observations(self, inputs: Looks, piece: Slice, seen: Window) -> dict[str, Observations]:
        """What the algorithm is given of a slice: every sensor that takes part, be it with no date."""
        found = {}
        for sensor, reads in self.algorithm.reads.items():
            if piece.selection.inputs.get(sensor) is None and sensor != "pan":
                continue
            window = sensor_window(seen, sensor, reads.margin)
            if sensor in inputs:
                found[sensor] = inputs[sensor].observations(window, piece.inputs(sensor), piece.origin)
            else:
                found[sensor] = no_observations(reads.bands, window)
        return found

    def _compensated(
        self, inputs: Looks, values: NDArray[np.float32], seen: Window, day: datetime.date
    ) -> NDArray[np.float32]:
        """A Landsat prediction with what it lacks of the day's observation, where that is clear."""
        look = inputs.get("lr")
        if look is None:
            return values
        # Whatever the algorithm is to see beyond the footprint: the border is not to be compensated for that.
        observed = replace(look, view=replace(look.view, beyond="repeat")).observations(
            sensor_window(seen, "lr"), [day], day
        )
        if not len(observed.days):
            return values
        bands = self.algorithm.writes["lr"]
        chosen = [observed.bands.index(band) for band in bands]
        return compensate(values, observed.values[0, chosen], observed.clear[0], bands)

    def _planes(self, sensor: str, dates: Any) -> list[int]:
        """Where the bands of some dates lie in a sensor's layer."""
        bands = len(self.writes[sensor])
        return [self.targets[sensor].index(day) * bands + band for day in sorted(dates) for band in range(bands)]

    def _subtiles(self, core: Window) -> Iterator[Window]:
        """Sub-tiles that reach into a core, as windows of the image: whole, so that every tile computes the same."""
        return self._reaching(core.shift(*self.origin))

    def _reaching(self, area: Window) -> Iterator[Window]:
        """Sub-tiles that reach into a window of the image."""
        image, first, side = Window(0, 0, *self.pair.fine.shape), self._lattice, self.tile_step
        for row in range(first[0] + (area.row - first[0]) // side * side, area.stop_row, side):
            for col in range(first[1] + (area.col - first[1]) // side * side, area.stop_col, side):
                subtile = Window(row, col, side, side)
                yield subtile if self.published_tiling else subtile.intersection(image)

    @property
    def _lattice(self) -> tuple[int, int]:
        """A sub-tile's first row and column: those of the image, or as published of what is asked for."""
        row, col = self.origin
        return (row - row % RATIO, col - col % RATIO) if self.published_tiling else (0, 0)

    def _seen(self, cover: Window) -> Window:
        """What must be known of a sub-tile: itself, or what is around it as well if it is to be compensated."""
        if not self.residual_compensation:
            return cover
        wide = cover.expand(MARGIN)
        return wide.intersection(Window(0, 0, *self.pair.fine.shape))

    def _parts(self, cover: Window) -> list[Window]:
        """Windows that are predicted for a sub-tile: all at once, or sub-tiles as published and their neighbours."""
        seen = self._seen(cover)
        return [seen] if seen == cover or not self.published_tiling else list(self._reaching(seen))

    def _sensor_window(self, area: Window, sensor: str) -> Window:
        return sensor_window(_aligned(area), sensor, self.algorithm.reads[sensor].margin)


def _aligned(window: Window) -> Window:
    """The whole coarse pixels that a window touches, as fine pixels."""
    row, col = window.row - window.row % RATIO, window.col - window.col % RATIO
    height, width = (-(-n // RATIO) * RATIO for n in (window.stop_row - row, window.stop_col - col))
    return Window(row, col, height, width)


def _enlarged(mask: NDArray[np.bool_], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """A mask of any pixel size on fine pixels, by nearest neighbour."""
    rows, cols = (np.arange(n) * m // n for n, m in zip(shape, mask.shape, strict=True))
    return mask[np.ix_(rows, cols)]


def _quantised(values: NDArray[np.float32]) -> NDArray[np.int16]:
    """Digital numbers of physical values; what is no number becomes nodata."""
    numbers = np.rint(values * NUMBERS)
    np.clip(numbers, NODATA + 1, np.iinfo(np.int16).max, out=numbers)
    return np.where(np.isnan(numbers), NODATA, numbers).astype(np.int16)

"""DMS: temperature at 10 m, from how it goes with reflectance at 90 m.

After F. Gao, W. P. Kustas, M. C. Anderson, "A Data Mining Approach for Sharpening Thermal Satellite Imagery over Land",
2012: regression trees learn temperature from reflectance on homogeneous pixels of the thermal sensor, once over the
whole image and once within each moving window, and are applied to the fine pixels; the two predictions are weighed by
how well each agrees with the coarse temperature.

What is ours: leaves hold planes; windows fade into each other, so that no border between them is seen; and where a fine
pixel is hidden on the closest date, the closest on which it is clear stands in. Cells, the coarse pixels of 90 m, and
windows lie on one lattice from the first pixel of the image on: a pixel is decided by the same windows whatever core it
is in.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sitsinfer.errors import SeriesError
from sitsinfer.fusion.leaves import FEWEST_SAMPLES, LinearLeaves
from sitsinfer.fusion.resample import bilinear
from sitsinfer.fusion.types import MISSING, RATIO, Image, Observations, Plane, Reads
from sitsinfer.grid import Window

CELL = 9
"""Fine pixels along the side of a cell, 90 m: what the thermal sensor resolves."""

WINDOW = 15
"""Cells along the side of a moving window."""

STEP = 5
"""Cells from one window to the next."""

RING = 2
"""Cells around a core that have a say in it: those that weights, and after these corrections, are interpolated from."""

MARGIN = CELL * (RING + (WINDOW + 2 * STEP - 1) // 2 + 1) - RATIO
"""Fine pixels that it sees beyond a core, which may begin at any coarse pixel of a cell."""

HOMOGENEOUS = 0.8
"""Share of the cells, those that vary least within, that are learnt from."""

THERMAL, SHORTWAVE = ("LST",), ("B02", "B03", "B04", "B08")

_FEWEST_LOCAL = 2 * FEWEST_SAMPLES
_LARGEST_CORE = 330
_MOST_SAMPLES = 20_000  # of an image and a date
_PIECE, _MOST_PIECES = 30 * CELL, 128  # of an image, which a sample is drawn from
_SEED = 42


@dataclass(frozen=True)
class GlobalModel:
    """What is known of one date from the whole image.

    Attributes:
        tree: Temperature from reflectance.
        most_varied: Coefficient of variation up to which a cell counts as homogeneous.
    """

    tree: LinearLeaves
    most_varied: float


@dataclass(frozen=True)
class Cells:
    """What is known of some cells on one date.

    Attributes:
        reflectance: Mean of each band, (4, h, w); NaN where a fine pixel is never clear.
        variation: Coefficient of variation within a cell, mean of the bands, (h, w); likewise.
        temperature: Kelvin / 1000, (h, w); NaN where a coarse pixel is not clear.
    """

    reflectance: NDArray[np.float32]
    variation: NDArray[np.float32]
    temperature: NDArray[np.float32]

    @classmethod
    def of(cls, fine: NDArray[np.float32], temperature: NDArray[np.float32], clear: NDArray[np.bool_]) -> Self:
        """Aggregate one date.

        Args:
            fine: Reflectance, NaN where it is not known, (4, 9 h, 9 w).
            temperature: Of the coarse sensor's pixels of 30 m, (3 h, 3 w).
            clear: Where that may be trusted.
        """
        mean = _aggregate(fine, CELL)
        deviation = np.sqrt(np.maximum(_aggregate(fine * fine, CELL) - mean * mean, 0))
        variation = np.divide(deviation, mean, out=np.zeros_like(mean), where=mean != 0)
        side = CELL // RATIO
        # Plain bicubic resampling by a third weighs the middle pixel with 1 and all others with 0.
        middle = temperature[side // 2 :: side, side // 2 :: side]
        trusted = _aggregate(clear.astype(np.float32), side) == 1
        temperature = np.where(trusted, middle, np.float32(np.nan))
        return cls(mean.astype(np.float32), np.abs(variation).mean(axis=0).astype(np.float32), temperature)

    def samples(self) -> NDArray[np.float32]:
        """Cells that are known whole, (S, 6): reflectance, variation, temperature."""
        columns = np.concatenate((self.reflectance, self.variation[None], self.temperature[None]))
        rows = columns.reshape(len(columns), -1).T
        return np.asarray(rows[np.isfinite(rows).all(axis=1)])

    def cut(self, window: Window) -> Self:
        """The cells of a window, counted from the first."""
        rows, cols = slice(window.row, window.stop_row), slice(window.col, window.stop_col)
        return type(self)(self.reflectance[:, rows, cols], self.variation[rows, cols], self.temperature[rows, cols])


@dataclass(frozen=True)
class DMS:
    """Data mining sharpener of Landsat's temperature.

    Attributes:
        residual_correction: Whether what a cell of 90 m lacks of the observed temperature is added to its pixels, as
            energy (fourth powers of temperature).
        models: What is known of each day from the whole image; none before :meth:`prepared`.
    """

    residual_correction: bool = True
    models: Mapping[int, GlobalModel] = field(default_factory=dict)

    name = "dms"
    strategy = "ALL"
    largest_core = _LARGEST_CORE
    device = "cpu"

    @classmethod
    def of(cls, available: Mapping[str, Collection[str]], residual_correction: bool = True) -> Self:
        """Sharpen what there is.

        Args:
            available: Bands by sensor.
            residual_correction: See the class.

        Raises:
            SeriesError: If a band is missing.
        """
        for sensor, name, bands in (("lr", "Landsat", THERMAL), ("hr", "Sentinel-2", SHORTWAVE)):
            if missing := [band for band in bands if band not in available.get(sensor, ())]:
                raise SeriesError(
                    f"Algorithm 'dms' needs {name}'s {', '.join(bands)}, and {', '.join(missing)} is missing. "
                    f"Give a series that has it, or choose another algorithm."
                )
        return cls(residual_correction)

    @property
    def reads(self) -> Mapping[str, Reads]:
        """Temperature, and the fine sensor's bands of 10 m."""
        return {"hr": Reads(SHORTWAVE, MARGIN), "lr": Reads(THERMAL, MARGIN // RATIO)}

    @property
    def writes(self) -> Mapping[str, tuple[str, ...]]:
        """Temperature."""
        return {"lr": THERMAL}

    def fingerprint(self) -> object:
        """Whether it corrects."""
        return {"residual_correction": self.residual_correction}

    def working_bytes(self, core: int, dates: Mapping[str, int], queries: int) -> int:
        """One day: bands with all margins, their squares and both in float64, and planes of the core with its ring."""
        seen, ringed = core + 2 * MARGIN, core + 2 * CELL * (RING + 1)
        return len(SHORTWAVE) * (4 + 4 + 8 + 8) * seen**2 + 80 * ringed**2

    def prepared(self, image: Image) -> Self:
        """The same, with what a sample of the whole image tells of each day.

        An image is read in pieces, one at a time; of a large one only some, drawn at random.
        """
        samples: dict[int, list[NDArray[np.float32]]] = {}
        for piece in _pieces(image.shape):
            temperature = image.read("lr", THERMAL, piece)
            fine = image.read("hr", SHORTWAVE, piece)
            for t, day in enumerate(temperature.days):
                composite = nearest_clear(fine, int(day))
                cells = Cells.of(composite, temperature.values[t, 0], temperature.clear[t])
                samples.setdefault(int(day), []).append(cells.samples())
        models = {day: _global_model(np.concatenate(found)) for day, found in samples.items()}
        return replace(self, models={day: model for day, model in models.items() if model is not None})

    def predict(
        self,
        inputs: Mapping[str, Observations],
        queries: Mapping[str, NDArray[np.int64]],
        core: Window,
        threads: int,
    ) -> Iterator[Plane]:
        """Predict the temperature of observed days; none of days too cloudy to learn from. See the protocol."""
        if "hr" not in inputs or "lr" not in inputs:
            return
        temperature, fine = inputs["lr"], inputs["hr"]
        observed = {int(day): t for t, day in enumerate(temperature.days)}
        for index, day in enumerate(queries.get("lr", ())):
            if (t := observed.get(int(day))) is None or (model := self.models.get(int(day))) is None:
                continue
            composite = nearest_clear(fine, int(day))
            values = self._sharpen(composite, temperature.values[t, 0], temperature.clear[t], model, core)
            yield Plane("lr", index, values[None])

    def _sharpen(
        self,
        fine: NDArray[np.float32],
        temperature: NDArray[np.float32],
        clear: NDArray[np.bool_],
        model: GlobalModel,
        core: Window,
    ) -> NDArray[np.float32]:
        """Predict a core, (h, w); arguments as :meth:`Cells.of` takes them, with margins."""
        seen = Window(core.row - MARGIN, core.col - MARGIN, core.height + 2 * MARGIN, core.width + 2 * MARGIN)
        known = _whole_cells(seen)
        rows, cols = _pixels(known).slices_in(seen)
        fine = fine[:, rows, cols]
        rows, cols = (slice(s.start // RATIO, s.stop // RATIO) for s in (rows, cols))
        cells = Cells.of(fine, temperature[rows, cols], clear[rows, cols])

        ringed = _ringed(core)
        rows, cols = _pixels(ringed).slices_in(_pixels(known))
        fine = fine[:, rows, cols]
        coarse = cells.cut(ringed.shift(-known.row, -known.col)).temperature
        globally = _apply(model.tree, fine)
        trees = _local_trees(cells, known, ringed, model.most_varied)
        locally = _predict_locally(trees, fine, ringed, globally)
        predicted = _weighed(globally, locally, coarse)
        if self.residual_correction:
            predicted = _corrected(predicted, coarse)
        rows, cols = core.slices_in(_pixels(ringed))
        return predicted[rows, cols]


def nearest_clear(observed: Observations, day: int) -> NDArray[np.float32]:
    """What each pixel looked like on the day closest to another on which it is clear, (C, H, W); NaN if on none.

    A day on which one of its bands is missing does not count.
    """
    _, bands, height, width = observed.values.shape
    found = np.full((bands, height, width), np.nan, np.float32)
    missing = np.ones((height, width), np.bool_)
    for t in np.argsort(np.abs(observed.days - day), kind="stable"):
        here = missing & observed.clear[t] & (observed.values[t] != MISSING).all(axis=0)
        np.copyto(found, observed.values[t], where=here)
        missing &= ~here
        if not missing.any():
            break
    return found


def _aggregate(values: NDArray[np.floating[Any]], side: int) -> NDArray[np.float64]:
    """Means of squares of pixels, the same to the bit wherever a square lies: (..., H, W) to (..., H / n, W / n)."""
    sums = values.astype(np.float64)
    for axis in (-2, -1):
        lines = np.moveaxis(sums, axis, 0)
        sums = np.moveaxis(sum((lines[first::side] for first in range(1, side)), start=lines[::side]), 0, axis)
    return sums / side**2


def _pieces(shape: tuple[int, int]) -> Iterator[Window]:
    """Windows of whole cells to learn from: all of a small image, some of a large one."""
    height, width = (size // CELL * CELL for size in shape)
    starts = [(row, col) for row in range(0, height, _PIECE) for col in range(0, width, _PIECE)]
    chosen = np.random.default_rng(_SEED).permutation(len(starts))[:_MOST_PIECES]
    for row, col in (starts[index] for index in sorted(chosen)):
        yield Window(row, col, min(_PIECE, height - row), min(_PIECE, width - col))


def _global_model(samples: NDArray[np.float32]) -> GlobalModel | None:
    """Learn from the homogeneous among some samples of an image; None if they are too few."""
    if len(samples) * HOMOGENEOUS < FEWEST_SAMPLES:
        return None
    if len(samples) > _MOST_SAMPLES:
        samples = samples[np.sort(np.random.default_rng(_SEED).permutation(len(samples))[:_MOST_SAMPLES])]
    most_varied = float(np.quantile(samples[:, -2], HOMOGENEOUS))
    return GlobalModel(_tree(samples, most_varied), most_varied)


def _tree(samples: NDArray[np.float32], most_varied: float) -> LinearLeaves:
    chosen = samples[samples[:, -2] <= most_varied]
    return LinearLeaves.fit(chosen[:, :-2], chosen[:, -1])


def _whole_cells(pixels: Window) -> Window:
    """The cells that lie in a window of fine pixels."""
    row, col = -(-pixels.row // CELL), -(-pixels.col // CELL)
    return Window(row, col, pixels.stop_row // CELL - row, pixels.stop_col // CELL - col)


def _ringed(core: Window) -> Window:
    """The cells that a core touches, and the ring around them."""
    row, col = core.row // CELL - RING, core.col // CELL - RING
    return Window(row, col, -(-core.stop_row // CELL) + RING - row, -(-core.stop_col // CELL) + RING - col)


def _pixels(cells: Window) -> Window:
    """Cells as fine pixels."""
    return Window(*(CELL * value for value in (cells.row, cells.col, cells.height, cells.width)))


def _node_range(start: int, stop: int) -> range:
    """Which windows have a say in some cells along one axis: window n is centred on STEP n + STEP / 2."""
    return range((2 * start - STEP) // (2 * STEP), (2 * stop - STEP) // (2 * STEP) + 2)


def _local_trees(
    cells: Cells, known: Window, ringed: Window, most_varied: float
) -> Iterator[tuple[int, int, LinearLeaves]]:
    """What moving windows tell: row and column of each that has a say, and its tree, if it has enough to learn from."""
    first = (WINDOW - STEP) // 2
    for row in _node_range(ringed.row, ringed.stop_row):
        for col in _node_range(ringed.col, ringed.stop_col):
            window = Window(STEP * row - first, STEP * col - first, WINDOW, WINDOW)
            samples = cells.cut(window.shift(-known.row, -known.col)).samples()
            if (samples[:, -2] <= most_varied).sum() >= _FEWEST_LOCAL:
                yield row, col, _tree(samples, most_varied)


def _predict_locally(
    trees: Iterator[tuple[int, int, LinearLeaves]],
    fine: NDArray[np.float32],
    ringed: Window,
    globally: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Predict some cells' pixels by the windows around each, weighed by how near their centres are.

    The global prediction stands in for windows that have no tree.
    """
    area, pitch = _pixels(ringed), CELL * STEP
    total, weight = np.zeros(area.shape, np.float32), np.zeros(area.shape, np.float32)
    for row, col, tree in trees:
        reach = Window(pitch * (row - 1) + pitch // 2, pitch * (col - 1) + pitch // 2, 2 * pitch, 2 * pitch)
        reach = reach.intersection(area)
        where = reach.slices_in(area)
        nearness = np.outer(_tent(reach.row, reach.stop_row, row), _tent(reach.col, reach.stop_col, col))
        total[where] += nearness * _apply(tree, fine[:, *where])
        weight[where] += nearness
    return total + (1 - weight) * globally


def _tent(start: int, stop: int, node: int) -> NDArray[np.float32]:
    """Weight of a window at fine pixels along one axis: 1 at its centre, 0 at those of its neighbours."""
    pitch = CELL * STEP
    centres = np.arange(start, stop) + 0.5
    return np.asarray(1 - np.abs(centres - pitch * (node + 0.5)) / pitch, np.float32)


def _apply(tree: LinearLeaves, fine: NDArray[np.float32]) -> NDArray[np.float32]:
    """Predict fine pixels, (F, H, W) to (H, W); NaN where they are not known."""
    known = np.isfinite(fine).all(axis=0)
    predicted = np.full(fine.shape[1:], np.nan, np.float32)
    if known.any():
        predicted[known] = tree.predict(fine[:, known])
    return predicted


def _weighed(
    globally: NDArray[np.float32], locally: NDArray[np.float32], coarse: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Join two predictions by the inverse squares of what each lacks at 90 m; alike where nobody knows."""
    of_global, of_local = (_lacking(predicted, coarse) ** 2 for predicted in (globally, locally))
    with np.errstate(invalid="ignore"):
        share = of_global / (of_global + of_local)
    weight = bilinear(np.where(np.isfinite(share), share, 0.5).astype(np.float32), CELL)
    return globally + weight * (locally - globally)


def _corrected(predicted: NDArray[np.float32], coarse: NDArray[np.float32]) -> NDArray[np.float32]:
    """Add what a prediction lacks at 90 m, smoothly from cell to cell."""
    return predicted + bilinear(np.nan_to_num(_lacking(predicted, coarse)).astype(np.float32), CELL)


def _lacking(predicted: NDArray[np.float32], coarse: NDArray[np.float32]) -> NDArray[np.float64]:
    """Coarse temperature, less that of a black body that shines as all fine pixels of a cell together."""
    return coarse - _aggregate(predicted.astype(np.float64) ** 4, CELL) ** 0.25

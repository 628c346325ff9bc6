"""A ground that two sensors saw, in memory, and what algorithms make of it whole, in parts, or watched."""

import dataclasses
import tracemalloc
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sitsinfer.fusion.psf import OPTICS
from sitsinfer.fusion.types import MISSING, RATIO, Algorithm, Observations
from sitsinfer.grid import Tiles, Window

BANDS = {sensor: tuple(bands) for sensor, bands in OPTICS.items()}
HR_DAYS = (4, 9, 31, 44, 80, 81, 140, 201, 260, 330)
LR_DAYS = (2, 9, 44, 60, 81, 150, 201, 290)  # 9, 44, 81 and 201 are common

Planes = dict[tuple[str, int], NDArray[np.float32]]
"""Predictions by sensor and day."""


@dataclass(frozen=True)
class Ground:
    """What there is to read; fulfils the protocol of an image."""

    hr: Observations
    lr: Observations

    @classmethod
    def clear_sky(cls, shape: tuple[int, int] = (36, 51), seed: int = 7) -> "Ground":
        """Noise, all of it seen."""
        rng, series = np.random.default_rng(seed), []
        for days, bands, size in ((HR_DAYS, BANDS["hr"], 1), (LR_DAYS, BANDS["lr"], RATIO)):
            pixels = shape[0] // size, shape[1] // size
            values = rng.random((len(days), len(bands), *pixels), dtype=np.float32)
            series.append(Observations(values, np.ones((len(days), *pixels), np.bool_), np.array(days), bands))
        return cls(*series)

    @classmethod
    def random(cls, shape: tuple[int, int] = (36, 51), seed: int = 7) -> "Ground":
        """Noise under clouds that cover two fifths, with a corner and swaths that sensors did not see."""
        clear_sky, rng = cls.clear_sky(shape, seed), np.random.default_rng(seed + 1)
        hr, lr = clear_sky.hr, clear_sky.lr
        for series in (hr, lr):
            series.clear[...] = rng.random(series.clear.shape) > 0.4
        for series, dates, place in ((hr, [0, 5], np.s_[:7, :9]), (lr, [1, 2], np.s_[:, 8:]), (lr, [4], np.s_[3:, :5])):
            for date in dates:
                series.values[date][:, *place] = MISSING
                series.clear[date][place] = False
        hr.clear[:, 20, 11] = False
        lr.clear[:, 6, 10] = False
        return cls(hr, lr)

    @classmethod
    def gappy(cls, shape: tuple[int, int] = (36, 51), seed: int = 7) -> "Ground":
        """The same, where single bands lack values that others have: here and there, in a block, and all over once."""
        ground, rng = cls.random(shape, seed), np.random.default_rng(seed + 2)
        for series, band, place in ((ground.hr, 8, np.s_[4:9, 20:30]), (ground.lr, 4, np.s_[2:5, 6:9])):
            series.values[rng.random(series.values.shape) < 0.02] = MISSING
            series.values[3, band] = MISSING
            series.values[:, band, *place] = MISSING
        return ground

    @property
    def shape(self) -> tuple[int, int]:
        height, width = self.hr.clear.shape[1:]
        return height, width

    @property
    def whole(self) -> Window:
        return Window(0, 0, *self.shape)

    def read(self, sensor: str, bands: tuple[str, ...], core: Window, margin: int = 0) -> Observations:
        """Read a core and so many of the sensor's pixels around it, the last ones repeated beyond the ground."""
        series, size = getattr(self, sensor), 1 if sensor == "hr" else RATIO
        assert not any(n % RATIO for n in (core.row, core.col, core.height, core.width))
        pixels = np.s_[
            core.row // size : core.stop_row // size + 2 * margin, core.col // size : core.stop_col // size + 2 * margin
        ]
        sides = [(margin, margin)] * 2
        chosen = [series.bands.index(band) for band in bands]
        values = np.pad(series.values[:, chosen], [(0, 0), (0, 0), *sides], mode="edge")[..., *pixels]
        clear = np.pad(series.clear, [(0, 0), *sides], mode="edge")[..., *pixels]
        return Observations(values, clear, series.days, bands)

    def inputs(self, algorithm: Algorithm, core: Window) -> dict[str, Observations]:
        """What an algorithm asks for."""
        assert all(reads.beyond == "repeat" for reads in algorithm.reads.values())
        return {sensor: self.read(sensor, reads.bands, core, reads.margin) for sensor, reads in algorithm.reads.items()}


def smooth(days: tuple[int, ...], plane: NDArray[np.float32], slope: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values that change linearly in time, (T, C, H, W)."""
    return np.stack([plane + np.float32(day / 100) * slope for day in days])


def predict(
    algorithm: Algorithm, ground: Ground, queries: Mapping[str, tuple[int, ...]], core: Window | None = None
) -> Planes:
    """Predict a core of the ground, the whole of it if none is given."""
    core = core or ground.whole
    return collect(algorithm, ground.inputs(algorithm, core), queries, core)


def collect(
    algorithm: Algorithm,
    inputs: Mapping[str, Observations],
    queries: Mapping[str, tuple[int, ...]],
    core: Window,
) -> Planes:
    """Predictions by sensor and day, each given once, for the core alone, of all bands."""
    days = {sensor: np.array(asked, np.int64) for sensor, asked in queries.items()}
    found: Planes = {}
    for plane in algorithm.predict(inputs, days, core, threads=1):
        key = plane.sensor, queries[plane.sensor][plane.index]
        assert key not in found
        assert plane.values.shape == (len(algorithm.writes[plane.sensor]), *core.shape)
        assert plane.values.dtype == np.float32
        found[key] = plane.values
    return found


def predict_in_tiles(algorithm: Algorithm, ground: Ground, queries: Mapping[str, tuple[int, ...]], side: int) -> Planes:
    """Predict the ground in parts, and put them together."""
    mosaic: Planes = {}
    for tile in Tiles(ground.shape, side):
        for key, values in predict(algorithm, ground, queries, tile.core).items():
            target = mosaic.setdefault(key, np.full((len(values), *ground.shape), -9, np.float32))
            target[:, *tile.core.slices_in(ground.whole)] = values
    return mosaic


def assert_equal(ours: Planes, theirs: Planes) -> None:
    """Check that two predictions are the same to the bit, and that there is something to compare."""
    assert ours.keys() == theirs.keys()
    assert ours
    assert any(np.isfinite(values).any() for values in ours.values())
    for key, values in ours.items():
        np.testing.assert_array_equal(values, theirs[key], err_msg=str(key))


def peak_bytes(algorithm: Algorithm, ground: Ground, queries: Mapping[str, tuple[int, ...]]) -> int:
    """Memory that a prediction takes beside its inputs and one plane that it yields."""
    inputs = ground.inputs(algorithm, ground.whole)
    days = {sensor: np.array(asked, np.int64) for sensor, asked in queries.items()}
    tracemalloc.start()
    try:
        planes = [plane.values.nbytes for plane in algorithm.predict(inputs, days, ground.whole, threads=1)]
        return tracemalloc.get_traced_memory()[1] - max(planes)
    finally:
        tracemalloc.stop()


def gaps_hidden(ground: Ground, sensor: str, bands: tuple[str, ...]) -> Ground:
    """A ground on which whole pixels are not clear where a sensor lacks one of some bands."""
    series = getattr(ground, sensor)
    chosen = [series.bands.index(band) for band in bands]
    return replaced(ground, sensor, clear=series.clear & (series.values[:, chosen] != MISSING).all(axis=1))


def replaced(ground: Ground, sensor: str, **changes: object) -> Ground:
    """A ground with another series of a sensor."""
    return dataclasses.replace(ground, **{sensor: dataclasses.replace(getattr(ground, sensor), **changes)})

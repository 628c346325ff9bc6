"""The ground as it lies there: any square of it on any day, before air, clouds and a sensor's optics.

Sensors share this: each looks at the same pixels of 10 m through its own bands.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sitsinfer.grid import Window
from sitsinfer.simulate.landscape import Ground, survey
from sitsinfer.simulate.noise import generator, normal, smooth_noise
from sitsinfer.simulate.phenology import Cover, cover
from sitsinfer.simulate.scene import PIXEL_M
from sitsinfer.simulate.sensor import Sensor
from sitsinfer.simulate.temperature import air_kelvin, material_kelvin

SAMPLES = 3
"""Samples of the ground per pixel of 10 m, along each direction."""

GRAIN = 128
"""Side of the blocks of pixels, counted from the scene's corner, that draw their finest texture together."""

_DRYNESS = 0.12  # how much fields of one cover differ in what they add to the temperature of the air


@dataclass(frozen=True)
class Surface:
    """A square of ground on some days, in pixels of 10 m, n along each direction.

    Attributes:
        seed: The scene's seed.
        days: Days since 1 January, (T,).
        ground: What lies where.
        plants: What covers it.
        vigour: How vigorous plants are within their fields, about -0.3 to 0.3, (n, n).
        texture: Factor on reflectances, about 1, (n, n).
    """

    seed: int
    days: tuple[int, ...]
    ground: Ground
    plants: Cover
    vigour: NDArray[np.float32]
    texture: NDArray[np.float32]

    def reflectance(self, sensor: Sensor) -> Iterator[NDArray[np.float32]]:
        """Say what each day reflects in the bands of a sensor, (C, n, n)."""
        # A unit's spectrum, and beside it how the spectrum changes with vigour: one product mixes both into pixels.
        spectra = np.concatenate(
            [self.plants.fractions @ sensor.reflectance, self.plants.response @ sensor.reflectance], axis=2
        )
        spectra *= self.plants.brightness[:, None]
        for spectrum in spectra:
            constant, growing = self._mixed(spectrum)
            yield (constant + self.vigour * growing) * self.texture

    def kelvin(self) -> Iterator[NDArray[np.float32]]:
        """Say how warm each day is, kelvin, (n, n).

        Temperatures are mixed as they are: over the range of one day this is within about 1 K of mixing radiances.
        """
        air = air_kelvin(self.seed, self.days)[:, None]
        materials = material_kelvin(self.seed, self.days).astype(np.float32)[:, :, None]
        dryness = np.exp(_DRYNESS * normal(self.seed, "dryness", self.ground.keys))
        level = air + dryness * ((self.plants.fractions @ materials)[..., 0] - air)
        growth = dryness * (self.plants.response @ materials)[..., 0]
        for units in np.stack([level, growth], axis=2).astype(np.float32):
            constant, growing = self._mixed(units)
            yield (constant + self.vigour * growing)[0]

    def _mixed(self, units: NDArray[np.float32]) -> NDArray[np.float32]:
        """Mix two values of units, (U, 2 C), into pixels, (2, C, n, n)."""
        return np.ascontiguousarray((self.ground.shares @ units).T).reshape(2, -1, *self.texture.shape)


def look(seed: int, square: Window, days: Sequence[int]) -> Surface:
    """Look at a square of ground.

    Args:
        seed: The scene's seed.
        square: Pixels of 10 m from the scene's corner; as high as wide. It may lie anywhere.
        days: Days since 1 January.
    """
    ground = survey(seed, square.col * PIXEL_M, square.row * PIXEL_M, square.width, PIXEL_M, SAMPLES)
    vigour, texture = _texture(seed, square)
    return Surface(seed, tuple(days), ground, cover(seed, ground, days), vigour, texture)


def blocks(window: Window, size: int) -> Iterator[Window]:
    """List the blocks of one size, counted from the scene's corner, that a window touches."""
    for row in range(window.row // size * size, window.stop_row, size):
        for col in range(window.col // size * size, window.stop_col, size):
            yield Window(row, col, size, size)


def centres(block: Window, pixel_m: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Say where pixels have their centres: x of the columns and y of the rows, metres from the scene's corner."""
    x = (block.col + np.arange(block.width, dtype=np.float64) + 0.5) * pixel_m
    y = (block.row + np.arange(block.height, dtype=np.float64) + 0.5) * pixel_m
    return x, y


def _texture(seed: int, square: Window) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Draw what differs inside fields all year: vigour of plants, about -0.3 to 0.3, and brightness, about 1."""
    x, y = centres(square, PIXEL_M)
    grain = _grain(seed, square)
    vigour = 0.07 * smooth_noise(seed, "vigour-field", x, y, 170) + 0.05 * smooth_noise(seed, "vigour-patch", x, y, 45)
    texture = 1 + 0.02 * smooth_noise(seed, "texture", x, y, 60)
    return vigour.astype(np.float32) + 0.03 * grain[0], texture.astype(np.float32) + np.float32(0.02) * grain[1]


def _grain(seed: int, square: Window) -> NDArray[np.float32]:
    """Draw what no pixel shares with the next, standard normal, (2, n, n)."""
    grain = np.empty((2, *square.shape), dtype=np.float32)
    for block in blocks(square, GRAIN):
        part = block.intersection(square)
        drawn = generator(seed, "grain", block.row, block.col).standard_normal((2, GRAIN, GRAIN), dtype=np.float32)
        grain[:, *part.slices_in(square)] = drawn[:, *part.slices_in(block)]
    return grain

"""A scene as arrays: any window of it, on every date."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sitsinfer.errors import SimulationError
from sitsinfer.grid import Window
from sitsinfer.simulate.landscape import Ground, survey
from sitsinfer.simulate.noise import generator, smooth_noise
from sitsinfer.simulate.phenology import cover
from sitsinfer.simulate.scene import Scene
from sitsinfer.simulate.sensor import SENTINEL2, Sensor
from sitsinfer.simulate.weather import Pass, cloud_opacity, gains, haze, observed, passes

BLOCK = 128
"""Pixels are always made in the same blocks, counted from the scene's corner, and windows cut from these: however a
scene is cut, a pixel comes out of the same arithmetic, to the last bit."""

CLEAR, CLOUD, SHADOW, UNSEEN = 0, 1, 2, 255
"""Values of a mask."""

SCALE = 1e-4
"""Reflectance of one digital number."""


@dataclass(frozen=True)
class Rendering:
    """A window of a scene.

    Attributes:
        values: Digital numbers, reflectance / ``SCALE``, (T, C, H, W); 0 where not observed, and nowhere else.
        mask: ``CLEAR``, ``CLOUD``, ``SHADOW`` or ``UNSEEN``, (T, H, W).
        classes: Class codes, (H, W).
        parcels: Ids of fields, (H, W); 0 where there is no field. A field has one class.
        dates: Acquisition dates, ascending, T of them.
    """

    values: NDArray[np.uint16]
    mask: NDArray[np.uint8]
    classes: NDArray[np.uint8]
    parcels: NDArray[np.uint32]
    dates: tuple[dt.date, ...]


def render(scene: Scene, window: Window | None = None, sensor: Sensor = SENTINEL2) -> Rendering:
    """Render a window of a scene in memory.

    Args:
        scene: What to render.
        window: Where, in pixels of the scene; all of it where None.
        sensor: Whose bands.

    Returns:
        Values, masks and truth of the window.

    Raises:
        SimulationError: If the window is empty or reaches beyond the scene.
    """
    window = window or Window(0, 0, scene.height, scene.width)
    inside = Window(0, 0, scene.height, scene.width).intersection(window)
    if window.is_empty or inside != window:
        raise SimulationError(
            f"{window} reaches beyond the scene of {scene.height} x {scene.width} pixels, or is empty."
        )
    when = passes(scene, sensor.name)
    shape = window.shape
    values = np.empty((len(when), len(sensor.bands), *shape), dtype=np.uint16)
    mask = np.empty((len(when), *shape), dtype=np.uint8)
    classes = np.empty(shape, dtype=np.uint8)
    parcels = np.empty(shape, dtype=np.uint32)
    for block in _blocks(window):
        part = block.intersection(window)
        to, cut = part.slices_in(window), part.slices_in(block)
        ground = survey(
            scene.seed, block.col * sensor.pixel_m, block.row * sensor.pixel_m, BLOCK, sensor.pixel_m, sensor.samples
        )
        classes[to] = ground.classes[ground.owner].reshape(BLOCK, BLOCK)[cut]
        parcels[to] = ground.parcels[ground.owner].reshape(BLOCK, BLOCK)[cut]
        for t, (seen, clouds) in enumerate(_acquisitions(scene, sensor, when, block, ground)):
            values[t][:, *to] = seen[:, *cut]
            mask[t][to] = clouds[cut]
    return Rendering(values, mask, classes, parcels, tuple(p.date for p in when))


def _blocks(window: Window) -> Iterator[Window]:
    """List the blocks that a window touches."""
    for row in range(window.row // BLOCK * BLOCK, window.stop_row, BLOCK):
        for col in range(window.col // BLOCK * BLOCK, window.stop_col, BLOCK):
            yield Window(row, col, BLOCK, BLOCK)


def _acquisitions(
    scene: Scene, sensor: Sensor, when: tuple[Pass, ...], block: Window, ground: Ground
) -> Iterator[tuple[NDArray[np.uint16], NDArray[np.uint8]]]:
    """See one block on every date: digital numbers (C, BLOCK, BLOCK) and mask (BLOCK, BLOCK)."""
    x = (block.col + np.arange(BLOCK, dtype=np.float64) + 0.5) * sensor.pixel_m
    y = (block.row + np.arange(BLOCK, dtype=np.float64) + 0.5) * sensor.pixel_m
    bands = len(sensor.bands)
    plants = cover(scene.seed, ground, [p.day for p in when])
    # A unit's spectrum, and beside it how the spectrum changes with vigour: one product mixes both into pixels.
    spectra = np.concatenate([plants.fractions @ sensor.reflectance, plants.response @ sensor.reflectance], axis=2)
    spectra *= plants.brightness[:, None]
    vigour, texture = _texture(scene.seed, block, x, y)
    for p, spectrum in zip(when, spectra, strict=True):
        mixed = np.ascontiguousarray((ground.shares @ spectrum).T).reshape(2, bands, BLOCK, BLOCK)
        surface = (mixed[0] + vigour * mixed[1]) * texture
        yield _acquire(scene, sensor, p, block, (x, y), surface)


def _texture(
    seed: int, block: Window, x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Draw what differs inside fields all year: vigour of plants, about -0.3 to 0.3, and brightness, about 1."""
    grain = generator(seed, "grain", block.row, block.col).standard_normal((2, BLOCK, BLOCK), dtype=np.float32)
    vigour = 0.07 * smooth_noise(seed, "vigour-field", x, y, 170) + 0.05 * smooth_noise(seed, "vigour-patch", x, y, 45)
    texture = 1 + 0.02 * smooth_noise(seed, "texture", x, y, 60)
    return vigour.astype(np.float32) + 0.03 * grain[0], texture.astype(np.float32) + np.float32(0.02) * grain[1]


def _acquire(
    scene: Scene,
    sensor: Sensor,
    when: Pass,
    block: Window,
    axes: tuple[NDArray[np.float64], NDArray[np.float64]],
    surface: NDArray[np.float32],
) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """Put air, clouds and the sensor between the ground and its picture."""
    x, y = axes
    east, south = when.shadow_m
    opacity = cloud_opacity(scene, sensor.name, when, x, y).astype(np.float32)
    shade = cloud_opacity(scene, sensor.name, when, x - east, y - south).astype(np.float32)
    air = haze(scene, sensor.name, when, x, y).astype(np.float32)
    seen = observed(when.swath, x, y)

    gain = gains(scene, sensor.name, when, len(sensor.bands)).astype(np.float32)
    blue = (np.array(sensor.wavelength_nm, dtype=np.float32) / sensor.wavelength_nm[0]) ** np.float32(-1.5)
    light = 1 - shade * (1 - _per_band(sensor.shadow))
    reflectance = surface * light * gain[:, None, None] + air * blue[:, None, None]
    reflectance += opacity * (_per_band(sensor.cloud) - reflectance)
    reflectance += _noise(scene, sensor, when, block)
    coarse = np.array(sensor.coarse)
    reflectance[coarse] = _coarsen(reflectance[coarse])

    values = np.clip(np.rint(reflectance / np.float32(SCALE)), 1, 65535).astype(np.uint16)
    values[:, ~seen] = 0
    mask = np.select([~seen, opacity > 0.12, shade > 0.2], [UNSEEN, CLOUD, SHADOW], CLEAR).astype(np.uint8)
    return values, mask


def _per_band(numbers: tuple[float, ...]) -> NDArray[np.float32]:
    """Shape one number per band to meet (C, H, W)."""
    return np.array(numbers, dtype=np.float32)[:, None, None]


def _noise(scene: Scene, sensor: Sensor, when: Pass, block: Window) -> NDArray[np.float32]:
    """Draw the sensor's noise for one block and date, (C, BLOCK, BLOCK)."""
    stream = generator(scene.seed, f"{sensor.name}/noise", when.day, block.row, block.col)
    noise = stream.standard_normal((len(sensor.bands), BLOCK, BLOCK), dtype=np.float32)
    noise *= _per_band(sensor.noise)
    return noise


def _coarsen(bands: NDArray[np.float32]) -> NDArray[np.float32]:
    """Average bands over squares of two by two pixels, and repeat the averages: (C, H, W) to the same shape."""
    count, height, width = bands.shape
    mean = bands.reshape(count, height // 2, 2, width // 2, 2).mean(axis=(2, 4), keepdims=True)
    return np.broadcast_to(mean, (count, height // 2, 2, width // 2, 2)).reshape(bands.shape)

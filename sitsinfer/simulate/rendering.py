"""A scene as arrays: any window of it, on every date."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sitsinfer.grid import Window
from sitsinfer.simulate.atmosphere import per_band, sky, through
from sitsinfer.simulate.noise import generator
from sitsinfer.simulate.scene import Scene
from sitsinfer.simulate.sensor import SENTINEL2, Sensor
from sitsinfer.simulate.surface import blocks, centres, look
from sitsinfer.simulate.weather import Pass, passes

BLOCK = 128
"""Pixels are always made in the same blocks, counted from the scene's corner, and windows cut from these: however a
scene is cut, a pixel comes out of the same arithmetic, to the last bit."""

SCALE = 1e-4
"""Reflectance of one digital number."""


@dataclass(frozen=True)
class Rendering:
    """A window of a scene, as Sentinel-2 sees it.

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


def render(scene: Scene, window: Window | None = None) -> Rendering:
    """Render a window of a scene in memory.

    Args:
        scene: What to render.
        window: Where, in pixels of the scene; all of it where None.

    Returns:
        Values, masks and truth of the window.

    Raises:
        SimulationError: If the window is empty or reaches beyond the scene.
    """
    window = scene.window(window, SENTINEL2.pixel_m)
    when = passes(scene, SENTINEL2.name)
    shape = window.shape
    values = np.empty((len(when), len(SENTINEL2.bands), *shape), dtype=np.uint16)
    mask = np.empty((len(when), *shape), dtype=np.uint8)
    classes = np.empty(shape, dtype=np.uint8)
    parcels = np.empty(shape, dtype=np.uint32)
    for block in blocks(window, BLOCK):
        part = block.intersection(window)
        to, cut = part.slices_in(window), part.slices_in(block)
        surface = look(scene.seed, block, [p.day for p in when])
        ground = surface.ground
        classes[to] = ground.classes[ground.owner].reshape(BLOCK, BLOCK)[cut]
        parcels[to] = ground.parcels[ground.owner].reshape(BLOCK, BLOCK)[cut]
        for t, (p, reflectance) in enumerate(zip(when, surface.reflectance(SENTINEL2), strict=True)):
            seen, clouds = _acquire(scene, p, block, reflectance)
            values[t][:, *to] = seen[:, *cut]
            mask[t][to] = clouds[cut]
    return Rendering(values, mask, classes, parcels, tuple(p.date for p in when))


def _acquire(
    scene: Scene, when: Pass, block: Window, surface: NDArray[np.float32]
) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """Put air, clouds and the sensor between the ground and its picture: digital numbers (C, H, W) and mask (H, W)."""
    above = sky(scene, SENTINEL2, when, centres(block, SENTINEL2.pixel_m))
    reflectance = through(above, scene, SENTINEL2, when, surface)
    reflectance += noise(scene, SENTINEL2, when, block)
    values = quantised(coarsened(reflectance))
    values[:, ~above.seen] = 0
    return values, above.mask


def noise(scene: Scene, sensor: Sensor, when: Pass, block: Window) -> NDArray[np.float32]:
    """Draw a sensor's noise for one block and date, (C, H, W)."""
    stream = generator(scene.seed, f"{sensor.name}/noise", when.day, block.row, block.col)
    drawn = stream.standard_normal((len(sensor.bands), *block.shape), dtype=np.float32)
    drawn *= per_band(sensor.noise)
    return drawn


def coarsened(reflectance: NDArray[np.float32]) -> NDArray[np.float32]:
    """Let Sentinel-2's bands of 20 m be seen at 20 m, and repeated, (C, H, W); height and width are even."""
    coarse = np.array(SENTINEL2.coarse)
    bands = reflectance[coarse]
    count, height, width = bands.shape
    mean = bands.reshape(count, height // 2, 2, width // 2, 2).mean(axis=(2, 4), keepdims=True)
    out = reflectance.copy()
    out[coarse] = np.broadcast_to(mean, (count, height // 2, 2, width // 2, 2)).reshape(bands.shape)
    return out


def quantised(reflectance: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Store reflectances as Sentinel-2's digital numbers, 1 or more."""
    return np.asarray(np.clip(np.rint(reflectance / np.float32(SCALE)), 1, 65535), dtype=np.uint16)

"""What sensors would see in every band at 10 m on any day, were there no clouds, no haze and no errors."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sitsinfer.grid import Window
from sitsinfer.simulate import landsat, rendering
from sitsinfer.simulate.scene import PIXEL_M, Scene
from sitsinfer.simulate.sensor import LANDSAT, SENTINEL2
from sitsinfer.simulate.surface import blocks, look


@dataclass(frozen=True)
class Truth:
    """A window of a scene as it is, at 10 m.

    Attributes:
        sentinel2: Digital numbers of Sentinel-2's bands, (T, 10, H, W), those of 20 m as sharp as those of 10 m.
        landsat: Digital numbers of Landsat's bands, (T, 8, H, W), neither blurred nor sampled at 30 m.
        dates: T of them, as asked for.
    """

    sentinel2: NDArray[np.uint16]
    landsat: NDArray[np.int16]
    dates: tuple[dt.date, ...]


def render_truth(scene: Scene, dates: Sequence[dt.date], window: Window | None = None) -> Truth:
    """Render a window of a scene without clouds.

    Args:
        scene: What to render; its landscape has truth whether or not Landsat is among its sensors.
        dates: Any days of the scene's year.
        window: Where, in pixels of the scene; all of it where None.

    Returns:
        Truth of the window, in the units of the two series.

    Raises:
        SimulationError: If a date is of another year, or the window is empty or reaches beyond the scene.
    """
    window = scene.window(window, PIXEL_M)
    days = scene.days(dates)
    sentinel2 = np.empty((len(days), len(SENTINEL2.bands), *window.shape), dtype=np.uint16)
    of_landsat = np.empty((len(days), len(landsat.BANDS), *window.shape), dtype=np.int16)
    for block in blocks(window, rendering.BLOCK):
        part = block.intersection(window)
        to, cut = part.slices_in(window), part.slices_in(block)
        surface = look(scene.seed, block, days)
        for t, seen in enumerate(surface.reflectance(SENTINEL2)):
            sentinel2[t][:, *to] = rendering.quantised(seen)[:, *cut]
        for t, (seen, kelvin) in enumerate(zip(surface.reflectance(LANDSAT), surface.kelvin(), strict=True)):
            of_landsat[t][:, *to] = landsat.quantised(seen, kelvin)[:, *cut]
    return Truth(sentinel2, of_landsat, tuple(dates))


def l3a_dates(year: int) -> tuple[dt.date, ...]:
    """List the 1st and 15th of each month: the dates of level-3A composites."""
    return tuple(dt.date(year, month, day) for month in range(1, 13) for day in (1, 15))

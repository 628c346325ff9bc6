"""What lies between the ground and a sensor on one pass: clouds, their shadows, haze, and the end of the swath."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sitsinfer.simulate.scene import Scene
from sitsinfer.simulate.sensor import Sensor
from sitsinfer.simulate.weather import Pass, cloud_opacity, gains, haze, observed

CLEAR, CLOUD, SHADOW, UNSEEN = 0, 1, 2, 255
"""Values of a mask."""


@dataclass(frozen=True)
class Sky:
    """The sky over a grid of pixels on one pass.

    Attributes:
        opacity: Of the clouds, 0 to 1, (H, W).
        shade: How much of the sun clouds keep off, 0 to 1, (H, W).
        haze: Optical thickness of the air in the blue, (H, W).
        seen: Where the swath lies, (H, W).
    """

    opacity: NDArray[np.float32]
    shade: NDArray[np.float32]
    haze: NDArray[np.float32]
    seen: NDArray[np.bool_]

    @property
    def mask(self) -> NDArray[np.uint8]:
        """``CLEAR``, ``CLOUD``, ``SHADOW`` or ``UNSEEN``, (H, W)."""
        return np.select([~self.seen, self.opacity > 0.12, self.shade > 0.2], [UNSEEN, CLOUD, SHADOW], CLEAR).astype(
            np.uint8
        )


def sky(scene: Scene, sensor: Sensor, when: Pass, axes: tuple[NDArray[np.float64], NDArray[np.float64]]) -> Sky:
    """Say what the sky is like over the grid that two axes span, metres east and south of the scene's corner."""
    x, y = axes
    east, south = when.shadow_m
    return Sky(
        opacity=cloud_opacity(scene, sensor.name, when, x, y).astype(np.float32),
        shade=cloud_opacity(scene, sensor.name, when, x - east, y - south).astype(np.float32),
        haze=haze(scene, sensor.name, when, x, y).astype(np.float32),
        seen=observed(when.swath, x, y),
    )


def through(above: Sky, scene: Scene, sensor: Sensor, when: Pass, surface: NDArray[np.float32]) -> NDArray[np.float32]:
    """See reflectances of the ground through the sky, with the sensor's errors of calibration, (C, H, W)."""
    gain = gains(scene, sensor.name, when, len(sensor.bands)).astype(np.float32)
    blue = (np.array(sensor.wavelength_nm, dtype=np.float32) / sensor.wavelength_nm[0]) ** np.float32(-1.5)
    light = 1 - above.shade * (1 - per_band(sensor.shadow))
    reflectance = surface * light * gain[:, None, None] + above.haze * blue[:, None, None]
    reflectance += above.opacity * (per_band(sensor.cloud) - reflectance)
    return reflectance


def per_band(numbers: tuple[float, ...]) -> NDArray[np.float32]:
    """Shape one number per band to meet (C, H, W)."""
    return np.array(numbers, dtype=np.float32)[:, None, None]

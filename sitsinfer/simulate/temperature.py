"""How warm air and ground are on each day, in the morning, when satellites pass.

Ground is as warm as the air, and warmer by what the sun adds: much on dry soil, straw, roofs and asphalt, little on
leaves, which transpire. Water follows the seasons late and knows no weather.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sitsinfer.simulate.noise import smooth_noise
from sitsinfer.simulate.phenology import Material

Floats = NDArray[np.float64]

# Kelvin above the air under a sun in the zenith. Dark soil is moist.
_WARMING = {
    Material.CEREAL: 4.0,
    Material.LEAFY: 2.5,
    Material.GRASS: 6.0,
    Material.TREE: 1.0,
    Material.CONIFER: 2.0,
    Material.FLOWER: 5.0,
    Material.STRAW: 19.0,
    Material.LITTER: 9.0,
    Material.BRIGHT_SOIL: 24.0,
    Material.DARK_SOIL: 12.0,
    Material.WATER: 0.0,
    Material.TURBID_WATER: 0.0,
    Material.ROOF: 22.0,
    Material.ASPHALT: 19.0,
}
_WATERS = [Material.WATER, Material.TURBID_WATER]


def _season(t: Floats, warmest: float) -> Floats:
    """Go through the year: 1 on its warmest day, -1 half a year off."""
    return np.asarray(np.cos(2 * np.pi * (t - warmest) / 365))


def air_kelvin(seed: int, days: Sequence[int]) -> Floats:
    """Temperature of the air near the ground on each day, kelvin, (T,); weather lasts for some days."""
    t = np.asarray(days, dtype=np.float64)
    # Weather is noise along one axis, so it is drawn day by day: a day is as warm whatever days are asked about.
    weather = [smooth_noise(seed, "air", np.array([day]), np.zeros(1), 5)[0, 0] for day in t]
    return np.asarray(285.0 + 10.0 * _season(t, 200) + 2.2 * np.array(weather))


def material_kelvin(seed: int, days: Sequence[int]) -> Floats:
    """Temperature of each material on each day, kelvin, (T, M)."""
    t = np.asarray(days, dtype=np.float64)
    sun = 0.58 + 0.28 * _season(t, 172)  # sine of the sun's elevation at 10:30 at mid latitudes
    warming = np.array([_WARMING[material] for material in Material])
    kelvin = air_kelvin(seed, days)[:, None] + sun[:, None] * warming
    kelvin[:, _WATERS] = (285.0 + 8.0 * _season(t, 215))[:, None]
    return np.asarray(kelvin)

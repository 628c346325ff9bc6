"""How the ground changes over the year: what covers each unit on each day, as fractions of pure materials.

Green cover follows double-logistic seasons. As it falls, cereals leave straw, then stubble, then soil. Each unit draws
its own dates, heights and soil, so that no two fields of a crop are alike and neighbouring crops overlap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from sitsinfer.simulate.landscape import Ground, Kind
from sitsinfer.simulate.legend import (
    BARLEY,
    BEET,
    BUILT_UP,
    CONIFEROUS,
    DECIDUOUS,
    MAIZE,
    MEADOW,
    ORCHARD,
    POTATO,
    RAPESEED,
    SOYBEAN,
    SUNFLOWER,
    WATER,
    WHEAT,
)
from sitsinfer.simulate.noise import normal, uniform

Floats = NDArray[np.float64]


class Material(IntEnum):
    """Pure covers; their spectra are the sensor's business."""

    CEREAL = 0
    LEAFY = 1
    GRASS = 2
    TREE = 3
    CONIFER = 4
    FLOWER = 5
    STRAW = 6
    LITTER = 7
    BRIGHT_SOIL = 8
    DARK_SOIL = 9
    WATER = 10
    TURBID_WATER = 11
    ROOF = 12
    ASPHALT = 13


@dataclass(frozen=True)
class Season:
    """One rise and fall of green cover, in days of year and days.

    Attributes:
        start: Day half of the rise is done.
        rise: Time constant of the rise.
        end: Day half of the fall is done.
        fall: Time constant of the fall.
        peak: Cover at its height, 0 to 1.
        chance: Share of the units that have this season.
        straw: Dry cover left as the green falls, as a share of ``peak``.
        harvest: Days from ``end`` to the cut.
    """

    start: float
    rise: float
    end: float
    fall: float
    peak: float
    chance: float = 1.0
    straw: float = 0.0
    harvest: float = 18.0


@dataclass(frozen=True)
class Habit:
    """How a class lives.

    Attributes:
        leaf: What its green cover is made of.
        seasons: Its seasons; their covers add up.
        base: Green cover all year round.
        understorey: What lies under the green: soil where None.
        bloom: Day of full bloom, and the share of the green that flowers; None for no visible flower.
        spread: Standard deviation of a unit's start and end, days.
    """

    leaf: Material
    seasons: tuple[Season, ...] = ()
    base: float = 0.0
    understorey: Material | None = None
    bloom: tuple[float, float] | None = None
    spread: float = 11.0


_STRAY_LEAF = {
    Material.CEREAL: Material.LEAFY,
    Material.LEAFY: Material.CEREAL,
    Material.GRASS: Material.CEREAL,
    Material.TREE: Material.GRASS,
    Material.CONIFER: Material.TREE,
}

_WINTER_WEEDS = Season(-60, 12, 92, 8, 0.3, chance=0.35)
_CATCH_CROP = Season(248, 9, 345, 14, 0.55, chance=0.4)
_NEXT_CEREAL = Season(318, 9, 600, 9, 0.3, chance=0.5)

HABITS: dict[int, Habit] = {
    DECIDUOUS: Habit(Material.TREE, (Season(108, 6, 298, 8, 0.84),), 0.06, Material.LITTER, spread=5),
    CONIFEROUS: Habit(Material.CONIFER, (Season(120, 12, 290, 14, 0.08),), 0.78, Material.LITTER, spread=5),
    MEADOW: Habit(Material.GRASS, (Season(84, 11, 318, 20, 0.45),), 0.4),
    WHEAT: Habit(
        Material.CEREAL,
        (Season(-55, 14, 181, 6, 0.26), Season(92, 9, 181, 6, 0.62, straw=0.85), _CATCH_CROP, _NEXT_CEREAL),
    ),
    BARLEY: Habit(
        Material.CEREAL,
        (Season(-60, 13, 166, 6, 0.3), Season(85, 9, 166, 6, 0.58, straw=0.85), _CATCH_CROP, _NEXT_CEREAL),
    ),
    RAPESEED: Habit(
        Material.LEAFY,
        (Season(-90, 14, 172, 7, 0.42), Season(82, 8, 172, 7, 0.48, straw=0.8, harvest=17), _CATCH_CROP, _NEXT_CEREAL),
        bloom=(117, 0.65),
    ),
    MAIZE: Habit(Material.CEREAL, (_WINTER_WEEDS, Season(166, 8, 256, 9, 0.84, straw=0.6, harvest=20), _NEXT_CEREAL)),
    BEET: Habit(Material.LEAFY, (_WINTER_WEEDS, Season(158, 9, 296, 8, 0.84))),
    POTATO: Habit(Material.LEAFY, (_WINTER_WEEDS, Season(155, 7, 231, 8, 0.80, straw=0.45, harvest=24), _NEXT_CEREAL)),
    SUNFLOWER: Habit(
        Material.LEAFY,
        (_WINTER_WEEDS, Season(160, 7, 236, 8, 0.76, straw=0.6, harvest=26), _NEXT_CEREAL),
        bloom=(196, 0.22),
    ),
    SOYBEAN: Habit(Material.LEAFY, (_WINTER_WEEDS, Season(170, 9, 256, 7, 0.84, straw=0.5, harvest=18), _NEXT_CEREAL)),
    ORCHARD: Habit(Material.TREE, (Season(120, 10, 294, 12, 0.36),), 0.04, Material.GRASS),
}


@dataclass(frozen=True)
class Cover:
    """What covers the units of a block over time.

    Attributes:
        fractions: Share of each material, (T, U, M), float32; sums to 1 over M.
        response: What is added to ``fractions`` where plants are as vigorous as they get, (T, U, M); sums to 0.
        brightness: Factor on all reflectances of a unit, (U,).
    """

    fractions: NDArray[np.float32]
    response: NDArray[np.float32]
    brightness: NDArray[np.float32]


def cover(seed: int, ground: Ground, days: Sequence[int]) -> Cover:
    """Say what covers each unit on each day.

    Args:
        seed: The scene's seed.
        ground: The units.
        days: Days since 1 January, one per acquisition.

    Returns:
        Fractions of materials for every day and unit.
    """
    t = np.asarray(days, dtype=np.float64)
    fractions = np.zeros((len(t), len(ground.keys), len(Material)), dtype=np.float32)
    response = np.zeros_like(fractions)
    for code in np.unique(ground.classes):
        units = np.flatnonzero(ground.classes == code)
        keys = ground.keys[units]
        if code == WATER:
            fractions[:, units] = _water(seed, keys, t)
        elif code == BUILT_UP:
            fractions[:, units] = _built_up(seed, keys, ground.kinds[units], t)
        else:
            fractions[:, units], response[:, units] = _vegetated(seed, HABITS[int(code)], int(code), keys, t)
    brightness = np.exp(0.06 * normal(seed, "brightness", ground.keys)).astype(np.float32)
    return Cover(fractions, response, brightness)


def _vegetated(
    seed: int, habit: Habit, code: int, keys: NDArray[np.int64], t: Floats
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Fractions of units of one class of plants, and how they respond to vigour; both (T, U, M)."""
    green, straw = _green_and_straw(seed, habit, keys, t)
    if code == MEADOW:
        green = green * _mowing(seed, keys, t)
    total = np.maximum(green + straw, 0.97) / 0.97
    green, straw = green / total, straw / total
    flower = green * _bloom(seed, habit, keys, t)

    fractions = np.zeros((*green.shape, len(Material)), dtype=np.float32)
    response = np.zeros_like(fractions)
    floor = _soil(seed, keys, t) if habit.understorey is None else _understorey(seed, habit.understorey, keys, t)
    fractions[:] = floor * (1 - green - straw)[..., None]
    response[:] = -floor * green[..., None]
    fractions[..., Material.STRAW] += straw
    fractions[..., Material.FLOWER] += flower
    # Varieties: no crop's leaves are of one kind alone.
    stray = np.abs(0.3 * normal(seed, "variety", keys)).clip(0, 0.8)
    for leaf, share in ((habit.leaf, 1 - stray), (_STRAY_LEAF[habit.leaf], stray)):
        fractions[..., leaf] += (green - flower) * share
        response[..., leaf] += green * share
    return fractions, response


def _green_and_straw(seed: int, habit: Habit, keys: NDArray[np.int64], t: Floats) -> tuple[Floats, Floats]:
    """Green and dry cover, (T, U) each."""
    # The weather of a year moves all units together, each unit its own way besides.
    spring, autumn = 4 * normal(seed, "spring"), 4 * normal(seed, "autumn")
    early = spring + habit.spread * normal(seed, "early", keys)
    late = autumn + habit.spread * (0.5 * normal(seed, "early", keys) + 0.85 * normal(seed, "late", keys))
    vigour = np.clip(1 + 0.15 * normal(seed, "vigour", keys), 0.55, 1.2)
    tillage = 15 + 55 * uniform(seed, "tillage", keys)
    day = t[:, None]
    green = np.zeros((len(t), len(keys))) + habit.base * vigour
    straw = np.zeros_like(green)
    for n, season in enumerate(habit.seasons):
        peak = np.where(uniform(seed, "has-season", keys, n) < season.chance, season.peak * vigour, 0)
        end = season.end + late
        risen, fallen = expit((day - season.start - early) / season.rise), expit((day - end) / season.fall)
        green += peak * np.clip(risen - fallen, 0, None)
        cut = end + season.harvest
        mown, tilled = expit((day - cut) / 1.5), expit((day - cut - tillage) / 3)
        straw += season.straw * peak * (0.55 * (fallen - mown).clip(0) + 0.45 * (fallen - tilled).clip(0))
    return green.clip(0, 0.97), straw.clip(0, 0.97)


def _mowing(seed: int, keys: NDArray[np.int64], t: Floats) -> Floats:
    """Factor on the green of meadows, which up to three cuts set back, (T, U)."""
    factor = np.ones((len(t), len(keys)))
    cuts = np.floor(4 * uniform(seed, "cuts", keys))
    for n in range(3):
        day = 142 + 52 * n + 10 * normal(seed, "cut", keys, n)
        since = t[:, None] - day
        factor *= np.where((since > 0) & (n < cuts), 1 - 0.6 * np.exp(-since.clip(0) / 16), 1)
    return factor


def _bloom(seed: int, habit: Habit, keys: NDArray[np.int64], t: Floats) -> Floats:
    """Share of the green that flowers, (T, U)."""
    if habit.bloom is None:
        return np.zeros((len(t), len(keys)))
    day, share = habit.bloom
    since = t[:, None] - day - 4 * normal(seed, "spring") - 6 * normal(seed, "bloom", keys)
    strength = np.clip(1 + 0.25 * normal(seed, "bloom-strength", keys), 0.3, 1.3)
    return np.asarray(share * strength * np.exp(-((since / 9) ** 2)))


def _soil(seed: int, keys: NDArray[np.int64], t: Floats) -> Floats:
    """Bare soil of each unit, darker after rain, (T, U, M)."""
    dark = np.clip(0.45 + 0.2 * normal(seed, "soil", keys), 0, 0.9)
    rain = _rain(seed, t)[:, None]
    dark = dark + (1 - dark) * 0.6 * rain
    soil = np.zeros((len(t), len(keys), len(Material)))
    soil[..., Material.DARK_SOIL] = dark
    soil[..., Material.BRIGHT_SOIL] = 1 - dark
    return soil


def _rain(seed: int, t: Floats) -> Floats:
    """How wet the ground is on each day, 0 to 1, (T,): more in winter."""
    wet = uniform(seed, "rain", t.astype(np.int64)) ** 2
    return np.asarray(np.clip(wet + 0.25 * np.cos(2 * np.pi * t / 365), 0, 1))


def _understorey(seed: int, material: Material, keys: NDArray[np.int64], t: Floats) -> Floats:
    """Litter, grass and soil under trees, (T, U, M)."""
    share = np.clip(0.7 + 0.15 * normal(seed, "understorey", keys), 0.3, 1)[None, :]
    if material == Material.GRASS:
        share = share * (0.75 + 0.25 * np.sin(2 * np.pi * (t[:, None] - 50) / 365))
    floor = _soil(seed, keys, t) * (1 - share)[..., None]
    floor[..., material] += share
    return floor


def _water(seed: int, keys: NDArray[np.int64], t: Floats) -> NDArray[np.float32]:
    """Clear and turbid water, changing with the day, (T, U, M)."""
    turbid = np.clip(0.25 + 0.5 * _rain(seed, t)[:, None] + 0.15 * normal(seed, "turbid", keys), 0, 1)
    fractions = np.zeros((*turbid.shape, len(Material)), dtype=np.float32)
    fractions[..., Material.TURBID_WATER] = turbid
    fractions[..., Material.WATER] = 1 - turbid
    return fractions


def _built_up(seed: int, keys: NDArray[np.int64], kinds: NDArray[np.int64], t: Floats) -> NDArray[np.float32]:
    """Roads, and lots of roof, asphalt and garden, (T, U, M)."""
    lot = kinds == Kind.LOT
    roof = np.where(lot, 0.75 * uniform(seed, "roof", keys), 0)
    garden = np.where(lot, (1 - roof) * uniform(seed, "garden", keys), 0.08)
    leaves = expit((t - 105) / 8) - expit((t - 300) / 9)
    tree = garden * 0.5 * leaves[:, None]
    fractions = np.zeros((len(t), len(keys), len(Material)), dtype=np.float32)
    fractions[..., Material.ROOF] = roof
    fractions[..., Material.ASPHALT] = 1 - roof - garden
    fractions[..., Material.TREE] = tree
    fractions[..., Material.GRASS] = garden - tree
    return fractions

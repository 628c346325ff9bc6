"""When a sensor passes, and what stands between it and the ground: dates, clouds, shadows, haze, swath edges."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from sitsinfer.simulate.noise import fractal_noise, hashed, normal, smooth_noise, uniform
from sitsinfer.simulate.scene import Scene

REVISIT = 5
"""Days between two passes of Sentinel-2 on one orbit."""

LANDSAT_REVISIT = 8
"""Days between two passes of Landsat 8 and 9."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Pass:
    """One acquisition.

    Attributes:
        date: Day of the pass.
        day: Days since 1 January.
        cloud_cover: Share of the sky that is cloud, on average over much ground.
        cloud_m: Height of the clouds' base, metres.
        shadow_m: Where the shadow of a cloud falls, metres east and south of it.
        haze: Optical thickness of the air in the blue; 0 is perfectly clear.
        gain: Standard deviation of the error of each band's calibration on this date.
        swath: Where the swath ends: metres east and south of the corner, and the direction it points to, radians;
            None where the whole scene is seen.
    """

    date: dt.date
    day: int
    cloud_cover: float
    cloud_m: float
    shadow_m: tuple[float, float]
    haze: float
    gain: float
    swath: tuple[float, float, float] | None


def passes(scene: Scene, sensor: str) -> tuple[Pass, ...]:
    """List the acquisitions of a scene by ``sentinel2`` or ``landsat``."""
    return tuple(_pass(scene, sensor, int(day)) for day in _DAYS[sensor](scene))


def _sentinel2_days(scene: Scene) -> Ints:
    """Draw dates: two orbits of five days, thinned unevenly to the number asked for."""
    phase = int(hashed(scene.seed, "sentinel2/phase")[0] % REVISIT)
    first, second = np.arange(phase, 365, REVISIT), np.arange((phase + 2) % REVISIT, 365, REVISIT)
    candidates = np.concatenate([first, second])
    # The second orbit is often missing, as at the edge of a swath.
    rank = uniform(scene.seed, "sentinel2/thin", candidates) + np.where(np.isin(candidates, second), 0.35, 0)
    return np.sort(candidates[np.argsort(rank, kind="stable")[: scene.dates]])


def _landsat_days(scene: Scene) -> Ints:
    """Draw dates: one rhythm of eight days, thinned unevenly to the number asked for.

    The rhythm is the one that meets Sentinel-2 most often: ``n`` dates of Sentinel-2 are met at least ``n / 8`` times.
    Such common dates are kept until they are a third of all.
    """
    sentinel2 = _sentinel2_days(scene)
    meetings = np.bincount(sentinel2 % LANDSAT_REVISIT, minlength=LANDSAT_REVISIT)
    phase = int(np.argmax(meetings + uniform(scene.seed, "landsat/phase", np.arange(LANDSAT_REVISIT))))
    candidates = np.arange(phase, 365, LANDSAT_REVISIT)
    rank = uniform(scene.seed, "landsat/thin", candidates)
    common = np.flatnonzero(np.isin(candidates, sentinel2))
    kept = common[np.argsort(rank[common], kind="stable")[: -(-scene.landsat // 3)]]
    rank[kept] -= 1
    return np.sort(candidates[np.argsort(rank, kind="stable")[: scene.landsat]])


_DAYS = {"sentinel2": _sentinel2_days, "landsat": _landsat_days}


def _pass(scene: Scene, sensor: str, day: int) -> Pass:
    """Draw the weather of one day."""

    def draw(salt: str) -> float:
        return float(uniform(scene.seed, f"{sensor}/{salt}", day)[0])

    season = np.cos(2 * np.pi * (day - 172) / 365)  # 1 at midsummer, -1 at midwinter
    height_m = 400 + 900 * draw("cloud-height")
    length_m = height_m * (0.95 - 0.45 * season)
    azimuth = np.radians(160 + 10 * (draw("azimuth") - 0.5))
    return Pass(
        date=scene.start + dt.timedelta(days=day),
        day=day,
        cloud_cover=_cloud_cover(scene.cloud_cover, draw("cover")),
        cloud_m=height_m,
        shadow_m=(-length_m * float(np.sin(azimuth)), length_m * float(np.cos(azimuth))),
        haze=0.012 * draw("haze") ** 2,
        gain=0.015,
        swath=_swath(scene, draw("swath"), draw("swath-place")),
    )


def _cloud_cover(mean: float, u: float) -> float:
    """Draw a cover with the given mean: many clear days, some overcast."""
    if mean <= 0:
        return 0.0
    return float(u ** ((1 - mean) / mean))


def _swath(scene: Scene, chance: float, place: float) -> tuple[float, float, float] | None:
    """Let the swath end inside the scene on some dates, in the east or in the west."""
    if chance > 0.12:
        return None
    east = chance < 0.06
    share = 0.75 + 0.2 * place if east else 0.05 + 0.2 * place
    lean = np.radians(-11)
    return share * scene.width * 10.0, scene.height * 5.0, float(lean if east else lean + np.pi)


def observed(swath: tuple[float, float, float] | None, x: Floats, y: Floats) -> NDArray[np.bool_]:
    """Tell which pixels of the grid that two axes span lie in the swath, (rows, columns)."""
    if swath is None:
        return np.ones((len(y), len(x)), dtype=np.bool_)
    east, south, direction = swath
    beyond = (x - east)[None, :] * np.cos(direction) + (y - south)[:, None] * np.sin(direction)
    return np.asarray(beyond < 0)


def cloud_opacity(scene: Scene, sensor: str, when: Pass, x: Floats, y: Floats) -> Floats:
    """Opacity of the clouds over the grid that two axes span, 0 to 1, (rows, columns)."""
    if when.cloud_cover < 0.004:
        return np.zeros((len(y), len(x)))
    salt = f"{sensor}/cloud/{when.day}"
    size_m = 1500 + 5000 * float(uniform(scene.seed, f"{salt}/size")[0])
    field = fractal_noise(scene.seed, salt, x, y, size_m, 6, 0.55)
    softness = 0.25 + 0.9 * float(uniform(scene.seed, f"{salt}/soft")[0]) ** 2
    excess = (field - ndtri(1 - min(when.cloud_cover, 0.9999))) / softness
    return np.asarray(1 - np.exp(-2.5 * np.clip(excess, 0, None) ** 1.5))


def haze(scene: Scene, sensor: str, when: Pass, x: Floats, y: Floats) -> Floats:
    """Optical thickness of the air in the blue over the grid that two axes span, (rows, columns)."""
    patchy = smooth_noise(scene.seed, f"{sensor}/haze/{when.day}", x, y, 6000)
    return np.asarray(when.haze * np.exp(0.4 * patchy))


def gains(scene: Scene, sensor: str, when: Pass, bands: int) -> Floats:
    """Factor of each band on one date: calibration, atmosphere and view angle, (C,)."""
    common = 1 + 0.025 * normal(scene.seed, f"{sensor}/view", when.day)
    return np.asarray(common * (1 + when.gain * normal(scene.seed, f"{sensor}/gain", when.day, np.arange(bands))))

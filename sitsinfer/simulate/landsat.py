"""Landsat's series of the same ground: seven reflectance bands and the temperature of the surface, at 30 m.

A sharp picture of the ground at 10 m is blurred by the point spread function of each band and sampled every 30 m: a
band of resolution r that passes a share m of the contrast at its Nyquist frequency 1 / 2r is taken to spread a point
as the Gaussian that has this transfer there, cut off at the coarsest resolution. TAMRF's residual compensation and
metrics assume the same.
"""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sitsinfer.grid import Window
from sitsinfer.simulate.atmosphere import Sky, sky, through
from sitsinfer.simulate.noise import generator, normal
from sitsinfer.simulate.rendering import noise
from sitsinfer.simulate.scene import PIXEL_M, Scene
from sitsinfer.simulate.sensor import LANDSAT
from sitsinfer.simulate.surface import blocks, centres, look
from sitsinfer.simulate.temperature import air_kelvin
from sitsinfer.simulate.weather import Pass, passes

BANDS = (*LANDSAT.bands, "LST")
"""Bands in file order; LST is the temperature of the surface."""

SCALES = (1e-4,) * len(LANDSAT.bands) + (0.1,)
"""Reflectance, and kelvin, of one digital number."""

NODATA = -10000

BLOCK = 64
"""Pixels of 30 m are always made in the same blocks, as those of Sentinel-2 are."""

_RATIO = LANDSAT.pixel_m // PIXEL_M
_REFLECTIVE, _THERMAL = (30.0, 0.3), (90.0, 0.2)  # resolution, metres, and transfer at its Nyquist frequency
_MARGIN = math.ceil(max(_REFLECTIVE[0], _THERMAL[0]) / PIXEL_M)  # of pixels of 10 m that the widest Gaussian spans

_SHADED = 0.5  # share of the sun's warmth that ground in deep shadow has lost
_LAPSE = 0.0065  # kelvin per metre of height
_CLOUD_DEPTH_M = 3000  # from the base to the top of an opaque cloud
_NOISE_K, _OFFSET_K = 0.2, 0.5  # standard deviations: of each pixel; of each date, from correcting for the air


@dataclass(frozen=True)
class LandsatRendering:
    """A window of a scene, as Landsat sees it.

    Attributes:
        values: Digital numbers of ``BANDS``, (T, C, H, W), in units of ``SCALES``; ``NODATA`` where not observed.
        mask: ``CLEAR``, ``CLOUD``, ``SHADOW`` or ``UNSEEN``, (T, H, W).
        dates: Acquisition dates, ascending, T of them.
    """

    values: NDArray[np.int16]
    mask: NDArray[np.uint8]
    dates: tuple[dt.date, ...]


def render_landsat(scene: Scene, window: Window | None = None) -> LandsatRendering:
    """Render a window of a scene as Landsat sees it.

    Args:
        scene: What to render.
        window: Where, in pixels of 30 m; all of those that cover the scene where None. The last row and column reach
            beyond a scene whose size is no multiple of 30 m: there is ground there, too.

    Returns:
        Values and masks of the window.

    Raises:
        SimulationError: If the window is empty or reaches beyond the scene.
    """
    window = scene.window(window, LANDSAT.pixel_m)
    when = passes(scene, LANDSAT.name)
    values = np.empty((len(when), len(BANDS), *window.shape), dtype=np.int16)
    mask = np.empty((len(when), *window.shape), dtype=np.uint8)
    sharp, wide = _weights(*_REFLECTIVE), _weights(*_THERMAL)
    for block in blocks(window, BLOCK):
        part = block.intersection(window)
        to, cut = part.slices_in(window), part.slices_in(block)
        surface = look(scene.seed, _below(block), [p.day for p in when])
        for t, (p, reflectance, kelvin) in enumerate(
            zip(when, surface.reflectance(LANDSAT), surface.kelvin(), strict=True)
        ):
            seen, clouds = _acquire(scene, p, block, _sampled(reflectance, sharp), _sampled(kelvin, wide))
            values[t][:, *to] = seen[:, *cut]
            mask[t][to] = clouds[cut]
    return LandsatRendering(values, mask, tuple(p.date for p in when))


def quantised(reflectance: NDArray[np.float32], kelvin: NDArray[np.float32]) -> NDArray[np.int16]:
    """Store reflectances, (C - 1, H, W), and temperatures, (H, W), as digital numbers of 1 or more, (C, H, W)."""
    bands = np.concatenate([reflectance, kelvin[None]]) / np.array(SCALES, dtype=np.float32)[:, None, None]
    return np.asarray(np.clip(np.rint(bands), 1, np.iinfo(np.int16).max), dtype=np.int16)


def _below(block: Window) -> Window:
    """The pixels of 10 m that a block of pixels of 30 m is made from."""
    return Window(
        block.row * _RATIO - _MARGIN,
        block.col * _RATIO - _MARGIN,
        block.height * _RATIO + 2 * _MARGIN,
        block.width * _RATIO + 2 * _MARGIN,
    )


def _weights(resolution_m: float, transfer: float) -> NDArray[np.float32]:
    """Weigh pixels of 10 m for each of 30 m along one axis of a block: (BLOCK, pixels of 10 m); rows sum to 1."""
    sigma_m = math.sqrt(-math.log(transfer) / 2) / (math.pi * 0.5 / resolution_m)
    centre = _MARGIN + _RATIO // 2 + _RATIO * np.arange(BLOCK)
    distance = np.abs(np.arange(BLOCK * _RATIO + 2 * _MARGIN) - centre[:, None])
    weights = np.where(distance <= _MARGIN, np.exp(-((distance * PIXEL_M / sigma_m) ** 2) / 2), 0)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)


def _sampled(sharp: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Blur a picture of 10 m and sample it at 30 m, (..., pixels of 10 m, the same) to (..., BLOCK, BLOCK)."""
    return np.asarray(weights @ sharp @ weights.T, dtype=np.float32)


def _acquire(
    scene: Scene, when: Pass, block: Window, reflectance: NDArray[np.float32], kelvin: NDArray[np.float32]
) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
    """Put air, clouds and noise between the ground and its picture: digital numbers (C, H, W) and mask (H, W)."""
    above = sky(scene, LANDSAT, when, centres(block, LANDSAT.pixel_m))
    seen = through(above, scene, LANDSAT, when, reflectance) + noise(scene, LANDSAT, when, block)
    values = quantised(seen, _kelvin_seen(scene, when, block, above, kelvin))
    values[:, ~above.seen] = NODATA
    return values, above.mask


def _kelvin_seen(
    scene: Scene, when: Pass, block: Window, above: Sky, kelvin: NDArray[np.float32]
) -> NDArray[np.float32]:
    """See the ground's temperature through the sky: shadows are cooler, and clouds the colder the higher they reach."""
    air = np.float32(air_kelvin(scene.seed, [when.day])[0])
    ground = kelvin - np.float32(_SHADED) * above.shade * np.maximum(kelvin - air, 0)
    top = air - np.float32(_LAPSE) * (np.float32(when.cloud_m) + np.float32(_CLOUD_DEPTH_M) * above.opacity)
    seen = ground + above.opacity * (top - ground)
    stream = generator(scene.seed, "landsat/noise-kelvin", when.day, block.row, block.col)
    offset = np.float32(_OFFSET_K * normal(scene.seed, "landsat/offset-kelvin", when.day)[0])
    return np.asarray(seen + offset + np.float32(_NOISE_K) * stream.standard_normal(block.shape, dtype=np.float32))

"""How much of an observation clouds hide, over the whole image."""

from __future__ import annotations

from sitsinfer.fusion.types import Image
from sitsinfer.grid import Tiles

_COUNTED_AT_ONCE = 240


def masked_rates(image: Image, bands: tuple[str, ...]) -> dict[int, float]:
    """Share of the image that is masked in each observation of the fine sensor, by day.

    Args:
        image: What there is to read; one piece after the other.
        bands: Bands of the sensor, of which the first is read.
    """
    clear: dict[int, int] = {}
    for tile in Tiles(image.shape, _COUNTED_AT_ONCE):
        fine = image.read("hr", bands[:1], tile.core)
        for day, count in zip(fine.days.tolist(), fine.clear.sum(axis=(1, 2)).tolist(), strict=True):
            clear[day] = clear.get(day, 0) + count
    pixels = image.shape[0] * image.shape[1]
    return {day: 1 - count / pixels for day, count in clear.items()}

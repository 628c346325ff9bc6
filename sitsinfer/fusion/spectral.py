"""Which bands of the two sensors see the same part of the spectrum."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sitsinfer.errors import SeriesError

PAIRS = {"B02": "B02", "B03": "B03", "B04": "B04", "B8A": "B05", "B11": "B06", "B12": "B07"}
"""The coarse sensor's band for each of the fine sensor's: blue, green, red, near infrared, two of short waves."""


def paired_bands(available: Mapping[str, Collection[str]]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Bands that both sensors have, as the fine and as the coarse one call them.

    Args:
        available: Bands that there are, by sensor: ``hr`` and ``lr``.

    Raises:
        SeriesError: If there is none.
    """
    fine, coarse = available.get("hr", ()), available.get("lr", ())
    pairs = [(ours, theirs) for ours, theirs in PAIRS.items() if ours in fine and theirs in coarse]
    if not pairs:
        expected = ", ".join(f"{ours} with {theirs}" for ours, theirs in PAIRS.items())
        raise SeriesError(
            f"No band that both sensors see: Sentinel-2 has {_listed(fine)} and Landsat has {_listed(coarse)}. "
            f"Expected at least one pair of {expected}. Choose an algorithm that needs none, such as naive."
        )
    return tuple(ours for ours, _ in pairs), tuple(theirs for _, theirs in pairs)


def _listed(bands: Collection[str]) -> str:
    return ", ".join(bands) or "no band"

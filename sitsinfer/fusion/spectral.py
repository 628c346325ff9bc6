"""Which bands of the two sensors see the same part of the spectrum."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Self

from sitsinfer.errors import SeriesError

PAIRS = {"B02": "B02", "B03": "B03", "B04": "B04", "B8A": "B05", "B11": "B06", "B12": "B07"}
"""The coarse sensor's band for each of the fine sensor's: blue, green, red, near infrared, two of short waves."""


@dataclass(frozen=True)
class PairedBands:
    """Bands that both sensors have: what an algorithm that predicts the fine sensor from both starts with.

    Attributes:
        hr: Bands of the fine sensor.
        lr: The coarse sensor's bands of the same colours, in the same order.
    """

    hr: tuple[str, ...]
    lr: tuple[str, ...]

    @classmethod
    def of(cls, available: Mapping[str, Collection[str]]) -> Self:
        """Find all pairs.

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
        return cls(tuple(ours for ours, _ in pairs), tuple(theirs for _, theirs in pairs))

    @property
    def writes(self) -> Mapping[str, tuple[str, ...]]:
        """What is predicted: the fine sensor's bands."""
        return {"hr": self.hr}


def _listed(bands: Collection[str]) -> str:
    return ", ".join(bands) or "no band"

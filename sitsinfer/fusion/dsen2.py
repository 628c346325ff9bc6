"""DSen2: every band of each Sentinel-2 observation at 10 m, by the network of the same name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from sitsinfer.device import resolve_device, resolve_precision
from sitsinfer.fusion.networks import ImageNetwork, get_network, load_card
from sitsinfer.fusion.types import Image, Observations, Plane, Reads, fill_missing
from sitsinfer.grid import Window
from sitsinfer.weights import FusionCard

BANDS_10M = ("B02", "B03", "B04", "B08")
BANDS_20M = ("B05", "B06", "B07", "B8A", "B11", "B12")

GAIN = np.float32(5)
"""What the network takes, in units of reflectance: digital numbers / 2000."""

Network = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]
"""From bands of 10 m and of 20 m, (C, H, W) each, to those of 20 m."""

_LARGEST_CORE = 198
_MAPS = 5


@dataclass(frozen=True)
class DSen2:
    """Sharpening of each observation by itself. What clouds hide is not predicted.

    Attributes:
        card: What the network feeds on.
        folder: Where its weights are.
        device: See :func:`~sitsinfer.device.resolve_device`.
        precision: See :func:`~sitsinfer.device.resolve_precision`.
    """

    card: FusionCard
    folder: Path
    device: str = "auto"
    precision: str = "auto"

    name = "dsen2"
    strategy = "ALLHR2ALLHR"
    largest_core = _LARGEST_CORE

    @classmethod
    def load(cls, model: str, device: str = "auto", precision: str = "auto") -> Self:
        """Find a model.

        Args:
            model: Name or folder of a model.
            device: See the class.
            precision: Likewise.

        Raises:
            WeightsError: If there is no such model, or it is another network.
            DeviceError: If there is no such device or precision.
        """
        return cls(*load_card(model, cls.name, device, precision), device, precision)

    @property
    def reads(self) -> Mapping[str, Reads]:
        """All bands, as far around as the network's convolutions see: each once, and two a residual block."""
        return {"hr": Reads(self.card.sensors["hr"].bands, 2 * self.card.hyperparameters["blocks"] + 2, "repeat")}

    @property
    def writes(self) -> Mapping[str, tuple[str, ...]]:
        """All bands."""
        return {"hr": self.card.sensors["hr"].bands}

    def fingerprint(self) -> object:
        """The weights and the precision."""
        return [self.card.digest, resolve_precision(self.precision, resolve_device(self.device))]

    def working_bytes(self, core: int, dates: Mapping[str, int], queries: int) -> int:
        """Feature maps of one date."""
        seen = core + 2 * self.reads["hr"].margin
        return 4 * (_MAPS * int(self.card.hyperparameters["features"]) + 4 * len(self.writes["hr"])) * seen**2

    def prepared(self, image: Image) -> Self:
        """Itself."""
        return self

    def predict(
        self,
        inputs: Mapping[str, Observations],
        queries: Mapping[str, NDArray[np.int64]],
        core: Window,
        threads: int,
    ) -> Iterator[Plane]:
        """Predict observed days; see the protocol and :func:`sharpen`."""
        fine = inputs.get("hr")
        if fine is None:
            return
        network = get_network(ImageNetwork, self.card, self.folder, self.device, self.precision, threads)
        margin = self.reads["hr"].margin
        inner = np.s_[margin : margin + core.height, margin : margin + core.width]
        dates = {int(day): date for date, day in enumerate(fine.days)}
        for index, day in enumerate(queries.get("hr", ())):
            if (date := dates.get(int(day))) is not None:
                sharp = sharpen(network, fine.values[date], fine.bands)[:, *inner]
                yield Plane("hr", index, np.where(fine.clear[date][inner], sharp, np.float32(np.nan)))


def sharpen(network: Network, values: NDArray[np.float32], bands: tuple[str, ...]) -> NDArray[np.float32]:
    """Bring the bands of 20 m to 10 m, and leave those of 10 m as they are.

    Args:
        network: Takes and gives five times the reflectance.
        values: Reflectance on the grid of 10 m, (C, H, W). What is :data:`~sitsinfer.fusion.types.MISSING` is taken
            for 0, as the network takes what lies beyond its input.
        bands: Names of the bands.

    Returns:
        Reflectance, (C, H, W), in the same order.
    """
    seen = fill_missing(values, 0)
    coarse = [bands.index(band) for band in BANDS_20M]
    seen[coarse] = network(GAIN * seen[[bands.index(band) for band in BANDS_10M]], GAIN * seen[coarse]) / GAIN
    return seen

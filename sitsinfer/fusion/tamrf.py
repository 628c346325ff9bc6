"""TAMRF: a network that predicts every band of both sensors on any day from all the dates of both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sitsinfer.device import DTYPES, check_numbers, place, resolve_device, resolve_precision
from sitsinfer.errors import DeviceError, GridError, WeightsError
from sitsinfer.fusion.networks import get_network
from sitsinfer.fusion.types import RATIO, Image, Observations, Plane, Reads
from sitsinfer.grid import Window
from sitsinfer.models.tamrf import DECODER_RADIUS, SENSORS, TAMRF, Chunks, Frames, Hyperparameters, Request, Sensor
from sitsinfer.weights import FusionCard, load_fusion_card

PUBLISHED_MARGIN = 18
"""Fine pixels around each sub-tile, in the published procedure."""

PUBLISHED_CORE = 165
"""Fine pixels along the side of a sub-tile, in the published procedure."""

_LARGEST_CORE = 105

_MAPS_HELD = 5
"""How often the widest maps of a frame are in memory at once while it is encoded, measured."""

_STRIPS_HELD = 6
"""How often a strip of tokens is, while it is decoded, measured."""

_TOKENS_HELD = 8
"""How often the tokens of a chunk are."""

_CHUNKS = {"cpu": Chunks(), "cuda": Chunks(dates=8, tokens=1 << 20, strip=1 << 21), "mps": Chunks(4, 1 << 17, 1 << 18)}


@dataclass(frozen=True)
class Tamrf:
    """Prediction by TAMRF.

    Attributes:
        card: What the network feeds on.
        folder: Where its weights are.
        writes: The bands that come out, by sensor.
        margin: Fine pixels around each core, as in the published procedure, whose network sees zeros beyond them, so
            that predictions depend on the cores. ``None``: all that the network sees, and no such dependence.
        device: See :func:`~sitsinfer.device.resolve_device`.
        precision: See :func:`~sitsinfer.device.resolve_precision`.
    """

    card: FusionCard
    folder: Path
    writes: Mapping[str, tuple[str, ...]]
    margin: int | None = None
    device: str = "auto"
    precision: str = "auto"

    name = "tamrf"
    strategy = None

    @classmethod
    def load(
        cls,
        model: str,
        bands: Sequence[str] | None = None,
        margin: int | None = None,
        device: str = "auto",
        precision: str = "auto",
    ) -> Self:
        """Find a model and check what is asked of it.

        Args:
            model: Name or folder of a model.
            bands: Bands to predict, of whichever sensor has them; all by default.
            margin: See :attr:`margin`; a multiple of the ratio of resolutions.
            device: See :attr:`device`.
            precision: See :attr:`precision`.

        Raises:
            WeightsError: If there is no such model, it is another network, or has no such band.
            GridError: If the margin does not hold whole coarse pixels.
            DeviceError: If there is no such device or precision.
        """
        card, folder = load_fusion_card(model)
        if card.architecture != cls.name or not set(SENSORS) <= set(card.sensors):
            raise WeightsError(f"Model '{card.name}' is a '{card.architecture}', not a TAMRF. Choose another model.")
        if margin is not None and (margin < 0 or margin % RATIO):
            raise GridError(
                f"A margin of {margin} pixels does not hold whole coarse pixels. "
                f"Choose a multiple of {RATIO}, the ratio of the resolutions; published: {PUBLISHED_MARGIN}."
            )
        resolve_precision(precision, resolve_device(device))
        return cls(card, folder, _chosen(card, bands), margin, device, precision)

    @property
    def largest_core(self) -> int:
        """As published, or about 1 km²: larger cores share some more of their margins, and need more memory."""
        return _LARGEST_CORE if self.margin is None else PUBLISHED_CORE

    @property
    def reads(self) -> Mapping[str, Reads]:
        """Every band of both sensors; each as far around as its branch sees, or as far as published."""
        margins = Hyperparameters(**self.card.hyperparameters).margins
        if self.margin is not None:
            margins = {"lr": self.margin // RATIO, "hr": self.margin}
        return {sensor: Reads(self.card.sensors[sensor].bands, margins[sensor]) for sensor in SENSORS}

    def fingerprint(self) -> object:
        """The weights, the margin and the precision."""
        return [self.card.digest, self.margin, resolve_precision(self.precision, resolve_device(self.device))]

    def working_bytes(self, core: int, dates: Mapping[str, int], queries: int) -> int:
        """Features of all dates, one date's maps on their way there, and a strip of tokens on theirs to bands."""
        options = Hyperparameters(**self.card.hyperparameters)
        width = core + 2 * DECODER_RADIUS
        features = sum(dates.get(sensor, 0) for sensor in SENSORS) * options.latent_size * width**2
        maps = (options.latent_size + 4 * options.growth_channels) * (core + 2 * self.reads["hr"].margin) ** 2
        chunks = _CHUNKS["cpu"]
        strip = max(chunks.strip, queries * width) + 2 * DECODER_RADIUS * queries * width
        tokens = options.token_width * (_STRIPS_HELD * strip + _TOKENS_HELD * chunks.tokens)
        return np.dtype(np.float32).itemsize * (features + max(_MAPS_HELD * maps, tokens))

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
        """Predict all days at once; see the protocol.

        Raises:
            DeviceError: If the device's memory does not suffice even for the least at once.
            WeightsError: If the network gives what is no number.
        """
        network = get_network(Network, self.card, self.folder, self.device, self.precision, threads)
        frames = {
            sensor: network.frames(sensor, inputs[sensor], self.reads[sensor].margin)
            for sensor in SENSORS
            if sensor in inputs
        }
        requests = {
            sensor: Request(
                np.unique(queries[sensor]).tolist(),
                [self.card.sensors[sensor].bands.index(band) for band in self.writes[sensor]],
            )
            for sensor in SENSORS
            if sensor in queries and self.writes.get(sensor)
        }
        predicted = network(frames, requests)
        for sensor, days in predicted.items():
            for index, day in enumerate(queries[sensor]):
                yield Plane(sensor, index, network.physical(sensor, days[int(day)], requests[sensor].bands))


def _chosen(card: FusionCard, bands: Sequence[str] | None) -> dict[str, tuple[str, ...]]:
    """The bands of each sensor that are asked for."""
    known = {sensor: card.sensors[sensor].bands for sensor in SENSORS}
    missing = [band for band in bands or () if not any(band in names for names in known.values())]
    if missing:
        raise WeightsError(
            f"Model '{card.name}' predicts no band '{missing[0]}'. Choose of {', '.join(known['hr'])} "
            f"(Sentinel-2) and {', '.join(known['lr'])} (Landsat)."
        )
    chosen = {s: tuple(band for band in names if bands is None or band in bands) for s, names in known.items()}
    return {sensor: names for sensor, names in chosen.items() if names}


class Network:
    """A TAMRF on a device, with the statistics of what it feeds on. For one thread at a time."""

    def __init__(self, card: FusionCard, module: TAMRF, device: str = "auto", precision: str = "auto") -> None:
        """Put a network on a device.

        Raises:
            DeviceError: If there is no such device or precision.
        """
        self.device = torch.device(resolve_device(device))
        self.precision = resolve_precision(precision, str(self.device))
        self._card = card
        self._dtype = DTYPES[self.precision]
        self._module = place(module.to(self._dtype), self.device, self.precision)
        self._chunks = _CHUNKS[self.device.type]

    def frames(self, sensor: Sensor, observed: Observations, margin: int) -> Frames:
        """Standardise observations, with so many pixels of the sensor around the core, on the device."""
        mean, std = self._statistics(sensor)
        values = torch.from_numpy(np.ascontiguousarray(observed.values)).to(self.device)
        days = torch.from_numpy(np.ascontiguousarray(observed.days)).to(self.device)
        return Frames(((values - mean) / std).to(self._dtype), days, margin)

    def physical(self, sensor: Sensor, values: Tensor, bands: Sequence[int]) -> NDArray[np.float32]:
        """Undo the standardisation of some bands, (K, h, w).

        Raises:
            WeightsError: If a value is not a number.
        """
        mean, std = (table[list(bands)] for table in self._statistics(sensor))
        found: NDArray[np.float32] = torch.addcmul(mean, values, std).cpu().numpy()
        check_numbers(found, self._card.name, self.precision)
        return found

    def __call__(
        self, frames: Mapping[Sensor, Frames], requests: Mapping[Sensor, Request]
    ) -> dict[Sensor, dict[int, Tensor]]:
        """Predict, in smaller steps where memory does not suffice.

        Raises:
            DeviceError: If the smallest do not fit.
        """
        while (predicted := self._try(frames, requests)) is None:
            self._halve()
        return predicted

    @torch.inference_mode()
    def _try(
        self, frames: Mapping[Sensor, Frames], requests: Mapping[Sensor, Request]
    ) -> dict[Sensor, dict[int, Tensor]] | None:
        """What the network gives, or None if the device's memory does not suffice."""
        try:
            predicted: dict[Sensor, dict[int, Tensor]] = self._module(frames, requests, self._chunks)
        except torch.OutOfMemoryError:
            return None
        return predicted

    def _halve(self) -> None:
        chunks = self._chunks.halved()
        if chunks is None:
            raise DeviceError(
                f"One sub-tile does not fit in the memory of {self.device}. Choose a smaller one, or another device."
            )
        self._chunks = chunks
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _statistics(self, sensor: Sensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of a sensor's bands, (C, 1, 1)."""
        card = self._card.sensors[sensor]
        mean, std = (torch.tensor(values, device=self.device)[:, None, None] for values in (card.mean, card.std))
        return mean, std

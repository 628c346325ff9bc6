"""DSTFN: Sentinel-2 on a day of Landsat, by the network of the same name."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from sitsinfer.device import resolve_device, resolve_precision
from sitsinfer.errors import SeriesError
from sitsinfer.fusion.clouds import masked_rates
from sitsinfer.fusion.networks import ImageNetwork, get_network, load_card
from sitsinfer.fusion.psf import Optics, Psf
from sitsinfer.fusion.resample import BICUBIC_REACH, bicubic_integers, middle, nearest
from sitsinfer.fusion.types import PIXELS, RATIO, Image, Observations, Plane, Reads, fill_missing
from sitsinfer.grid import Window
from sitsinfer.weights import FusionCard

Network = Callable[[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]
"""From Sentinel-2 at 10 m, Landsat at 30 m and its panchromatic band at 15 m, (C, H, W) each, to Sentinel-2."""

_NAMES = {"hr": "Sentinel-2", "lr": "Landsat", "pan": "Landsat's panchromatic series"}
_LARGEST_CORE = 330
_NUMBERS = np.float32(10_000)  # digital numbers of a reflectance of 1
_BLUR = Optics(1, 0.4)
_CHAIN_REACH = 4  # Landsat pixels from which one comes that went to 15 m and back
_ATTENTION_REACH = 3
_MAPS = 8


@dataclass(frozen=True)
class Dstfn:
    """Prediction by DSTFN from Landsat and the closest clear enough day of Sentinel-2.

    The network's attention over channels averages over all that it is given at once: a core and its margin. Predictions
    therefore depend, a little, on where cores lie, and cores are best of one size, :attr:`largest_core`. What clouds
    hide on either day is not predicted.

    Attributes:
        card: What the network feeds on.
        folder: Where its weights are.
        device: See :func:`~sitsinfer.device.resolve_device`.
        precision: See :func:`~sitsinfer.device.resolve_precision`.
        max_masked_rate: Share of a fine observation that may be masked, over the whole image.
        masked_rates: Share that is masked of the fine observation of each day; of an algorithm that is prepared.
    """

    card: FusionCard
    folder: Path
    device: str = "auto"
    precision: str = "auto"
    max_masked_rate: float = 0.5
    masked_rates: Mapping[int, float] | None = None

    name = "dstfn"
    strategy = "CONJLRuHR2HR"
    largest_core = _LARGEST_CORE

    @classmethod
    def load(
        cls,
        model: str,
        available: Mapping[str, Collection[str]],
        device: str = "auto",
        precision: str = "auto",
    ) -> Self:
        """Find a model, and see that there is what it feeds on.

        Args:
            model: Name or folder of a model.
            available: Bands by sensor.
            device: See the class.
            precision: Likewise.

        Raises:
            WeightsError: If there is no such model, or it is another network.
            SeriesError: If a band is missing.
            DeviceError: If there is no such device or precision.
        """
        algorithm = cls(*load_card(model, cls.name, device, precision), device, precision)
        for sensor, reads in algorithm.reads.items():
            if missing := [band for band in reads.bands if band not in available.get(sensor, ())]:
                raise SeriesError(
                    f"Algorithm 'dstfn' reads {', '.join(reads.bands)} of {_NAMES[sensor]}, and {', '.join(missing)} "
                    f"is missing. Add it, or choose an algorithm that does without, such as naive."
                )
        return algorithm

    @property
    def reads(self) -> Mapping[str, Reads]:
        """The bands of the weights, as far around as convolutions and resampling see."""
        coarse = self._margin // RATIO + _CHAIN_REACH
        margins = {"hr": self._margin, "lr": coarse, "pan": int(self._margin / PIXELS["pan"])}
        return {sensor: Reads(self.card.sensors[sensor].bands, margins[sensor], "repeat") for sensor in margins}

    @property
    def _margin(self) -> int:
        """Fine pixels around a core that the network is given: whole coarse ones, two of which see farthest."""
        dense = int(self.card.hyperparameters["dense_layers"])
        fused = 3 * (_ATTENTION_REACH + dense) + 1
        return RATIO * (-(-fused // RATIO) + BICUBIC_REACH + dense + _ATTENTION_REACH + 1)

    @property
    def writes(self) -> Mapping[str, tuple[str, ...]]:
        """The bands of the weights."""
        return {"hr": self.card.sensors["hr"].bands}

    def fingerprint(self) -> object:
        """The weights, the precision, and which days are too cloudy."""
        return [
            self.card.digest,
            resolve_precision(self.precision, resolve_device(self.device)),
            self.max_masked_rate,
        ]

    def working_bytes(self, core: int, dates: Mapping[str, int], queries: int) -> int:
        """Feature maps of one day."""
        options = self.card.hyperparameters
        dense = 2 * int(options["dense_layers"]) * int(options["growth_rate"])
        return 4 * (_MAPS * int(options["features"]) + dense) * (core + 2 * self._margin) ** 2

    def prepared(self, image: Image) -> Self:
        """Count, over the whole image, how much of each fine observation is masked."""
        return replace(self, masked_rates=masked_rates(image, self.writes["hr"]))

    def predict(
        self,
        inputs: Mapping[str, Observations],
        queries: Mapping[str, NDArray[np.int64]],
        core: Window,
        threads: int,
    ) -> Iterator[Plane]:
        """Predict days of Landsat; see the protocol, :func:`closest_date` and :func:`there_and_back`."""
        if not inputs.keys() >= self.reads.keys():
            return
        assert self.masked_rates is not None, "prepared comes first"
        fine, coarse, pan = (inputs[sensor] for sensor in ("hr", "lr", "pan"))
        usable = np.array([self.masked_rates[day] <= self.max_masked_rate for day in fine.days.tolist()], np.bool_)
        dates, of_pan = ({int(day): date for date, day in enumerate(series.days)} for series in (coarse, pan))
        for index, day in enumerate(int(day) for day in queries.get("hr", ())):
            other = closest_date(fine.days, usable, day)
            if other is None or day not in dates or day not in of_pan:
                continue
            seen = [fine.clear[other], coarse.clear[dates[day]], pan.clear[of_pan[day]]]
            network = get_network(ImageNetwork, self.card, self.folder, self.device, self.precision, threads)
            # What is missing is 0, as the network takes what lies beyond its input.
            landsat = there_and_back(fill_missing(coarse.values[dates[day]], 0))
            inner = landsat[:, _CHAIN_REACH:-_CHAIN_REACH, _CHAIN_REACH:-_CHAIN_REACH]
            values = network(fill_missing(fine.values[other], 0), inner, fill_missing(pan.values[of_pan[day]], 0))
            yield Plane("hr", index, np.where(_clear(seen, core), middle(values, core.shape), np.float32(np.nan)))


def closest_date(days: NDArray[np.int64], usable: NDArray[np.bool_], day: int) -> int | None:
    """Index of the usable date closest to a day, the earlier of two, but not that day; ``None`` if there is none.

    Args:
        days: Ascending, (T,).
        usable: (T,).
        day: Which day.
    """
    candidates = np.flatnonzero(usable & (days != day))
    return int(candidates[np.argmin(np.abs(days[candidates] - day))]) if len(candidates) else None


def there_and_back(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Landsat at 30 m as published inputs of the network have it: taken to 15 m as integers, and back.

    Args:
        values: Reflectance, (C, H, W). Borders are repeated and mirrored; four pixels within them, they have no say.

    Returns:
        Reflectance, (C, H, W).
    """
    numbers = np.rint(values * _NUMBERS).astype(np.int16)
    return back_to_30m(bicubic_integers(numbers, 2).astype(np.float32) / _NUMBERS)


def back_to_30m(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Landsat at 15 m, (C, H, W), taken to 30 m, (C, H / 2, W / 2)."""
    return Psf((_BLUR,) * len(values), 1.0).downsample(values, Fraction(1, 2))


def _clear(seen: list[NDArray[np.bool_]], core: Window) -> NDArray[np.bool_]:
    """Fine pixels of a core that all of Sentinel-2, Landsat and its panchromatic band see clear, (h, w)."""
    masks = (nearest(clear, PIXELS[sensor]) for clear, sensor in zip(seen, ("hr", "lr", "pan"), strict=True))
    return np.asarray(np.logical_and.reduce([middle(mask, core.shape) for mask in masks]))

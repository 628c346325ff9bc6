"""What a fusion network feeds on and what it predicts: ``model.json`` of a model folder with the task ``fuse``."""

from __future__ import annotations

import dataclasses
import datetime
from dataclasses import dataclass
from typing import Any, Literal

from sitsinfer.errors import WeightsError
from sitsinfer.weights import fields
from sitsinfer.weights.fields import Kind

FIRST_OF_YEAR: Literal["first-of-year"] = "first-of-year"

RATIO = 3
"""Pixels of ``hr`` along the side of one of ``lr``, in every network that can be used: 10 m and 30 m."""

SENSORS = ("hr", "lr", "pan")
"""The fine sensor, the coarse one, and the coarse one's panchromatic band."""

_WIDTHS = {"hr": ("hr_bands", "s2_bands"), "lr": ("lr_bands", "landsat_bands"), "pan": ("pan_bands",)}
"""Hyper-parameters that say how many bands of a sensor go in, by any architecture's name for it."""


@dataclass(frozen=True)
class SensorCard:
    """What a network takes of one sensor, and what it predicts of it.

    Values are reflectance; the temperature of the band ``LST`` is in kelvin / 1000.

    Attributes:
        sensor: Its name, such as ``sentinel-2``.
        bands: Names of the bands, in order.
        mean: Mean of each band, (C,), or nothing if the network takes values as they are.
        std: Standard deviation of each band, (C,), or nothing.
    """

    sensor: str
    bands: tuple[str, ...]
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    @property
    def problem(self) -> str | None:
        """What is wrong between fields, worded to follow the name of the file; ``None`` if all is well."""
        return fields.statistics_problem(len(self.bands), self.mean, self.std) if self.mean or self.std else None


@dataclass(frozen=True)
class FusionCard(fields.Document):
    """Everything about a fusion network but its weights.

    Attributes:
        name: Short name, as users type it.
        title: One line for people.
        description: What it is for, what it was trained on, its scores and its limits.
        architecture: A name that :func:`sitsinfer.models.build` knows.
        hyperparameters: What the network is built with, in full.
        task: What its output means.
        reference: Day 0 of each year: January 1st, or a date and its anniversaries.
        days: It was trained on days from 0 to before this one; 366 if any day of a year will do.
        ratio: Pixels of ``hr`` along the side of one of ``lr``: :data:`RATIO`.
        sensors: What it takes of each sensor, by one of :data:`SENSORS`; one that it does not know is missing.
        licence: SPDX name of the licence of the weights, or words.
        citation: What to cite.
        source: Where the weights come from.
        digest: SHA-256 of ``model.safetensors``, in hexadecimal.
    """

    name: str
    title: str
    description: str
    architecture: str
    hyperparameters: dict[str, Any]
    task: Literal["fuse"]
    reference: datetime.date | Literal["first-of-year"]
    days: int
    ratio: int
    sensors: dict[str, SensorCard]
    licence: str
    citation: str
    source: str
    digest: str

    def __post_init__(self) -> None:
        """Check that the parts fit each other.

        Raises:
            WeightsError: If they do not.
        """
        for ratio in (self.ratio, self.hyperparameters.get("ratio", self.ratio)):
            if ratio != RATIO:
                raise WeightsError(
                    f"model.json of '{self.name}' has a ratio of {ratio} between the pixels of the sensors. Choose a "
                    f"model with {RATIO}, for 10 m and 30 m."
                )
        for key, sensor in self.sensors.items():
            if problem := sensor.problem or self._width_problem(key, len(sensor.bands)):
                raise WeightsError(f"Sensor '{key}' in model.json of '{self.name}' {problem}")

    def _width_problem(self, key: str, bands: int) -> str | None:
        found = next((self.hyperparameters[name] for name in _WIDTHS[key] if name in self.hyperparameters), bands)
        if found == bands:
            return None
        return f"lists {bands} bands but the weights have {found}. List those of the weights."

    @property
    def prefixes(self) -> tuple[str, ...]:
        """What the keys of each network in the weights start with: there is one."""
        return ("",)


def _reference(value: Any) -> datetime.date | str:
    return FIRST_OF_YEAR if value == FIRST_OF_YEAR else fields.date(value)


def _sensors(value: Any) -> dict[str, SensorCard]:
    if not fields.options(value) or not set(value) <= set(SENSORS):
        raise ValueError
    return {key: _sensor(value[key]) for key in SENSORS if key in value}


def _sensor(value: Any) -> SensorCard:
    sensor, bands, *statistics = (field.name for field in dataclasses.fields(SensorCard))
    if set(fields.options(value)) != {sensor, bands, *statistics}:
        raise ValueError
    return SensorCard(
        fields.name(value[sensor]), fields.names(value[bands]), *(fields.numbers(value[key]) for key in statistics)
    )


FusionCard.kinds = {
    **fields.NETWORK,
    "task": fields.one_of("fuse"),
    "reference": Kind(_reference, "'first-of-year' or a date such as 2022-01-01"),
    "days": fields.POSITIVE,
    "ratio": fields.POSITIVE,
    "sensors": Kind(_sensors, "an object of hr, lr or pan, each with sensor, bands, and mean and std (may be empty)"),
    **fields.PROVENANCE,
}

"""What a model feeds on and what it tells: ``model.json`` of a model folder."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from sitsinfer.errors import WeightsError
from sitsinfer.layers import ClassInfo
from sitsinfer.weights import fields
from sitsinfer.weights.fields import Kind

Fill = Literal["reflect", "constant"]

BACKGROUND = 0
"""Class code of what is no parcel, in models for ``panoptic`` and in what they put out."""


@dataclass(frozen=True)
class Member:
    """One network of an ensemble, with the statistics that its input is normalised by.

    Attributes:
        name: Its keys in ``model.safetensors`` start with this and a dot; empty for a model of one network.
        mean: Mean reflectance of each band, (C,).
        std: Standard deviation of the reflectance of each band, (C,).
    """

    name: str
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def prefix(self) -> str:
        """What its keys in the weights start with."""
        return f"{self.name}." if self.name else ""


@dataclass(frozen=True)
class Card(fields.Document):
    """Everything about a model but its weights. Output k of the network is ``classes[k]``.

    Attributes:
        name: Short name, as users type it.
        title: One line for people.
        description: What it is for, what it was trained on, its scores and its limits.
        architecture: A name that :func:`sitsinfer.models.build` knows.
        hyperparameters: What the network is built with, in full.
        task: What its output means: scores of every pixel, or of parcels (``panoptic``; class code 0 then is what is
            no parcel, and is never predicted).
        sensor: Name of the sensor it was trained on, such as ``sentinel-2``.
        bands: Names of the bands that go in, in order.
        scale: Reflectance is digital number times ``scale`` plus ``offset``, in the data it was trained on. For the
            record: series bring their own scale and offset, date by date.
        offset: See ``scale``.
        positions: What dates mean to the network: days since ``reference_date``, or days of the year.
        reference_date: Day 0 of ``days``.
        patch: Height and width that it was trained on, in pixels.
        margin: Pixels on each side of a patch that are context only.
        blend: Pixels on each side of a core's border over which scores fade; at most ``margin``.
        fill: What a patch sees beyond the data: the data mirrored, or the bands' means.
        members: The networks whose scores are averaged; one or more.
        classes: The legend, in the order of the network's output.
        ignore: Codes of classes that are never predicted.
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
    task: Literal["segment", "panoptic"]
    sensor: str
    bands: tuple[str, ...]
    scale: float
    offset: float
    positions: Literal["days", "day-of-year"]
    reference_date: datetime.date
    patch: int
    margin: int
    blend: int
    fill: Fill
    members: tuple[Member, ...]
    classes: tuple[ClassInfo, ...]
    ignore: tuple[int, ...]
    licence: str
    citation: str
    source: str
    digest: str

    def __post_init__(self) -> None:
        """Check that the parts fit each other.

        Raises:
            WeightsError: If they do not.
        """
        for problem in self._problems():
            raise WeightsError(f"model.json of '{self.name}' {problem}")

    def _problems(self) -> list[str]:
        """What is wrong between fields, worded to follow the name of the file."""
        problems = []
        codes = [entry.code for entry in self.classes]
        if len(set(codes)) != len(codes):
            problems.append("gives two classes the same code. Give each class its own.")
        if strange := sorted(set(self.ignore) - set(codes)):
            problems.append(f"ignores class {strange[0]}, which it does not list. List it, or do not ignore it.")
        if self.task == "panoptic" and BACKGROUND not in set(codes) & set(self.ignore):
            problems.append(f"is for panoptic without a background. List class {BACKGROUND} and ignore it.")
        if self.task == "panoptic" and len(self.members) > 1:
            problems.append(f"is for panoptic with {len(self.members)} members. Parcels have no mean: keep one.")
        if not self.predicted:
            problems.append("leaves no class to predict. Ignore fewer classes.")
        if not 0 <= self.margin < self.patch / 2:
            problems.append(f"has a margin of {self.margin}, but a patch of {self.patch} needs 0 to half of that.")
        if not 0 <= self.blend <= min(self.margin, (self.patch - 2 * self.margin) // 2):
            problems.append(f"blends over {self.blend} pixels. Expected at most the margin, and half the core.")
        if len({member.name for member in self.members}) != len(self.members):
            problems.append("gives two members the same name. Give each its own.")
        for member in self.members:
            if problem := fields.statistics_problem(len(self.bands), member.mean, member.std):
                problems.append(problem)
        for expected, names, what in (
            (len(self.classes), ("num_classes", "n_classes"), "classes"),
            (len(self.bands), ("input_dim", "in_channel"), "bands"),
        ):
            found = _width(self.hyperparameters, names)
            if found is not None and found != expected:
                problems.append(f"lists {expected} {what} but the weights have {found}. List those of the weights.")
        return problems

    @property
    def prefixes(self) -> tuple[str, ...]:
        """What the keys of each network in the weights start with."""
        return tuple(member.prefix for member in self.members)

    @property
    def predicted(self) -> tuple[ClassInfo, ...]:
        """The classes that can be predicted: the channels of what a predictor returns, in order."""
        return tuple(entry for entry in self.classes if entry.code not in self.ignore)

    def encode_dates(
        self, dates: Sequence[datetime.date], reference_date: datetime.date | None = None
    ) -> NDArray[np.int64]:
        """What the network takes dates as.

        Args:
            dates: One an acquisition, (T,).
            reference_date: Day 0, instead of the card's own.

        Returns:
            Days since day 0, which can be negative, or days of the year from 1 to 366, (T,).
        """
        if self.positions == "day-of-year":
            return np.array([date.timetuple().tm_yday for date in dates], np.int64)
        origin = reference_date or self.reference_date
        return np.array([(date - origin).days for date in dates], np.int64)


def _width(hyperparameters: dict[str, Any], names: tuple[str, ...]) -> int | None:
    """How many channels go in or come out, by the published names of that, where they are given."""
    if "num_classes" in names and hyperparameters.get("out_conv"):
        return cast(int, hyperparameters["out_conv"][-1])
    return next((hyperparameters[name] for name in names if name in hyperparameters), None)


def _codes(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list):
        raise TypeError
    return tuple(fields.whole(entry) for entry in value)


def _members(value: Any) -> tuple[Member, ...]:
    keys = {field.name for field in dataclasses.fields(Member)}
    if any(set(entry) != keys for entry in fields.some(value)):
        raise ValueError
    return tuple(
        Member(fields.text(entry["name"]), fields.numbers(entry["mean"]), fields.numbers(entry["std"]))
        for entry in value
    )


def _classes(value: Any) -> tuple[ClassInfo, ...]:
    classes = tuple(ClassInfo.from_dict(entry) for entry in fields.some(value))
    if any(not 0 <= number <= 255 for entry in classes for number in (entry.code + 1, *entry.color)):
        raise ValueError
    return classes


Card.kinds = {
    **fields.NETWORK,
    "task": fields.one_of("segment", "panoptic"),
    "sensor": fields.NAME,
    "bands": fields.NAMES,
    "scale": fields.NUMBER,
    "offset": fields.NUMBER,
    "positions": fields.one_of("days", "day-of-year"),
    "reference_date": fields.DATE,
    "patch": fields.WHOLE,
    "margin": fields.WHOLE,
    "blend": fields.WHOLE,
    "fill": fields.one_of("reflect", "constant"),
    "members": Kind(_members, "a list of objects with name, mean and std"),
    "classes": Kind(_classes, "a list of objects with code (0 to 254), name and color (three numbers from 0 to 255)"),
    "ignore": Kind(_codes, "a list of class codes"),
    **fields.PROVENANCE,
}
